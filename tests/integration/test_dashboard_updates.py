"""A dashboard follows runs that grow, stop, go on and are replaced, sends what is new, and stands in nobody's way."""

import gc
import http.client
import json
import shutil
import threading
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from attn_nas.dashboard import live as live_module
from attn_nas.dashboard import serve as serve_module
from attn_nas.dashboard import watched as watched_module
from attn_nas.dashboard.library import Library
from attn_nas.dashboard.live import Follower, Scene, Scenes
from attn_nas.dashboard.raw_study import RawStudies
from attn_nas.dashboard.serve import serve
from attn_nas.dashboard.watched import WatchedRun
from attn_nas.errors import RunError, UsageError
from attn_nas.report.pages.links import Addresses
from attn_nas.report.pages.run_page import LIVE_PARTS, RESTLESS_PARTS, RunPage
from attn_nas.runs.folder import RunFolder
from attn_nas.sampling.baselines import at_random
from attn_nas.testing import TableTrainer

LINKS = Addresses("run", has_runs=True)


@pytest.fixture(autouse=True)
def _at_once(monkeypatch):
    """A run is read again whenever it is asked for."""
    monkeypatch.setattr(watched_module, "_READ_SECONDS", -1.0)


@pytest.fixture(scope="module")
def grow(search_in):
    """A function that makes the run in a folder, or goes on with it, until it has so many candidates."""

    def grown(folder, n_trials, **options):
        resume = (folder / "study.db").exists()
        return search_in(folder.parent, run=folder, resume=resume, n_trials=n_trials, **options)

    return grown


@pytest.fixture(scope="module")
def many(grow, tmp_path_factory):
    """The folder of a run of eighty candidates, to be read only."""
    folder = tmp_path_factory.mktemp("many") / "run"
    grow(folder, 80, sampler=at_random)
    gc.collect()  # who closes a database last writes to it
    return folder


def _all_updates(follower):
    """Those until there is nothing new, as they were sent."""
    return list(iter(follower.update, None))


def _wait_until(true, seconds=30):
    """Until something is ``true``."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_new_follower_is_told_everything_in_portions(many):
    """Each candidate once, the newest first, each part and chart once, none of the updates long; then nothing."""
    watched, scenes = WatchedRun(many), Scenes()
    follower = Follower(watched, LINKS, {}, "a version of before", scenes)
    sent = _all_updates(follower)
    updates = [json.loads(update) for update in sent]
    assert max(map(len, sent)) < 20_000
    assert len(updates) > 2
    assert [update["more"] for update in updates] == [True] * (len(updates) - 1) + [False]
    keys = [candidate.record.key for candidate in watched.reading().run.candidates]
    assert [row[0] for update in updates for row in update["rows"]] == keys[::-1]
    names = [name for update in updates for name in update["parts"]]
    assert sorted(names) == sorted([f"part-{name}" for name in (*RESTLESS_PARTS, *LIVE_PARTS)])
    charts = [name for update in updates for name in update["charts"]]
    assert charts == ["front", "parallel", "growth"]
    assert follower.update() is None


def test_who_has_seen_the_page_is_told_what_changed_since(grow, tmp_path):
    """Of one more trial its figures, and what follows from it."""
    folder = tmp_path / "run"
    grow(folder, 9)
    watched, scenes = WatchedRun(folder), Scenes()
    reading = watched.reading()
    scenes.of(RunPage(reading, LINKS, {}))
    follower = Follower(watched, LINKS, {}, reading.version, scenes)
    restless = json.loads(follower.update())
    assert set(restless["parts"]) == {"part-status", "part-workers"}
    assert (restless["charts"], restless["rows"]) == ({}, [])
    assert follower.update() is None
    grow(folder, 10)
    updates = [json.loads(update) for update in _all_updates(follower)]
    assert 1 <= len(updates) <= 3
    assert updates[0]["version"] != reading.version
    assert updates[0]["trials"] != restless["trials"]
    newest = watched.reading().run.candidates[-1]
    assert newest.record.key in [row[0] for update in updates for row in update["rows"]]
    growth = [json.loads(update["charts"]["growth"]) for update in updates if "growth" in update["charts"]]
    assert [each["trials"]["series"][0]["points"][-1][0] for each in growth] == [10]
    assert "part-status" in updates[0]["parts"]
    assert not any("part-failures" in update["parts"] for update in updates)


def test_followers_share_scenes_of_which_few_are_kept(many, monkeypatch):
    """Who looks at the same gets the same; the oldest gives way."""
    made = []
    original = Scene.of.__func__
    monkeypatch.setattr(Scene, "of", classmethod(lambda cls, page: made.append(page) or original(cls, page)))
    watched, scenes = WatchedRun(many), Scenes()
    for _ in range(3):
        _all_updates(Follower(watched, LINKS, {}, "", scenes))
    assert len(made) == 1
    monkeypatch.setattr(live_module, "_MAX_SCENES", 1)
    reading, scenes = watched.reading(), Scenes()
    newer = replace(reading, version="newer")
    for seen in (reading, reading, newer, reading):
        scenes.of(RunPage(seen, LINKS, {}))
    assert len(made) == 4
    page = RunPage(reading, LINKS, {})
    assert scenes.get(page, reading.version)
    assert scenes.get(page, "newer") is None


def test_a_run_is_read_again_as_it_grows_and_goes_on(grow, tmp_path):
    """New trials, a search that has ended and one that was begun again are seen; what has not changed is not read."""
    folder = tmp_path / "run"
    watched = WatchedRun(folder)
    with pytest.raises(RunError, match="is not a run"):
        watched.reading()
    versions = set()
    for budget in (3, 5, 8):
        run = grow(folder, budget)
        reading = watched.reading()
        versions.add(reading.version)
        assert len(reading.run.candidates) == budget
        assert reading.state == "finished"
        assert reading.progress.finished == budget
        assert reading.is_believed
        del run
        gc.collect()
        settled = watched.reading()
        assert (watched.reading().run, watched.reading().version) == (settled.run, settled.version)
    assert len(versions) == 3


def test_a_run_that_was_replaced_is_read_anew(grow, tmp_path):
    """Its versions are no earlier ones, so nothing of the old run is shown; a page of the old one can tell."""
    folder = tmp_path / "run"
    grow(folder, 8)
    watched, scenes = WatchedRun(folder), Scenes()
    old = watched.reading()
    scenes.of(RunPage(old, LINKS, {}))
    follower = Follower(watched, LINKS, {}, old.version, scenes)
    _all_updates(follower)
    shutil.rmtree(folder)
    with pytest.raises(RunError):
        follower.update()
    grow(folder, 5, seed=3)
    new = watched.reading()
    assert len(new.run.candidates) == 5
    assert new.progress.finished == 5
    assert new.version != old.version
    assert new.version.partition("-")[0] != old.version.partition("-")[0]
    updates = [json.loads(update) for update in _all_updates(follower)]
    assert [row[0] for update in updates for row in update["rows"]] == [
        candidate.record.key for candidate in reversed(new.run.candidates)
    ]


def test_beliefs_of_a_large_run_are_computed_on_the_side(many, monkeypatch):
    """The page is there before them and says so; a new version brings them."""
    monkeypatch.setattr(watched_module, "_MAX_IMMEDIATE", 10)
    begin = threading.Event()
    original = watched_module.beliefs_of
    monkeypatch.setattr(watched_module, "beliefs_of", lambda *of, **more: begin.wait(30) and original(*of, **more))
    watched = WatchedRun(many)
    first = watched.reading()
    assert not first.is_believed
    assert all(candidate.belief is None for candidate in first.run.candidates)
    assert "is being computed" in RunPage(first, LINKS, {}).part("status")
    begin.set()
    _wait_until(lambda: watched.reading().is_believed)
    later = watched.reading()
    assert later.version != first.version
    assert all(candidate.belief for candidate in later.run.candidates)


def test_readers_do_not_hold_up_a_search(grow, tmp_path):
    """While pages hold the database open, and while they read on, a search finishes its trials."""
    folder = tmp_path / "run"
    grow(folder, 4)
    watched, other = WatchedRun(folder), WatchedRun(folder)
    held = other.reading()
    done, problems = threading.Event(), []

    def read():
        try:
            with held.run.study._storage._backend.engine.connect() as connection:
                connection.exec_driver_sql("BEGIN")
                connection.exec_driver_sql("SELECT count(*) FROM trials").scalar()
                while not done.is_set():
                    watched.reading().run.candidates  # noqa: B018
                    time.sleep(0.01)
        except Exception as problem:  # noqa: BLE001
            problems.append(problem)

    reader = threading.Thread(target=read)
    reader.start()
    try:
        run = grow(folder, 10)
    finally:
        done.set()
        reader.join(30)
    assert problems == []
    assert len(run.candidates) == 10
    assert len(watched.reading().run.candidates) == 10


def test_few_runs_are_kept_open(grow, tmp_path, monkeypatch):
    """Of those looked at, and of those whose raw study was."""
    for name in "abc":
        grow(tmp_path / name, 2)
    monkeypatch.setattr("attn_nas.dashboard.library._MAX_OPEN", 2)
    monkeypatch.setattr("attn_nas.dashboard.raw_study._MAX_OPEN", 2)
    library = Library(tmp_path)
    first = library.run("a")
    assert library.run("a") is first
    raw = RawStudies(library)
    apps = [raw._app(name) for name in "abc"]
    assert raw._app("c") is apps[2]
    assert raw._app("a") is not apps[0]
    for name in "bc":
        library.run(name)
    assert library.run("a") is not first
    assert (len(library._open), len(raw._open)) == (2, 2)
    shutil.rmtree(tmp_path / "a")
    open_before = raw._app("b")
    shutil.rmtree(tmp_path / "b")
    grow(tmp_path / "b", 1)
    assert raw._app("b") is not open_before
    with pytest.raises(RunError):
        raw._app("a")


def test_updates_and_events_are_streamed_while_a_search_runs(grow, tmp_path, serving, tiny_task):
    """As server-sent events and as lines; the lines end with the search, the events with the server."""
    folder = tmp_path / "run"
    grow(folder, 2)
    searching = threading.Thread(target=grow, args=(folder, 6), kwargs={"training": TableTrainer(tiny_task, seconds=0.2)})
    with serving(tmp_path) as served:
        events, lines = (http.client.HTTPConnection("127.0.0.1", served.port, timeout=30) for _ in range(2))
        with closing(events), closing(lines):
            searching.start()
            _wait_until(lambda: RunFolder(folder).is_worked_in)
            events.request("GET", "/runs/run/updates?version=")
            lines.request("GET", "/runs/run/events")
            with events.getresponse() as stream, lines.getresponse() as answer:
                assert stream.headers["content-type"].startswith("text/event-stream")
                assert answer.headers["content-type"] == "application/x-ndjson"
                last = [json.loads(line) for line in answer.read().decode().splitlines() if line][-1]
                assert (last["event"], last["finished"]) == ("SearchFinished", 6)
                searching.join()
                scored = set()
                while len(scored) < 6:
                    line = stream.readline().decode()
                    assert line, "the server has ended the stream"
                    scored |= {row[0] for row in json.loads(line[6:])["rows"]} if line.startswith("data: ") else set()
                served.stop()
                assert stream.read().count(b"data: ") <= 3


def test_a_port_is_found_or_demanded(tmp_path, monkeypatch):
    """The first free one, unless it is named; one in use, or out of range, is an error that says what to do."""
    ports = []
    monkeypatch.setattr(serve_module.uvicorn.Server, "run", lambda self, sockets: ports.append(sockets[0].getsockname()[1]))
    (tmp_path / "runs").mkdir()
    taken = serve_module._listen("127.0.0.1", 0)
    with taken:
        number = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen on 127.0.0.1, port {number}: .*--port"):
            serve(tmp_path / "runs", port=number)
        monkeypatch.setattr(serve_module, "DEFAULT_PORT", number)
        said = []
        serve(tmp_path / "runs", on_address=said.append)
    assert number < ports[0] < number + 20
    assert said == [f"http://127.0.0.1:{ports[0]}/"]
    for host, port in (("127.0.0.1", 99999), ("nowhere.invalid", 0)):
        with pytest.raises(UsageError, match="cannot listen"):
            serve(tmp_path / "runs", host=host, port=port)
    with pytest.raises(RunError, match="is not a folder"):
        serve(Path(tmp_path / "nothing"))
