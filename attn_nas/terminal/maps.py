"""What the attention of compared networks does, as tables and words."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from attn_nas.format import percent
from attn_nas.maps import NetworkComparison, ObservedNetwork


def gate_table(network: ObservedNetwork) -> Table:
    """A row for each attention module: what it multiplies by, or changes, and what that depends on."""
    title = f"{network.name}: {percent(network.accuracy)}"
    table = Table(box=None, title=title, title_justify="left", title_style="bold", padding=(0, 1, 0, 0))
    for heading in ("site", "attention", ""):
        table.add_column(heading, no_wrap=True)
    for heading in ("mean", "channels", "places", "images", "worth"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("what that amounts to", no_wrap=True)
    for gate, worth in zip(network.gates, network.worth, strict=True):
        spread = gate.spread
        figures = [f"{value:.3f}" for value in (spread.mean, spread.channels, spread.places, spread.images)]
        figures.append("-" if worth is None else f"{100 * worth:+.1f}")
        table.add_row(str(gate.site), str(gate.placement), gate.kind, *figures, gate.finding)
    return table


def comparison_tables(comparisons: Sequence[NetworkComparison]) -> list[Table]:
    """A table for each network that has attention, once."""
    networks = {network.key: network for comparison in comparisons for network in comparison.networks}
    return [gate_table(network) for network in networks.values() if network.gates]


def comparison_words(comparison: NetworkComparison) -> list[str]:
    """How often each network is right, and the candidate where the next one is not."""
    accuracies = ", ".join(f"{network.name} {percent(network.accuracy)}" for network in comparison.networks)
    counts = "; ".join(f"{name}: {len(indices):,}" for name, indices in comparison.outcomes.items())
    return [
        f"Of the first {len(comparison.sample):,} validation images right: {accuracies}.",
        f"{comparison.networks[0].name} {counts}.",
    ]


GLOSSARY = (
    "gate: what the module multiplies its input by, 1 leaves it as it is; change: norm of the change over that of the input, "
    "0 leaves it as it is; output: of a module that replaces a convolution, over its own mean. channels, places, images: "
    "standard deviation of the channels, of the places of an image, and from image to image. worth: points of accuracy lost "
    "where it scales by its mean everywhere, or changes nothing, without training again."
)
