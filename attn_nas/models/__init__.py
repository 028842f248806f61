"""Trunks with slots at their insertion points, and the functions that fill the slots."""
