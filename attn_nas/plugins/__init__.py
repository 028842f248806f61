"""Mechanisms, trunks and data of other people: who may load them, and how they are found."""
