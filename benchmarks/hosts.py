"""Sites on networks that nobody here wrote: found, filled, undone, and exported, for torchvision, timm, smp and a YOLO.

Each network is made without weights and runs on one small image. SE is inserted at every site as the identity: the output
must then be equal to the bit to that of the bare network, and equal again after ``remove``. The network with attention is
written by torch.export and by the ONNX exporter; both files are loaded and run. What differs is the largest difference of an
output relative to its largest value. Needs the extra ``interop``. Finished networks are kept in ``--state FILE``, so that an
interrupted sweep goes on.
"""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Callable
from contextlib import redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path
from typing import Any

import torch
from common import make_parser, present
from kept import keep, kept
from torch import Tensor, nn
from torch.utils import _pytree

import attn_nas as an
from attn_nas.errors import AttnNasError, first_line

an.declare_torchvision_operators()
SMALL = (3, 64, 64)


def of_torchvision(name: str, **options: Any) -> Callable[[], nn.Module]:
    """A classifier of torchvision, without weights."""

    def make() -> nn.Module:
        from torchvision import models

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return models.get_model(name, weights=None, num_classes=10, **options)

    return make


def of_segmentation(name: str) -> Callable[[], nn.Module]:
    """A segmentation network of torchvision, without weights."""

    def make() -> nn.Module:
        from torchvision import models

        return models.get_model(name, weights=None, weights_backbone=None, num_classes=5)

    return make


def of_timm(name: str) -> Callable[[], nn.Module]:
    """A network of timm, without weights."""

    def make() -> nn.Module:
        import timm

        return timm.create_model(name, pretrained=False, num_classes=10)

    return make


def of_smp(name: str) -> Callable[[], nn.Module]:
    """A network of segmentation_models_pytorch with a ResNet-18, without weights."""

    def make() -> nn.Module:
        import segmentation_models_pytorch as smp

        return getattr(smp, name)("resnet18", encoder_weights=None, classes=5)

    return make


def of_ultralytics(name: str) -> Callable[[], nn.Module]:
    """A detector of ultralytics from its YAML, without weights."""

    def make() -> nn.Module:
        from ultralytics.nn.tasks import DetectionModel

        return DetectionModel(name, nc=3, verbose=False)

    return make


TORCHVISION = (
    "alexnet",
    "vgg11_bn",
    "squeezenet1_1",
    "resnet18",
    "resnet50",
    "resnext50_32x4d",
    "densenet121",
    "shufflenet_v2_x0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "mobilenet_v3_large",
    "mnasnet0_5",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "regnet_x_400mf",
    "regnet_y_400mf",
    "convnext_tiny",
    "vit_b_16",
    "swin_t",
)
TIMM = (
    "resnet18d",
    "resnet26",
    "skresnet18",
    "mobilenetv4_conv_small",
    "tf_efficientnetv2_b0",
    "regnety_002",
    "convnextv2_atto",
    "repvgg_a0",
    "ghostnet_100",
    "hrnet_w18_small",
    "dla34",
    "cspresnet50",
    "rexnet_100",
    "edgenext_xx_small",
    "ese_vovnet19b_dw",
    "res2net50_14w_8s",
    "mobileone_s0",
    "fastvit_t8",
)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, int, int]]] = {
    **{f"torchvision {name}": (of_torchvision(name), SMALL) for name in TORCHVISION},
    "torchvision googlenet": (of_torchvision("googlenet", init_weights=False, aux_logits=False), SMALL),
    "torchvision inception_v3": (of_torchvision("inception_v3", init_weights=False, aux_logits=False), (3, 96, 96)),
    "torchvision maxvit_t": (of_torchvision("maxvit_t"), (3, 224, 224)),
    **{
        f"torchvision {name}": (of_segmentation(name), SMALL)
        for name in ("lraspp_mobilenet_v3_large", "deeplabv3_mobilenet_v3_large", "fcn_resnet50")
    },
    **{f"timm {name}": (of_timm(name), SMALL) for name in TIMM},
    **{f"smp {name}": (of_smp(name), SMALL) for name in ("Unet", "FPN", "DeepLabV3Plus", "UnetPlusPlus", "MAnet", "PSPNet")},
    **{f"ultralytics {name}": (of_ultralytics(name), SMALL) for name in ("yolov8n.yaml", "yolo11n.yaml")},
}
"""Each network by package and name: how it is made, and the shape of its image."""
NETWORKS["torchvision vit_b_16"] = (of_torchvision("vit_b_16"), (3, 224, 224))
NETWORKS["torchvision swin_t"] = (of_torchvision("swin_t"), (3, 64, 64))


def tensors(output: Any) -> list[Tensor]:
    """The tensors of an output."""
    return [each for each in _pytree.tree_leaves(output) if isinstance(each, Tensor)]


def difference(found: list[Tensor], wanted: list[Tensor]) -> float:
    """The largest difference of an output, relative to its largest value; 0 if all are equal to the bit."""
    if len(found) != len(wanted) or any(a.shape != b.shape for a, b in zip(found, wanted, strict=True)):
        return float("inf")
    pairs = [(a, b) for a, b in zip(found, wanted, strict=True) if not torch.equal(a, b)]
    return max((((a - b).abs().max() / b.abs().max()).item() for a, b in pairs), default=0.0)


def disturbed(model: nn.Module) -> None:
    """Give all weights and statistics small random changes, so that no branch is zero."""
    with torch.no_grad():
        for tensor in (*model.parameters(), *model.buffers()):
            if tensor.is_floating_point():
                tensor.add_(0.01 * torch.rand_like(tensor))


def pt2(model: nn.Module, image: Tensor) -> list[Tensor]:
    """Outputs of the network after it was written by torch.export and read again."""
    written = BytesIO()
    torch.export.save(torch.export.export(model, (image,)), written)
    written.seek(0)
    return tensors(torch.export.load(written).module()(image))


def onnx(model: nn.Module, image: Tensor) -> list[Tensor]:
    """Outputs of ONNX Runtime."""
    import onnxruntime

    with redirect_stdout(StringIO()):
        program = torch.onnx.export(model, (image,), dynamo=True, verbose=False)
    assert program is not None
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return [torch.from_numpy(each) for each in session.run(None, {session.get_inputs()[0].name: image.numpy()})]


def attempt(write: Callable[[nn.Module, Tensor], list[Tensor]], model: nn.Module, image: Tensor, wanted: list[Tensor]) -> Any:
    """The difference of an exported network; the reason if the bare exporter or runtime fails."""
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return difference(write(model, image), wanted)
    except Exception as error:  # noqa: BLE001  exporters of many kinds
        return f"{type(error).__name__}: {first_line(error)}"[:160]


def examine(make: Callable[[], nn.Module], shape: tuple[int, int, int]) -> dict[str, Any]:
    """Sites of one network, and what insertion and removal keep."""
    model, image, bare = made(make, shape)
    names = [name for name, _ in model.named_parameters()]
    before, start = repr(model), time.perf_counter()
    try:
        found = an.sites(model, shape)
    except AttnNasError as error:
        return {"sites": 0, "why_not": str(error)}
    seconds = time.perf_counter() - start
    an.insert(model, dict.fromkeys(found, "se"), identity_init=True)
    with torch.no_grad():
        attended = tensors(model(image))
    kept = [name for name, _ in model.named_parameters()]
    an.remove(model)
    with torch.no_grad():
        after = tensors(model(image))
    return {
        "sites": len(found),
        "known": sum(bool(site.block.family) for site in found),
        "kinds": sorted({site.kind for site in found}),
        "seconds": round(seconds, 2),
        "identity": difference(attended, bare),
        "names_kept": [name for name in kept if name in set(names)] == names,
        "undone": repr(model) == before and [name for name, _ in model.named_parameters()] == names,
        "undone_difference": difference(after, bare),
    }


def export(make: Callable[[], nn.Module], shape: tuple[int, int, int]) -> dict[str, Any]:
    """Differences of the exported network with attention; where one fails, the outcome for the bare network too."""
    model, image, _ = made(make, shape)
    an.insert(model, dict.fromkeys(an.sites(model, shape), "se"))
    disturbed(model)
    writers = {"pt2": pt2, "onnx": onnx}
    with torch.no_grad():
        wanted = tensors(model(image))
    row = {name: attempt(write, model, image, wanted) for name, write in writers.items()}
    failed = [name for name, found in row.items() if isinstance(found, str)]
    if failed:
        plain, image, wanted = made(make, shape)
        row["bare"] = {name: attempt(writers[name], plain, image, wanted) for name in failed}
    return row


def made(make: Callable[[], nn.Module], shape: tuple[int, int, int]) -> tuple[nn.Module, Tensor, list[Tensor]]:
    """A network in evaluation mode, an image, and its outputs."""
    torch.manual_seed(0)
    model = make().eval()
    disturbed(model)
    image = torch.rand(1, *shape)
    with torch.no_grad():
        return model, image, tensors(model(image))


def main() -> None:
    """Examine every network, then export those with sites, print."""
    parser = make_parser((__doc__ or "").splitlines()[0])
    parser.add_argument("--state", type=Path, help="file of finished work, one JSON document a line")
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    wanted = {name: each for number, (name, each) in enumerate(NETWORKS.items()) if not chosen.quick or number % 12 == 3}
    rows: dict[str, dict[str, Any]] = {}
    for each in kept(chosen.state):
        rows.setdefault(each.pop("name"), {}).update(each)
    for work, done in ((examine, "sites"), *([] if chosen.quick else [(export, "pt2")])):
        for name, (make, shape) in wanted.items():
            row = rows.setdefault(name, {})
            if done in row or row.get("sites") == 0:
                continue
            found = work(make, shape)
            row.update(found)
            print(f"{name}: {found}", file=sys.stderr, flush=True)
            keep(chosen.state, {"name": name, **found})
    listed = [{"name": name, **rows[name]} for name in wanted]
    with_sites = [row for row in listed if row["sites"]]
    equal = sum(row["identity"] == 0 and row["undone"] and row["names_kept"] for row in with_sites)
    text = (
        f"{len(with_sites)} of {len(listed)} networks have sites; {equal} are equal to the bit with attention as the identity"
    )
    present(chosen, equal / max(1, len(with_sites)), text, networks=listed)


if __name__ == "__main__":
    main()
