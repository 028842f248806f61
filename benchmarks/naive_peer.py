"""The peer of ``proxy_speed.py``: a search written as the documentation of its libraries teaches.

One process that trains, with as many loader processes as asked for: the loop, the loaders and the transforms of PyTorch's
CIFAR-10 tutorial, its stochastic gradient descent under a one-cycle schedule, Optuna's ask and tell on SQLite, fvcore's count
of every network. The arithmetic is fp32, eager. The schedule rises and falls as ours does; norms and biases decay with the
other weights, as a plain call of the optimiser has it.
"""

from __future__ import annotations

import logging
import warnings
from pathlib import Path

import optuna
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Subset

from attn_nas.data.torchvision_import import torchvision_datasets
from attn_nas.models.build import build_model
from attn_nas.space.genotype import Genotype
from attn_nas.space.schema import ProxySettings

Batches = DataLoader[tuple[Tensor, Tensor]]


class NaivePeer:
    """Trains named candidates one after the other on two parts of the training images of CIFAR-10 under ``root``."""

    def __init__(
        self,
        root: Path,
        train: Tensor,
        validation: Tensor,
        candidates: dict[str, Genotype],
        settings: ProxySettings,
        loaders: int,
    ) -> None:
        cifar10 = torchvision_datasets().CIFAR10
        from torchvision import transforms

        to_input = [transforms.ToTensor(), transforms.Normalize((0.5, 0.5, 0.5), (0.5, 0.5, 0.5))]
        augmented = transforms.Compose([transforms.RandomCrop(32, padding=4), transforms.RandomHorizontalFlip(), *to_input])
        trainset = Subset(cifar10(root, train=True, transform=augmented), train.tolist())
        testset = Subset(cifar10(root, train=True, transform=transforms.Compose(to_input)), validation.tolist())
        self.trainloader: Batches = DataLoader(trainset, batch_size=settings.batch_size, shuffle=True, num_workers=loaders)
        self.testloader: Batches = DataLoader(testset, batch_size=settings.batch_size, shuffle=False, num_workers=loaders)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.candidates = candidates
        self.settings = settings
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self.study = optuna.create_study(
            storage=f"sqlite:///{root / f'naive-{loaders}.db'}", directions=["maximize", "minimize"]
        )

    def run_trial(self, name: str, seed: int) -> float:
        """Ask Optuna for the candidate ``name``, train it, tell; returns its accuracy after the last epoch."""
        self.study.enqueue_trial({"candidate": name})
        trial = self.study.ask()
        chosen = trial.suggest_categorical("candidate", list(self.candidates))
        torch.manual_seed(seed)
        model = build_model(self.candidates[chosen], 10, 3, seed).to(self.device)
        flops = self._count(model)
        accuracy = self._train(model)
        self.study.tell(trial, [accuracy, flops])
        return accuracy

    def _count(self, model: nn.Module) -> float:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            logging.getLogger("fvcore").setLevel(logging.ERROR)
            from fvcore.nn import FlopCountAnalysis

            return float(FlopCountAnalysis(model.eval(), torch.randn(1, 3, 32, 32, device=self.device)).total())

    def _train(self, model: nn.Module) -> float:
        settings = self.settings
        criterion = nn.CrossEntropyLoss(label_smoothing=settings.label_smoothing)
        optimizer = torch.optim.SGD(
            model.parameters(),
            lr=settings.lr,
            momentum=settings.momentum,
            nesterov=True,
            weight_decay=settings.weight_decay,
        )
        scheduler = torch.optim.lr_scheduler.OneCycleLR(
            optimizer,
            max_lr=settings.lr,
            epochs=settings.epochs,
            steps_per_epoch=len(self.trainloader),
            pct_start=max(settings.warmup, 2 / (settings.epochs * len(self.trainloader))),
            cycle_momentum=False,
        )
        accuracy = 0.0
        for _ in range(settings.epochs):
            model.train()
            running_loss = 0.0
            for images, labels in self.trainloader:
                inputs, targets = images.to(self.device), labels.to(self.device)
                optimizer.zero_grad()
                loss = criterion(model(inputs), targets)
                loss.backward()
                optimizer.step()
                scheduler.step()
                running_loss += loss.item()
            accuracy = self._evaluate(model)
        return accuracy

    def _evaluate(self, model: nn.Module) -> float:
        model.eval()
        correct, total = 0, 0
        with torch.no_grad():
            for images, labels in self.testloader:
                inputs, targets = images.to(self.device), labels.to(self.device)
                _, predicted = torch.max(model(inputs), 1)
                total += targets.size(0)
                correct += (predicted == targets).sum().item()
        return correct / total
