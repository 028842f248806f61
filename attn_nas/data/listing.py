"""Lists the images of a folder by class."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from attn_nas.data.torchvision_import import torchvision_datasets
from attn_nas.errors import DataError, first_line


def open_folder(folder: Path) -> Any:
    """The images of ``folder`` as torchvision's ImageFolder; raises DataError."""
    try:
        return torchvision_datasets().ImageFolder(folder)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise DataError(
            f"no images under {folder.resolve()}: it needs one folder of images per class, as in train/CLASS/name.jpg "
            f"({first_line(error)})"
        ) from None
