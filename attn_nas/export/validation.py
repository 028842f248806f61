"""Load the validation images of a run, to reproduce its accuracies."""

from __future__ import annotations

from attn_nas.data.dataset import Split
from attn_nas.errors import DataError, ExportError
from attn_nas.runs.run import Run


def validation_split(run: Run, *, download: bool = False) -> Split:
    """Return the validation split of ``run``; ``download`` allows fetching the data set.

    Raises:
        ExportError: the data set is missing, or differs from the data set of the run.

    """
    try:
        return run.load_dataset(download=download).validation
    except DataError as error:
        without = "To export without reproducing the accuracy: --without-data"
        raise ExportError(f"the recorded accuracy cannot be reproduced: {error}. {without}") from None
