"""A training of a user's own, with files: it reads one, shares one with other trainings, keeps one in a pause, leaves one."""

import json
from dataclasses import dataclass, replace
from pathlib import Path

from attn_nas.space.task import Task
from attn_nas.testing import TableTrainer
from attn_nas.training.protocol import Throughput, Trainer

EPOCHS = 2


@dataclass(frozen=True)
class OwnTrainer(Trainer):
    """Trains for two epochs. Its accuracy is that of the table trainer, and half of it after the first."""

    task: Task
    settings: Path
    """A file that every training reads."""
    folder: Path
    """The folder for all that trainings write."""
    gpu: int = 0

    def __call__(self, genotype, seed, on_epoch):
        return self.train_until(EPOCHS, genotype, seed, on_epoch)

    def train_until(self, epoch, genotype, seed, on_epoch):
        (start,) = self.prepared(genotype, seed).values()
        if not start.exists():
            self.prepare(genotype, seed)
        (state,) = self.pause_files(genotype, seed).values()
        curve = json.loads(state.read_text()) if state.exists() else []
        resumed = len(curve)
        trained = TableTrainer(self.task, epochs=EPOCHS)(genotype, seed, lambda *_: None)
        for number in range(len(curve) + 1, epoch + 1):
            curve.append(trained.result.curve[number - 1])
            on_epoch(number, curve[-1])
        if epoch < EPOCHS:
            state.parent.mkdir(parents=True, exist_ok=True)
            state.write_text(json.dumps(curve))
        else:
            state.unlink(missing_ok=True)
        report = {"settings": self.settings.read_text(), "start": start.read_text(), "resumed": resumed, "at": str(self.folder)}
        (path,) = self.returns(genotype, seed).values()
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(report))
        return replace(trained, result=trained.result.until(epoch))

    def dry_run(self, run):
        return Throughput(run.number, 100.0, 10.0, 100.0)

    def largest(self, candidates):
        return min(candidates, key=lambda genotype: genotype.num_attended)

    def on_gpu(self, number):
        return replace(self, gpu=number)

    def relocated(self, shared, own):
        return replace(self, settings=shared / "settings.txt", folder=own)

    def ships(self):
        return {"settings.txt": self.settings}

    def prepared(self, genotype, seed):
        return {f"start-{seed}.txt": self.settings.with_name(f"start-{seed}.txt")}

    def prepare(self, genotype, seed):
        (path,) = self.prepared(genotype, seed).values()
        path.write_text(f"{self.settings.read_text()} {seed}")

    def pause_files(self, genotype, seed):
        return {"state.json": self.folder / "pauses" / f"{genotype.key}-{seed}.json"}

    def returns(self, genotype, seed):
        return {"report.json": self.folder / "reports" / f"{genotype.key}-{seed}.json"}


def train(task, genotype, seed, on_epoch):
    """A training of a user's own that is a function."""
    return TableTrainer(task)(genotype, seed, on_epoch)
