"""The data sets by name."""

from collections.abc import Callable

from attn_nas.data.dataset import Dataset
from attn_nas.data.digits import cluttered_digits, cued_digits, plain_digits
from attn_nas.data.image_folder import image_folder
from attn_nas.data.torchvision_sets import packed_set
from attn_nas.errors import UsageError, choose_from
from attn_nas.space.schema import DataSettings

DATASETS: dict[str, Callable[[DataSettings, bool], Dataset]] = {
    "cued_digits": cued_digits,
    "cluttered_digits": cluttered_digits,
    "digits": plain_digits,
    "cifar10": packed_set,
    "cifar100": packed_set,
    "fashion_mnist": packed_set,
    "svhn": packed_set,
    "image_folder": image_folder,
}


def load_dataset(settings: DataSettings | None, *, download: bool = False) -> Dataset:
    """The data set that ``settings`` name, its training and validation split in memory.

    Nothing is fetched from the network unless ``download`` is true.

    Raises:
        UsageError: ``settings`` is None, as in a search space without data.
        DataError: the files are missing, damaged or too few; the message says how to correct it.

    """
    if settings is None:
        raise UsageError(f"the search space has no data: give data, {choose_from('', DATASETS)}")
    return DATASETS[settings.name](settings, download)
