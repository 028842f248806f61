"""Reads and checks a file of trunk weights that a full training starts from."""

from __future__ import annotations

import re
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from attn_nas.errors import UsageError, first_line
from attn_nas.format import listed
from attn_nas.models.build import build_trunk, trunk_without_weights
from attn_nas.space.host import Host
from attn_nas.space.task import Task
from attn_nas.space.trunks import AnyTrunk

_NAMED = 3


_WRAPPERS = re.compile(r"^(?:(?:module|model|_orig_mod|state_dict|model_state_dict|net)\.)+")
"""Names that wrappers, compilation and checkpoints put before the names of weights."""
_PICKLED = (".pth", ".pt", ".bin", ".ckpt", ".tar", ".pkl")
_CONVERT = (
    "import torch; from safetensors.torch import save_file; d = torch.load({given!r}, map_location='cpu', weights_only=True); "
    "d = next((d[k] for k in ('state_dict', 'model', 'model_state_dict', 'net') if k in d), d); "
    "save_file({{k: v.clone().contiguous() for k, v in d.items() if isinstance(v, torch.Tensor)}}, {made!r})"
)
"""Python that makes a safetensors file of a checkpoint of torch.save, without running code that is in it."""


def trunk_weights(path: Path, trunk: AnyTrunk) -> dict[str, Tensor]:
    """Read the safetensors file ``path``; names that ``trunk`` lacks lose the prefixes of wrappers, such as ``module.``.

    Raises:
        UsageError: ``path`` is not a safetensors file, or two of its names are the same without prefixes.

    """
    try:
        weights = load_file(path)
    except (OSError, SafetensorError) as error:
        raise UsageError(f"{path} cannot be read as safetensors: {first_line(error)}{_conversion(path)}") from None
    names = trunk_without_weights(trunk).state_dict().keys()
    found: dict[str, str] = {}
    for name in weights:
        plain = name if name in names else _WRAPPERS.sub("", name)
        if plain in found:
            raise UsageError(
                f"{path} has two tensors for {plain}: {found[plain]} and {name}. Keep one of the models in the file"
            )
        found[plain] = name
    return {plain: weights[name] for plain, name in found.items()}


def _conversion(path: Path) -> str:
    """Return how to convert ``path``, if it is a file of torch.save; else nothing."""
    if not path.is_file() or not (path.suffix in _PICKLED or _first_bytes(path) in (b"PK", b"\x80\x02")):
        return ""
    made = path.with_suffix(".safetensors" if path.suffix in _PICKLED else ".converted.safetensors")
    command = _CONVERT.format(given=str(path), made=str(made))
    return f'; files of torch.save may run code and are not read, so convert it: python -c "{command}"'


def _first_bytes(path: Path) -> bytes:
    """Return the first two bytes of a file, which may be of many gigabytes."""
    with path.open("rb") as file:
        return file.read(2)


def check_pretrained(path: Path, trunk: AnyTrunk, task: Task) -> list[str]:
    """Return the names of the trunk's tensors that the file cannot initialise: a classifier that it lacks, or of other classes.

    Raises:
        UsageError: ``path`` is not a safetensors file, or its other weights are not those of the trunk.

    """
    if isinstance(trunk, Host):
        raise UsageError(
            f"{path} is not read: {trunk} makes a network of your own. Load its pretrained weights in this function, and "
            "begin a new run"
        )
    weights = trunk_weights(path, trunk)
    model = build_trunk(trunk, task.num_classes, task.channels)
    wanted = {name: tensor for name, tensor in model.state_dict().items() if not name.endswith("num_batches_tracked")}
    head = _classifier(model)
    fresh = [
        name
        for name, tensor in wanted.items()
        if name.startswith(head) and (name not in weights or weights[name].shape != tensor.shape)
    ]
    wrong = [
        f"{name} {tuple(tensor.shape)}" + (f", there {tuple(weights[name].shape)}" if name in weights else "")
        for name, tensor in wanted.items()
        if name not in fresh and (name not in weights or weights[name].shape != tensor.shape)
    ]
    if wrong:
        others = [name for name in weights if name not in wanted and not name.endswith("num_batches_tracked")]
        instead = f"; it has {', '.join(others[:_NAMED])}{' and more' * (len(others) > _NAMED)} instead" if others else ""
        raise UsageError(f"{path} does not have the weights of {trunk}: it lacks {listed(wrong, _NAMED, '; ')}{instead}")
    return fresh


def _classifier(model: nn.Module) -> str:
    """Return the name of the last linear layer, with a dot."""
    return [name for name, module in model.named_modules() if isinstance(module, nn.Linear)][-1] + "."
