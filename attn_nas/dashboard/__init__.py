"""Dashboard: serves runs as live pages, and Optuna's own dashboard behind the same access checks."""
