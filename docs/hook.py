"""Adds the generated pages to the site while it is built, so that no reference is written by hand."""

from __future__ import annotations

from generators import commands, mechanisms, python_names, trunks, yaml_keys
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PAGES = {
    "reference/cli.md": commands.page,
    "reference/mechanisms.md": mechanisms.page,
    "reference/python.md": python_names.page,
    "reference/trunks.md": trunks.page,
    "reference/yaml.md": yaml_keys.page,
}


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each part of the reference."""
    for path, page in PAGES.items():
        files.append(File.generated(config, path, content=page()))
    return files
