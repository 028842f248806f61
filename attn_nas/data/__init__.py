"""Data sets as tensors: training, validation and test split, and their augmentation."""

from attn_nas.data.dataset import Augmentation, Dataset, Split
from attn_nas.data.registry import load_dataset

__all__ = ["Augmentation", "Dataset", "Split", "load_dataset"]
