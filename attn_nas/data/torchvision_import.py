"""The only door to torchvision.

Requirements: torchvision is imported when a data set needs it and not before; a CUDA build of torchvision beside a CPU build
of torch, which cannot load its compiled operators and so fails at import, still works for data sets; any other failure is
an error that names both versions.
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
        DataError: torchvision is missing or does not fit this torch.

    """
    try:
        return importlib.import_module("torchvision.datasets")
    except ModuleNotFoundError:
        raise DataError("this data set needs torchvision: pip install torchvision") from None
    except RuntimeError as error:
        if "torchvision::nms" not in str(error):
            raise _misfit(error) from None
    logger.info("torchvision's compiled operators do not fit torch %s: data sets work, its operators do not", torch.__version__)
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
