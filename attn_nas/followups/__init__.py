"""Trainings beside a search: audit, retraining, full training, plain trunks."""
