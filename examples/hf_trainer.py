"""The Trainer of Hugging Face's transformers as the training of a search.

    python examples/hf_trainer.py

searches attention placements for a small residual network on handwritten digits. `TransformersObjective` makes a Trainer for
each candidate and reports the metric of its evaluations. Needs ``pip install transformers accelerate``. The environment
variable ``EXAMPLE_TOY`` makes everything small.
"""

from __future__ import annotations

import importlib.util
import os
from functools import cache
from typing import Any

import torch.nn.functional as F
from torch import nn
from torch.utils.data import Dataset

import attn_nas as an
from attn_nas.data import load_dataset
from attn_nas.integrations.transformers import TransformersObjective
from attn_nas.space.schema import DataSettings

an.declare_torchvision_operators()  # before transformers, which imports torchvision
HAS_TRAINER = all(importlib.util.find_spec(name) for name in ("transformers", "accelerate"))
TOY = "EXAMPLE_TOY" in os.environ


class Digits(Dataset[dict[str, Any]]):
    """Digits as the Trainer takes them: mappings of tensors."""

    def __init__(self, split: Any) -> None:
        self._images, self._labels = split.images.float() / 255, split.labels

    def __len__(self) -> int:
        return len(self._labels)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"pixel_values": self._images[index], "labels": self._labels[index]}


@cache
def digits() -> tuple[Digits, Digits]:
    """Digits for training and for validation."""
    size = 64 if TOY else 400
    found = load_dataset(DataSettings(name="digits", num_train=2 * size, num_validation=size))
    return Digits(found.train), Digits(found.validation)


if HAS_TRAINER:
    from transformers import Trainer

    class Classification(Trainer):
        """A Trainer for a network that maps images to logits, as those of timm and torchvision do."""

        def compute_loss(self, model: nn.Module, inputs: Any, return_outputs: bool = False, **kwargs: Any) -> Any:
            """The cross-entropy of a batch."""
            logits = model(inputs["pixel_values"])
            loss = F.cross_entropy(logits, inputs["labels"])
            return (loss, {"logits": logits}) if return_outputs else loss


def accuracy(evaluation: Any) -> dict[str, float]:
    """The share of right answers."""
    return {"accuracy": float((evaluation.predictions.argmax(-1) == evaluation.label_ids).mean())}


def make_trainer(model: nn.Module, arguments: Any) -> Any:
    """The Trainer of a candidate."""
    train, validation = digits()
    return Classification(model, arguments, train_dataset=train, eval_dataset=validation, compute_metrics=accuracy)


objective = TransformersObjective(
    make_trainer, monitor="eval_accuracy", per_device_train_batch_size=32, learning_rate=0.003, remove_unused_columns=False
)


def main() -> None:
    """Search, and print the front."""
    if not HAS_TRAINER:
        print("This example needs the Trainer of Hugging Face: pip install transformers accelerate")
        return
    space = an.SearchSpace(trunk=an.Trunk("cifar_resnet", 8, 8), mechanisms=["se", "eca"], example=(1, 8, 8), classes=10)
    search = an.Search(space, objective=objective, metric="accuracy", training={"epochs": 1 if TOY else 8})
    run = search.optimize(n_trials=4 if TOY else 30, confirm=0 if TOY else 1)
    for candidate in run.front:
        print(candidate)


if __name__ == "__main__":
    main()
