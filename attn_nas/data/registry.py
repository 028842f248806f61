"""Loads the data set that a search space names."""

from __future__ import annotations

from os import PathLike

from attn_nas.data.dataset import Dataset
from attn_nas.data.own import own_dataset
from attn_nas.data.root import located
from attn_nas.data.rules import DataRules
from attn_nas.errors import UsageError, choose_from
from attn_nas.plugins.lazy_class import LazyClass
from attn_nas.space.data_settings import DataSettings
from attn_nas.space.data_sources import dataset_names


def load_dataset(
    settings: DataSettings | None,
    *,
    data_root: str | PathLike[str] | None = None,
    rules: DataRules | None = None,
    download: bool = False,
) -> Dataset:
    """The data set that ``settings`` name, with its training and validation split.

    ``data_root`` is the folder of the files in the place of the one in ``settings``. ``rules`` are those of a run that was
    begun earlier; by default those of new runs. Nothing is fetched from the network unless ``download`` is true.

    Raises:
        UsageError: ``settings`` is None, as in a search space without data.
        DataError: the files are missing, damaged or too few; the message says how to correct it.

    """
    if settings is None:
        raise UsageError(f"the search space has no data: give data, {choose_from('', dataset_names())}")
    found, load, rules = located(settings, data_root, download=download), settings.source.load, rules or DataRules()
    if isinstance(load, LazyClass):
        dataset: Dataset = load.load()(found, rules, download)
        return dataset
    return own_dataset(load(found), found, rules)


def check_test_split(
    settings: DataSettings,
    rules: DataRules,
    data_root: str | PathLike[str] | None = None,
    *,
    kept: str | PathLike[str] | None = None,
) -> None:
    """Raise DataError if the test split is missing or has other classes than the training split, as far as names say it.

    No image is read. Data sets that are not made of files of images have a test split of their own. ``data_root`` and ``kept``
    are those of `attn_nas.data.root.located`.
    """
    if check := settings.source.check_test:
        check.load()(located(settings, data_root, kept=kept), rules)
