"""A search watched from outside: by its folder, and over a dashboard's address."""

import json
import sys
import threading
from contextlib import contextmanager
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from attn_nas import cli
from attn_nas.engine.search import Search
from attn_nas.errors import RunError, UsageError
from attn_nas.events.types import EpochFinished, SearchFinished, SearchStarted
from attn_nas.execution.settings import Local
from attn_nas.monitor import follow, remote
from attn_nas.monitor.follow import LogUpdate, Watch, folder_updates
from attn_nas.runs.folder import RunFolder
from attn_nas.space.task import Task
from attn_nas.testing import TableTrainer

STARTED = SearchStarted(
    run="runs/x", space="toy", budget=10, time_budget=None, confirm=0, finished=2, front=(), seed=0, workers=2,
    threads=1, gpus=0, cores=2, numerics="cpu, fp32", trunk="a trunk", num_sites=3,
)  # fmt: skip
ENDED = SearchFinished(run="runs/x", why="budget", finished=10, confirmed=0, budget=10, seconds=61.0, training_seconds=9.0)


def _line(event):
    return json.dumps(event.to_dict())


@pytest.fixture(scope="module")
def ended(tiny_space, tmp_path_factory):
    """The folder of a search that has ended."""
    folder = tmp_path_factory.mktemp("watched") / "run"
    Search(tiny_space, run=folder, training=TableTrainer(Task(3, 16, 16, 10))).optimize(
        n_trials=4, confirm=0, execution=Local(workers=1)
    )
    return folder


@pytest.fixture
def command(monkeypatch, capsys):
    """Runs the command line in this process: exit code, stdout, stderr."""
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["attn-nas", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            cli.main()
        return (end.value.code, *capsys.readouterr())

    return run


def test_a_search_that_has_ended_says_so(ended, command):
    """Its opening, its data, how it has ended, and what to read next."""
    code, out, err = command("watch", ended)
    assert (code, err) == (0, "")
    opening, data, closing = out.splitlines()
    assert data.endswith("; training images are not shifted, not mirrored")
    assert opening.startswith("search on cifar_resnet depth 8 width 8: 2 epochs for each network, 1 worker")
    assert closing.startswith("The search has ended: 4 of 4 candidates trained in 00:0")
    assert closing.endswith(f"the budget is used up. Next: attn-nas show {ended}")


def test_json_passes_the_log_on(ended, command):
    """All of it, to the letter; words go to stderr."""
    code, out, err = command("watch", ended, "--json")
    assert (code, out) == (0, (ended / "events.jsonl").read_text())
    assert err.startswith("The search has ended")


def test_a_killed_search_is_not_waited_for(ended, tmp_path, command):
    """Nothing works on the run, and nothing has ended: how to go on, and an exit code that says so."""
    lines = (ended / "events.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "events.jsonl").write_text("".join(lines[:-1]))
    code, out, err = command("watch", tmp_path)
    assert code == 1
    assert len(out.splitlines()) == 2
    assert "no search works on this run: 4 of 4 candidates are done" in err
    assert f"attn-nas search --resume --run {tmp_path}" in err


def test_what_is_written_while_one_watches_is_read_once(tmp_path):
    """Whole lines, as long as somebody holds the run."""
    folder = RunFolder(tmp_path)
    with folder.locked(), folder.events.open("w") as log:
        updates = folder_updates(tmp_path)
        assert next(updates) == LogUpdate([], is_active=True)
        log.write(f"{_line(STARTED)}\n{_line(ENDED)[:9]}")
        log.flush()
        found = next(updates)
        assert (found.events, found.is_active) == ([STARTED], True)
        log.write(f"{_line(ENDED)[9:]}\n")
    assert next(updates) == LogUpdate([_line(ENDED)], is_active=False)


@pytest.mark.parametrize(
    ("is_active", "restart_seconds", "seen"),
    [((True, False, False, True), 60.0, 5), ((True, False, False, True), 0.0, 2), ((False, False, True), 60.0, 1)],
    ids=["begun again", "no restart in time", "never at work"],
)
def test_a_search_that_is_begun_again_is_watched_on(is_active, restart_seconds, seen):
    """For a while; one that was not at work is given up at once."""
    again = replace(STARTED, finished=7)
    updates = [LogUpdate([_line(STARTED)], is_active[0]), *(LogUpdate([], each) for each in is_active[1:])]
    updates.append(LogUpdate([_line(again), _line(ENDED)], is_active=True))
    watch = Watch(iter(updates), restart_seconds)
    assert len(list(watch)) == seen
    assert watch.progress.started == (again if seen == len(updates) else STARTED)


def test_ctrl_c_leaves_the_search_alone(ended, command, monkeypatch):
    """Exit code 130, and a word that it goes on."""

    def interrupted(_):
        yield LogUpdate([_line(STARTED)], is_active=True)
        raise KeyboardInterrupt

    monkeypatch.setattr(follow, "folder_updates", interrupted)
    code, out, _ = command("watch", ended)
    assert code == 130
    assert out.splitlines()[1] == "left; the search continues"


class _Dashboard(ThreadingHTTPServer):
    """Answers each request with the next of ``answers``: a status, or lines and whether they end in order."""

    daemon_threads = True

    def __init__(self, answers, kind=remote.CONTENT_TYPE):
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers, self.kind, self.asked = list(answers), kind, []
        self.url = f"http://127.0.0.1:{self.server_port}/runs/my%20run"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        server = self.server
        server.asked.append((self.path, self.headers.get("Authorization")))
        answer = server.answers.pop(0)
        self.close_connection = True
        if isinstance(answer, int):
            self.send_response(answer)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        lines, in_order = answer
        self.send_response(200)
        self.send_header("Content-Type", server.kind)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for line in lines:
            self.wfile.write(b"%x\r\n%s\n\r\n" % (len(line) + 1, line.encode()))
        self.wfile.write(b"0\r\n\r\n" if in_order else b"")

    def log_message(self, *_):
        """Say nothing."""


@contextmanager
def _served(*answers, **arguments):
    with _Dashboard(answers, **arguments) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        try:
            yield server
        finally:
            server.shutdown()


EPOCHS = [_line(EpochFinished(number=1, epoch=epoch, accuracy=0.5)) for epoch in range(4)]


def test_a_dashboard_passes_the_log_on():
    """From the address of any page of the run; the token goes into a header and nowhere else."""
    with _served(([_line(STARTED), "", EPOCHS[0], _line(ENDED)], True)) as server:
        watch = Watch(remote.remote_updates(f"{server.url}/candidates/abc?token=secret&by=key"))
        lines = [line for update in watch for line in update.lines]
    assert lines == [_line(STARTED), EPOCHS[0], _line(ENDED)]
    assert watch.progress.ended == ENDED
    assert server.asked == [("/runs/my%20run/events", "Bearer secret")]


def test_a_lost_connection_is_made_again_and_nothing_told_twice(monkeypatch):
    """The log comes from its beginning; one that is closed in order is asked for again too."""
    monkeypatch.setattr(remote, "_REOPEN_SECONDS", 0.0)
    answers = [
        ([_line(STARTED), *EPOCHS[:2]], False),
        ([_line(STARTED)], False),
        503,
        ([_line(STARTED), *EPOCHS[:3], "", ""], False),
        ([_line(STARTED), *EPOCHS[:3]], True),
        ([_line(STARTED), *EPOCHS, _line(ENDED)], True),
    ]
    with _served(*answers) as server:
        watch = Watch(remote.remote_updates(server.url, retry_seconds=(0.0, 0.0, 0.0)))
        lines = [line for update in watch for line in update.lines]
    assert lines == [_line(STARTED), *EPOCHS, _line(ENDED)]


def test_a_connection_that_cannot_be_made_again_is_an_error():
    """After as many attempts as there are waits."""
    with _served(*[([_line(STARTED)], False)] * 3) as server:
        updates = remote.remote_updates(server.url, retry_seconds=(0.0, 0.0))
        with pytest.raises(RunError, match="could not be made again in 2 attempts"):
            list(updates)
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("answer", "error", "message"),
    [
        (401, UsageError, "the dashboard needs its token: add"),
        (403, UsageError, "the dashboard needs its token: add"),
        (404, RunError, "there is no run at http://127.0.0.1"),
        (302, RunError, "answers 302"),
        (500, RunError, "answers 500"),
        (503, RunError, "answers 503"),
    ],
)
def test_a_refusal_is_told_as_what_it_is(answer, error, message):
    """At the first attempt, without another one."""
    with _served(answer) as server, pytest.raises(error, match=message):
        next(remote.remote_updates(server.url))
    assert len(server.asked) == 1


def test_who_is_no_dashboard_is_told_apart():
    """Another site, an address where nobody answers, one that is no run's, one that is none."""
    with _served((["<html>"], True), kind="text/html") as server:
        with pytest.raises(RunError, match="is not a dashboard of attn-nas"):
            next(remote.remote_updates(server.url))
        gone = server.url
    with pytest.raises(RunError, match="no server answers at http"):
        next(remote.remote_updates(gone))
    for url in ("http://127.0.0.1:8090/", "http:///runs/x", "ftp://here/runs/x", "http://here:port/runs/x"):
        with pytest.raises(UsageError, match="address"):
            next(remote.remote_updates(url))
    with pytest.raises(UsageError, match="does not accept this token"), _served(401) as server:
        next(remote.remote_updates(f"{server.url}?token=wrong"))


def test_a_remote_search_is_shown_like_one_here(command):
    """Lines from now on, and where to go on; a run on which nothing works is an error."""
    with _served(([_line(STARTED), EPOCHS[0], "", _line(ENDED)], True)) as server:
        code, out, _ = command("watch", server.url)
    assert code == 0
    assert out.splitlines()[0].startswith("toy on a trunk: 2 workers")
    assert out.splitlines()[-1].endswith("the budget is used up. Next (where it ran): attn-nas show runs/x")
    with _served(([_line(STARTED), *EPOCHS], True)) as server:
        code, _, err = command("watch", server.url)
    assert code == 1
    assert "Continue (where it ran) with: attn-nas search --resume --run runs/x" in err
