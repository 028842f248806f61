"""Plug-ins: how mechanisms and trunks from other packages and files are found, trusted and loaded."""
