"""Verification of exported folders in an isolated Python process in which this package cannot be imported."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from attn_nas.cost import handles
from attn_nas.errors import ExportError
from attn_nas.space.task import Task

# Runs under `python -I`: argv holds a work folder, the file of operator counters, and the exported folders.
_SCRIPT = """
import importlib.util, json, pathlib, sys, warnings
warnings.filterwarnings("ignore")
sys.modules["attn_nas"] = None
import torch
from fvcore.nn import FlopCountAnalysis
from safetensors.torch import load_file, save_file

def load(path, name):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module

torch.set_num_threads(1)
work, handles = pathlib.Path(sys.argv[1]), load(sys.argv[2], "handles")
images = load_file(work / "images.safetensors")["images"]
logits, costs = {}, {}
for index, folder in enumerate(map(pathlib.Path, sys.argv[3:])):
    model = load(folder / "model.py", f"model_{index}").build_model()
    model.load_state_dict(load_file(folder / "model.safetensors"))
    model.eval()
    with torch.no_grad():
        logits[folder.name] = model(images)
    analysis = FlopCountAnalysis(model, images[:1])
    analysis.set_op_handle(**handles.HANDLES, **dict.fromkeys(handles.FREE))
    analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    costs[folder.name] = [analysis.total(), sum(p.numel() for p in model.parameters())]
save_file(logits, work / "logits.safetensors")
(work / "costs.json").write_text(json.dumps(costs))
"""


def sample_images(task: Task, number: int = 8) -> Tensor:
    """A fixed batch of normalised random images ``(number, C, H, W)``."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn((number, task.channels, task.height, task.width), generator=generator)


def verify(folders: Sequence[Path], expected: Mapping[str, tuple[Tensor, int, int]], task: Task) -> None:
    """Load every exported folder in isolation and compare logits (to the bit), FLOPs and parameters with ``expected``.

    ``expected`` maps a folder's name to the logits of `sample_images` on one thread, the FLOPs and the parameters.

    Raises:
        ExportError: a folder does not load, or differs.

    """
    with tempfile.TemporaryDirectory() as temporary:
        work = Path(temporary)
        save_file({"images": sample_images(task)}, work / "images.safetensors")
        command = [sys.executable, "-I", "-B", "-c", _SCRIPT, str(work), str(handles.__file__), *map(str, folders)]
        finished = subprocess.run(command, capture_output=True, text=True, check=False)
        if finished.returncode:
            reason = (finished.stderr.strip().splitlines() or ["no message"])[-1]
            raise ExportError(f"the exported model does not load by itself: {reason}")
        logits = load_file(work / "logits.safetensors")
        costs = json.loads((work / "costs.json").read_text())
    for name, (wanted, flops, params) in expected.items():
        if not torch.equal(logits[name], wanted):
            raise ExportError(f"{name}: the exported model gives other logits than the trained one")
        if costs[name] != [flops, params]:
            raise ExportError(f"{name}: exported FLOPs and parameters are {costs[name]}, recorded were {[flops, params]}")
