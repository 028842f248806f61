"""Source of ``hubconf.py``, with which hubs load an exported folder."""

from __future__ import annotations

HUBCONF = r'''"""Loads this folder as hubs do: ``torch.hub.load(folder, "attn_model", source="local")``."""

import importlib.util
import json
import re
from pathlib import Path

from safetensors.torch import load_file
from torch import nn

dependencies = ["torch", "safetensors"]
_WRAPPERS = re.compile(r"^(?:(?:module|model|_orig_mod)\.)+")


def attn_model(pretrained: bool = True) -> nn.Module:
    """Return the network in evaluation mode, with the trained weights of this folder unless ``pretrained`` is false."""
    folder = Path(__file__).parent
    return from_pretrained(folder) if pretrained else _network(folder).eval()


def from_pretrained(folder: str | Path) -> nn.Module:
    """Load the network of ``model.py``, ``config.json`` and ``model.safetensors`` in ``folder``, in evaluation mode.

    Weights may have the prefixes of wrappers, such as ``module.`` and ``_orig_mod.``, after a training of your own.
    """
    network = _network(Path(folder))
    names, weights = network.state_dict().keys(), load_file(Path(folder) / "model.safetensors")
    network.load_state_dict({name if name in names else _WRAPPERS.sub("", name): weights[name] for name in weights})
    return network.eval()


def _network(folder: Path) -> nn.Module:
    # Imported by its path, not by its name: every exported folder has a module named "model".
    spec = importlib.util.spec_from_file_location(f"attn_model_{folder.name}", folder / "model.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    network: nn.Module = module.build_model(config["num_classes"], config["in_channels"])
    return network
'''
