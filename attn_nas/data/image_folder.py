"""Folders of images: one folder per split, with one folder per class."""

from __future__ import annotations

import torch

from attn_nas.data.dataset import Augmentation, Dataset, Split, hold_out_indices
from attn_nas.data.decoding import decode, decode_parts
from attn_nas.data.listing import list_images
from attn_nas.data.root import data_root
from attn_nas.data.rules import DataRules
from attn_nas.errors import DataError
from attn_nas.space.schema import DataSettings
from attn_nas.space.task import Task


def image_folder(settings: DataSettings, download: bool) -> Dataset:
    """Folders ``train/CLASS/*`` and ``val/CLASS/*``; images are resized and centre-cropped to ``image_size`` pixels.

    The validation split is held out from ``train``; ``val`` is the test split. Training images are cropped and mirrored at
    random.
    """
    root, rule = data_root(settings), DataRules().decoding
    folder = list_images(root / "train", rule)
    order = torch.randperm(len(folder.samples), generator=torch.Generator().manual_seed(settings.seed))
    num_validation = settings.num_validation or max(1, len(order) // 10)
    wanted = len(order) if settings.num_train is None else settings.num_train + num_validation
    samples = [folder.samples[i] for i in order[:wanted].tolist()]
    parts = hold_out_indices(len(samples), num_validation, settings.num_train, settings.seed, str(root))
    chosen, validation = decode_parts([[samples[i] for i in part.tolist()] for part in parts], settings.image_size, rule)
    task = Task(3, settings.image_size, settings.image_size, len(folder.classes))
    crop = settings.image_size // 8

    def read_test() -> Split:
        test = list_images(root / "val", rule)
        if test.classes != folder.classes:
            raise DataError(f"{root / 'val'} has other classes than {root / 'train'}")
        return decode(test.samples, settings.image_size, rule).split

    return Dataset(
        settings.name,
        task,
        chosen.split,
        validation.split,
        Augmentation(crop=crop, flip=True),
        read_test,
        tuple(folder.classes),
    )
