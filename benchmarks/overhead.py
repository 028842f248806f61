"""Time outside training: what a search of 50 and of 500 trials costs beside its training.

The trainer answers at once from a table, so all that is left is proposing, counting, storing and telling. The share is
taken of the seconds that the same number of trials trains on the embedded task, measured on one reference candidate.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from common import options, present

from attn_nas import load_space, search
from attn_nas.data import load_dataset
from attn_nas.proxy import choose_numerics, train_proxy
from attn_nas.space.encoding import Encoding
from attn_nas.space.references import reference_genotypes
from attn_nas.testing import TableTrainer


def main() -> None:
    """Measure, summarise, print."""
    chosen = options(__doc__.splitlines()[0])
    space = load_space("cued_digits")
    dataset = load_dataset(space.data)
    none, *_ = references = list(reference_genotypes(space, Encoding(space)).values())
    proxy = space.proxy.model_copy(update={"epochs": 1}) if chosen.quick else space.proxy
    numerics = choose_numerics("cpu", proxy.precision, references, dataset.task, proxy.batch_size, 1)
    trained = train_proxy(none, proxy, 0, dataset, numerics)[0].seconds * space.proxy.epochs / proxy.epochs
    workers = len(os.sched_getaffinity(0))
    rows = []
    for budget in (50,) if chosen.quick else (50, 500):
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            search(space, budget=budget, run=Path(folder) / "run", workers=1, trainer=TableTrainer(dataset.task))
            seconds = time.perf_counter() - start
        share = seconds / (seconds + budget * trained / workers)
        rows.append({"trials": budget, "seconds": seconds, "ms_per_trial": 1e3 * seconds / budget, "share": share})
    lines = [
        f"{row['trials']} trials: {row['seconds']:.1f} s outside training, {row['ms_per_trial']:.0f} ms per trial, "
        f"{100 * row['share']:.1f} % of the search"
        for row in rows
    ]
    lines.append(f"(the bare trunk trains {trained:.1f} s per trial on one core; {workers} workers)")
    present(chosen, rows[0]["share"], "\n".join(lines), rows=rows, training_seconds_per_trial=trained, workers=workers)


if __name__ == "__main__":
    main()
