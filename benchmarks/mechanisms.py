"""Every mechanism at three sizes: its complete FLOPs, and how much slower it makes a basic block.

Times are of a training step (forward and backward) and of an inference of a residual block of two 3x3 convolutions, batches
of 16, one thread, in the arithmetic of a search on this machine, relative to the bare block; on the CPU and, where there is
one, on CUDA. With ``--peers FOLDER`` of files ``NAME.py``, each with a function ``make(channels, **arguments)``, our modules
are timed beside those implementations, with equal arguments and contiguous inputs, which some of them need.
"""

from __future__ import annotations

import argparse
import importlib.util
import warnings
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import geometric_mean
from typing import Any

import torch
from common import present
from torch import nn

from attn_nas.attention.catalog import get_mechanism, mechanism_names
from attn_nas.training.catalogue_costs import BATCH, catalogue_costs, slowdown
from attn_nas.training.device import Numerics, choose_numerics
from attn_nas.training.timing import time_modules

SIZES = ((64, 32), (128, 16), (256, 8))


def peers(channels: int, side: int) -> dict[str, tuple[dict[str, Any], str, dict[str, Any]]]:
    """By name: our arguments, the file of the other implementation, and its arguments for the same module."""
    return {
        "se": ({"reduction": 16, "bias": True}, "se", {"rd_channels": channels // 16}),
        "ese": ({}, "ese", {}),
        "eca": ({"kernel_size": 3}, "eca", {}),
        "cbam": ({"reduction": 16, "kernel_size": 7}, "cbam", {"rd_channels": channels // 16}),
        "coord": ({"reduction": 32}, "coord", {}),
        "gc": ({"reduction": 4}, "gc", {}),
        "triplet": ({"kernel_size": 7}, "triplet", {}),
        "bam": ({"reduction": 16}, "bam", {}),
        "scse": ({"reduction": 2}, "scse", {}),
        "srm": ({}, "srm", {}),
        "ge": ({"kernel_size": 3}, "ge", {"extent": 2}),
        "ge_conv": ({"kernel_size": 3}, "ge_param", {}),
        "sge": ({"groups": 4}, "sge", {}),
        "shuffle": ({"groups": 4}, "shuffle", {}),
        "gct": ({}, "gct", {}),
        "nam": ({}, "nam", {}),
        "ela": ({"kernel_size": 7}, "ela", {}),
        "ema_attention": ({"groups": 4}, "ema", {}),
        "lka": ({}, "lka", {}),
        "lsk": ({}, "lsk", {}),
        "simam": ({}, "simam", {}),
        "fca": ({"reduction": 16, "groups": 16}, "fca", {"dct_h": side, "dct_w": side}),
        "gsop": ({"reduction": 8}, "gsop", {"att_dim": channels // 8}),
        "danet_pam": ({"reduction": 8}, "danet_pam", {}),
        "danet_cam": ({}, "danet_cam", {}),
        "mhsa": ({"groups": 4}, "mhsa", {"feat_size": (side, side), "scale_pos_embed": True}),
        "nonlocal": ({"reduction": 2}, "nonlocal_alexhex7", {}),
        "sk": ({"reduction": 16}, "sk", {"groups": 32, "rd_channels": channels // 16}),
        "split_attention": ({"reduction": 2}, "split_attention", {}),
    }


def load_peer(folder: Path, name: str) -> Callable[..., nn.Module]:
    """The ``make`` of a peer's file."""
    spec = importlib.util.spec_from_file_location(f"peer_{name}", folder / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    make: Callable[..., nn.Module] = module.make
    return make


def against_peers(folder: Path, size: tuple[int, int], numerics: Numerics, rounds: int) -> dict[str, dict[str, float]]:
    """By name: time of our module over that of the peer, for a training step and an inference of the module alone."""
    channels, side = size
    found = {}
    for name, (arguments, peer, peer_arguments) in peers(channels, side).items():
        ours = get_mechanism(name).build(channels, **arguments)
        theirs = load_peer(folder, peer)(channels, **peer_arguments)
        times = time_modules({"ours": ours, "theirs": theirs}, (channels, side, side), BATCH, numerics, rounds)
        found[name] = {
            "step": round(times["ours"].step / times["theirs"].step, 3),
            "inference": round(times["ours"].inference / times["theirs"].inference, 3),
        }
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the smallest size, few rounds")
    parser.add_argument("--json", action="store_true", help="one JSON document on stdout")
    parser.add_argument("--peers", type=Path, help="folder of other implementations")
    chosen = parser.parse_args()
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    sizes = SIZES[-1:] if chosen.quick else SIZES
    rounds = 2 if chosen.quick else 9
    numerics = choose_numerics("cpu", "auto")
    mechanisms = {name: get_mechanism(name) for name in mechanism_names()}
    cuda = [choose_numerics("cuda", "auto")] if torch.cuda.is_available() else []
    by_size: dict[str, Any] = {}
    for channels, side in sizes:
        costs = catalogue_costs([*mechanisms.values()], channels, side, timed=False)
        possible = {name: mechanisms[name] for name, cost in costs.items() if "flops" in cost}
        for name, ratios in slowdown(possible, channels, side, numerics, rounds).items():
            costs[name]["slowdown"] = ratios
        for kind in cuda:
            for name, ratios in slowdown(possible, channels, side, kind, rounds).items():
                costs[name]["slowdown_cuda"] = ratios
        by_size[f"{channels}x{side}x{side}"] = costs
    results: dict[str, Any] = {"numerics": str(numerics), "batch": BATCH, "sizes": by_size}
    if chosen.peers:
        results["peers"] = {
            f"{channels}x{side}x{side}, {kind}": against_peers(chosen.peers, (channels, side), kind, rounds)
            for channels, side in sizes
            for kind in dict.fromkeys(replace(each, channels_last=False) for each in (Numerics(), numerics, *cuda))
        }
    worst = max(cost["slowdown"]["step"] for cost in by_size[f"{sizes[0][0]}x{sizes[0][1]}x{sizes[0][1]}"].values())
    present(chosen, worst, table(results), **results)


def table(results: dict[str, Any]) -> str:
    """For a person: a row per mechanism and size, then the ratios to the peers and their geometric means."""
    lines = []
    for size, costs in results["sizes"].items():
        lines.append(f"{size}: FLOPs, training step and inference of a block over the bare block ({results['numerics']})")
        for name, cost in costs.items():
            step, inference = cost["slowdown"]["step"], cost["slowdown"]["inference"]
            lines.append(f"  {name:16}{cost['flops']:>14,}  x{step:.2f}  x{inference:.2f}")
    for setting, ratios in results.get("peers", {}).items():
        lines.append(f"{setting}: time of ours over theirs, training step and inference")
        for name, ratio in ratios.items():
            lines.append(f"  {name:16}{ratio['step']:.2f}  {ratio['inference']:.2f}")
        for what in ("step", "inference"):
            lines.append(f"  geometric mean, {what}: {geometric_mean(ratio[what] for ratio in ratios.values()):.2f}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
