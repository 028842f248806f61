"""The formats of an exported model, in one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from safetensors.torch import save
from torch import Tensor, nn

from attn_nas.drawing import draw_svg
from attn_nas.errors import UsageError, unknown
from attn_nas.export.graphs import OPSET, onnx_bytes, pt2_bytes
from attn_nas.export.hub import HUBCONF
from attn_nas.export.insert_source import insert_source
from attn_nas.export.model_file import LOADING, model_file
from attn_nas.export.prediction import predict
from attn_nas.export.source import function_source
from attn_nas.export.winner import Winner
from attn_nas.space.host import Host
from attn_nas.space.trunks import AnyTrunk

_PREDICT = """\
Classifies photos with the network of this folder.

    from predict import predict

    predict(model, "photo.jpg")  # names of classes with their probabilities, the most probable first

Classes and preprocessing are read from config.json. A photo gives the pixels that it gave in training.
"""


@dataclass(frozen=True)
class Format:
    """A format: the name of its ``file``, and ``content``, which makes the file from a winner and its network.

    ``loading`` is Python code that loads the file from inside the folder. ``needs`` are formats that must be exported too.
    ``packages`` must be installed; the extra of the format's name installs them. ``tolerance`` is the maximum error of a logit,
    relative to the largest logit (0: equal to the bit); None for a file that is not a network by itself.
    """

    file: str
    content: Callable[[Winner, nn.Module], bytes]
    summary: str
    loading: str = ""
    needs: tuple[str, ...] = ()
    packages: tuple[str, ...] = ()
    tolerance: float | None = None


def _source(winner: Winner, model: nn.Module) -> bytes:
    return model_file(winner.genotype, winner.task, winner.about).encode()


def _safetensors(winner: Winner, model: nn.Module) -> bytes:
    return save(dict(winner.weights), metadata=_metadata(winner))


def _metadata(winner: Winner) -> dict[str, str]:
    """Texts of JSON by name, which every file of weights carries."""
    return {"genotype": winner.genotype.to_json(), **winner.meaning.to_metadata()}


def _example(winner: Winner) -> Tensor:
    return torch.zeros(2, winner.task.channels, winner.task.height, winner.task.width)


FORMATS: dict[str, Format] = {
    "source": Format(
        "model.py",
        _source,
        "the network as Python source that imports only torch",
        LOADING,
        tolerance=0.0,
    ),
    "safetensors": Format("model.safetensors", _safetensors, "the trained weights"),
    "insert": Format(
        "insert.py",
        lambda winner, model: insert_source(winner.genotype).encode(),
        "only the placements, as Python source that puts them into your own model",
        "from insert import insert\n\nmodel = insert(model)  # new modules are untrained: see the docstring",
        tolerance=0.0,
    ),
    "hub": Format(
        "hubconf.py",
        lambda winner, model: HUBCONF.encode(),
        "entry point with which hubs load the folder",
        'import torch\n\nmodel = torch.hub.load(".", "attn_model", source="local")',
        needs=("source", "safetensors"),
        tolerance=0.0,
    ),
    "pt2": Format(
        "model.pt2",
        lambda winner, model: pt2_bytes(model, _example(winner), _metadata(winner)),
        "the network and its weights as a graph of torch.export, for any batch size",
        'import torch\n\nmodel = torch.export.load("model.pt2").module()',
        tolerance=1e-5,
    ),
    "onnx": Format(
        "model.onnx",
        lambda winner, model: onnx_bytes(model, _example(winner), _metadata(winner)),
        f"the network and its weights for ONNX runtimes, opset {OPSET}",
        'import onnxruntime\n\nsession = onnxruntime.InferenceSession("model.onnx")\n'
        '(logits,) = session.run(["logits"], {"images": images})  # float32 (N, C, H, W), normalised',
        packages=("onnx", "onnxruntime", "onnxscript"),
        tolerance=1e-4,
    ),
}
COMPANIONS: dict[str, tuple[Callable[[Winner], str], str]] = {
    "placements.svg": (lambda winner: draw_svg(winner.genotype), "drawing of the placements"),
    "predict.py": (
        lambda winner: function_source(predict, _PREDICT),
        "`predict(model, photo)`: names of classes with their probabilities; needs `config.json`, torch, Pillow and NumPy",
    ),
}
"""Files that accompany every format: function that makes the text, and description."""


def companions(winner: Winner) -> dict[str, tuple[Callable[[Winner], str], str]]:
    """Those of `COMPANIONS` that apply to ``winner``: photos are classified where it is known how they become inputs."""
    known = winner.meaning.preprocessing is not None
    return {name: companion for name, companion in COMPANIONS.items() if known or name != "predict.py"}


DEFAULT_FORMATS = ("source", "safetensors", "insert")


OF_OWN_MODELS = ("safetensors", "insert", "pt2", "onnx")
"""Formats of a network of the user's own, whose source stays with the user."""


def formats_of(trunk: AnyTrunk, chosen: Iterable[str]) -> tuple[str, ...]:
    """Return the formats to write for a network on ``trunk`` where ``chosen`` are asked for.

    For a network of the user's own the graphs take the place of ``source`` and ``hub``: ``pt2`` and, if its packages are
    installed, ``onnx``.
    """
    names = set(chosen)
    if isinstance(trunk, Host):
        if names & {"source", "hub"}:
            graphs = [name for name in ("pt2", "onnx") if all(map(find_spec, FORMATS[name].packages))]
            names = {*names, *graphs}
        names &= {*OF_OWN_MODELS}
    return tuple(name for name in FORMATS if name in names)


def reference_formats(trunk: AnyTrunk) -> tuple[str, ...]:
    """Return the formats that every export writes and verifies, even if they are not kept: others are compared with them."""
    return ("safetensors", "insert") if isinstance(trunk, Host) else ("source", "safetensors")


def chosen_formats(names: Iterable[str]) -> tuple[str, ...]:
    """Return the formats ``names`` and the formats that they need, in the order of `FORMATS`.

    Raises:
        UsageError: ``names`` is empty or has an unknown format, or the packages of a format are missing.

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
