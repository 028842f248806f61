"""All data sets by name."""

from collections.abc import Callable

from attn_nas.data.dataset import Dataset
from attn_nas.data.digits import cluttered_digits, cued_digits, plain_digits
from attn_nas.data.torchvision_sets import cifar10, cifar100, fashion_mnist, image_folder, svhn
from attn_nas.space.schema import DataSettings

DATASETS: dict[str, Callable[[DataSettings, bool], Dataset]] = {
    "cued_digits": cued_digits,
    "cluttered_digits": cluttered_digits,
    "digits": plain_digits,
    "cifar10": cifar10,
    "cifar100": cifar100,
    "fashion_mnist": fashion_mnist,
    "svhn": svhn,
    "image_folder": image_folder,
}


def load_dataset(settings: DataSettings, *, download: bool = False) -> Dataset:
    """The data set that ``settings`` name, its training and validation split in memory.

    Nothing is fetched from the network unless ``download`` is true.

    Raises:
        DataError: the files are missing, damaged or too few; the message says what to do.

    """
    return DATASETS[settings.name](settings, download)
