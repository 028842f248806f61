"""What every benchmark shares: its options, its one JSON document, the machine it ran on, work on all cores."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from attn_nas import __version__
from attn_nas.execution.local import LocalPool
from attn_nas.execution.replicates import ReplicateFolder, train_replicates
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import ProxySettings
from attn_nas.training import choose_numerics
from attn_nas.training.protocol import Replicate, Trained, Trainer
from attn_nas.training.trainer import ProxyTrainer

_STARTED = time.monotonic()


def make_parser(description: str) -> argparse.ArgumentParser:
    """A parser that knows ``--quick`` (under a minute) and ``--json`` (one document on stdout)."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--quick", action="store_true", help="a smaller version, under a minute")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    return parser


def options(description: str) -> argparse.Namespace:
    """The options of a benchmark that has no others."""
    return make_parser(description).parse_args()


def hardware() -> str:
    """Processor, cores and accelerator."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    accelerator = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{model}, {len(os.sched_getaffinity(0))} cores, {torch.backends.cpu.get_cpu_capability()}{accelerator}"


def present(chosen: argparse.Namespace, headline: float, text: str, **results: Any) -> None:
    """Print the document, or the text for a person."""
    if not chosen.json:
        print(text)
        return
    document = {
        "headline": headline,
        "hardware": hardware(),
        "version": {"attn_nas": __version__, "torch": torch.__version__, "python": platform.python_version()},
        "command": " ".join(["python", *(Path(word).name if Path(word).exists() else word for word in sys.argv)]),
        "quick": chosen.quick,
        "seconds": time.monotonic() - _STARTED,
        **results,
    }
    print(json.dumps(document, indent=1))


def replicate_all(trainer: Trainer, replicates: Sequence[Replicate], folder: ReplicateFolder) -> None:
    """Train on all cores, one thread each, what ``folder`` lacks; what cannot be trained ends the benchmark."""
    pool = LocalPool([trainer] * len(os.sched_getaffinity(0)))

    def told(replicate: Replicate, outcome: Trained | str) -> None:
        if isinstance(outcome, str):
            raise SystemExit(f"{replicate}: {outcome}")
        print(
            f"{folder.path.name} {replicate} {outcome.result.accuracy:.4f} {outcome.result.seconds:.1f} s",
            file=sys.stderr,
            flush=True,
        )

    try:
        train_replicates(replicates, folder, pool, told)
    finally:
        pool.close()


def learning_curves(folder: Path, settings: ProxySettings, genotypes: dict[str, Genotype], seeds: range) -> NDArray[np.float64]:
    """Accuracies ``(placements, seeds, epochs)`` on the data shared in ``folder / "data"``, by the engine that searches use."""
    numerics = choose_numerics("cpu", settings.precision)
    trainer = ProxyTrainer(settings, numerics, 1, folder / "data", folder / "trunks")
    kept = ReplicateFolder(folder / "replicates")
    replicates = [[Replicate(genotype, seed) for seed in seeds] for genotype in genotypes.values()]
    replicate_all(trainer, [replicate for row in replicates for replicate in row], kept)
    trained = [[kept.get(replicate) for replicate in row] for row in replicates]
    return np.array([[each.result.curve for each in row if each] for row in trained])
