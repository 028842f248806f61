"""Trainings after a search: audit of the proxy, full training of winners, trunks without attention as baseline."""
