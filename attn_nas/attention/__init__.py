"""Attention mechanisms: ``zoo`` has the modules, ``records`` what is known of each, ``catalog`` finds them by name."""
