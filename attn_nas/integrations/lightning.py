"""An objective whose training loop is that of Lightning."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

from torch import nn

from attn_nas.errors import UsageError, choose_from
from attn_nas.training.objective import Trial


@dataclass(frozen=True)
class LightningObjective:
    """Trains a LightningModule that is made around the network of a candidate, and returns a metric that it logs.

    Give it a name at the top level of a file, so that worker processes can load it::

        objective = LightningObjective(Segmenter, loaders, monitor="val_dice")

        if __name__ == "__main__":
            an.Search(space, objective=objective, metric="dice").optimize(n_trials=40)

    Args:
        module: makes the LightningModule of a network; a class whose only required argument is the network is one.
        data: returns the data of a trial: a LightningDataModule, or a pair of loaders for training and validation. Use the
            seed of the trial for the order of the images.
        monitor: name of the metric that the module logs in validation.
        options: further arguments of ``lightning.Trainer``, such as ``{"precision": "bf16-mixed"}``. Epochs and device are
            those of the trial.

    Both packages are supported, ``lightning`` and ``pytorch_lightning``: the one that the module's class is from. A search
    seeds all generators itself, and pauses trainings by `attn_nas.TrainingPaused`.

    """

    module: Callable[[nn.Module], Any]
    data: Callable[[Trial], Any]
    monitor: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def __call__(self, model: nn.Module, trial: Trial) -> float:
        """Train ``model`` and return the last value of the metric.

        Raises:
            UsageError: the module has logged no such metric, or an option belongs to the trial.

        """
        if taken := {"max_epochs", "accelerator", "devices"} & self.options.keys():
            raise UsageError(f"options: {taken.pop()} is that of the trial; leave it out")
        module = self.module(model)
        lightning = _package_of(module)

        class Report(lightning.Callback):  # type: ignore[misc, name-defined]
            """Reports the metric after each validation."""

            def on_validation_end(_, trainer: Any, module: Any) -> None:  # noqa: N805
                if not trainer.sanity_checking and self.monitor in trainer.callback_metrics:
                    trial.report(trainer.callback_metrics[self.monitor], trainer.current_epoch)

        is_cuda = trial.device.type == "cuda"
        defaults = {
            "logger": False,
            "enable_checkpointing": False,
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
        }
        options = {**defaults, **self.options}
        trainer = lightning.Trainer(
            max_epochs=trial.epochs,
            accelerator="gpu" if is_cuda else "cpu",
            devices=[trial.device.index or 0] if is_cuda else 1,
            **{**options, "callbacks": [*options.get("callbacks", ()), Report()]},
        )
        data = self.data(trial)
        trainer.fit(module, *data) if isinstance(data, tuple | list) else trainer.fit(module, datamodule=data)
        if self.monitor not in trainer.callback_metrics:
            logged = ", ".join(trainer.callback_metrics) or "nothing"
            raise UsageError(
                f"monitor = {self.monitor!r}: the LightningModule logs {logged}; "
                f"{choose_from(self.monitor, trainer.callback_metrics)}"
            )
        return float(trainer.callback_metrics[self.monitor])


def _package_of(module: object) -> Any:
    """``lightning`` or ``pytorch_lightning``, whichever the class of ``module`` is from."""
    roots = {base.__module__.partition(".")[0] for base in type(module).__mro__}
    name = "pytorch_lightning" if "pytorch_lightning" in roots else "lightning"
    if name not in roots:
        raise UsageError(f"module has made a {type(module).__name__}, which is no LightningModule")
    return import_module(name)
