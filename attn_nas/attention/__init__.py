"""Attention mechanisms: modules in ``zoo``, their properties in ``records``, look-up by name in ``catalog``."""
