"""The trainer of real searches: proxy training on data shared through memory-mapped files."""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from attn_nas.cost import count_cost
from attn_nas.data.dataset import Augmentation, Dataset, Split
from attn_nas.errors import DataError, DeviceLostError, first_line
from attn_nas.files import raising_write_error, whole
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import ProxySettings
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk
from attn_nas.training import (
    Checkpoint,
    Numerics,
    OnEpoch,
    ProxyFailure,
    Scores,
    StepProfile,
    evaluate_test,
    measure_throughput,
    profile_step,
    train_until,
    warm_trunk,
)
from attn_nas.training.pauses import Pause
from attn_nas.training.protocol import DryRun, Replicate, Throughput, Trained
from attn_nas.training.step import TrainingStep

logger = logging.getLogger(__name__)


def share_dataset(dataset: Dataset, folder: Path, *, test: bool = False) -> None:
    """Write the splits to ``folder``, from where any number of processes map the same memory; ``test`` only where asked."""
    splits = {"train": dataset.train, "validation": dataset.validation}
    if test:
        splits["test"] = dataset.load_test()
    described = {"name": dataset.name, "task": vars(dataset.task), "augmentation": vars(dataset.augmentation)}
    with raising_write_error(folder):
        folder.mkdir(parents=True, exist_ok=True)
        for name, split in splits.items():
            np.save(folder / f"{name}_images.npy", split.images.numpy())
            np.save(folder / f"{name}_labels.npy", split.labels.numpy())
        (folder / "dataset.json").write_text(json.dumps(described))


def shared_dataset(folder: Path) -> Dataset:
    """The data set that `share_dataset` wrote, mapped copy-on-write."""
    described = json.loads((folder / "dataset.json").read_text())

    def split(name: str) -> Split:
        parts = (torch.from_numpy(np.load(folder / f"{name}_{part}.npy", mmap_mode="c")) for part in ("images", "labels"))
        return Split(*parts)

    def test() -> Split:
        if not (folder / "test_images.npy").exists():
            raise DataError("a search does not read the test split")
        return split("test")

    return Dataset(
        described["name"],
        Task(**described["task"]),
        split("train"),
        split("validation"),
        Augmentation(**described["augmentation"]),
        test,
    )


@dataclass(frozen=True)
class ProxyTrainer:
    """Trains a candidate, counts its network in full, and keeps its weights as ``KEY.safetensors`` if it has a folder for them.

    Of several trainings the weights of the first are kept, or those of ``kept_seed``; their seed is in the file's metadata.
    What is paused is kept in ``pauses_folder`` until it is over.

    ``gpu`` is the number of the CUDA device. ``profiled`` candidates are timed beside the bare trunk when they are trained,
    ``tested`` ones are scored on the test split, which then has to be shared as well.
    ``pretrained`` is a safetensors file of trunk weights to begin from; what does not fit it stays fresh.
    ``trunks_folder`` holds the warm trunks, which outlive a search, so that a resumed one starts from the same.
    """

    settings: ProxySettings
    numerics: Numerics
    threads: int
    data_folder: Path
    trunks_folder: Path
    weights_folder: Path | None = None
    pauses_folder: Path | None = None
    kept_seed: int | None = None
    pretrained: Path | None = None
    gpu: int = 0
    profiled: bool = False
    tested: bool = False

    @cached_property
    def dataset(self) -> Dataset:
        """The shared data set."""
        return shared_dataset(self.data_folder)

    @property
    def worn_out(self) -> bool:
        """Whether this process should be replaced by a fresh one."""
        return TrainingStep.capture_failed

    def __call__(self, genotype: Genotype, seed: int, on_epoch: OnEpoch) -> Trained:
        """See `attn_nas.training.protocol.Trainer`."""
        return self.train_until(self.settings.epochs, genotype, seed, on_epoch)

    def train_until(self, epoch: int, genotype: Genotype, seed: int, on_epoch: OnEpoch) -> Trained:
        """See `attn_nas.training.protocol.PausingTrainer`."""
        pause = self.pause_of(genotype, seed)
        earlier = pause.load() if pause else None
        if earlier and earlier.state.epoch >= epoch:
            return earlier.trained
        with self._own_device():
            try:
                start = earlier.state if earlier else self._start(genotype, seed)
                result, model, state = train_until(
                    epoch,
                    genotype,
                    self.settings,
                    seed,
                    self.dataset,
                    self.numerics,
                    on_epoch,
                    start,
                    earlier.trained.result if earlier else None,
                )
                test = self._test(model, result.micro_batch) if self.tested and state is None else None
            except RuntimeError as error:
                self._check_device(error)
                raise
            cost = count_cost(model, self.dataset.task)
            path = self.weights_path(genotype, seed)
            if path and state is None:
                self._keep(model, seed, path)
            profile = earlier.trained.profile if earlier else None
            if self.profiled and profile is None:
                profile = self._profile(genotype, result.micro_batch)
            trained = Trained(result, cost, profile, test)
            if pause and state:
                with raising_write_error(pause.folder):
                    pause.keep(trained, state)
            return trained

    def _start(self, genotype: Genotype, seed: int) -> Checkpoint | None:
        if self.pretrained:
            return Checkpoint.before_training(load_file(self.pretrained), seed)
        return self.warm_trunk(genotype.trunk, seed) if self.settings.warm_epochs else None

    def _test(self, model: nn.Module, micro_batch: int) -> Scores:
        scores = evaluate_test(model, self.dataset, self.numerics, micro_batch)
        model.cpu()
        return scores

    def dry_run(self, run: DryRun) -> Throughput:
        """See `attn_nas.training.protocol.MeasuredTrainer`."""
        with self._own_device():
            rate = measure_throughput(run.genotype, self.settings, self.dataset, self.numerics, run.seconds, run.until)
            free, total = torch.cuda.mem_get_info() if self.numerics.device == "cuda" else (0, 0)
            return Throughput(run.number, rate, (total - free) / 2**20, total / 2**20)

    @contextmanager
    def _own_device(self) -> Iterator[None]:
        """Use this trainer's threads and GPU for the block, and the caller's afterwards."""
        threads = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with torch.cuda.device(self.gpu if self.numerics.device == "cuda" else -1):
                yield
        finally:
            torch.set_num_threads(threads)

    def _check_device(self, error: RuntimeError) -> None:
        """Raise DeviceLostError if the GPU does nothing any more in this process, as after a failed assertion."""
        if self.numerics.device == "cuda":
            try:
                torch.cuda.synchronize()
            except RuntimeError:
                raise DeviceLostError(f"the GPU failed: {first_line(error)}") from error

    def _profile(self, genotype: Genotype, micro_batch: int) -> StepProfile | None:
        """The step profile; a candidate that was trained is not lost because it could not be timed."""
        try:
            return profile_step(genotype, self.settings, self.dataset, self.numerics, micro_batch)
        except RuntimeError as error:
            logger.warning("%s was trained, but could not be timed: %s", genotype.key, first_line(error))
            return None

    def weights_path(self, genotype: Genotype, seed: int) -> Path | None:
        """Where to keep the weights of a training; None if those of another seed are kept, or none at all."""
        if self.weights_folder is None:
            return None
        path = self.weights_folder / f"{genotype.key}.safetensors"
        return path if seed == self.kept_seed or (self.kept_seed is None and not path.exists()) else None

    def pause_of(self, genotype: Genotype, seed: int) -> Pause | None:
        """What is kept of a training while it is paused; None without a folder for it."""
        return Pause(self.pauses_folder, Replicate(genotype, seed)) if self.pauses_folder else None

    def trunk_path(self, trunk: Trunk, seed: int) -> Path:
        """The file of the warm trunk; beside it, as ``.failed``, the reason why there is none."""
        identity = f"{trunk} {self.settings.model_dump_json()} {self.numerics}"
        return self.trunks_folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:12]}-{seed}.safetensors"

    def warm_trunk(self, trunk: Trunk, seed: int) -> Checkpoint:
        """The bare trunk trained with ``seed``: by the first process that asks, while the others wait.

        Raises:
            ProxyFailure: it cannot be trained; that is found out once and remembered.

        """
        path = self.trunk_path(trunk, seed)
        failure = path.with_suffix(".failed")
        with raising_write_error(path):
            self.trunks_folder.mkdir(parents=True, exist_ok=True)
            lock = path.with_suffix(".lock").open("w")
        with lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if failure.exists():
                raise ProxyFailure(failure.read_text())
            kept = Checkpoint.kept_in(path)
            if kept is None:
                try:
                    with self._own_device(), raising_write_error(path), whole(path, ".unfinished") as unfinished:
                        warm_trunk(trunk, self.settings, seed, self.dataset, self.numerics).save(unfinished)
                except ProxyFailure as error:
                    failure.write_text(f"the bare trunk of all candidates failed: {error}")
                    raise ProxyFailure(failure.read_text()) from None
        return kept or Checkpoint.load(path)

    @staticmethod
    def _keep(model: nn.Module, seed: int, path: Path) -> None:
        tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items()}
        with raising_write_error(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            with whole(path, f".unfinished-{os.getpid()}") as unfinished:
                save_file(tensors, unfinished, metadata={"seed": str(seed)})
