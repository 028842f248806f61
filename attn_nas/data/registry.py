"""The data sets by name."""

from collections.abc import Callable
from os import PathLike

from attn_nas.data.dataset import Dataset
from attn_nas.data.digits import cluttered_digits, cued_digits, plain_digits
from attn_nas.data.image_folder import check_test_folder, image_folder
from attn_nas.data.root import located
from attn_nas.data.rules import DataRules
from attn_nas.data.torchvision_sets import packed_set
from attn_nas.errors import UsageError, choose_from
from attn_nas.space.schema import DataSettings

DATASETS: dict[str, Callable[[DataSettings, DataRules, bool], Dataset]] = {
    "cued_digits": cued_digits,
    "cluttered_digits": cluttered_digits,
    "digits": plain_digits,
    "cifar10": packed_set,
    "cifar100": packed_set,
    "fashion_mnist": packed_set,
    "svhn": packed_set,
    "image_folder": image_folder,
}


def load_dataset(
    settings: DataSettings | None,
    *,
    data_root: str | PathLike[str] | None = None,
    rules: DataRules | None = None,
    download: bool = False,
) -> Dataset:
    """The data set that ``settings`` name, its training and validation split in memory.

    ``data_root`` is the folder of the files in the place of the one in ``settings``. ``rules`` are those of a run that was
    begun earlier; by default those of new runs. Nothing is fetched from the network unless ``download`` is true.

    Raises:
        UsageError: ``settings`` is None, as in a search space without data.
        DataError: the files are missing, damaged or too few; the message says how to correct it.

    """
    if settings is None:
        raise UsageError(f"the search space has no data: give data, {choose_from('', DATASETS)}")
    return DATASETS[settings.name](located(settings, data_root, download=download), rules or DataRules(), download)


def check_test_split(
    settings: DataSettings,
    rules: DataRules,
    data_root: str | PathLike[str] | None = None,
    *,
    kept: str | PathLike[str] | None = None,
) -> None:
    """Raise DataError if the test split is missing or has other classes than the training split, as far as names say it.

    No image is read. Data sets that are not folders of images have a test split of their own. ``data_root`` and ``kept`` are
    those of `attn_nas.data.root.located`.
    """
    if settings.name == "image_folder":
        check_test_folder(located(settings, data_root, kept=kept), rules)
