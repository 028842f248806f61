"""A run on disk: its folder, its manifest, its trials, and what they amount to."""
