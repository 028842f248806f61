"""Objectives of a user: one that trains, and ones that go wrong in every way."""

import os
import sys
import threading
import time

import numpy as np
import torch
from torch import nn

import attn_nas as an
from attn_nas.training.objective import TrainingPaused

PAUSED = []


def _batch():
    images = torch.randn(16, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    return images, (images.mean((1, 2, 3)) > 0).long()


def train(model, trial):
    """Train for some steps, and return a loss that falls."""
    images, labels = _batch()
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    for epoch in range(trial.epochs):
        loss = nn.functional.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        trial.report(loss.detach(), epoch)
    return loss.item()


def count(model, trial):
    """A score in no time: more attention is better, and each epoch adds one."""
    for epoch in range(trial.epochs):
        trial.report(trial.genotype.num_attended + epoch, epoch)
    return float(trial.genotype.num_attended + trial.epochs)


def falling(model, trial):
    """A loss in no time: more attention is better, each epoch takes one away, and seeds differ a little."""
    spread = sum(map(ord, trial.genotype.key)) % 7 * 0.01 + trial.seed % 5 * 0.02
    for epoch in range(trial.epochs):
        trial.report(10.0 - epoch - 0.1 * trial.genotype.num_attended + spread, epoch)
    return 10.0 - trial.epochs - 0.1 * trial.genotype.num_attended + spread


def draws(model, trial):
    """The first draws of all generators, as one number, and what the network has begun with."""
    found = [torch.rand(()).item(), np.random.rand(), __import__("random").random()]
    weights = sum(each.double().sum().item() for name, each in model.state_dict().items() if name.endswith("weight"))
    trial.report(weights, 0)
    return sum(found)


def half_of(model, trial):
    """A share."""
    return 0.5


def nothing(model, trial):
    """Forgets to return."""


def pieces(model, trial):
    """A tensor of losses."""
    return torch.ones(3)


def words(model, trial):
    """A text."""
    return "0.5"


def not_a_number(model, trial):
    """A training that diverged."""
    return torch.tensor(float("nan"))


def zero_dimensional(model, trial):
    """A tensor of one value."""
    return torch.tensor(0.25)


def percent(model, trial):
    """A share in percent."""
    return 50.0


def breaks(model, trial):
    """A mistake of a user."""
    raise ValueError("shapes differ")


def breaks_in_torch(model, trial):
    """The same in a library."""
    return model(torch.zeros(1, 7, 16, 16))


def exits(model, trial):
    """A script that was written to be run alone."""
    sys.exit("out of patience")


def forks(model, trial):
    """A child that returns where its parent does."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return float(child > 0)


def forks_and_fails(model, trial):
    """A child that fails, and must not be taken for its parent."""
    if os.fork() == 0:
        raise ValueError("in the child")
    os.wait()
    return 1.0


def leaves_a_thread(model, trial):
    """A thread that outlives the training for a while."""
    threading.Thread(target=time.sleep, args=(0.5,), name="left over").start()
    return 1.0


def hangs(model, trial):
    """For ever."""
    time.sleep(3600)


def reports_twice(model, trial):
    """The same epoch again."""
    trial.report(0.5, 0)
    trial.report(0.5, 0)
    return 0.5


def reports_text(model, trial):
    """No number."""
    trial.report(None, 0)


def renames(model, trial):
    """The network is not what it was."""
    model.extra = nn.Linear(2, 2)
    return 0.5


def uses_a_loader(model, trial):
    """Data from processes of its own."""
    images, labels = _batch()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels), 8, num_workers=1)
    return sum(len(batch) for batch, _ in loader) / 32


def notes_its_end(model, trial):
    """Says how its training ended."""
    try:
        for epoch in range(trial.epochs):
            trial.report(1.0 + epoch, epoch)
    except TrainingPaused:
        PAUSED.append(trial.seed)
        raise
    return 1.0 + trial.epochs


def hands_over(model):
    """No trial."""


SPACE = an.SearchSpace(trunk=an.Trunk("cifar_resnet", 8, 8), mechanisms=["se", "eca"], example=(3, 16, 16), classes=2)
