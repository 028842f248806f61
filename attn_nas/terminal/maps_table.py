"""Effects of the attention modules of compared networks in a terminal: tables and notes."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table

from attn_nas.format import after_epochs, percent, reference_label
from attn_nas.maps import NetworkComparison, ObservedNetwork


def gate_table(network: ObservedNetwork, epochs: int) -> Table:
    """Table with a row for each attention module of a network that was trained for ``epochs``.

    It has mean and spread of the effect of each module, and the accuracy that is lost if it is frozen.
    """
    title = f"{reference_label(network.name)}: {percent(network.accuracy)} {after_epochs(epochs)}"
    table = Table(box=None, title=title, title_justify="left", title_style="bold", padding=(0, 1, 0, 0))
    for heading in ("site", "attention", ""):
        table.add_column(heading, no_wrap=True)
    for heading in ("mean", "channels", "places", "images", "lost if frozen"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("summary", no_wrap=True)
    for gate, worth in zip(network.gates, network.worth, strict=True):
        spread = gate.spread
        figures = [f"{value:.3f}" for value in (spread.mean, spread.channels, spread.places, spread.images)]
        figures.append("-" if worth is None else f"{100 * worth:+.1f}")
        table.add_row(str(gate.site), str(gate.placement), gate.kind, *figures, gate.finding)
    return table


def maps_tables(comparisons: Sequence[NetworkComparison]) -> list[Table]:
    """Tables of all compared networks with attention, one per network."""
    networks = {network.key: (network, each.epochs) for each in comparisons for network in each.networks}
    return [gate_table(network, epochs) for network, epochs in networks.values() if network.gates]


def maps_notes(comparison: NetworkComparison) -> list[str]:
    """Sentences below the tables: accuracies, and images on which the candidate and another network differ."""
    accuracies = "; ".join(f"{percent(each.accuracy)} for {reference_label(each.name)}" for each in comparison.networks)
    counts = "; ".join(f"{name}: {len(indices):,}" for name, indices in comparison.outcomes.items())
    return [
        f"Accuracy {after_epochs(comparison.epochs)} on the first {len(comparison.sample):,} validation images: {accuracies}.",
        f"{reference_label(comparison.networks[0].name)}: {counts}.",
    ]


GLOSSARY = (
    "gate: the factor by which the module multiplies its input (1: no change); change: norm of the change divided by the norm "
    "of the input (0: no change); output: output of a module that replaces a convolution, divided by its own mean. channels, "
    "places, images: standard deviation over channels, over places of an image, and over images. lost if frozen: points of "
    "accuracy lost if the module is frozen (it scales by its mean, or changes nothing), without training again."
)
