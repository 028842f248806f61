"""The live view: a search as a picture that fits its window."""
