"""Search attention placements in a network of timm, on images in class folders.

    python own_model.py IMAGE_FOLDER                 # 30 candidates of 12 epochs each
    python own_model.py --toy                        # minutes: 3 candidates of one epoch, on embedded digits

timm's RegNet has blocks that this package does not know: they have the insertion points before and after them. The winner is
exported as ``insert.py``, which puts the attention into any copy of the network, weights, and a graph.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

import attn_nas as an

an.declare_torchvision_operators()  # timm imports torchvision, which fails beside a CPU build of torch without this


def make_network(num_classes: int = 10, name: str = "regnetx_002") -> torch.nn.Module:
    """A network of timm without pretrained weights; ``num_classes`` is filled in from the data."""
    import timm

    return timm.create_model(name, pretrained=False, num_classes=num_classes)


def main() -> None:
    """List the sites, search, export the cheapest member of the front that has attention."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("images", nargs="?", type=Path, help="folder with a subfolder of images for each class")
    parser.add_argument("--toy", action="store_true", help="a short search on embedded digits")
    parser.add_argument("--run", type=Path, default=Path("runs/own_model"), help="run folder")
    chosen = parser.parse_args()
    if not (chosen.toy or chosen.images):
        parser.error("name a folder of images, or --toy")
    shape = (3, 32, 32) if chosen.toy else (3, 128, 128)
    for site in an.sites(make_network(), shape):
        print(f"{site.name:10} {site.kind:12} {site.shape}  {' '.join(site.positions)}")
    digits = {"name": "cued_digits", "num_train": 256, "num_validation": 128}
    training = {"epochs": 1 if chosen.toy else 12, "batch_size": 64, "lr": 0.1}
    space = an.SearchSpace(
        model=make_network,
        example=shape,
        sites=["s3.*", "s4.*"] if chosen.toy else None,
        mechanisms=["se", "eca", "cbam"],
        max_flops="+5%",
        data=digits if chosen.toy else {"name": "image_folder", "root": str(chosen.images), "image_size": shape[1]},
        proxy=training,
    )
    search = an.Search(space, run=chosen.run)
    search.optimize(n_trials=3 if chosen.toy else 30, confirm=0 if chosen.toy else 1)
    for candidate in search.run.front:
        print(candidate)
    attended = [candidate for candidate in search.run.candidates if candidate.record.genotype.num_attended]
    winner = max(attended, key=lambda candidate: candidate.accuracy)
    print(winner.export(chosen.run / "export", formats=["insert", "safetensors"], force=True))


if __name__ == "__main__":
    main()
