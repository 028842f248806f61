"""Attention mechanisms: one file per family, plain modules that import torch alone, and the catalogue that names them."""
