"""Verify exported folders: their files, run in an isolated process, must reproduce the trained network."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from attn_nas import torchvision_operators
from attn_nas.cost import handles
from attn_nas.data.dataset import Split
from attn_nas.errors import ExportError
from attn_nas.export import isolated
from attn_nas.export.model_formats import FORMATS
from attn_nas.export.own_model import host_source
from attn_nas.export.source import bare_source
from attn_nas.export.winner import Winner
from attn_nas.space.host import Host
from attn_nas.space.metric import ACCURACY, Metric
from attn_nas.space.task import Task
from attn_nas.training import metrics

OnVerified = Callable[[int, int], None]
"""Called with the number of verified networks and the number of all."""
_LOOK_SECONDS = 0.1
"""Time between two looks at how many networks are verified."""
BATCHES = (1, 2, 8)
_SCORE_ROUNDING = 0.005
"""Largest difference of a score, other than the share of right classes, that is put down to rounding."""
"""Batch sizes for which logits are compared."""
_ROUNDINGS, _MOST = 4.0, 1e-2
"""A file may differ this many times as much as one rounding of the pixels makes the network differ, and at most so much."""


@dataclass(frozen=True, eq=False)
class Written:
    """A written ``folder`` with files of ``formats``, and ``model``, the trained network of ``winner`` to compare them with."""

    winner: Winner
    model: nn.Module
    folder: Path
    formats: tuple[str, ...]

    @property
    def runnable(self) -> list[str]:
        """Formats whose file is a network."""
        return [name for name in self.formats if FORMATS[name].tolerance is not None]


@dataclass(frozen=True)
class Verified:
    """Result of the verification of one file.

    ``difference`` is the largest difference of its logits from those of the trained network, relative to the largest logit.
    ``cost`` are FLOPs and parameters; None if they cannot be counted. ``right`` of ``num_images`` validation images were
    classified correctly; None if the data set was not used, if the ``score`` of another metric was reproduced, or where an
    objective has given the ``metric``.
    """

    difference: float
    cost: tuple[int, int] | None
    right: int | None
    num_images: int
    metric: Metric = ACCURACY
    score: float | None = None
    by_objective: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return JSON-ready data."""
        flops, params = self.cost or (None, None)
        accuracy = self.score if self.right is None else self.right / self.num_images
        return {"difference": self.difference, "flops": flops, "params": params, "accuracy": accuracy}

    def __str__(self) -> str:
        logits = f"logits differ by {self.difference:.0e} of the largest" if self.difference else "logits equal to the bit"
        parts = [f"{logits} at batch sizes {', '.join(map(str, BATCHES))}"]
        if self.cost:
            parts.append("{:,} FLOPs and {:,} parameters".format(*self.cost))
        if self.score is not None:
            parts.append(f"{self.metric.name} {self.metric.text(self.score)} on {self.num_images:,} validation images")
        elif self.right is None:
            why = "it is computed by the objective" if self.by_objective else "the data set was not used"
            parts.append(f"the recorded {self.metric.name} was not reproduced, since {why}")
        else:
            parts.append(f"accuracy {self.right / self.num_images:.2%} on {self.num_images:,} validation images")
        return "; ".join(parts)


def sample_images(task: Task) -> dict[str, Tensor]:
    """Return random normalised images ``(B, C, H, W)`` for each batch size of `BATCHES`; the seed is fixed."""
    generator = torch.Generator().manual_seed(0)
    return {str(batch): torch.randn(batch, task.channels, task.height, task.width, generator=generator) for batch in BATCHES}


def verify(
    written: Sequence[Written], validation: Split | None, on_verified: OnVerified | None = None
) -> list[dict[str, Verified]]:
    """Run each folder in an isolated process and return its results by format.

    Logits must equal those of the trained network, to the bit, or within the format's tolerance or four times what one
    rounding of the pixels changes, at most 1 %. FLOPs and parameters must equal
    the recorded values. The accuracy on ``validation``, unless that is None, must equal the recorded accuracy; it may differ by
    one image, or by the number of images that are classified differently in fp32 and bf16. ``on_verified`` is called in
    another thread with the numbers of folders that were run and of all folders, first with none.

    Raises:
        ExportError: a file does not load, or differs; the message states the difference.

    """
    if not written:
        return []
    tasks = {each.winner.task for each in written}
    assert len(tasks) == 1
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        inputs = sample_images(tasks.pop())
        save_file(inputs, work / "inputs.safetensors")
        if validation is not None:
            tensors = {"images": validation.images.contiguous(), "labels": validation.labels}
            save_file(tensors, work / "validation.safetensors")
        num_images = len(validation) if validation else 0
        for each in written:
            trunk, task = each.winner.genotype.trunk, each.winner.task
            if isinstance(trunk, Host):
                source = host_source(trunk, task.num_classes, work)
            else:
                source = bare_source(trunk, task.num_classes, task.channels)
            (work / f"{each.winner.key}.py").write_text(source, encoding="utf-8")
        (work / "job.json").write_text(json.dumps([_described(each, num_images) for each in written]))
        command = [sys.executable, "-I", "-B", str(isolated.__file__), str(work)]
        with _counted(work / isolated.EXAMINED, len(written), on_verified):
            finished = subprocess.run(command, capture_output=True, text=True, check=False)
        if finished.returncode:
            reason = (finished.stderr.strip().splitlines() or [f"exit code {finished.returncode}"])[-1]
            raise ExportError(f"the exported models cannot be verified: {reason}")
        logits = load_file(work / "logits.safetensors")
        found = json.loads((work / "found.json").read_text())
    return [_judged(each, inputs, logits, found[each.winner.key], num_images) for each in written]


@contextmanager
def _counted(examined: Path, number: int, on_verified: OnVerified | None) -> Iterator[None]:
    """Call ``on_verified`` in the block as the file ``examined``, which has a byte for each folder, grows."""
    if on_verified is None:
        yield
        return
    over = Event()

    def watch(told: int = -1) -> None:
        while True:
            is_last = over.wait(_LOOK_SECONDS if told >= 0 else 0.0)
            done = examined.stat().st_size if examined.exists() else 0
            if done > told:
                told = done
                on_verified(told, number)
            if is_last:
                return

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _described(written: Written, num_images: int) -> dict[str, Any]:
    """Describe a folder for the isolated process, as an entry of ``job.json``."""
    winner, preprocessing = written.winner, written.winner.meaning.preprocessing
    return {
        "folder": str(written.folder),
        "formats": written.runnable,
        "handles": str(handles.__file__),
        "operators": str(torchvision_operators.__file__),
        "of_user": isinstance(winner.genotype.trunk, Host),
        "normalization": preprocessing.normalization if preprocessing else None,
        "numerics": winner.recorded.numerics.to_dict(),
        "batch": winner.recorded.batch,
        "correct": round(winner.recorded.accuracy * num_images),
        "score": _score(winner),
    }


def _score(winner: Winner) -> dict[str, Any] | None:
    """How to compute the recorded score; None for the share of right classes."""
    task, name = winner.task, winner.recorded.metric
    if (task.kind, name) == ("classification", "accuracy"):
        return None
    meter = [name, task.num_classes, task.ignored]
    return {"module": str(metrics.__file__), "meter": meter, "recorded": winner.recorded.accuracy, "allowed": _SCORE_ROUNDING}


def _logits(model: nn.Module, inputs: dict[str, Tensor]) -> dict[str, Tensor]:
    """Compute the logits of the trained network as the isolated process does, with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad():
            return {batch: isolated.joined(model(images)) for batch, images in inputs.items()}
    finally:
        torch.set_num_threads(threads)


def _rounding(model: nn.Module, inputs: dict[str, Tensor], wanted: dict[str, Tensor]) -> float:
    """Return how far the logits change if every pixel changes by one rounding of float32.

    Networks of many layers amplify such differences: no file can be expected to be nearer to the network than that.
    """
    found = _logits(model, {batch: images * (1 + torch.finfo(images.dtype).eps) for batch, images in inputs.items()})
    return max(_difference(found[batch], wanted[batch]) for batch in wanted)


def _judged(
    written: Written, inputs: dict[str, Tensor], logits: dict[str, Tensor], found: dict[str, Any], num_images: int
) -> dict[str, Verified]:
    """Compare the results of one folder with the trained network.

    Raises:
        ExportError: a file does not run, or differs from the trained network.

    """
    key = written.winner.key
    for name, each in found.items():
        if "error" in each:
            raise ExportError(f"{key}: {FORMATS[name].file} does not run by itself: {each['error']}")
    meaning = written.winner.meaning
    judged, wanted, metric = {}, _logits(written.model, inputs), meaning.metric.metric
    by_objective = meaning.preprocessing is None
    for name in written.runnable:
        file, allowed = FORMATS[name].file, FORMATS[name].tolerance or 0.0
        difference = max(_difference(logits[f"{key}/{name}/{batch}"], wanted[batch]) for batch in wanted)
        if allowed and not difference <= allowed:
            allowed = max(allowed, min(_ROUNDINGS * _rounding(written.model, inputs, wanted), _MOST))
        if not difference <= allowed:
            raise ExportError(
                f"{key}: the logits of {file} differ from the trained network's by up to {difference:.1e} of the largest; "
                f"allowed are {allowed:.0e}"
            )
        right, score = found[name].get("correct"), found[name].get("score")
        cost = _cost(written, name, found[name])
        judged[name] = Verified(difference, cost, right, num_images, metric, score, by_objective)
        _check_accuracy(written, name, found[name], num_images)
    return judged


def _difference(found: Tensor, wanted: Tensor) -> float:
    """Return the largest difference relative to the largest wanted logit; infinite for different shapes."""
    if found.shape != wanted.shape:
        return float("inf")
    return 0.0 if torch.equal(found, wanted) else ((found - wanted).abs().max() / wanted.abs().max()).item()


def _cost(written: Written, name: str, found: dict[str, int]) -> tuple[int, int] | None:
    if "flops" not in found:
        return None
    cost, recorded = (found["flops"], found["params"]), written.winner.cost
    if cost != (recorded.flops, recorded.params):
        raise ExportError(
            f"{written.winner.key}: {FORMATS[name].file} has {cost[0]:,} FLOPs and {cost[1]:,} parameters; recorded are "
            f"{recorded.flops:,} and {recorded.params:,}"
        )
    return cost


def _check_accuracy(written: Written, name: str, found: dict[str, Any], num_images: int) -> None:
    if "score" in found:
        known, explained = written.winner.recorded, max(_SCORE_ROUNDING, found.get("undecided", 0.0))
        if abs(found["score"] - known.accuracy) > explained:
            raise ExportError(
                f"{written.winner.key}: {FORMATS[name].file} has the {known.metric} {found['score']:.4f} on {num_images:,} "
                f"validation images; recorded is {known.accuracy:.4f}. Precision explains a difference of {explained:.4f}"
            )
    if "correct" not in found:
        return
    recorded = round(written.winner.recorded.accuracy * num_images)
    off, allowed = abs(found["correct"] - recorded), max(1, found.get("undecided", 0))
    if off > allowed:
        raise ExportError(
            f"{written.winner.key}: {FORMATS[name].file} classifies {found['correct']:,} of {num_images:,} validation images "
            f"correctly; recorded are {recorded:,}. Of the difference of {off:,} images, precision explains {allowed:,}"
        )
