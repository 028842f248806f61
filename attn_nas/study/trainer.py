"""The trainer of real searches: proxy training on data shared through memory-mapped files."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from attn_nas.cost import Cost, count_cost
from attn_nas.data.dataset import Augmentation, Dataset, Split
from attn_nas.errors import DataError
from attn_nas.proxy import Numerics, OnEpoch, ProxyResult, train_proxy
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import ProxySettings
from attn_nas.space.task import Task

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
    """Trains a candidate, counts its network in full, and keeps its weights as ``weights/KEY.safetensors``."""

    settings: ProxySettings
    numerics: Numerics
    threads: int
    data_folder: Path
    weights_folder: Path

    @cached_property
    def _dataset(self) -> Dataset:
        return shared_dataset(self.data_folder)

    def __call__(self, genotype: Genotype, seed: int, on_epoch: OnEpoch) -> tuple[ProxyResult, Cost]:
        """See `attn_nas.study.jobs.Trainer`."""
        torch.set_num_threads(self.threads)
        result, model = train_proxy(genotype, self.settings, seed, self._dataset, self.numerics, on_epoch)
        cost = count_cost(model, self._dataset.task)
        self.weights_folder.mkdir(parents=True, exist_ok=True)
        path = self.weights_folder / f"{genotype.key}.safetensors"
        unfinished = path.with_suffix(f".unfinished-{os.getpid()}")
        save_file({name: tensor.contiguous() for name, tensor in model.state_dict().items()}, unfinished)
        unfinished.replace(path)
        return result, cost
