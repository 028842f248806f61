"""Lets torchvision be imported where its compiled operators cannot be loaded: a CUDA build of it beside a CPU build of torch.

Such a pair is what ``pip install torch torchvision`` gives with torch's CPU index. The import then fails with ``operator
torchvision::nms does not exist``, and with it that of timm, segmentation_models_pytorch, lightning and others. With the two
operators declared, all that is written in Python works; calls of ``torchvision.ops.nms`` still raise an error.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

logger = logging.getLogger(__name__)
OPERATORS = ("nms", "qnms")
"""Operators that torchvision's Python code registers functions for when it is imported."""
_SIGNATURE = "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"


class _BeforeTorchvision(MetaPathFinder):
    """Declares the operators when torchvision is imported; finds nothing itself."""

    library: Any = None

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        """See `importlib.abc.MetaPathFinder`."""
        if fullname == "torchvision" and self.library is None:
            self._declare()
        return None

    def _declare(self) -> None:
        import torch

        spec = PathFinder.find_spec("torchvision")
        folders = [Path(folder) for folder in (spec.submodule_search_locations or ())] if spec else []
        compiled = [file for folder in folders for file in sorted(folder.glob("_C*"))]
        if not compiled or hasattr(torch.ops.torchvision, OPERATORS[0]):
            return
        try:
            torch.ops.load_library(str(compiled[0]))
        except (OSError, RuntimeError) as error:
            logger.info("torchvision's compiled operators do not fit torch %s: %s", torch.__version__, error)
            self.library = torch.library.Library("torchvision", "DEF")
            for name in OPERATORS:
                self.library.define(f"{name}{_SIGNATURE}")


_finder = _BeforeTorchvision()


def declare_torchvision_operators() -> None:
    """Let torchvision be imported beside a CPU build of torch, from now on in this process.

    Call it before anything imports torchvision, timm, segmentation_models_pytorch or lightning. Where torchvision's own
    operators can be loaded it changes nothing. It imports nothing itself: the operators are declared when torchvision is
    imported for the first time.
    """
    if _finder not in sys.meta_path:
        sys.meta_path.insert(0, _finder)
