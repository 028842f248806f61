"""Export a network as a graph that needs no source: PyTorch's ``.pt2`` and ONNX, for batches of any size."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from io import BytesIO, StringIO

import torch
from torch import Tensor, nn

from attn_nas.errors import ExportError, first_line

OPSET = 20
"""Version of the ONNX operators in the file."""


def pt2_bytes(model: nn.Module, images: Tensor, metadata: Mapping[str, str]) -> bytes:
    """Return a ``.pt2`` archive for `torch.export.load`; example ``images`` ``(2, C, H, W)`` fix all sizes except the first.

    The archive holds raw tensors and JSON, and each text of ``metadata`` as an extra file ``NAME.json``. The example inputs are
    left out because they would be pickled.

    Raises:
        ExportError: torch cannot write the network.

    """
    with _exporting("pt2"):
        exported = torch.export.export(model, (images,), dynamic_shapes=(_ANY_BATCH,))
        exported.example_inputs = None
        written = BytesIO()
        torch.export.save(exported, written, extra_files={f"{name}.json": text for name, text in metadata.items()})
    return written.getvalue()


def onnx_bytes(model: nn.Module, images: Tensor, metadata: Mapping[str, str]) -> bytes:
    """Return an ONNX file with the input ``images``, the output ``logits`` and ``metadata``; example images as for `pt2_bytes`.

    Raises:
        ExportError: torch cannot write the network.

    """
    with _exporting("onnx"):
        program = torch.onnx.export(
            model,
            (images,),
            dynamo=True,
            dynamic_shapes=(_ANY_BATCH,),
            input_names=["images"],
            output_names=["logits"],
            opset_version=OPSET,
            verbose=False,
        )
        assert program is not None
        proto = program.model_proto
        for name, text in metadata.items():
            proto.metadata_props.add(key=name, value=text)
        return proto.SerializeToString()


_ANY_BATCH = {0: torch.export.Dim("batch", min=1)}


@contextmanager
def _exporting(name: str) -> Iterator[None]:
    """Suppress prints and warnings of torch's exporters, and turn their exceptions into ExportError."""
    with warnings.catch_warnings(), redirect_stdout(StringIO()):
        warnings.simplefilter("ignore")
        try:
            yield
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            raise ExportError(f"torch cannot write this network as {name}: {first_line(error)}") from error
