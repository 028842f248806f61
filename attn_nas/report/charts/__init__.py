"""Plots as SVG: drawn for a page of either theme, and as documents of their own."""
