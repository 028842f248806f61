"""Notes and stars of candidates: they are kept in the run, shown in its pages, and written by nobody else."""

import json
import re
from html import unescape
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from attn_nas.dashboard.app import dashboard_app
from attn_nas.dashboard.guard import Rules
from attn_nas.dashboard.library import Library
from attn_nas.dashboard.serve import serve
from attn_nas.engine.search import Search
from attn_nas.errors import RunError, UsageError
from attn_nas.execution.settings import Local
from attn_nas.report.document import html_report
from attn_nas.report.pages.reading import RunReading
from attn_nas.runs.folder import RunFolder
from attn_nas.runs.notes import LONGEST, Note, read_notes, write_note
from attn_nas.runs.run import Run
from attn_nas.testing import TableTrainer

HOST = ("host", "127.0.0.1:8090")
FORM = ("content-type", "application/x-www-form-urlencoded")
OWN = ("origin", "http://127.0.0.1:8090")


@pytest.fixture(scope="module")
def run(tiny_space, tiny_task, tmp_path_factory):
    """A run of five candidates."""
    folder = tmp_path_factory.mktemp("noted") / "run"
    return Search(tiny_space, run=folder, training=TableTrainer(tiny_task)).optimize(
        n_trials=5, confirm=0, execution=Local(workers=1)
    )


@pytest.fixture(autouse=True)
def without_notes(run):
    """After each test the run has no notes."""
    yield
    run.folder.notes.unlink(missing_ok=True)


@pytest.fixture(scope="module")
def app(run):
    """A dashboard of the run that takes notes."""
    return dashboard_app(Library(run.folder.path), Rules.of("127.0.0.1", None, notes=True))


@pytest.fixture(scope="module")
def page(run):
    """The page of one candidate."""
    return f"/runs/run/candidates/{run.candidates[1].record.key}"


@pytest.fixture(scope="module")
def send(app, ask, page):
    """Sends the form of the page with these fields, and its token unless another is given."""
    token = re.search(r'name="token" value="([^"]+)"', ask(app, page).text)[1]

    def sent(fields, headers=(HOST, FORM, OWN), to=None, method="POST"):
        body = urlencode({"token": token, "has_text": "1", **fields}).encode()
        return ask(app, to or f"{page}/note", method, headers, body)

    return sent


def test_a_note_is_kept_in_the_run_and_shown_everywhere(run, app, ask, page, send):
    """On the page of the candidate, in the table, where it can be searched, and in the report, which cannot write it."""
    key = run.candidates[1].record.key
    answer = send({"text": "Fast <b>enough</b>\r\n& small", "star": "on"})
    assert (answer.status, answer.headers["location"]) == (303, f"{page}#note")
    assert read_notes(run.folder) == {key: Note("Fast <b>enough</b>\n& small", starred=True)}
    shown = ask(app, page).text
    assert "Fast &lt;b&gt;enough" in shown
    assert 'name="star" checked' in shown
    for query in ("c_q=enough", "c_group=starred", "c_group=noted"):
        table = ask(app, f"/runs/run/candidates?{query}").text
        assert re.findall(r'<tr data-key="(\w+)"', table) == [key]
        assert "★" in table
    report = html_report(RunReading.of(run.folder.path))
    assert "Fast &lt;b&gt;enough" in report
    assert '<form class="noting"' not in report
    assert "<b>enough" not in report + shown


def test_an_empty_note_is_removed_and_others_stay(run, send):
    """Text and star go when the form is sent without them; a star alone leaves the text as it is."""
    others = run.candidates[0].record.key
    write_note(run.folder, others, Note("mine"))
    send({"text": "short"})
    assert len(read_notes(run.folder)) == 2
    send({"text": ""})
    assert read_notes(run.folder) == {others: Note("mine")}
    assert json.loads(run.folder.notes.read_text())["notes"] == {others: {"text": "mine", "star": False}}


@pytest.mark.parametrize(
    "headers",
    [
        (HOST, FORM, ("origin", "https://evil.example")),
        (HOST, FORM, ("origin", "http://127.0.0.1:9999")),
        (HOST, FORM, ("origin", "null")),
        (HOST, FORM, OWN, ("sec-fetch-site", "cross-site")),
        (HOST, FORM, ("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("sec-fetch-dest", "document")),
        (("host", "evil.example"), FORM, OWN),
    ],
)
def test_a_page_of_another_site_writes_nothing(run, send, headers):
    """Not even if it knew the token of the form."""
    assert send({"text": "evil"}, headers).status in (400, 403)
    assert not run.folder.notes.exists()


@pytest.mark.parametrize(
    ("fields", "headers", "words"),
    [
        ({"token": ""}, (HOST, FORM, OWN), "reload the page"),
        ({"token": "of another server"}, (HOST, FORM, OWN), "reload the page"),
        ({}, (HOST, ("content-type", "text/plain"), OWN), "is sent as"),
        ({"text": "x" * 30_000}, (HOST, FORM, OWN), "at most 2,000 characters"),
    ],
)
def test_a_form_of_another_server_or_kind_writes_nothing(run, send, fields, headers, words):
    """The answer says what to do."""
    answer = send({"text": "lost?", **fields}, headers)
    assert answer.status == 400
    assert words in unescape(answer.text)
    assert not run.folder.notes.exists()


def test_what_cannot_be_saved_is_given_back(run, send):
    """A note that is too long, and one beside a damaged file, which stays as it is."""
    long = "y" * (LONGEST + 1)
    answer = send({"text": long})
    assert answer.status == 409
    assert "write at most 2,000" in answer.text
    assert long in answer.text
    run.folder.notes.write_text("{")
    answer = send({"text": "keep me"})
    assert answer.status == 409
    assert "is damaged" in answer.text
    assert "keep me" in answer.text
    assert run.folder.notes.read_text() == "{"


def test_only_notes_of_candidates_are_written(run, app, ask, send, page):
    """Other paths, other methods, other keys."""
    assert send({"text": "x"}, to=f"{page}/model.py").status == 405
    assert send({"text": "x"}, to="/runs/run").status == 405
    assert send({"text": "x"}, method="PUT").status == 405
    assert send({"text": "x"}, to="/runs/run/candidates/000000000000/note").status == 404
    assert ask(app, f"{page}/note").status == 404
    assert not run.folder.notes.exists()


def test_a_read_only_dashboard_has_no_form(run, ask, page):
    """It shows notes, and refuses to write them."""
    app = dashboard_app(Library(run.folder.path), Rules.of("127.0.0.1", None))
    write_note(run.folder, run.candidates[1].record.key, Note("to be seen"))
    shown = ask(app, page).text
    assert "to be seen" in shown
    assert '<form class="noting"' not in shown
    assert ask(app, f"{page}/note", "POST", (HOST, FORM, OWN), b"text=x").status == 405


@pytest.mark.parametrize("content", ["{", "[]", '{"notes": []}', '{"notes": {"a": {"text": 1, "star": true}}}', "\N{SNOWMAN}"])
def test_a_damaged_file_of_notes_is_named_and_the_pages_stay(run, app, ask, page, content):
    """The run can be read without its notes."""
    run.folder.notes.write_text(content)
    with pytest.raises(RunError, match=r"notes\.json is damaged"):
        read_notes(run.folder)
    assert ask(app, page).status == 200
    assert "Notes are not shown" in ask(app, "/runs/run").text


def test_a_note_is_short(tmp_path):
    """Its length is checked where it is written."""
    with pytest.raises(UsageError, match="2,001 characters: write at most 2,000"):
        write_note(RunFolder(tmp_path), "key", Note("z" * 2001))


def test_notes_do_not_change_what_a_run_is(run):
    """A run with notes opens as before."""
    write_note(run.folder, run.candidates[0].record.key, Note("", starred=True))
    assert [each.record.key for each in Run(run.folder.path).candidates] == [each.record.key for each in run.candidates]


def test_the_command_takes_notes_unless_it_is_read_only(run, serving):
    """Over the wire; the option contradicts that which allows changes of the raw study."""
    address = f"runs/run/candidates/{run.candidates[1].record.key}"
    for options, has_form in (({}, True), ({"read_only": True}, False)):
        with serving(run.folder.path.parent, **options) as served, urlopen(f"{served.address}{address}") as answer:
            assert (b'<form class="noting"' in answer.read()) == has_form
    with pytest.raises(UsageError, match="--read-only and --allow-edit contradict"):
        serve(run.folder.path, read_only=True, allow_edit=True)
