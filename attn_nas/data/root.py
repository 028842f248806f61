"""Where the files of data sets are."""

from __future__ import annotations

import os
from pathlib import Path

from attn_nas.space.schema import DataSettings


def data_root(settings: DataSettings) -> Path:
    """Folder of the files: the setting, else the environment variable ``ATTN_NAS_DATA``, else ``data``."""
    return Path(settings.root or os.environ.get("ATTN_NAS_DATA") or "data").expanduser()
