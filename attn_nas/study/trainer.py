"""The trainer of real searches: proxy training on data shared through memory-mapped files."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

from attn_nas.cost import count_cost
from attn_nas.data.dataset import Augmentation, Dataset, Split
from attn_nas.errors import DataError
from attn_nas.proxy import Checkpoint, Numerics, OnEpoch, measure_throughput, profile_step, train_proxy, warm_trunk
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import ProxySettings
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk
from attn_nas.study.jobs import DryRun, Throughput, Trained

_PARTS = ("train_images", "train_labels", "validation_images", "validation_labels")


def share_dataset(dataset: Dataset, folder: Path) -> None:
    """Write the training and validation split to ``folder``, from where any number of processes map the same memory."""
    folder.mkdir(parents=True, exist_ok=True)
    tensors = (dataset.train.images, dataset.train.labels, dataset.validation.images, dataset.validation.labels)
    for name, tensor in zip(_PARTS, tensors, strict=True):
        np.save(folder / f"{name}.npy", tensor.numpy())
    described = {"name": dataset.name, "task": vars(dataset.task), "augmentation": vars(dataset.augmentation)}
    (folder / "dataset.json").write_text(json.dumps(described))


def shared_dataset(folder: Path) -> Dataset:
    """The data set that `share_dataset` wrote, mapped copy-on-write; it has no test split."""
    described = json.loads((folder / "dataset.json").read_text())
    parts = [torch.from_numpy(np.load(folder / f"{name}.npy", mmap_mode="c")) for name in _PARTS]

    def no_test() -> Split:
        raise DataError("a search does not read the test split")

    return Dataset(
        described["name"],
        Task(**described["task"]),
        Split(parts[0], parts[1]),
        Split(parts[2], parts[3]),
        Augmentation(**described["augmentation"]),
        no_test,
    )


@dataclass(frozen=True)
class ProxyTrainer:
    """Trains a candidate, counts its network in full, and keeps its weights as ``KEY.safetensors`` if it has a folder for them.

    ``gpu`` is the number of the CUDA device; ``profiled`` candidates are timed beside the bare trunk when they are trained.
    """

    settings: ProxySettings
    numerics: Numerics
    threads: int
    data_folder: Path
    weights_folder: Path | None = None
    gpu: int = 0
    profiled: bool = False

    @cached_property
    def dataset(self) -> Dataset:
        """The shared data set."""
        return shared_dataset(self.data_folder)

    def __call__(self, genotype: Genotype, seed: int, on_epoch: OnEpoch) -> Trained:
        """See `attn_nas.study.jobs.Trainer`."""
        self.take_device()
        start = self._warm_trunk(genotype.trunk, seed) if self.settings.warm_epochs else None
        result, model = train_proxy(genotype, self.settings, seed, self.dataset, self.numerics, on_epoch, start)
        cost = count_cost(model, self.dataset.task)
        if self.weights_folder:
            self._keep(model, self.weights_folder / f"{genotype.key}.safetensors")
        beside = profile_step(genotype, self.dataset.task, self.settings.batch_size, self.numerics) if self.profiled else None
        return Trained(result, cost, beside)

    def dry_run(self, run: DryRun) -> Throughput:
        """See `attn_nas.study.jobs.MeasuredTrainer`."""
        self.take_device()
        measured = measure_throughput(run.genotype, self.settings, self.dataset, self.numerics, run.seconds)
        return Throughput(run.number, *measured)

    def take_device(self) -> None:
        """Use this trainer's threads and GPU from now on."""
        torch.set_num_threads(self.threads)
        if self.numerics.device == "cuda":
            torch.cuda.set_device(self.gpu)

    def _warm_trunk(self, trunk: Trunk, seed: int) -> Checkpoint:
        """The bare trunk trained with ``seed``: by the first process that asks, while the others wait."""
        identity = f"{trunk} {self.settings.model_dump_json()} {self.numerics}"
        name = hashlib.sha256(identity.encode()).hexdigest()[:12]
        path = self.data_folder / f"trunk-{name}-{seed}.safetensors"
        with path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not path.exists():
                unfinished = path.with_suffix(".unfinished")
                warm_trunk(trunk, self.settings, seed, self.dataset, self.numerics).save(unfinished)
                unfinished.replace(path)
        return Checkpoint.load(path)

    @staticmethod
    def _keep(model: nn.Module, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".unfinished-{os.getpid()}")
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, unfinished)
        unfinished.replace(path)
