"""The dashboard: runs as live pages on this machine, with Optuna's own dashboard behind the same guard."""
