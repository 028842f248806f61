"""An objective whose training loop is the Trainer of Hugging Face's transformers."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import nn

from attn_nas.errors import UsageError, choose_from
from attn_nas.training.objective import Trial


@dataclass(frozen=True)
class TransformersObjective:
    """Trains with a ``transformers.Trainer`` that is made around the network of a candidate, and returns one of its metrics.

    Give it a name at the top level of a file, so that worker processes can load it::

        def make_trainer(model, arguments):
            return Trainer(model, arguments, train_dataset=train, eval_dataset=validation, compute_metrics=accuracy)

        objective = TransformersObjective(make_trainer, monitor="eval_accuracy", per_device_train_batch_size=32)

    Args:
        trainer: makes the Trainer of a network, from that network and a ``TrainingArguments``, which has the epochs, the seed
            and the device of the trial, evaluates after each epoch, saves nothing and reports to nobody. Its ``label_names``
            are ``["labels"]``, which the Trainer cannot guess of a network that returns logits.
        monitor: name of the metric that an evaluation gives, such as ``"eval_loss"``.
        arguments: further fields of the ``TrainingArguments``.

    """

    trainer: Callable[[nn.Module, Any], Any]
    monitor: str
    arguments: dict[str, Any]

    def __init__(self, trainer: Callable[[nn.Module, Any], Any], monitor: str = "eval_loss", **arguments: Any) -> None:
        object.__setattr__(self, "trainer", trainer)
        object.__setattr__(self, "monitor", monitor)
        object.__setattr__(self, "arguments", arguments)

    def __call__(self, model: nn.Module, trial: Trial) -> float:
        """Train ``model`` and return the last value of the metric.

        Raises:
            UsageError: the evaluation gives no such metric, or there was none.

        """
        from transformers import TrainerCallback, TrainingArguments

        values: list[float] = []
        monitor = self.monitor

        class Report(TrainerCallback):  # type: ignore[misc]
            """Reports the metric after each evaluation."""

            def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, Any], **kwargs: Any) -> None:
                if monitor not in metrics:
                    raise UsageError(
                        f"monitor = {monitor!r}: the evaluation gives {', '.join(metrics)}; {choose_from(monitor, metrics)}"
                    )
                values.append(float(metrics[monitor]))
                trial.report(values[-1], max(0, round(state.epoch or 0) - 1))

        with tempfile.TemporaryDirectory() as folder:
            defaults = {
                "output_dir": folder,
                "num_train_epochs": trial.epochs,
                "seed": trial.seed,
                "use_cpu": trial.device.type == "cpu",
                "eval_strategy": "epoch",
                "save_strategy": "no",
                "label_names": ["labels"],
                "report_to": "none",
                "disable_tqdm": True,
            }
            trainer = self.trainer(model, TrainingArguments(**{**defaults, **self.arguments}))
            trainer.add_callback(Report())
            trainer.train()
        if not values:
            raise UsageError("the Trainer has evaluated nothing: give it an eval_dataset, and leave eval_strategy as it is")
        return values[-1]
