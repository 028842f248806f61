"""The formats of an exported model: one entry each."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from safetensors.torch import save
from torch import Tensor, nn

from attn_nas.drawing import draw_svg
from attn_nas.errors import UsageError, unknown
from attn_nas.export.card import docstring
from attn_nas.export.graphs import OPSET, onnx_bytes, pt2_bytes
from attn_nas.export.hub import HUBCONF
from attn_nas.export.insert_source import insert_source
from attn_nas.export.source import model_source
from attn_nas.export.winner import Winner


@dataclass(frozen=True)
class Format:
    """One way to write a winner.

    ``content`` makes ``file`` from the winner and its network. ``loading`` is Python that loads it from inside the folder,
    ``needs`` are formats that have to be there as well, and ``packages`` what has to be installed with the ``extra`` of the
    same name. ``tolerance`` is how far a logit may be off, as a share of the largest; 0 is equal to the bit. Where it is None
    the file does nothing by itself.
    """

    file: str
    content: Callable[[Winner, nn.Module], bytes]
    summary: str
    loading: str = ""
    needs: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    tolerance: float | None = None


def _source(winner: Winner, model: nn.Module) -> bytes:
    task = winner.task
    return model_source(winner.genotype, task.num_classes, task.channels, docstring(winner, FORMATS["source"].loading)).encode()


def _safetensors(winner: Winner, model: nn.Module) -> bytes:
    return save(dict(winner.weights), metadata={"genotype": winner.genotype.to_json()})


def _example(winner: Winner) -> Tensor:
    return torch.zeros(2, winner.task.channels, winner.task.height, winner.task.width)


FORMATS: dict[str, Format] = {
    "source": Format(
        "model.py",
        _source,
        "the network as Python that imports torch alone",
        "from model import build_model\nfrom safetensors.torch import load_file\n\nmodel = build_model()\n"
        'model.load_state_dict(load_file("model.safetensors"))\nmodel.eval()',
        tolerance=0.0,
    ),
    "safetensors": Format("model.safetensors", _safetensors, "the trained weights"),
    "insert": Format(
        "insert.py",
        lambda winner, model: insert_source(winner.genotype).encode(),
        "the placements alone, as Python that puts them into a model of yours",
        "from insert import insert\n\nmodel = insert(model)  # with weights of its own, as its docstring says",
        tolerance=0.0,
    ),
    "hub": Format(
        "hubconf.py",
        lambda winner, model: HUBCONF.encode(),
        "how hubs load the folder",
        'import torch\n\nmodel = torch.hub.load(".", "attn_model", source="local")',
        needs=("source", "safetensors"),
        tolerance=0.0,
    ),
    "pt2": Format(
        "model.pt2",
        lambda winner, model: pt2_bytes(model, _example(winner)),
        "the network and its weights as a graph of torch.export, for any batch size",
        'import torch\n\nmodel = torch.export.load("model.pt2").module()',
        tolerance=1e-5,
    ),
    "onnx": Format(
        "model.onnx",
        lambda winner, model: onnx_bytes(model, _example(winner)),
        f"the same for ONNX runtimes, opset {OPSET}",
        'import onnxruntime\n\nsession = onnxruntime.InferenceSession("model.onnx")\n'
        '(logits,) = session.run(["logits"], {"images": images})  # float32 (N, C, H, W), normalised',
        packages=("onnx", "onnxruntime", "onnxscript"),
        tolerance=1e-4,
    ),
}
COMPANIONS: dict[str, tuple[Callable[[Winner], str], str]] = {
    "placements.svg": (lambda winner: draw_svg(winner.genotype), "the placements, drawn"),
}
"""Files that come with every format: how their text is made, and what they are."""
DEFAULT_FORMATS = ("source", "safetensors", "insert")
ALWAYS_TRIED = ("source", "safetensors")
"""What is written and verified whatever is asked for: the others are compared with it."""


def chosen_formats(names: Iterable[str]) -> tuple[str, ...]:
    """The formats of these ``names`` and what they need, in the order of the registry.

    Raises:
        UsageError: none, an unknown one, or one whose packages are missing.

    """
    wanted = set(names)
    for name in wanted:
        if name not in FORMATS:
            raise UsageError(unknown("format", name, FORMATS))
    if not wanted:
        raise UsageError(f"no format: choose from {', '.join(FORMATS)}")
    for name in sorted(wanted):
        missing = [package for package in FORMATS[name].packages if find_spec(package) is None]
        if missing:
            raise UsageError(f'the format {name} needs {", ".join(missing)}: pip install "attn-nas[{name}]"')
        wanted |= set(FORMATS[name].needs)
    return tuple(name for name in FORMATS if name in wanted)
