"""The trainer of searches: proxy training on data that all processes share through memory-mapped files."""

from __future__ import annotations

import fcntl
import hashlib
import logging
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import torch
from torch import nn

from attn_nas.cost import count_network
from attn_nas.data.arrays import DESCRIPTION, shared_dataset
from attn_nas.data.dataset import Dataset
from attn_nas.errors import DeviceLostError, first_line
from attn_nas.files import raising_write_error, whole
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import ProxySettings
from attn_nas.space.trunks import AnyTrunk
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
from attn_nas.training.pretrained import trunk_weights
from attn_nas.training.protocol import DryRun, Replicate, Throughput, Trained, Trainer
from attn_nas.training.scores import metric_of
from attn_nas.training.step import TrainingStep
from attn_nas.training.step_profile import most_memory
from attn_nas.training.weights import keep_weights

logger = logging.getLogger(__name__)
_SPLITS, _TEST = ("train", "validation"), "test"
_PRETRAINED = "pretrained.safetensors"


@dataclass(frozen=True)
class ProxyTrainer(Trainer):
    """Trains a candidate by ``settings`` on ``threads`` threads, counts its network in full, and writes its weights.

    ``data_folder`` holds what `attn_nas.data.arrays.share_dataset` wrote. ``trunks_folder`` holds the warm trunks, which stay
    there so that a resumed search starts from the same. ``weights_folder`` takes the weights as ``KEY.safetensors``, of the
    first training of a candidate or of that with ``kept_seed``; the seed is in the file's metadata. ``pauses_folder`` holds
    trainings while they are paused. If one of the last two folders is None, nothing is written there.

    ``pretrained`` is a safetensors file of trunk weights to start from, by default that of ``settings``; tensors that do not
    fit stay fresh. ``gpu`` is the number of the CUDA device. If ``profiled``, trained candidates are timed against the bare
    trunk. If ``tested``, they are scored on the test split, which has to be in ``data_folder``.
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

    memory_advice = "Lower proxy.batch_size or the image size"

    @cached_property
    def dataset(self) -> Dataset:
        """The shared data set, mapped once per process."""
        return shared_dataset(self.data_folder)

    @property
    def _beginning(self) -> Path | None:
        """The file of trunk weights to start from, by the call or by the recipe."""
        return self.pretrained or (Path(self.settings.weights) if self.settings.weights else None)

    @property
    def worn_out(self) -> bool:
        """True after a failed CUDA graph capture, which leaves the process unfit for others."""
        return TrainingStep.capture_failed

    def __call__(self, genotype: Genotype, seed: int, on_epoch: OnEpoch) -> Trained:
        """See `attn_nas.training.protocol.Trainer`."""
        return self.train_until(self.settings.epochs, genotype, seed, on_epoch)

    def train_until(self, epoch: int, genotype: Genotype, seed: int, on_epoch: OnEpoch) -> Trained:
        """See `attn_nas.training.protocol.Trainer`."""
        pause = self.pause_of(genotype, seed)
        paused = pause.load() if pause else None
        if paused and paused.state.epoch >= epoch:
            return paused.trained
        with self._own_device():
            try:
                start = paused.state if paused else self._start(genotype, seed)
                result, model, state = train_until(
                    epoch,
                    genotype,
                    self.settings,
                    seed,
                    self.dataset,
                    self.numerics,
                    on_epoch,
                    start,
                    paused.trained.result if paused else None,
                )
                test = self._test(model, result.micro_batch) if self.tested and state is None else None
            except RuntimeError as error:
                self._check_device(error)
                raise
            cost = count_network(model, genotype.trunk, self.dataset.task)
            path = self.weights_path(genotype, seed)
            if path and state is None:
                keep_weights(model, seed, path)
            profile = paused.trained.profile if paused else None
            if self.profiled and profile is None:
                profile = self._profile(genotype, result.micro_batch)
            trained = Trained(result, cost, profile, test)
            if pause and state:
                with raising_write_error(pause.folder):
                    pause.keep(trained, state)
            return trained

    def _start(self, genotype: Genotype, seed: int) -> Checkpoint | None:
        if self._beginning:
            return Checkpoint.before_training(trunk_weights(self._beginning, genotype.trunk), seed)
        return self.warm_trunk(genotype.trunk, seed) if self.settings.warm_epochs else None

    def _test(self, model: nn.Module, micro_batch: int) -> Scores:
        scores = evaluate_test(model, self.dataset, self.numerics, micro_batch, metric_of(self.settings, self.dataset.task))
        model.cpu()
        return scores

    def dry_run(self, run: DryRun) -> Throughput:
        """See `attn_nas.training.protocol.Trainer`."""
        with self._own_device():
            rate = measure_throughput(run.genotype, self.settings, self.dataset, self.numerics, run.seconds, run.until)
            free, total = torch.cuda.mem_get_info() if self.numerics.device == "cuda" else (0, 0)
            return Throughput(run.number, rate, (total - free) / 2**20, total / 2**20)

    def largest(self, candidates: Collection[Genotype]) -> Genotype:
        """Return the candidate whose training step holds the most memory."""
        return most_memory(candidates, self.dataset.task, self.settings.batch_size)

    def on_gpu(self, number: int) -> ProxyTrainer:
        """See `attn_nas.training.protocol.Trainer`."""
        return replace(self, gpu=number)

    def relocated(self, shared: Path, own: Path) -> ProxyTrainer:
        """See `attn_nas.training.protocol.Trainer`; there it writes all weights, of which the original wants some back."""
        return replace(
            self,
            data_folder=shared,
            trunks_folder=shared / "trunks",
            weights_folder=own / "weights",
            pauses_folder=own / "pauses",
            kept_seed=None,
            pretrained=shared / _PRETRAINED if self._beginning else None,
        )

    def ships(self) -> dict[str, Path]:
        """The shared data set, and the weights to begin from."""
        splits = (*_SPLITS, _TEST) if self.tested else _SPLITS
        names = (DESCRIPTION, *(f"{split}_{part}.npy" for split in splits for part in ("images", "labels")))
        files = {name: self.data_folder / name for name in names}
        return {**files, _PRETRAINED: self._beginning} if self._beginning else files

    def prepared(self, genotype: Genotype, seed: int) -> dict[str, Path]:
        """The warm trunk, or the reason why there is none; nothing for a training that starts without."""
        if self._beginning or not self.settings.warm_epochs:
            return {}
        path = self.trunk_path(genotype.trunk, seed)
        return {each.name: each for each in (path, path.with_suffix(".failed"))}

    def prepare(self, genotype: Genotype, seed: int) -> None:
        """Train the warm trunk; if that fails, its reason is kept in a file."""
        with suppress(ProxyFailure):
            self.warm_trunk(genotype.trunk, seed)

    def pause_files(self, genotype: Genotype, seed: int) -> dict[str, Path]:
        """See `attn_nas.training.protocol.Trainer`."""
        pause = self.pause_of(genotype, seed)
        return pause.files(self.settings.epochs) if pause else {}

    def returns(self, genotype: Genotype, seed: int) -> dict[str, Path]:
        """The weights, where those of this seed are kept."""
        path = self.weights_path(genotype, seed)
        return {path.name: path} if path else {}

    @contextmanager
    def _own_device(self) -> Iterator[None]:
        """Use the threads and the GPU of this trainer in the block, and those of the caller afterwards."""
        threads = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        try:
            with torch.cuda.device(self.gpu if self.numerics.device == "cuda" else -1):
                yield
        finally:
            torch.set_num_threads(threads)

    def _check_device(self, error: RuntimeError) -> None:
        """Raise DeviceLostError if the GPU no longer works in this process, as after a failed device-side assertion."""
        if self.numerics.device == "cuda":
            try:
                torch.cuda.synchronize()
            except RuntimeError:
                raise DeviceLostError(f"the GPU failed: {first_line(error)}") from error

    def _profile(self, genotype: Genotype, micro_batch: int) -> StepProfile | None:
        """Return the step profile, or None with a warning if the trained candidate cannot be timed."""
        try:
            return profile_step(genotype, self.settings, self.dataset, self.numerics, micro_batch)
        except RuntimeError as error:
            logger.warning("%s was trained, but could not be timed: %s", genotype.key, first_line(error))
            return None

    def weights_path(self, genotype: Genotype, seed: int) -> Path | None:
        """Return the file for the weights of a training; None if they are not kept, or those of another seed are."""
        if self.weights_folder is None:
            return None
        path = self.weights_folder / f"{genotype.key}.safetensors"
        return path if seed == self.kept_seed or (self.kept_seed is None and not path.exists()) else None

    def pause_of(self, genotype: Genotype, seed: int) -> Pause | None:
        """Return the files of a training while it is paused; None without a folder for them."""
        return Pause(self.pauses_folder, Replicate(genotype, seed)) if self.pauses_folder else None

    def trunk_path(self, trunk: AnyTrunk, seed: int) -> Path:
        """Return the file of the warm trunk; if it cannot be trained, the same name with ``.failed`` holds the reason."""
        identity = f"{trunk} {self.settings.identity} {self.numerics}"
        return self.trunks_folder / f"{hashlib.sha256(identity.encode()).hexdigest()[:12]}-{seed}.safetensors"

    def warm_trunk(self, trunk: AnyTrunk, seed: int) -> Checkpoint:
        """Return the bare trunk trained with ``seed``; the first process that calls this trains it while the others wait.

        Raises:
            ProxyFailure: it cannot be trained; this is tried once, and the reason is kept in a file.
            WriteError: its file cannot be written.

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
