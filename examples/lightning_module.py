"""Your LightningModule as the training of a search.

    python examples/lightning_module.py

searches attention placements for a small residual network on handwritten digits. The training loop is that of Lightning;
`LightningObjective` reports the metric that the module logs. Needs ``pip install lightning``. The environment variable
``EXAMPLE_TOY`` makes everything small.
"""

from __future__ import annotations

import importlib.util
import os
from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import attn_nas as an
from attn_nas.data import load_dataset
from attn_nas.integrations.lightning import LightningObjective
from attn_nas.space.schema import DataSettings

an.declare_torchvision_operators()  # before Lightning, which imports torchvision
HAS_LIGHTNING = importlib.util.find_spec("lightning") is not None
TOY = "EXAMPLE_TOY" in os.environ

if HAS_LIGHTNING:
    import lightning

    class Classifier(lightning.LightningModule):
        """A LightningModule as you have it: it is given the network, and logs what is to be improved."""

        def __init__(self, model: nn.Module) -> None:
            super().__init__()
            self.model = model

        def training_step(self, batch: tuple[Tensor, Tensor], index: int) -> Tensor:
            """The loss of a batch."""
            images, labels = batch
            return F.cross_entropy(self.model(images), labels)

        def validation_step(self, batch: tuple[Tensor, Tensor], index: int) -> None:
            """Log the share of right answers."""
            images, labels = batch
            self.log("val_accuracy", (self.model(images).argmax(1) == labels).float().mean(), on_epoch=True)

        def configure_optimizers(self) -> torch.optim.Optimizer:
            """AdamW."""
            return torch.optim.AdamW(self.parameters(), lr=0.003)


@cache
def digits() -> tuple[TensorDataset, TensorDataset]:
    """Digits for training and for validation."""
    size = 64 if TOY else 400
    found = load_dataset(DataSettings(name="digits", num_train=2 * size, num_validation=size))
    return tuple(TensorDataset(split.images.float() / 255, split.labels) for split in (found.train, found.validation))


def loaders(trial: an.Trial) -> tuple[DataLoader, DataLoader]:
    """Loaders of the data; the order of the images follows from the seed of the trial."""
    train, validation = digits()
    order = torch.Generator().manual_seed(trial.seed)
    return DataLoader(train, 32, shuffle=True, generator=order, drop_last=True), DataLoader(validation, 100)


if HAS_LIGHTNING:
    objective = LightningObjective(Classifier, loaders, monitor="val_accuracy")


def main() -> None:
    """Search, and print the front."""
    if not HAS_LIGHTNING:
        print("This example needs Lightning: pip install lightning")
        return
    space = an.SearchSpace(trunk=an.Trunk("cifar_resnet", 8, 8), mechanisms=["se", "eca"], example=(1, 8, 8), classes=10)
    search = an.Search(space, objective=objective, metric="accuracy", training={"epochs": 1 if TOY else 8})
    run = search.optimize(n_trials=4 if TOY else 30, confirm=0 if TOY else 1)
    for candidate in run.front:
        print(candidate)


if __name__ == "__main__":
    main()
