"""The images on which a run has validated, to reproduce its accuracies."""

from __future__ import annotations

from attn_nas.data import load_dataset
from attn_nas.data.dataset import Split
from attn_nas.errors import DataError, ExportError
from attn_nas.study.facts import is_data_of
from attn_nas.study.results import Run


def validation_split(run: Run, *, download: bool = False) -> Split:
    """The validation split of ``run``.

    Raises:
        ExportError: the data set is not there any more, or is another one.

    """
    without = "To export without reproducing the accuracy: --without-data"
    try:
        dataset = load_dataset(run.space.data, download=download)
    except DataError as error:
        raise ExportError(f"the recorded accuracy cannot be reproduced: {error}. {without}") from None
    if not is_data_of(run.meta, dataset):
        changed = f"{dataset.name} is not the data set that the run was begun with"
        raise ExportError(f"the recorded accuracy cannot be reproduced: {changed}. {without}")
    return dataset.validation
