"""One training step, replayed as a CUDA graph on GPUs.

A step of a small network is hundreds of short kernels, which take longer to launch than to run. On CUDA the whole step (gather,
augmentation, forward and backward pass, optimizer) is therefore captured once and then replayed. Its inputs, a row of the
epoch's plan and the learning rate, are tensors with fixed addresses.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor, nn

from attn_nas.errors import first_line
from attn_nas.space.schema import ProxySettings
from attn_nas.training.images import Batch, DeviceImages
from attn_nas.training.losses import loss_of
from attn_nas.training.optimizer import make_optimizer

logger = logging.getLogger(__name__)
_EAGER_STEPS = 3
"""Steps that run eagerly for each image size before the capture, as CUDA graphs require."""


@lru_cache
def _side_stream(device: int) -> torch.cuda.Stream:
    """Return the one side stream of this device and process; libraries keep a workspace for every stream they have seen."""
    return torch.cuda.Stream(device)


class TrainingStep:
    """Trains ``model`` on one batch per call; ``losses``, shape ``()``, is the sum of the mean losses of the batches.

    A failed capture leaves the CUDA allocator in a state that cannot be repaired. ``capture_failed`` is then True for the
    process: it captures no further steps, and should be replaced by a fresh process.
    """

    capture_failed = False

    def __init__(self, model: nn.Module, images: DeviceImages, settings: ProxySettings, micro_batch: int) -> None:
        device = torch.device(images.numerics.device)
        self.losses = torch.zeros((), device=device)
        self._model = model
        self._images = images
        self._settings = settings
        self._parts = max(1, settings.batch_size // micro_batch)
        self._loss = loss_of(images.task, settings, images.train)
        self._row = torch.zeros((images.num_rows, settings.batch_size), dtype=torch.int64, device=device)
        self._gathered = self._buffers(device) if images.streamed else None
        self._rate = torch.zeros((), device=device)
        self.optimizer = make_optimizer(model, settings, self._rate)
        self._size = images.size
        self._done = 0
        self._graph: torch.cuda.CUDAGraph | None = None
        self._stream = _side_stream(torch.cuda.current_device()) if device.type == "cuda" else None

    def resize(self, size: tuple[int, int]) -> None:
        """Train on images of ``size`` (height, width) from the next step on."""
        if size != self._size:
            self._size, self._done, self._graph = size, 0, None

    def _buffers(self, device: torch.device) -> Batch:
        """Tensors with fixed addresses for the images and the labels of a step."""
        train, number = self._images.train, self._settings.batch_size
        return tuple(  # type: ignore[return-value]
            torch.empty((number, *stored.shape[1:]), dtype=stored.dtype, device=device)
            for stored in (train.images, train.labels)
        )

    def __call__(self, row: Tensor, rate: Tensor, gathered: Batch | None = None) -> None:
        """Train on one row of the plan, ``(num_rows, B)``, at learning rate ``rate``, ``()``; does not wait for it.

        ``gathered`` are the images and labels of the row where the splits are not on the device.
        """
        if self._gathered and gathered:
            for buffer, read in zip(self._gathered, gathered, strict=True):
                buffer.copy_(read, non_blocking=True)
        self._row.copy_(row)
        self._rate.copy_(rate)
        if self._stream and self._done == _EAGER_STEPS and not TrainingStep.capture_failed:
            self._graph = self._captured()
        if self._graph:
            self._graph.replay()
        elif self._stream and self._done < _EAGER_STEPS:
            self._on_stream(self._train, self._stream)
        else:
            self._train()
        self._done += 1

    @staticmethod
    def _on_stream(call: Callable[[], None], stream: torch.cuda.Stream) -> None:
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            call()
        torch.cuda.current_stream().wait_stream(stream)

    def _captured(self) -> torch.cuda.CUDAGraph | None:
        """Capture the step without training; return the graph, or None if it cannot be captured."""
        graph, current = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                self._train()
        except RuntimeError as error:
            # The context manager may raise anew on its way out, before it has restored the stream.
            torch.cuda.set_stream(current)
            reason = first_line(error.__context__ or error)
            logger.warning("the training step cannot be captured as a CUDA graph, it runs eagerly: %s", reason)
            self.optimizer.zero_grad(set_to_none=True)
            TrainingStep.capture_failed = True
            return None
        return graph

    def _train(self) -> None:
        self.add_gradients()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)

    def add_gradients(self) -> None:
        """Accumulate the gradients of the batch over its micro-batches, and add its mean loss to ``losses``."""
        inputs, labels = self._images.batch(self._row, self._size, self._gathered)
        for part, target in zip(inputs.tensor_split(self._parts), labels.tensor_split(self._parts), strict=True):
            with self._images.numerics.autocast():
                logits = self._model(part)
            loss = self._loss(logits.float(), target) * (len(part) / len(inputs))
            loss.backward()
            self.losses += loss.detach()
