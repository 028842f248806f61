"""The mechanisms themselves: plain modules, one file per paper, which import torch and the size rules alone."""
