"""Lists the images of a folder by class, without reading an image."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from attn_nas.data.rules import KNOWN
from attn_nas.errors import DataError
from attn_nas.format import listed

Sample = tuple[str, int]
"""The path of an image file, as text, and its label, an index into the names of the classes."""

_FIRST_SUFFIXES = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""Suffixes that decoding rule 1 reads; those of torchvision's ImageFolder."""

_OTHER_FILES = ("thumbs.db", "ehthumbs.db", "desktop.ini", "icon\r")
_OTHER_FOLDERS = (
    "__macosx", "__pycache__", "@eadir", "#recycle", "$recycle.bin", "lost+found", "system volume information"
)  # fmt: skip
"""Names, in small letters, that operating systems and file servers add to folders."""


@dataclass(frozen=True)
class ImageListing:
    """The images below ``folder``, which has one folder per class.

    Args:
        folder: the folder that was listed.
        classes: names of the classes in the order of their labels, which is alphabetical.
        samples: path and label of each image, sorted by class, then by path; the order of torchvision's ImageFolder.
        skipped: number of files that are no images, by class; classes without such files are left out.
        suffixes: suffixes of the skipped files, in small letters and sorted.
        outside: names of the files that are beside the folders of the classes, in order: they belong to no class.

    """

    folder: Path
    classes: tuple[str, ...]
    samples: tuple[Sample, ...]
    skipped: Mapping[str, int]
    suffixes: tuple[str, ...] = ()
    outside: tuple[str, ...] = ()

    @property
    def notes(self) -> tuple[str, ...]:
        """Sentences for the user: how many files were skipped, by class, and which belong to no class."""
        return self._note_of_skipped() + self._note_of_outside()

    def _note_of_outside(self) -> tuple[str, ...]:
        if not self.outside:
            return ()
        skipped = f"{len(self.outside)} files are" if len(self.outside) > 1 else "1 file is"
        return (
            f"{skipped} skipped directly in {shown(self.folder)}, outside the folders of the classes "
            f"({listed([shown(Path(name)) for name in self.outside])}). Move images into the folder of their class",
        )

    def _note_of_skipped(self) -> tuple[str, ...]:
        if not self.skipped:
            return ()
        by_class = listed([f"{count} in {name}" for name, count in self.skipped.items()])
        suffixes = listed([suffix or "files without a suffix" for suffix in self.suffixes])
        total = sum(self.skipped.values())
        skipped = f"{total} files are" if total > 1 else "1 file is"
        return (
            f"{skipped} skipped below {shown(self.folder)} ({by_class}): Pillow has no reader for {suffixes}. "
            "If they are images, convert them to PNG or JPEG",
        )


def list_images(folder: Path, rule: int = KNOWN["decoding"][-1]) -> ImageListing:
    """List the images of ``folder``, as in ``folder/CLASS/name.jpg``; folders inside a class belong to the class.

    Files of any suffix that Pillow can read count, in small or capital letters. Hidden files and folders, and those that
    operating systems add (``__MACOSX``, ``Thumbs.db``), are ignored. Under decoding rule 1 files count as in torchvision's
    ImageFolder: nine suffixes, hidden ones too. A symbolic link to a folder that contains it is not followed.

    Raises:
        DataError: the folder is missing, is a file or cannot be read, has no class, or has a class without images.

    """
    entries = _entries(folder, rule)
    classes = sorted(name for name, is_folder in entries if is_folder)
    outside = sorted(name for name, is_folder in entries if not is_folder and rule > 1)
    if not classes:
        raise DataError(_without_images(folder, "it has no folders"))
    samples: list[Sample] = []
    skipped: dict[str, int] = {}
    suffixes: Counter[str] = Counter()
    empty: list[str] = []
    for label, name in enumerate(classes):
        images: list[str] = []
        others: list[str] = []
        for place, files in sorted(_walk(folder / name, rule, [os.path.realpath(folder)])):
            for file in files:
                (images if _counts(file, rule) else others).append(f"{place}/{file}")
        samples += [(file, label) for file in images]
        suffixes.update(Path(file).suffix.lower() for file in others)
        if others and rule > 1:
            skipped[name] = len(others)
        if not images:
            kinds = f"{len(others)} files of other formats" if len(others) > 1 else "1 file of another format"
            empty.append(f"{name} ({kinds})" if others else name)
    if empty:
        which = f"no images of {'these classes' if len(empty) > 1 else 'the class'}: {listed(empty)}"
        raise DataError(f"{_without_images(folder, which)}. Add images, or remove the folder of the class")
    kinds_skipped = tuple(sorted(suffixes)) if skipped else ()
    return ImageListing(folder, tuple(classes), tuple(samples), skipped, kinds_skipped, tuple(outside))


@lru_cache(maxsize=1)
def readable_suffixes() -> frozenset[str]:
    """Suffixes of the files that this installation of Pillow can read, in small letters, such as ``.jpg``."""
    from PIL import Image

    from attn_nas.data.pixels import readable_formats

    formats = readable_formats()
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in formats)


def shown(path: str | Path) -> str:
    """The path as text in one line, also where its name has control characters, or bytes that are not UTF-8."""
    text = os.fsencode(path).decode(errors="replace")
    return text if text.isprintable() else "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def is_image(name: str) -> bool:
    """Whether a file of this name counts as an image: it has a suffix that Pillow reads, and no system has added it."""
    return _counts(name, KNOWN["decoding"][-1]) and not _ignored(name, is_folder=False)


def _counts(name: str, rule: int) -> bool:
    if rule == 1:
        return name.lower().endswith(_FIRST_SUFFIXES)
    return name[name.rfind(".") :].lower() in readable_suffixes()


def _ignored(name: str, is_folder: bool) -> bool:
    return name.startswith((".", "~$")) or name.lower() in (_OTHER_FOLDERS if is_folder else _OTHER_FILES)


def _entries(folder: Path, rule: int) -> list[tuple[str, bool]]:
    """Name of each entry of ``folder`` that is not ignored, and whether it is a folder; raises DataError."""
    try:
        with os.scandir(folder) as entries:
            found = [(entry.name, entry.is_dir()) for entry in entries]
    except FileNotFoundError:
        raise DataError(_without_images(folder, "there is no such folder")) from None
    except NotADirectoryError:
        raise DataError(_without_images(folder, "it is a file")) from None
    except OSError as error:
        raise DataError(f"{shown(folder)} cannot be read ({error.strerror}): give the right to read it") from None
    return [(name, is_folder) for name, is_folder in found if rule == 1 or not _ignored(name, is_folder)]


def _walk(folder: Path, rule: int, above: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder from ``folder`` downwards with the names of its files in order.

    ``above`` are the real paths that led to it. Names are text, which is much faster than a Path, and there are many.
    """
    real = os.path.realpath(folder)
    if any(Path(path).is_relative_to(real) for path in above):
        return
    entries = _entries(folder, rule)
    yield str(folder), sorted(name for name, is_folder in entries if not is_folder)
    for name in sorted(name for name, is_folder in entries if is_folder):
        yield from _walk(folder / name, rule, [*above, real])


def _without_images(folder: Path, reason: str) -> str:
    return (
        f"no images under {shown(folder.absolute())}: it needs one folder of images per class, as in train/CLASS/name.jpg "
        f"({reason})"
    )
