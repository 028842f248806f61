"""Imports ``torchvision.datasets``; the only module that imports torchvision.

Requirements: torchvision is imported only when a data set needs it. A CUDA build of torchvision with a CPU build of torch fails
at import, because its compiled operators cannot be loaded; its data sets work nevertheless. Any other failure is an error that
names both versions.
"""

from __future__ import annotations

import importlib
import logging
import sys
from functools import lru_cache
from typing import Any

import torch

from attn_nas.errors import DataError

logger = logging.getLogger(__name__)


@lru_cache(maxsize=1)
def torchvision_datasets() -> Any:
    """The module ``torchvision.datasets``.

    Raises:
        DataError: torchvision is missing or incompatible with this torch.

    """
    try:
        return importlib.import_module("torchvision.datasets")
    except ModuleNotFoundError:
        raise DataError("this data set needs torchvision: pip install torchvision") from None
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise _misfit(error) from None
    logger.info("torchvision's compiled operators are incompatible with torch %s; its data sets work", torch.__version__)
    _declare_operators()
    for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
        del sys.modules[name]
    try:
        return importlib.import_module("torchvision.datasets")
    except (ImportError, RuntimeError) as error:
        raise _misfit(error) from None


@lru_cache(maxsize=1)
def _declare_operators() -> torch.library.Library:
    library = torch.library.Library("torchvision", "DEF")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    return library


def _misfit(error: Exception) -> DataError:
    from importlib.metadata import version

    return DataError(
        f"torchvision {version('torchvision')} does not work beside torch {torch.__version__}: {error}. "
        "Install the release that pairs with this torch"
    )
