"""Runs exported models without attn_nas; started by its path, under ``python -I``, with a work folder as argument.

The work folder has ``job.json`` (see `attn_nas.export.verify`), ``inputs.safetensors`` with normalised images by batch size,
and ``KEY.py`` with the bare trunk of each network. To reproduce accuracies it also has ``validation.safetensors`` with images
of bytes and their labels. Results are written to ``found.json`` and ``logits.safetensors``.
"""

from __future__ import annotations

import importlib.util
import json
import sys
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.utils import _pytree

Network = Callable[[Tensor], Any]
EXAMINED = "examined"
"""File in the work folder with one character for each folder that was examined."""


def load_module(path: Path) -> ModuleType:
    """Execute the Python file at ``path`` and return its module."""
    spec = importlib.util.spec_from_file_location(f"{path.parent.name}_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def load_source(folder: Path) -> Network:
    """Load ``model.py`` and its weights."""
    network: nn.Module = load_module(folder / "model.py").build_model()
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return network.eval()


def load_inserted(folder: Path) -> Network:
    """Make the bare trunk from its source in the work folder, apply ``insert.py`` to it, and load the weights."""
    bare: nn.Module = load_module(Path(sys.argv[1]) / f"{folder.name}.py").build_model()
    network: nn.Module = load_module(folder / "insert.py").insert(bare)
    network.load_state_dict(load_file(folder / "model.safetensors"))
    return network.eval()


def load_hub(folder: Path) -> Network:
    """Load the folder with `torch.hub`."""
    network: nn.Module = torch.hub.load(str(folder), "attn_model", source="local")
    return network


def load_pt2(folder: Path) -> Network:
    """Load ``model.pt2``."""
    return torch.export.load(folder / "model.pt2").module()


def load_onnx(folder: Path) -> Network:
    """Load ``model.onnx`` in ONNX Runtime."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(folder / "model.onnx", options, providers=["CPUExecutionProvider"])

    def run(images: Tensor) -> Any:
        found = [torch.from_numpy(each) for each in session.run(None, {"images": images.numpy()})]
        return found[0] if len(found) == 1 else found

    return run


LOADERS: dict[str, Callable[[Path], Network]] = {
    "source": load_source,
    "insert": load_inserted,
    "hub": load_hub,
    "pt2": load_pt2,
    "onnx": load_onnx,
}


@dataclass(frozen=True)
class Validation:
    """Images ``(N, C, H, W)`` with their labels, and the ``mean`` and ``std`` of the stored pixels."""

    images: Tensor
    labels: Tensor
    mean: Tensor
    std: Tensor

    @classmethod
    def load(cls, path: Path, normalization: dict[str, list[float]]) -> Validation:
        """Read the split from the file at ``path``."""
        tensors = load_file(path)
        scale = {torch.uint8: 255, torch.uint16: 65535}.get(tensors["images"].dtype, 1)
        mean, std = (scale * torch.tensor(normalization[name])[:, None, None] for name in ("mean", "std"))
        return cls(**tensors, mean=mean, std=std)

    @torch.no_grad()
    def logits(self, network: Network, batch: int, device: str, precision: str, channels_last: bool) -> Iterator[Tensor]:
        """Yield the logits of each batch on the CPU, computed as the validation of a training computes them."""
        layout = torch.channels_last if channels_last else torch.contiguous_format
        for pixels in self.images.split(batch):
            images = ((pixels.float() - self.mean) / self.std).contiguous(memory_format=layout).to(device)
            with torch.autocast(device, torch.bfloat16, enabled=precision == "bf16", cache_enabled=False):
                found = network(images)
            yield found.float().cpu()

    def classes(self, network: Network, batch: int, **numerics: Any) -> Tensor:
        """Return the predicted class ``(N,)`` of each image."""
        return torch.cat([logits.argmax(1) for logits in self.logits(network, batch, **numerics)])

    def score(self, network: Network, described: dict[str, Any], batch: int, **numerics: Any) -> float:
        """Return the score that is ``described``."""
        meter = load_module(Path(described["module"])).Meter(*described["meter"])
        for logits, labels in zip(self.logits(network, batch, **numerics), self.labels.split(batch), strict=True):
            meter.add(logits, labels)
        return float(meter.value())


class Unhooked(nn.Module):
    """``network`` without its hooks: the hook that checks the inputs of a ``.pt2`` cannot be traced."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, ...]:
        """Call the network's own forward; several outputs become a tuple."""
        found = self.network.forward(x)
        return found if isinstance(found, Tensor) else tensors(found)


def tensors(output: Any) -> tuple[Tensor, ...]:
    """Return the tensors of an output: a tensor, or a mapping or sequence of some."""
    return tuple(each for each in _pytree.tree_leaves(output) if isinstance(each, Tensor))


def joined(output: Any) -> Tensor:
    """Return an output as one tensor: several are flattened and put one after another, for each image."""
    return output if isinstance(output, Tensor) else torch.cat([each.flatten(1) for each in tensors(output)], 1)


def count_cost(module: nn.Module, image: Tensor, handles: ModuleType, of_user: bool) -> dict[str, int]:
    """Count FLOPs of all operators for one image ``(1, C, H, W)``, and parameters.

    In a network ``of_user`` an operator without a counter costs 1 per element of its output.
    """
    from fvcore.nn import FlopCountAnalysis

    known = handles.HANDLES
    for _ in range(2):
        analysis = FlopCountAnalysis(Unhooked(module), image)
        analysis.set_op_handle(**known, **dict.fromkeys(handles.FREE))
        analysis.unsupported_ops_warnings(False).uncalled_modules_warnings(False)
        total, unknown = round(analysis.total()), analysis.unsupported_ops()
        if not (unknown and of_user):
            break
        known = {**known, **{name: handles.per_output() for name in unknown}}
    return {"flops": total, "params": sum(parameter.numel() for parameter in module.parameters())}


def examine(described: dict[str, Any], work: Path, logits: dict[str, Tensor], threads: int) -> dict[str, Any]:
    """Run the models of one folder and return the results by format; their logits are added to ``logits``."""
    folder = Path(described["folder"])
    inputs = load_file(work / "inputs.safetensors")
    handles = load_module(Path(described["handles"]))
    load_module(Path(described["operators"])).declare_torchvision_operators()
    networks: dict[str, Network] = {}
    found: dict[str, Any] = {}
    torch.set_num_threads(1)
    for name in described["formats"]:
        try:
            network = networks[name] = LOADERS[name](folder)
            with torch.no_grad():
                logits |= {f"{folder.name}/{name}/{batch}": joined(network(images)) for batch, images in inputs.items()}
            of_user = described["of_user"]
            found[name] = {}
            if isinstance(network, nn.Module) and not (of_user and name == "pt2"):
                found[name] = count_cost(network, inputs["1"], handles, of_user)
        except Exception as error:  # noqa: BLE001  an exported file may raise any exception
            reason = str(error).strip().splitlines() or [""]
            return {name: {"error": f"{type(error).__name__}: {reason[0]}"}}
    torch.set_num_threads(threads)
    if (work / "validation.safetensors").exists():
        reproduce(described, networks, found, Validation.load(work / "validation.safetensors", described["normalization"]))
    return found


def reproduce(described: dict[str, Any], networks: dict[str, Network], found: dict[str, Any], data: Validation) -> None:
    """Count the correctly classified validation images of each network and add the number to ``found`` as ``correct``.

    Where another score was recorded, it is added as ``score``. Modules run with the numerics of the training's validation, on
    this machine's devices; graphs run in fp32 on the CPU. If a number differs from the recorded one, ``undecided`` is added:
    the number of images that fp32 and bf16 classify differently, or the difference of their scores.
    """
    batch: int = described["batch"]
    graph_numerics: dict[str, Any] = {"device": "cpu", "precision": "fp32", "channels_last": False}
    numerics = {**described["numerics"], **({} if torch.cuda.is_available() else {"device": "cpu"})}
    layout = torch.channels_last if numerics["channels_last"] else torch.contiguous_format
    for name, network in networks.items():
        chosen = graph_numerics
        if name in ("source", "insert", "hub"):
            assert isinstance(network, nn.Module)
            network.to(numerics["device"], memory_format=layout)  # type: ignore[call-overload]
            chosen = numerics
        if described["score"]:
            found[name]["score"] = data.score(network, described["score"], batch, **chosen)
        else:
            found[name]["correct"] = int((data.classes(network, batch, **chosen) == data.labels).sum())
    source = next(network for name, network in networks.items() if name in ("source", "insert"))
    if described["score"]:
        wanted = described["score"]
        if any(abs(each["score"] - wanted["recorded"]) > wanted["allowed"] for each in found.values()):
            precisions = ({**numerics, "precision": each} for each in ("bf16", "fp32"))
            in_half, in_single = (data.score(source, wanted, batch, **each) for each in precisions)
            for each in found.values():
                each["undecided"] = abs(in_half - in_single)
    elif any(each["correct"] != described["correct"] for each in found.values()):
        half, single = (data.classes(source, batch, **{**numerics, "precision": each}) for each in ("bf16", "fp32"))
        for each in found.values():
            each["undecided"] = int((half != single).sum())


def main() -> None:
    """Examine every folder of the job."""
    warnings.filterwarnings("ignore")
    sys.modules["attn_nas"] = None  # type: ignore[assignment]
    work, threads = Path(sys.argv[1]), torch.get_num_threads()
    logits: dict[str, Tensor] = {}
    job = json.loads((work / "job.json").read_text())
    found = {}
    for described in job:
        found[Path(described["folder"]).name] = examine(described, work, logits, threads)
        with (work / EXAMINED).open("a") as file:
            file.write(".")
    save_file({name: tensor.contiguous() for name, tensor in logits.items()}, work / "logits.safetensors")
    (work / "found.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()
