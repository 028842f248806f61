"""Put attention into the backbone and the neck of a YOLO, train it for an epoch, and export it.

    python yolo_sites.py            # needs ultralytics: pip install ultralytics

The detector is made from its YAML, without weights, and trained on a handful of drawn images. ultralytics is licensed under
AGPL-3.0 and is no part of this package. What its loop does with a model goes on working with attention in it: the
averaged copy, the checkpoint and its reload, ``fuse()``, and the ONNX file.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

import attn_nas as an

an.declare_torchvision_operators()
YAML, SIZE = "yolov8n.yaml", 64
PLACEMENTS = {"model.4": "se", "model.6": "se", "model.15": "cbam", "model.18": "cbam"}
"""Blocks of the backbone (4, 6) and of the neck (15, 18) of YOLOv8, and what they get."""


def draw_images(folder: Path, number: int = 8) -> Path:
    """Images with one bright square each, their labels, and the data file of ultralytics; returns that file."""
    rng = np.random.default_rng(0)
    for split in ("train", "val"):
        (folder / "images" / split).mkdir(parents=True)
        (folder / "labels" / split).mkdir(parents=True)
        for index in range(number):
            pixels = rng.integers(0, 80, (SIZE, SIZE, 3), dtype=np.uint8)
            x, y = rng.integers(0, SIZE - 24, 2)
            pixels[y : y + 24, x : x + 24] = 230
            Image.fromarray(pixels).save(folder / "images" / split / f"{index}.png")
            box = ((x + 12) / SIZE, (y + 12) / SIZE, 24 / SIZE, 24 / SIZE)
            (folder / "labels" / split / f"{index}.txt").write_text(f"0 {' '.join(f'{value:.4f}' for value in box)}\n")
    data = folder / "squares.yaml"
    data.write_text(f"path: {folder}\ntrain: images/train\nval: images/val\nnames: [square]\n")
    return data


def register_nms() -> None:
    """Non-maximum suppression in plain torch for the CPU, where torchvision's own operator cannot be loaded."""

    def nms(boxes: Tensor, scores: Tensor, threshold: float) -> Tensor:
        kept: list[Tensor] = []
        left = scores.argsort(descending=True)
        area = (boxes[:, 2:] - boxes[:, :2]).clamp(min=0).prod(1)
        while left.numel():
            first, left = left[0], left[1:]
            kept.append(first)
            low, high = torch.maximum(boxes[first, :2], boxes[left, :2]), torch.minimum(boxes[first, 2:], boxes[left, 2:])
            common = (high - low).clamp(min=0).prod(1)
            left = left[common / (area[first] + area[left] - common).clamp(min=1e-9) <= threshold]
        return torch.stack(kept) if kept else torch.zeros(0, dtype=torch.int64)

    import torchvision

    try:
        torchvision.ops.nms(torch.zeros(1, 4), torch.zeros(1), 0.5)
    except (RuntimeError, NotImplementedError):
        torchvision.extension._has_ops = lambda: True
        torchvision.extension._assert_has_ops = lambda: None
        register_nms.library = library = torch.library.Library("torchvision", "IMPL")  # type: ignore[attr-defined]
        library.impl("nms", nms, "CPU")


def outputs(model: Any, images: Tensor) -> Tensor:
    """Predictions ``(B, 4 + classes, anchors)`` in evaluation mode."""
    with torch.no_grad():
        found = model.eval()(images)
    return found[0] if isinstance(found, tuple) else found


def main() -> None:
    """Find the sites, train with attention, and check what ultralytics does with the model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--without-onnx", action="store_true", help="leave out the ONNX file")
    chosen = parser.parse_args()
    if importlib.util.find_spec("ultralytics") is None:
        print("this example needs ultralytics (AGPL-3.0): pip install ultralytics")
        return
    os.environ.setdefault("YOLO_OFFLINE", "true")
    from ultralytics.models.yolo.detect import DetectionTrainer
    from ultralytics.nn.tasks import DetectionModel
    from ultralytics.utils.torch_utils import ModelEMA

    register_nms()
    bare = DetectionModel(YAML, nc=1, verbose=False)
    for site in an.sites(bare, (3, SIZE, SIZE)):
        print(f"{site.name:10} {site.kind:8} {site.shape}  {' '.join(site.positions)}")

    def with_attention(model: Any) -> Any:
        return an.insert(model, PLACEMENTS, example=(3, SIZE, SIZE), identity_init=True)

    images = torch.rand(2, 3, SIZE, SIZE)
    expected = outputs(bare, images)
    model = with_attention(bare)
    assert torch.equal(outputs(model, images), expected), "attention that starts as the identity changes nothing"
    assert model.model[4].type.endswith("C2f"), "attributes that ultralytics reads are there"
    assert model.model[4].i == 4
    assert model.model[4].f == -1

    class Trainer(DetectionTrainer):
        """The trainer of ultralytics, whose model has attention."""

        def get_model(self, cfg: Any = None, weights: Any = None, verbose: bool = True) -> Any:
            return with_attention(super().get_model(cfg, weights, verbose))

    with tempfile.TemporaryDirectory() as temporary:
        data = draw_images(Path(temporary))
        settings = {"model": YAML, "data": str(data), "epochs": 1, "imgsz": SIZE, "batch": 4, "workers": 0, "device": "cpu"}
        trainer = Trainer(
            overrides={**settings, "project": temporary, "name": "run", "plots": False, "amp": False, "verbose": False}
        )
        trainer.train()
        checkpoint = torch.load(trainer.last, map_location="cpu", weights_only=False)
        trained = (checkpoint["ema"] or checkpoint["model"]).float()
    assert any("attention_post" in name for name in trained.state_dict()), "the checkpoint has the attention"
    average = ModelEMA(trained).ema
    expected = outputs(copy.deepcopy(trained), images)
    assert torch.equal(outputs(average, images), expected)
    fused = copy.deepcopy(trained).fuse(verbose=False)
    difference = (outputs(fused, images) - expected).abs().max() / expected.abs().max()
    print(f"fused: outputs differ by {difference:.1e} of the largest")
    assert difference < 1e-3
    if not chosen.without_onnx:
        export_onnx(trained.eval(), images, expected)
    assert not any("attention" in name for name in an.remove(trained).state_dict())


def export_onnx(model: Any, images: Tensor, expected: Tensor) -> None:
    """Write the model as ONNX, run it, and compare."""
    import onnxruntime

    program = torch.onnx.export(model, (images,), dynamo=True, verbose=False)
    assert program is not None
    session = onnxruntime.InferenceSession(program.model_proto.SerializeToString(), providers=["CPUExecutionProvider"])
    found, *_ = session.run(None, {session.get_inputs()[0].name: images.numpy()})
    difference = float(np.abs(found - expected.numpy()).max() / expected.abs().max())
    print(f"ONNX: outputs differ by {difference:.1e} of the largest")
    assert difference < 1e-3


if __name__ == "__main__":
    sys.exit(main())
