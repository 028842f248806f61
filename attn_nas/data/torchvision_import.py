"""Imports ``torchvision.datasets``; the only module that imports torchvision, and only when a data set needs it."""

from __future__ import annotations

import importlib
from functools import lru_cache
from typing import Any

import torch

from attn_nas.errors import DataError
from attn_nas.torchvision_operators import declare_torchvision_operators


@lru_cache(maxsize=1)
def torchvision_datasets() -> Any:
    """The module ``torchvision.datasets``.

    Raises:
        DataError: torchvision is missing or incompatible with this torch.

    """
    declare_torchvision_operators()
    try:
        return importlib.import_module("torchvision.datasets")
    except ModuleNotFoundError:
        raise DataError("this data set needs torchvision: pip install torchvision") from None
    except (ImportError, RuntimeError) as error:
        raise _misfit(error) from None


def _misfit(error: Exception) -> DataError:
    from importlib.metadata import version

    return DataError(
        f"torchvision {version('torchvision')} does not work beside torch {torch.__version__}: {error}. "
        "Install the release that pairs with this torch"
    )
