"""Trunks with named insertion slots, and the one function that fills them."""
