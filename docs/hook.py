"""Adds the generated pages to the site while it is built, so that no reference is written by hand."""

from __future__ import annotations

import re
from pathlib import Path

from generators import architecture, commands, contributing, decisions, mechanisms, python_names, trunks, yaml_keys
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PAGES = {
    "architecture.md": architecture.page,
    "contributing.md": contributing.page,
    "decisions/index.md": decisions.page,
    "reference/cli.md": commands.page,
    "reference/mechanisms.md": mechanisms.page,
    "reference/python.md": python_names.page,
    "reference/trunks.md": trunks.page,
    "reference/yaml.md": yaml_keys.page,
}


LIST_FOR_MODELS = "llms.txt"


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Add all decision pages to the section of the navigation that lists them."""
    (about,) = (each["About"] for each in config.nav or () if "About" in each)
    about.append({"Decisions": ["decisions/index.md", *(f"decisions/{name}" for name in decisions.titles())]})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a page for each part of the reference."""
    for path, page in PAGES.items():
        files.append(File.generated(config, path, content=page()))
    return files


def on_post_build(config: MkDocsConfig) -> None:
    """Complete the list for language models, and lead its links to the pages of the site; in the source they lead to files."""
    path = Path(config.site_dir, LIST_FOR_MODELS)
    if path.exists():
        text = f"{path.read_text(encoding='utf-8').rstrip()}\n\n{decisions.for_models()}"
        path.write_text(re.sub(r"\]\(((?:[\w-]+/)*)([\w-]+)\.md", _url, text), encoding="utf-8")


def _url(link: re.Match[str]) -> str:
    folder, name = link.groups()
    return f"]({folder or './'}" if name == "index" else f"]({folder}{name}/"
