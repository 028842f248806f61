"""A run on disk: its folder, its manifest, its trials, and the results that follow from them."""
