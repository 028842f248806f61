"""Samplers of other libraries as strategies; each module needs the packages of the requirements file that names it."""

from __future__ import annotations

PEERS = {
    "nsga2-references": "peers.optuna_nsga2:Nsga2",
    "botorch": "peers.botorch_nehvi:BoTorch",
    "botorch-one-hot": "peers.botorch_nehvi:OneHot",
    "smac-parego": "peers.smac_parego:Smac",
    "ax": "peers.ax_client:Ax",
    "hebo": "peers.hebo_general:Hebo",
    "pymoo-nsga2": "peers.pymoo_nsga2:Nsga2",
    "neps-primo": "peers.neps_primo:Primo",
}
"""For each peer its class, as `NamedStrategy` loads it."""
