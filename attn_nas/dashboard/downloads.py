"""Files of a candidate for download: source, weights, genotype, drawing, model folder, activation maps."""

from __future__ import annotations

import threading
from collections import OrderedDict
from html import escape
from pathlib import Path
from tempfile import TemporaryDirectory, mkstemp
from zipfile import ZIP_DEFLATED, ZipFile

from starlette.background import BackgroundTask
from starlette.responses import FileResponse, Response

from attn_nas.drawing import draw_svg
from attn_nas.errors import AttnNasError, RunError
from attn_nas.export import export_candidates
from attn_nas.export.model_formats import DEFAULT_FORMATS
from attn_nas.maps import compare
from attn_nas.report.maps_picture import maps_png
from attn_nas.report.pages.candidate_page import CandidatePage

_MAX_PICTURES = 8


class Downloads:
    """Makes the files of candidates; slow files (model folders, pictures) are made one at a time."""

    def __init__(self) -> None:
        self._busy = threading.Lock()
        self._pictures: OrderedDict[tuple[Path, str, float], bytes] = OrderedDict()

    def file(self, page: CandidatePage, name: str) -> Response:
        """Return the file ``name`` of the candidate of ``page``.

        Raises:
            RunError: the candidate has no such file.
            ExportError: the model folder cannot be exported or verified.

        """
        genotype, run = page.candidate.record.genotype, page.reading.run
        if name in ("model.py", "insert.py"):
            source = {f"{each}.py": text for each, _, text in page.code}.get(name)
            if source is None:
                raise RunError(f"there is no {name} of {page.candidate.record.key}: it is a network of the user's own")
            return _attached(source.encode(), name, "text/x-python; charset=utf-8")
        if name == "genotype.json":
            return _attached(genotype.to_json().encode(), name, "application/json")
        if name == "placements.svg":
            return _attached(draw_svg(genotype).encode(), name, "image/svg+xml")
        if name == "model.safetensors" and page.has_weights:
            return FileResponse(run.folder.weights_of(page.candidate.record.key), filename=name)
        if name == "model.zip" and page.has_weights:
            return self._zip(page)
        if name == "maps.png" and page.has_weights:
            return self._picture(page)
        raise RunError(f"there is no {name} of {page.candidate.record.key}")

    def _zip(self, page: CandidatePage) -> Response:
        """Return the exported model folder as a ZIP file; exports and verifies it first if it is missing or outdated."""
        key, run = page.candidate.record.key, page.reading.run
        with self._busy, TemporaryDirectory() as temporary:
            folder = run.folder.path / "export" / key
            if not _is_current(folder, page):
                (folder,) = export_candidates(run, [page.candidate], temporary, formats=DEFAULT_FORMATS, without_data=True)
            handle, packed = mkstemp(suffix=".zip")
            with open(handle, "wb") as file, ZipFile(file, "w", ZIP_DEFLATED) as archive:  # noqa: PTH123  a descriptor
                for path in sorted(path for path in folder.rglob("*") if path.is_file()):
                    archive.write(path, f"{key}/{path.relative_to(folder)}")
        return FileResponse(packed, filename=f"{key}.zip", background=BackgroundTask(Path(packed).unlink))

    def _picture(self, page: CandidatePage) -> Response:
        """Return the picture of the activation maps; on an error a drawing of the message in its place."""
        run, key = page.reading.run, page.candidate.record.key
        made = run.folder.maps / f"{key}.png"
        if made.exists():
            return FileResponse(made, media_type="image/png")
        try:
            with self._busy:
                name = (run.folder.path, key, run.folder.weights_of(key).stat().st_mtime)
                if name not in self._pictures:
                    self._pictures[name] = maps_png(compare(run, [page.candidate])[0])
                    while len(self._pictures) > _MAX_PICTURES:
                        self._pictures.popitem(last=False)
                return Response(self._pictures[name], media_type="image/png")
        except (AttnNasError, OSError) as error:
            return Response(_message(str(error)), media_type="image/svg+xml")


def _is_current(exported: Path, page: CandidatePage) -> bool:
    """True if the folder was exported after its weights were written, and its source is that of the page.

    The source names the estimate, which later trainings change.
    """
    weights = page.reading.run.folder.weights_of(page.candidate.record.key)
    try:
        if (exported / "config.json").stat().st_mtime < weights.stat().st_mtime:
            return False
        return all((exported / f"{name}.py").read_text(encoding="utf-8") == source for name, _, source in page.code)
    except (OSError, UnicodeDecodeError):
        return False


def _attached(content: bytes, name: str, media_type: str) -> Response:
    return Response(content, media_type=media_type, headers={"content-disposition": f'attachment; filename="{name}"'})


def _message(text: str) -> str:
    """A picture of a sentence."""
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 900 40" width="900" height="40">'
        f'<rect width="900" height="40" fill="#fff3cd"/>'
        f'<text x="12" y="25" font-family="sans-serif" font-size="13">no picture: {escape(text[:140])}</text></svg>'
    )
