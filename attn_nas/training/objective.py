"""A training loop of the user as a trainer: ``objective(model, trial)`` trains a network that is given to it, and scores it."""

from __future__ import annotations

import logging
import os
import queue
import random
import resource
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from math import isfinite
from multiprocessing.reduction import ForkingPickler
from numbers import Integral, Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from attn_nas.cost import count_network
from attn_nas.errors import AttnNasError, DeviceLostError, SpaceError, UsageError, first_line
from attn_nas.models.build import build_model
from attn_nas.plugins.user_code import UserCode, is_installed
from attn_nas.space.genotype import Genotype
from attn_nas.space.metric import Metric
from attn_nas.space.task import Task
from attn_nas.training.device import Numerics
from attn_nas.training.protocol import Replicate, Trained, Trainer
from attn_nas.training.result import OnEpoch, ProxyFailure, ProxyResult
from attn_nas.training.weights import keep_weights

logger = logging.getLogger(__name__)
Objective = Callable[[nn.Module, "Trial"], Any]
"""Trains a network in place and returns the value of the metric on data that it was not trained on."""
_LARGEST_SEED = 2**32
_PACKAGE = str(Path(__file__).parents[1])


class TrainingPaused(BaseException):
    """Raised by `Trial.report` where a paused training ends for good. Let it pass; ``finally`` and ``with`` clean up as usual.

    It is no `Exception`, so that ``except Exception`` in a training loop does not catch it.
    """


class Trial:
    """What an objective is told about the training that it does, and where it reports.

    Attributes:
        epochs: number of epochs to train for.
        seed: seed of this training. Candidates are compared in pairs of equal seeds: use it for the order of the data and
            for augmentation. The generators of `random`, NumPy and torch are already seeded with it.
        device: the device that the network is on.
        genotype: the placements of the network.

    """

    def __init__(
        self,
        genotype: Genotype,
        seed: int,
        epochs: int,
        device: torch.device,
        metric: Metric,
        reached: Callable[[int, float], None],
    ) -> None:
        self.genotype = genotype
        self.seed = seed
        self.epochs = epochs
        self.device = device
        self._metric = metric
        self._reached = reached
        self._process = os.getpid()
        self._scores: dict[int, float] = {}

    def report(self, value: object, epoch: int) -> None:
        """Report the ``value`` of the metric after ``epoch``, counted from 0: for the curve, the live view and early stopping.

        Report each epoch once, in rising order. A report is optional; without reports a training is never paused.

        Raises:
            ProxyFailure: the value is not a finite number within the bounds of the metric, or the epoch is none.
            TrainingPaused: early stopping has ended this training.

        """
        if os.getpid() != self._process:
            return  # a forked process has copied this trial
        given: object = epoch
        if isinstance(given, bool) or not isinstance(given, Integral) or given < 0:
            raise ProxyFailure(f"trial.report was given the epoch {_shown(given)}: give an integer that is counted from 0")
        if self._scores and epoch <= max(self._scores):
            raise ProxyFailure(f"trial.report was given epoch {epoch} after epoch {max(self._scores)}: report each epoch once")
        score = score_of(value, self._metric, f"the value reported for epoch {epoch}")
        self._scores[int(epoch)] = score
        self._reached(int(epoch) + 1, score)

    @property
    def curve(self) -> tuple[float, ...]:
        """The scores reported so far, in the order of the epochs."""
        return tuple(self._scores.values())


def score_of(value: object, metric: Metric, what: str) -> float:
    """The score of a ``value`` that an objective gives; ``what`` names it in messages.

    Numbers of Python and NumPy are taken, and tensors and arrays of one element without dimensions.

    Raises:
        ProxyFailure: it is no finite number, or outside the bounds of the metric.

    """
    if isinstance(value, Tensor | np.ndarray):
        if value.ndim:
            raise ProxyFailure(f"{what} has the shape {tuple(value.shape)}: give a number, such as its mean")
        value = value.item()
    if value is None:
        raise ProxyFailure(f"{what} is None: return the value of {metric.name} as a number")
    if isinstance(value, bool) or not isinstance(value, Real):
        raise ProxyFailure(f"{what} is {_shown(value)}: give the value of {metric.name} as a number")
    number = float(value)
    if not isfinite(number):
        raise ProxyFailure(f"{what} is {number}: the training has diverged, or {metric.name} is not defined on these data")
    try:
        return metric.score(number)
    except SpaceError as error:
        raise ProxyFailure(f"{what}: {error}") from None


def _shown(value: object) -> str:
    text = repr(value)
    return f"{text[:60]}{'...' * (len(text) > 60)} ({type(value).__name__})"


@dataclass(frozen=True)
class ObjectiveSource:
    """Where an objective comes from: its name ``code``, the object ``given`` by a program, or both."""

    code: UserCode | None
    given: Objective | None = field(compare=False)

    def __getstate__(self) -> dict[str, Any]:
        """What travels to another process: a name if there is one, else the object."""
        return {"code": self.code, "given": None if self.code else self.given}

    @property
    def name(self) -> str:
        """The objective in messages."""
        return self.code.text if self.code else str(getattr(self.given, "__name__", type(self.given).__name__))

    @property
    def modules(self) -> frozenset[str]:
        """The module of an objective that travels as an object."""
        module = None if self.code else getattr(self.given, "__module__", None)
        return frozenset(filter(None, (module,)))

    @property
    def is_carried(self) -> bool:
        """Whether other processes of this machine can load it."""
        return self._obstacle is None

    @property
    def _obstacle(self) -> str | None:
        if self.code:
            return None
        if getattr(self.given, "__module__", None) == "__main__":
            return "it belongs to a notebook or an interactive session"
        try:
            ForkingPickler.dumps(self.given)
        except Exception as error:  # noqa: BLE001  pickle raises many kinds
            return first_line(error)
        return None

    def check_carried(self) -> None:
        """Raise UsageError unless other processes of this machine can load it."""
        if self._obstacle:
            raise UsageError(
                f"objective = {self.name}: worker processes cannot load it ({self._obstacle}). Define it at the top level of a "
                "Python file, or use one worker without a time limit for trainings"
            )

    def load(self) -> Objective:
        """The objective; raises SpaceError if its file or module cannot be used."""
        found = self.given
        if found is None:
            assert self.code
            found = self.code.load()
        if not callable(found):
            raise SpaceError(f"the objective {self.name} is not a function of (model, trial)")
        return found


@dataclass(frozen=True)
class ObjectiveTrainer(Trainer):
    """Trains a candidate by an objective of the user.

    The network is built for ``task`` with the seed of the training, which gives equal trunk weights for all placements.
    ``weights_folder`` takes the weights of the network that the objective was given, as for our own training (see
    `attn_nas.training.trainer.ProxyTrainer`).
    """

    source: ObjectiveSource
    metric: Metric
    task: Task
    epochs: int
    numerics: Numerics
    threads: int
    weights_folder: Path | None = None
    kept_seed: int | None = None
    gpu: int = 0

    memory_advice = "Lower the batch size in the objective"

    @property
    def name(self) -> str:
        """The name of the objective."""
        return self.source.name

    @property
    def modules(self) -> frozenset[str]:
        """Those of this package, and the module of an objective that has no name."""
        return super().modules | self.source.modules

    def __call__(self, genotype: Genotype, seed: int, on_epoch: OnEpoch) -> Trained:
        """See `attn_nas.training.protocol.Trainer`."""
        _Held.drop_other(None)
        return self._trained(genotype, seed, on_epoch)

    def train_until(self, epoch: int, genotype: Genotype, seed: int, on_epoch: OnEpoch) -> Trained:
        """Train until ``epoch`` was reported, and hold the training there, in this process, until it goes on.

        A training that was held in another process, or was given up for another one, begins again.
        """
        replicate = Replicate(genotype, seed)
        held = _Held.drop_other(replicate) or _Held(replicate, partial(self._trained, genotype, seed))
        return held.go_on(epoch if epoch < self.epochs else None, on_epoch)

    def on_gpu(self, number: int) -> ObjectiveTrainer:
        """See `attn_nas.training.protocol.Trainer`."""
        return replace(self, gpu=number)

    def relocated(self, shared: Path, own: Path) -> ObjectiveTrainer:
        """See `attn_nas.training.protocol.Trainer`; there it writes all weights, of which the original wants some back."""
        return replace(self, weights_folder=own / "weights", kept_seed=None)

    def returns(self, genotype: Genotype, seed: int) -> dict[str, Path]:
        """The weights, where those of this seed are kept."""
        path = self.weights_path(genotype, seed)
        return {path.name: path} if path else {}

    def weights_path(self, genotype: Genotype, seed: int) -> Path | None:
        """The file for the weights of a training; None if they are not kept, or those of another seed are."""
        if self.weights_folder is None:
            return None
        path = self.weights_folder / f"{genotype.key}.safetensors"
        return path if seed == self.kept_seed or (self.kept_seed is None and not path.exists()) else None

    @property
    def device(self) -> torch.device:
        """The device of trainings."""
        return torch.device("cuda", self.gpu) if self.numerics.device == "cuda" else torch.device("cpu")

    def _trained(self, genotype: Genotype, seed: int, on_epoch: OnEpoch, partial_at: _Reached | None = None) -> Trained:
        """Train to the end; ``partial_at`` is called with the training so far at each report."""
        objective = self.source.load()
        began, cpu_began = time.perf_counter(), time.process_time()
        with self._own_device():
            try:
                model = build_model(genotype, self.task.num_classes, self.task.channels, seed)
                cost = count_network(model, genotype.trunk, self.task)
                names = _shapes(model)
                model.to(self.device)

                def result(accuracy: float, curve: tuple[float, ...]) -> Trained:
                    took = time.perf_counter() - began, time.process_time() - cpu_began
                    return Trained(_result(accuracy, curve, seed, *took, self._peak_memory), cost)

                def reached(epoch: int, score: float) -> None:
                    on_epoch(epoch, score)
                    if partial_at:
                        partial_at(epoch, lambda: result(score, trial.curve))

                trial = Trial(genotype, seed, self.epochs, self.device, self.metric, reached)
                with _seeded(seed, self.device), _noted_threads(self.name):
                    value = _called(objective, model, trial, self.name)
                score = score_of(value, self.metric, f"what {self.name} returned")
            except (MemoryError, RuntimeError, ProxyFailure) as error:
                self._check_device(error)
                raise
            trained = result(score, trial.curve or (score,))
            path = self.weights_path(genotype, seed)
            if path:
                if _shapes(model) == names:
                    keep_weights(model.cpu(), seed, path)
                else:
                    logger.warning(
                        "%s has changed names or shapes of the network's weights: those of %s are not kept, so it cannot be "
                        "exported. Train the network that was given, or copy the weights back", self.name, genotype.key,
                    )  # fmt: skip
            return trained

    @contextmanager
    def _own_device(self) -> Iterator[None]:
        """Use the threads and the GPU of this trainer in the block, and those of the caller afterwards."""
        threads = torch.get_num_threads()
        torch.set_num_threads(self.threads)
        is_cuda = self.numerics.device == "cuda"
        try:
            with torch.cuda.device(self.gpu if is_cuda else -1):
                if is_cuda:
                    torch.cuda.reset_peak_memory_stats()
                yield
        finally:
            torch.set_num_threads(threads)

    def _check_device(self, error: BaseException) -> None:
        """Raise DeviceLostError if the GPU no longer works in this process, as after a failed device-side assertion."""
        if self.numerics.device == "cuda":
            try:
                torch.cuda.synchronize()
            except RuntimeError:
                raise DeviceLostError(f"the GPU failed: {first_line(error)}") from error

    @property
    def _peak_memory(self) -> float:
        if self.numerics.device == "cuda":
            return torch.cuda.max_memory_allocated() / 2**20
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10


_Reached = Callable[[int, Callable[[], Trained]], None]


def _result(
    score: float, curve: tuple[float, ...], seed: int, seconds: float, cpu_seconds: float, peak_memory_mb: float
) -> ProxyResult:
    return ProxyResult(
        score, None, None, curve, (), (), (), seconds=seconds, cpu_seconds=cpu_seconds, peak_memory_mb=peak_memory_mb,
        micro_batch=1, seed=seed,
    )  # fmt: skip


def _shapes(model: nn.Module) -> dict[str, torch.Size]:
    return {name: tensor.shape for name, tensor in model.state_dict().items()}


def _called(objective: Objective, model: nn.Module, trial: Trial, name: str) -> object:
    """Call the objective; what it raises becomes a ProxyFailure that says where, and a process that it forked ends here."""
    process = os.getpid()
    try:
        return objective(model, trial)
    except (AttnNasError, TrainingPaused, KeyboardInterrupt):
        raise
    except SystemExit as error:
        raise ProxyFailure(
            f"{name} called sys.exit({error.code!r}){_place(error)}: return the metric, or raise an error"
        ) from None
    except (Exception, GeneratorExit) as error:
        raise ProxyFailure(f"{type(error).__name__}: {first_line(error)}{_place(error)}") from error
    finally:
        if os.getpid() != process:
            os._exit(0)  # a process forked by the objective must not go on with the search


def _place(error: BaseException) -> str:
    """Where an error arose in the user's code, as `` (train.py:31)``: the innermost frame outside of packages."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [each for each in frames if not (is_installed(each.filename) or each.filename.startswith(_PACKAGE))]
    return f" ({Path(own[-1].filename).name}:{own[-1].lineno})" if own else ""


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed the global generators of `random`, NumPy and torch in the block; they are as before afterwards."""
    python, numbers = random.getstate(), np.random.get_state()
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        random.seed(seed)
        np.random.seed(seed % _LARGEST_SEED)
        torch.manual_seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(numbers)


@contextmanager
def _noted_threads(name: str) -> Iterator[None]:
    """Log a warning if the block leaves threads that keep a process from ending."""
    before = {*threading.enumerate()}
    yield
    left = [each.name for each in threading.enumerate() if each not in before and not each.daemon and each.is_alive()]
    if left:
        logger.warning("%s has left threads that still run: %s. End them, for they slow later trainings", name, ", ".join(left))


class _Held:
    """An objective in a thread of its own, which waits in `Trial.report` while its training is paused.

    A process holds at most one. All messages are handled by the thread that calls `go_on`.
    """

    _current: _Held | None = None

    def __init__(self, replicate: Replicate, train: Callable[[OnEpoch, _Reached], Trained]) -> None:
        self.replicate = replicate
        self._train = train
        self._until: int | None = None
        self._messages: queue.SimpleQueue[tuple[str, Any]] = queue.SimpleQueue()
        self._go = threading.Semaphore(0)
        self._dropped = False
        self._ended: Trained | None = None
        self._thread: threading.Thread | None = None
        _Held._current = self

    @classmethod
    def drop_other(cls, replicate: Replicate | None) -> _Held | None:
        """Return the held training of ``replicate``; end another one."""
        held = cls._current
        if held is None or held.replicate == replicate:
            return held
        cls._current = None
        held._dropped = True
        held._go.release()
        if held._thread:
            held._thread.join()
        return None

    def go_on(self, until: int | None, on_epoch: OnEpoch) -> Trained:
        """Train until the epoch ``until`` was reported, or to the end; raises what the objective raises."""
        self._until = until
        if self._ended:
            return self._ended
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="attn-nas-objective", daemon=True)
            self._thread.start()
        else:
            self._go.release()
        try:
            while True:
                kind, content = self._messages.get()
                if kind == "epoch":
                    on_epoch(*content)
                elif kind == "paused":
                    return content
                elif kind == "ended":
                    self._ended = replace(content, ended=True)
                    return self._ended
                else:
                    raise content
        except BaseException:
            self._dropped = True
            _Held._current = None
            raise

    def _work(self) -> None:
        try:
            self._messages.put(("ended", self._train(self._epoch, self._reached)))
        except BaseException as error:  # noqa: BLE001  raised again by the thread that waits for it
            self._messages.put(("failed", error))

    def _epoch(self, epoch: int, score: float) -> None:
        self._messages.put(("epoch", (epoch, score)))

    def _reached(self, epoch: int, so_far: Callable[[], Trained]) -> None:
        if self._until is not None and epoch >= self._until and not self._dropped:
            trained = so_far()
            self._messages.put(("paused", trained))
            self._go.acquire()
        if self._dropped:
            raise TrainingPaused("early stopping has ended this training")
