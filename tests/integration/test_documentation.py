"""The README and the pages of the site: every code block runs, every link leads somewhere, nothing is loaded from elsewhere."""

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
import warm
import yaml
from generators.blocks import Block, blocks_of
from generators.flow import trace
from generators.positions import draw_positions
from pictures.make import shown, unpacked

from attn_nas.attention.catalog import get_mechanism
from attn_nas.runs.run import Run
from attn_nas.space.loading import builtin_spaces, parse_space
from attn_nas.space.schema import SearchSpace

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
TOY = ROOT / "tests" / "data" / "docs.yaml"
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted(DOCS.rglob("*.md"))]
SHELLS, PRINTED = ("bash", "sh"), ("text", "json", "toml")
KNOWN = ("python", "yaml", *SHELLS, *PRINTED)
OTHER_SOURCES = ["CHANGELOG.md", "benchmarks/README.md"]
"""Documents with links, outside the site."""


def _smaller(budget: str) -> int:
    """A sixteenth of a budget, and enough for estimates; a larger budget stays larger."""
    return max(4, round(int(budget) / 16))


TOY_RULES = [
    # In commands. A search exports nothing, since `attn-nas export` is an example of its own.
    (r"--budget (\d+)", lambda found: f"--budget {_smaller(found[1])}"),
    (r"--confirm [1-9]\d*", "--confirm 1"),
    (r"--seeds \d+", "--seeds 2"),
    (r" --no-export\b", ""),
    (r"(attn-nas search)(?!.*--workers)", r"\1 --workers 1"),
    (r"(attn-nas search)(?!.*--(?:confirm|resume))", r"\1 --confirm 0"),
    (r"(attn-nas search)(?!.*--(?:space|resume))", r"\1 --space docs.yaml"),
    (r"(attn-nas search)", r"\1 --no-export"),
    (r"(attn-nas bench)(?!.*--processes)", r"\1 --processes 1"),
    # In Python.
    (r"(n_trials|budget)=(\d+)", lambda found: f"{found[1]}={_smaller(found[2])}"),
    (r"load_space\(\"cued_digits\"\)", 'load_space("docs.yaml")'),
    (r"an\.Search\(\"cued_digits\"", 'an.Search("docs.yaml"'),
    (r"data=\"cued_digits\"", 'data={"name": "cued_digits", "num_train": 64, "num_validation": 40}'),
    (r"training=\{\"epochs\": \d+\}", 'training={"epochs": 2, "batch_size": 32}'),
    (r"workers=\d+", "workers=1"),
    (r"(optimize\(n_trials=\d+)(?!.*execution=)", r"\1, execution=an.Local(workers=1)"),
    (r"\.after\((\d+)\)", lambda found: f".after({_smaller(found[1])})"),
    (r"seeds=\d+", "seeds=1"),
    (r"(?<!study)\.optimize\((?!.*execution=)", ".optimize(execution=an.Local(workers=1), "),
    (r"(?<!study)\.optimize\((?!.*confirm=)", ".optimize(confirm=0, "),
    (r"\(\"train\", \d+\)", '("train", 60)'),
    # In search spaces.
    (r"epochs: \d+", "epochs: 2"),
    (r"num_train: \d+", "num_train: 64"),
    (r"num_validation: \d+", "num_validation: 40"),
    (r"image_size: \d+", "image_size: 32"),
    (r"cifar_resnet, depth: \d+", "cifar_resnet, depth: 8"),
    (r"width: \d+", "width: 8"),
    (r"batch_size: \d+", "batch_size: 32"),
]
"""What is written in the documents, and what runs in its place so that all of them take a minute."""
LASTING = re.compile(r"\b(pip install|git clone|curl|wget|sudo|apt(-get)? install)\b")
"""What would change the machine that tests: blocks with it must say why they are not run."""


def toy(code: str) -> str:
    """``code`` with the toy budgets."""
    for written, replacement in TOY_RULES:
        code = re.sub(written, replacement, code)
    return code


@dataclass(frozen=True)
class Documentation:
    """A ``folder`` in which the blocks of all pages run, and what was run there already."""

    folder: Path
    done: set[str] = field(default_factory=set)

    @property
    def environment(self) -> dict[str, str]:
        """The variables of all processes."""
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "COLUMNS": "200", "OMP_NUM_THREADS": "1"}

    def python(self, *arguments: str, file: str | None = None) -> tuple[int, str]:
        """Exit code and output of Python; its output may go to a file."""
        command, options = [sys.executable, *arguments], {"cwd": self.folder, "env": self.environment, "text": True}
        if file is None:
            done = warm.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, **options)
            return done.returncode, done.stdout
        with (self.folder / file).open("w") as output:
            done = warm.run(command, stdout=output, stderr=subprocess.PIPE, **options)
        return done.returncode, done.stderr

    def shell(self, lines: str) -> tuple[int, str]:
        """The same of a shell."""
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", lines], cwd=self.folder, env=self.environment, capture_output=True, text=True,
            check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def line(self, line: str) -> tuple[int, str]:
        """The same of a line of a shell, which may be a plain command of the package."""
        if not re.match(r"attn-nas [^|&;<>$*]*( > \S+)?$", line):
            return self.shell(line)
        command, *file = line.split(" > ")
        return self.python("-m", "attn_nas", *shlex.split(command, comments=True)[1:], file=file[0] if file else None)

    def block(self, block: Block, number: int) -> tuple[int, str]:
        """The same of a block with toy budgets, up to the first line that fails."""
        code = toy(block.code)
        if block.file_name:
            (self.folder / block.file_name).write_text(code)
        if block.language == "python":
            name = block.file_name or f"example_{number}.py"
            (self.folder / name).write_text(code)
            return self.python(name)
        if LASTING.search(code):
            return 1, "a comment must say why it is not run: it would change this machine"
        for line in _statements(code) if block.language in SHELLS else ():
            if line in self.done:
                continue  # another page has searched the same, into the same run
            self.done.add(line)
            status, output = self.line(line)
            if status:
                return status, f"$ {line}\n{output}"
        return 0, ""


def _statements(code: str) -> list[str]:
    """The commands of a shell block, or the whole where it is more than plain commands."""
    lines = [line for line in code.replace("\\\n", " ").splitlines() if line.strip() and not line.lstrip().startswith("#")]
    if any(re.match(r"\s|(if|for|while|case|trap)\b|.*\bfi\b|.*\{$|\w+=", line) for line in lines):
        return [code]
    return lines


@pytest.fixture(scope="module")
def documentation(tmp_path_factory):
    """A folder with the space of the toy searches."""
    made = Documentation(tmp_path_factory.mktemp("documentation"))
    (made.folder / "docs.yaml").write_text(TOY.read_text())
    return made


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_code_block_runs(page, documentation):
    """Python and shell commands of a page run in order, with toy budgets, or say why not."""
    for number, block in enumerate(blocks_of(page)):
        if block.not_run is None and block.language not in PRINTED:
            status, output = documentation.block(block, number)
            assert status == 0, f"{block}\n{output[-4000:]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_code_block_has_a_language(page):
    """A block whose language nobody knows would not be run."""
    assert [str(block) for block in blocks_of(page) if block.language not in KNOWN] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_search_space_is_one(page, tmp_path):
    """YAML blocks are search spaces as they stand, or keys that the embedded space may have."""
    for block in blocks_of(page):
        for name, code in ((each.file_name, each.code) for each in blocks_of(page) if each.file_name):
            (tmp_path / name).write_text(code)
        if block.language == "yaml" and block.not_run is None:
            written = yaml.safe_load(block.code)
            assert set(written) <= set(SearchSpace.model_fields), block
            default = yaml.safe_load(builtin_spaces()["cued_digits"].read_text())
            if "model" in written:
                del default["trunk"]
            parse_space(yaml.safe_dump({**default, **written}), str(tmp_path / "space.yaml"))


class Page(HTMLParser):
    """The links and anchors of a page of the built site."""

    def __init__(self, text):
        super().__init__()
        self.links, self.loaded, self.anchors = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.anchors |= {given[name] for name in ("id", "name") if given.get(name)}
        if tag == "a" and given.get("href"):
            self.links.append(given["href"])
        is_loaded = tag == "link" and given.get("rel") in ("stylesheet", "icon", "preload", "preconnect")
        if given.get("src") or is_loaded:
            self.loaded.append(given.get("src") or given["href"])


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The folder of the site, built with warnings as errors."""
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder


def _target(site: Path, page: Path, link: str) -> tuple[Path, str]:
    """The file and the anchor that a link of ``page`` leads to."""
    parts = urlsplit(link)
    target = page if not parts.path else (page.parent / unquote(parts.path)).resolve()
    return (target / "index.html" if target.is_dir() else target), unquote(parts.fragment)


def test_every_link_of_the_site_leads_somewhere(site):
    """Pages, anchors, pictures and scripts are there; links to elsewhere are well formed; nothing is loaded from elsewhere."""
    pages = {path: Page(path.read_text()) for path in site.rglob("*.html") if path.name != "404.html"}
    assert len(pages) > 20
    broken = []
    for path, page in pages.items():
        assert not [link for link in page.loaded if urlsplit(link).netloc]
        for link in (*page.links, *page.loaded):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                if parts.scheme != "mailto" and not (parts.scheme == "https" and "." in parts.netloc):
                    broken.append((path, link))
                continue
            target, anchor = _target(site, path, link)
            if not target.exists() or (anchor and target in pages and anchor not in pages[target].anchors):
                broken.append((path, link))
    assert broken == []


def test_nothing_of_the_site_names_another_place_to_load_from(site):
    """Style sheets import nothing, and pages set no address of a network of files."""
    for path in site.rglob("*.css"):
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", path.read_text()), path
    for path in site.rglob("*.html"):
        assert not re.search(r"unpkg\.com|jsdelivr\.net|googleapis\.com|cloudflare\.com", path.read_text()), path


def _heading_anchors(text: str) -> set[str]:
    """The anchors that a hosting site gives to the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("name", ["README.md", *OTHER_SOURCES])
def test_every_link_of_a_document_leads_somewhere(name):
    """Files and headings of the checkout; links to elsewhere are well formed."""
    document = ROOT / name
    text = re.sub(r"^```.*?^```", "", document.read_text(), flags=re.MULTILINE | re.DOTALL)
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        parts = urlsplit(link)
        if parts.scheme:
            assert parts.scheme == "https", link
            assert "." in parts.netloc, link
            continue
        target = document if not parts.path else document.parent / unquote(parts.path)
        assert target.exists() or _generated(target), link
        if parts.fragment and target.exists():
            assert parts.fragment in _heading_anchors(target.read_text()), link


def _generated(target: Path) -> bool:
    """Whether a page is made when the site is built."""
    from hook import PAGES as MADE

    return target.resolve().is_relative_to(DOCS) and str(target.resolve().relative_to(DOCS)) in MADE


def test_llms_txt_has_every_page(site):
    """One line for each page of the site, with a link that leads there, and no other links."""
    links = re.findall(r"^- \[[^\]]+\]\(([^)]+)\): \S.+$", (site / "llms.txt").read_text(), re.MULTILINE)
    pages = [path.relative_to(site) for path in site.rglob("index.html")]
    assert sorted(links) == sorted(f"{page.parent}/" for page in pages)


def test_a_drawing_of_a_mechanism_shows_its_steps():
    """Traced from the module: what each step reads, the shape of its result, and whether it has weights."""
    steps = trace(get_mechanism("se").build(16, reduction=4), (16, 8, 8))
    assert [(step.lines, step.shape, step.has_weights) for step in steps] == [
        (["input"], (16, 8, 8), False),
        (["mean"], (16,), False),
        (["conv 1×1", "relu"], (4,), True),
        (["conv 1×1", "sigmoid"], (16,), True),
        (["×"], (16, 8, 8), False),
        (["output"], (16, 8, 8), False),
    ]
    assert [[steps.index(read) for read in step.reads] for step in steps] == [[], [0], [1], [2], [0, 3], [4]]


def test_the_picture_of_the_positions_is_up_to_date():
    """docs/pictures/positions.svg is what docs/pictures/make.py draws."""
    assert (DOCS / "pictures" / "positions.svg").read_text() == draw_positions()


def test_the_run_of_the_pictures_can_be_read():
    """It opens, has the weights that its pictures need, and its front is the one that is drawn."""
    with unpacked() as folder:
        run = Run(folder)
        drawn = (DOCS / "front.svg").read_text()
        assert [each.record.key for each in run.front if each.record.key not in drawn] == []
        assert run.folder.weights_of(shown(run).record.key).exists()


def test_every_public_name_can_be_loaded():
    """A name of `__all__` that is missing would be missing in the reference too."""
    import attn_nas

    assert all(getattr(attn_nas, name) is not None for name in attn_nas.__all__)


def test_every_benchmark_is_documented_with_its_results():
    """Each script stands in benchmarks/README.md beside committed results."""
    files = (ROOT / "benchmarks").glob("*.py")
    scripts = sorted(path.stem for path in files if '__name__ == "__main__"' in path.read_text())
    assert len(scripts) >= 4
    text = (ROOT / "benchmarks" / "README.md").read_text()
    for name in scripts:
        assert f"{name}.py" in text
        assert name == "reproduce" or any((ROOT / "benchmarks" / "results").glob(f"{name}.json*"))
