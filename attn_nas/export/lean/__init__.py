"""Writes source for one network as by hand: partial evaluation of the classes that it uses, and layout."""
