"""The pages of a dashboard, asked without a browser: runs, trials, candidates, comparisons, downloads, the raw study."""

import ast
import io
import json
import os
import re
import runpy
import shutil
import sqlite3
import zipfile
from contextlib import closing
from html import unescape
from types import SimpleNamespace
from urllib.parse import quote

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from attn_nas.cli import app as commands
from attn_nas.cli import dashboards
from attn_nas.dashboard import app as application
from attn_nas.dashboard.app import dashboard_app
from attn_nas.dashboard.guard import Rules
from attn_nas.dashboard.library import Library
from attn_nas.engine.search import Search
from attn_nas.errors import RunError
from attn_nas.execution.settings import Local
from attn_nas.runs import run as results
from attn_nas.runs.run import Run
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype
from attn_nas.space.references import reference_genotypes
from attn_nas.storage.location import create_study
from attn_nas.testing import TableTrainer

EVIL = "<script>alert('x')</script>"
ODD = "<img src=x onerror=alert(1)> & 100% #1? \N{SNOWMAN}"


@pytest.fixture(scope="module")
def folder(tiny_space, tmp_path_factory, tiny_task):
    """Runs of all kinds: a large one with a failure, a small one, one without trials, a broken one, one with an odd name."""
    folder = tmp_path_factory.mktemp("runs of all kinds")
    references = reference_genotypes(tiny_space, Encoding(tiny_space))
    evil = TableTrainer(tiny_task, failures={references["se last stage"].key: f"diverged {EVIL}"})
    large = Search(tiny_space, run=folder / "large", training=evil).optimize(n_trials=32, confirm=0, execution=Local(workers=1))
    Search(tiny_space, run=folder / ODD, training=TableTrainer(tiny_task)).optimize(
        n_trials=2, confirm=0, execution=Local(workers=1)
    )
    with closing(sqlite3.connect(folder / ODD / "study.db")) as connection, connection:
        connection.execute("UPDATE trial_user_attributes SET value_json = ? WHERE key = 'reference'", (json.dumps(EVIL),))
    (folder / "empty").mkdir()
    create_study(folder / "empty", None, ["flops"], large.study.user_attrs)
    (folder / "broken").mkdir()
    (folder / "broken" / "study.db").write_bytes(b"this is no database" * 100)
    (folder / "notes").mkdir()
    return folder


@pytest.fixture(scope="module")
def app(folder):
    """Its dashboard."""
    return dashboard_app(Library(folder), Rules.of("127.0.0.1", None))


@pytest.fixture(scope="module")
def get(app, ask):
    """Asks it for an address."""
    return lambda address: ask(app, address)


@pytest.fixture(scope="module")
def keys(folder):
    """Of the candidates of the large run."""
    return [candidate.record.key for candidate in Run(folder / "large").candidates]


def test_all_runs_are_listed(get, folder):
    """Links lead to them, a broken one says why, other folders are left out."""
    text = get("/").text
    links = [unescape(link) for link in re.findall(r'<a href="(/runs/[^"]*)"', text)]
    assert sorted(links) == sorted(f"/runs/{quote(name)}" for name in ("large", "empty", ODD))
    assert "cannot be read" in text
    assert "notes" not in text
    assert [get(link).status for link in links] == [200, 200, 200]
    assert get("/runs/broken").status == 404


def test_a_folder_without_runs_says_how_to_begin(ask, tmp_path):
    """With the command."""
    app = dashboard_app(Library(tmp_path), Rules.of("127.0.0.1", None))
    assert f"attn-nas search --run {tmp_path}/first" in ask(app, "/").text
    assert ask(app, "/api/studies").status == 404


def test_a_single_run_is_the_whole_dashboard(folder, ask):
    """Its page comes at once, others do not exist."""
    app = dashboard_app(Library(folder / ODD), Rules.of("127.0.0.1", None))
    assert ask(app, "/").headers["location"] == f"/runs/{quote(ODD)}"
    assert ask(app, f"/runs/{quote(ODD)}").status == 200
    assert ask(app, "/runs/large").status == 404


def test_there_must_be_a_folder(tmp_path):
    """Told when it begins; one that vanishes later is told on the page."""
    with pytest.raises(RunError, match="is not a folder"):
        Library(tmp_path / "nothing")
    (tmp_path / "gone").mkdir()
    library = Library(tmp_path / "gone")
    (tmp_path / "gone").rmdir()
    with pytest.raises(RunError, match="cannot be read"):
        library.run("any")


def test_a_run_without_trials_has_all_its_parts(get):
    """And says what is missing."""
    text = get("/runs/empty").text
    assert "No candidate has a score yet" in text
    assert "The table is empty until a candidate has a score" in text
    assert "No training matches the filters" in text
    assert "at least four scored candidates" in get("/runs/empty/insight").text


def test_what_comes_from_a_run_is_shown_as_text(get):
    """Markup in the name of its folder, in a reason and in a reference is not interpreted."""
    failed, odd = get("/runs/large").text, get(f"/runs/{quote(ODD)}").text
    assert "diverged &lt;script&gt;" in failed
    assert "&lt;script&gt;alert" in odd
    assert "&lt;img src=x onerror" in odd
    key = re.search(r'/candidates/([0-9a-f]{12})"', odd)[1]
    pages = [f"/runs/{quote(ODD)}/candidates/{key}", f"/runs/large/candidates/{quote(EVIL)}", f"/runs/{quote(EVIL)}"]
    pages += [f"/runs/large?q={quote(EVIL)}&x={quote(EVIL)}&cost={quote(EVIL)}", f"/runs/large/compare?key={quote(EVIL)}&key=2"]
    for text in (failed, odd, get("/").text, *(get(page).text for page in pages)):
        assert "<script>alert" not in text
        assert "<img src=x" not in text
        assert EVIL not in text


def _rows(text):
    """The numbers and accuracies in the table of trials."""
    table = text[text.index('class="trials') :]
    found = re.findall(r'<tr data-key="[0-9a-f]{12}">\s*<td[^>]*>(\d+)</td>\s*<td[^>]*>([^<]*)</td>', table)
    return [(int(number), accuracy) for number, accuracy in found]


def test_trials_are_sorted_filtered_and_paged(get, folder):
    """By every column, both ways; text, state, mechanism and seed; 25 on a page."""
    records = Run(folder / "large").records
    scored = sorted((record.result.accuracy for record in records if record.result), reverse=True)
    first, second = _rows(get("/runs/large/trials").text), _rows(get("/runs/large/trials?page=2").text)
    assert [number for number, _ in first + second] == sorted((record.number for record in records), reverse=True)
    assert len(first) == 25
    best = _rows(get("/runs/large/trials?sort=accuracy").text)
    assert [accuracy for _, accuracy in best] == [f"{100 * accuracy:.2f} %" for accuracy in scored[:25]]
    worst = _rows(get("/runs/large/trials?sort=accuracy&order=asc").text)
    assert worst[0][1] == "\N{EN DASH}"
    for column in ("flops", "params", "seconds", "number"):
        assert len(_rows(get(f"/runs/large/trials?sort={column}&order=asc").text)) == 25
    failed = [record.number for record in records if record.state == "failed"]
    assert [number for number, _ in _rows(get("/runs/large/trials?state=failed").text)] == failed
    key = records[3].key
    assert [number for number, _ in _rows(get(f"/runs/large/trials?q={key[:8].upper()}").text)] == [3]
    attended = {
        record.number for record in records if any(each and each.mechanism == "sk" for _, each in record.genotype.sites)
    }
    found = [row for page in (1, 2) for row in _rows(get(f"/runs/large/trials?mechanism=sk&page={page}").text)]
    assert {number for number, _ in found} == attended
    assert "No training matches the filters" in get("/runs/large/trials?seed=7").text


@pytest.mark.parametrize("page", ["0", "-3", "99", "x", "٣", "1e9", "9" * 5000, "2.5", ""])
def test_nonsense_in_an_address_is_ignored(get, page):
    """A page there is not, a column, an order, a filter and a cost that do not exist."""
    nonsense = "sort=__class__&order=up&x=9&cost=money&version=%00"
    answer = get(f"/runs/large?page={page}&{nonsense}")
    assert answer.status == 200
    assert len(_rows(answer.text)) in (25, 7)


def test_a_candidate_has_its_figures_code_and_drawing(get, folder, keys):
    """Also one whose key is only begun; weights are offered where they were kept."""
    candidate = Run(folder / "large").candidates[0]
    text = unescape(get(f"/runs/large/candidates/{keys[0][:9]}").text)
    for part in (f"{candidate.record.cost.flops:,}", "def build_model", "learning curves", "<svg", "Not tested: no network"):
        assert part in text
    assert "model.zip" not in text
    assert "were not kept" in text
    assert get("/runs/large/candidates/000000000000").status == 404


def test_candidates_are_compared(get, keys):
    """Two to four of them, with the sites at which they differ."""
    for number in (2, 3, 4):
        answer = get(f"/runs/large/compare?{'&'.join(f'key={key}' for key in keys[:number])}")
        assert answer.status == 200
        assert all(key in answer.text for key in keys[:number])
        assert 'class="differs"' in answer.text


@pytest.mark.parametrize(
    ("chosen", "status", "words"),
    [
        ([], 400, "keys given: 0; choose 2 to 4"),
        ([0], 400, "keys given: 1;"),
        ([0, 1, 2, 3, 4], 400, "keys given: 5;"),
        ([1, 1], 400, "is given more than once"),
        ([0, "nonesuch"], 404, "nonesuch"),
    ],
)
def test_a_comparison_that_cannot_be_made_says_why(get, keys, chosen, status, words):
    """On a page that leads back."""
    query = "&".join(f"key={keys[each] if isinstance(each, int) else each}" for each in chosen)
    answer = get(f"/runs/large/compare?{query}")
    assert answer.status == status
    assert words in answer.text
    assert 'href="/"' in answer.text


def test_insight_is_kept_for_a_while(folder, ask, monkeypatch):
    """It is computed once for a state of a run; the oldest gives way."""
    computed = []
    monkeypatch.setattr(results, "Insight", SimpleNamespace(of=lambda *_, **__: computed.append(1)))
    monkeypatch.setattr(application, "_MAX_INSIGHTS", 2)
    app = dashboard_app(Library(folder), Rules.of("127.0.0.1", None))
    for name in ("large", ODD, "large", ODD, "empty", "large"):
        assert ask(app, f"/runs/{quote(name)}/insight").status == 200
    assert len(computed) == 4


def test_insight_tells_what_mechanisms_do(get):
    """From all that was trained."""
    assert "estimated from 31 networks" in get("/runs/large/insight").text


@pytest.mark.parametrize(
    "path",
    [
        *("/nowhere", "/runs", "/runs/nosuch", "/runs/..", "/runs/%2e%2e", "/runs/..%2f..%2fetc", "/runs/%2fetc", "/runs//etc"),
        *("/runs/notes", "/runs/.", "/runs/%00", "/assets/../../etc/passwd", "/assets/..%2freading.py", "/assets/app.py"),
        *("/runs/large/candidates/../../notes", "/runs/large/candidates/..%2f..%2fnotes", "/runs/large/candidates/."),
        *(
            "/runs/large/candidates/{key}/..",
            "/runs/large/candidates/{key}/..%2fstudy.db",
            "/runs/large/candidates/{key}/study.db",
        ),
        *("/runs/large/candidates/{key}/model.safetensors", "/runs/large/candidates/{key}/model.zip", "/runs/..%2fnotes/raw"),
    ],
)
def test_what_does_not_exist_cannot_be_reached(get, keys, path):
    """Names climb nowhere: a run is one that was found in the folder, a file one of a list."""
    assert get(path.format(key=keys[0])).status == 404


def test_code_and_genotype_are_downloaded(get, folder, keys):
    """Under their names; the code compiles, the genotype is the candidate's."""
    for name in ("model.py", "insert.py", "genotype.json", "placements.svg"):
        answer = get(f"/runs/large/candidates/{keys[-1]}/{name}")
        assert answer.headers["content-disposition"] == f'attachment; filename="{name}"'
        if name == "model.py":
            assert "build_model" in {each.name for each in ast.parse(answer.text).body if isinstance(each, ast.FunctionDef)}
        if name == "insert.py":
            ast.parse(answer.text)
        if name == "genotype.json":
            assert Genotype.from_json(answer.text) == Run(folder / "large").candidate(keys[-1]).record.genotype


@pytest.fixture(scope="module")
def trained(tiny_space, tmp_path_factory):
    """A run that was really trained."""
    return Search(tiny_space, run=tmp_path_factory.mktemp("trained") / "run").optimize(
        n_trials=2, confirm=0, execution=Local(workers=1)
    )


def test_models_are_downloaded_with_their_weights(trained, ask, tmp_path):
    """The archive has a network that gives logits; the picture is one, or says why there is none."""
    app = dashboard_app(Library(trained.folder.path), Rules.of("127.0.0.1", None))
    key = trained.front[0].record.key
    page = f"/runs/run/candidates/{key}"
    assert f"{page}/model.zip" in ask(app, page).text
    packed = ask(app, f"{page}/model.zip")
    assert f'filename="{key}.zip"' in packed.headers["content-disposition"]
    with zipfile.ZipFile(io.BytesIO(packed.body)) as archive:
        assert {name.split("/")[0] for name in archive.namelist()} == {key}
        archive.extractall(tmp_path)
    model = runpy.run_path(str(tmp_path / key / "model.py"))["build_model"]().eval()
    model.load_state_dict(load_file(tmp_path / key / "model.safetensors"))
    assert model(torch.zeros(2, 3, 16, 16)).shape == (2, 10)
    assert ask(app, f"{page}/model.safetensors").body == trained.folder.weights_of(key).read_bytes()
    assert ask(app, f"{page}/maps.png").body.startswith(b"\x89PNG")
    exported = trained.folder.path / "export" / key
    shutil.copytree(tmp_path / key, exported)
    (exported / "extra.txt").write_text("of this export")
    with zipfile.ZipFile(io.BytesIO(ask(app, f"{page}/model.zip").body)) as archive:
        assert f"{key}/extra.txt" in archive.namelist()
    (exported / "model.py").write_text("# of an earlier estimate")
    with zipfile.ZipFile(io.BytesIO(ask(app, f"{page}/model.zip").body)) as archive:
        assert archive.read(f"{key}/model.py").decode() == ask(app, f"{page}/model.py").text
    os.truncate(trained.folder.weights_of(key), 40)
    broken = ask(app, f"{page}/maps.png")
    assert broken.headers["content-type"] == "image/svg+xml"
    assert "no picture: " in broken.text
    assert ask(app, f"{page}/model.zip").status in (404, 500)


def test_the_raw_study_is_that_of_the_run(app, ask, folder):
    """Optuna's pages answer behind the same guard, with the study of the run that was chosen last, whatever its name."""
    host = ("host", "127.0.0.1")
    for name, trials in (("large", 32), (ODD, 2)):
        entered = ask(app, f"/runs/{quote(name)}/raw", headers=[host])
        assert entered.status == 303
        assert "HttpOnly" in entered.headers["set-cookie"]
        headers = [host, ("cookie", entered.headers["set-cookie"].partition("; ")[0])]
        for more in ([], [("accept-encoding", "gzip")]):
            page = ask(app, entered.headers["location"], headers=[*headers, *more])
            assert page.status == 200
            assert page.headers["x-frame-options"] == "DENY"
        number = entered.headers["location"].rpartition("/")[2]
        shown = json.loads(ask(app, f"/api/studies/{number}", headers=headers).body)
        assert len(shown["trials"]) == trials
        assert shown["objective_names"] == ["accuracy", "flops"]
    assert ask(app, "/api/studies", headers=[("host", "evil.example")]).status == 400


def test_without_its_packages_the_command_says_what_to_install(folder, monkeypatch):
    """All that is missing, and the name of the extra."""
    monkeypatch.setattr(dashboards, "find_spec", lambda name: None if name in ("starlette", "uvicorn") else name)
    result = CliRunner().invoke(commands, ["dashboard", str(folder)])
    assert 'the dashboard needs starlette, uvicorn: pip install "attn-nas[dashboard]"' in result.output
