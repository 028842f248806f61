"""The folder where the files of data sets are."""

from __future__ import annotations

import os
from os import PathLike
from pathlib import Path

from attn_nas.errors import DataError
from attn_nas.space.data_settings import DataSettings

VARIABLE = "ATTN_NAS_DATA"
"""The environment variable with the folder of data sets."""
_OTHERWISE = "data"


def located(
    settings: DataSettings,
    data_root: str | PathLike[str] | None = None,
    *,
    kept: str | PathLike[str] | None = None,
    download: bool = False,
) -> DataSettings:
    """``settings`` with the absolute path of the folder where the files are now; embedded data sets have no files.

    The folder is ``data_root`` if it is given. Else it is the first that exists of: ``kept``, where a run found the files last;
    the root in ``settings``; the folder that the environment variable ``ATTN_NAS_DATA`` names. Without these it is the folder
    ``data``. ``download`` says that files may be downloaded, for which the folder need not exist.

    Raises:
        DataError: no such folder exists; the message names all of them.

    """
    if settings.is_embedded:
        return settings
    variable = os.environ.get(VARIABLE)
    folders: dict[str, str | PathLike[str] | None]
    if data_root is not None:
        folders = {"the given data root": data_root}
    else:
        folders = {"data.root of the search space": settings.root, VARIABLE: variable}
        if kept and kept != settings.root:
            folders = {"data.root in the run folder's space.yaml": kept, **folders}
        if not settings.root and not variable and not kept:
            folders["the usual folder"] = _OTHERWISE
    named = {name: Path(folder).expanduser().absolute() for name, folder in folders.items() if folder}
    found = next((folder for folder in named.values() if folder.is_dir()), None)
    if found is None and not download:
        tried = [
            f"{name} is {named[name]}, which does not exist" if name in named else f"{name} is not set" for name in folders
        ]
        raise DataError(
            f"the files of {settings.name} are not found: {'; '.join(tried)}. Say where they are now with a data root "
            f"(--data-root, in Python data_root), which comes first, or with {VARIABLE}, which is used where data.root of the "
            f"search space does not exist{'; or download them (--download)' if settings.source.downloads else ''}"
        )
    return settings.model_copy(update={"root": str(found or next(iter(named.values())))})
