"""Where networks look in cued digits, and what their gates follow: the cue's tint, the digit that it names, or neither.

Tint and digit are read off the pixels: the strip is the three rows above the digits that are brightest, its tint the hue of
most of its pixels, and the digit to read stands in the half that is more of that hue. Evidence is the positive part of the
class activation map in its lower two rows of seven, where the digits are.
"""

from __future__ import annotations

from typing import Any

import torch
from common import make_parser, present
from torch import Tensor

from attn_nas.maps import Gate, ObservedNetwork, compare, pooled_head
from attn_nas.runs.run import Run

DIGIT_ROWS = 8
STRIP_ROWS = 3
_DIFFERS = 0.05


def tint_is_red(images: Tensor) -> Tensor:
    """Whether most of the strip is red ``(S,)`` in images ``(S, 3, H, W)``."""
    above = images[:, :, :-DIGIT_ROWS].float()
    windows = above.amax(1).mean(2).unfold(1, STRIP_ROWS, 1).mean(2)
    rows = windows.argmax(1)[:, None] + torch.arange(STRIP_ROWS)
    strip = above[torch.arange(len(images))[:, None], :, rows]
    return (strip[:, :, 0] > strip[:, :, 1]).float().mean((1, 2)) > 0.5


def named_is_left(images: Tensor, red: Tensor) -> Tensor:
    """Whether the digit in the strip's tint stands in the left half ``(S,)``."""
    digits = images[:, :, -DIGIT_ROWS:].float()
    redness = digits[:, 0] - digits[:, 1]
    middle = images.shape[3] // 2
    return (redness[:, :, :middle].sum((1, 2)) > redness[:, :, middle:].sum((1, 2))) == red


def more_on_left(maps: Tensor) -> Tensor:
    """Whether maps ``(S, 7, 4)`` have more on the left than on the right ``(S,)`` of the digits' rows."""
    digits = maps[:, 5:]
    return digits[:, :, :2].sum((1, 2)) > digits[:, :, 2:].sum((1, 2))


def explained(by_channel: Tensor, red: Tensor) -> float:
    """Share of the variance of channel gates ``(S, C)`` from image to image that the tint accounts for."""
    share = red.float().mean()
    difference = by_channel[red].mean(0) - by_channel[~red].mean(0)
    return float(share * (1 - share) * difference.square().sum() / by_channel.var(0, correction=0).sum())


def describe_gate(gate: Gate, worth: float | None, red: Tensor, left: Tensor) -> dict[str, Any]:
    """What a gate follows; places are asked only where they differ, at the digits' resolution."""
    sided = gate.by_place.shape[1:] == (7, 4) and gate.spread.places > _DIFFERS * abs(gate.spread.mean)
    return {
        **gate.to_dict(),
        "worth": worth,
        "variance_by_tint": explained(gate.by_channel, red),
        "larger_at_named_digit": share(more_on_left(gate.by_place) == left) if sided else None,
    }


def share(true: Tensor) -> float | None:
    """The share that is true, None of nothing."""
    return float(true.float().mean()) if len(true) else None


def describe(network: ObservedNetwork, evidence: Tensor, red: Tensor, left: Tensor) -> dict[str, Any]:
    """One network: on which digit the evidence for its answer lies, when it is right and when it is wrong."""
    at_named = more_on_left(evidence.relu()) == left
    return {
        "key": network.key,
        "placements": str(network.genotype),
        "accuracy": network.accuracy,
        "at_named_digit": share(at_named),
        "at_named_digit_when_right": share(at_named[network.right]),
        "at_named_digit_when_wrong": share(at_named[~network.right]),
        "gates": [describe_gate(*found, red, left) for found in zip(network.gates, network.worth, strict=True)],
    }


def line(row: dict[str, Any]) -> str:
    """A network and its gates for a person."""
    shares = ", ".join(
        f"{row[f'at_named_digit{when}']:.1%}{when.replace('_', ' ')}" for when in ("", "_when_right", "_when_wrong")
    )
    gates = [
        f"    {gate['site']} {gate['placement']}: {gate['finding']}; worth {gate['worth']}, tint accounts for "
        f"{gate['variance_by_tint']:.1%}, larger at the named digit: {gate['larger_at_named_digit']}"
        for gate in row["gates"]
    ]
    return "\n".join([f"{row['key']} {row['accuracy']:.1%} {row['placements']}: evidence at the named digit {shares}", *gates])


def evidence_of(run: Run, network: ObservedNetwork, images: Tensor) -> Tensor:
    """The closed-form map ``(S, 7, 4)`` of each image for the class that the network takes it for."""
    normalization = run.manifest.normalization
    mean, std = (torch.tensor(values)[:, None, None] for values in (normalization.mean, normalization.std))
    head = pooled_head(network.model, (images.float() / 255 - mean) / std)
    if head is None:
        raise SystemExit(f"{network.key} has no linear head: cued digits on cifar_resnet is what this script is about")
    return head.activation(network.predicted)


def main() -> None:
    """Describe the front of a run, the bare trunk and CBAM everywhere."""
    parser = make_parser(__doc__.splitlines()[0])
    parser.add_argument("run", help="folder of a run on cued digits")
    chosen = parser.parse_args()
    run = Run(chosen.run)
    comparisons = compare(run, run.front, 1)
    networks = {network.key: network for comparison in comparisons for network in comparison.networks}
    images = comparisons[0].sample.images
    red = tint_is_red(images)
    left = named_is_left(images, red)
    rows = [describe(network, evidence_of(run, network, images), red, left) for network in networks.values()]
    bare = next(row for row in rows if not row["gates"])
    present(chosen, bare["at_named_digit_when_wrong"], "\n".join(map(line, rows)), images=len(images), networks=rows)


if __name__ == "__main__":
    main()
