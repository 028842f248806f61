"""What all tests share: a small search space, one core per process, sweeps, a web application asked, a dashboard served."""

import asyncio
import gc
import hashlib
import json
import os
import platform
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING
from urllib.parse import unquote

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is loaded: test processes share the cores
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # two threads of a test that share a core would spin

import lighter
import pytest

from attn_nas.attention.catalog import get_mechanism, mechanism_names
from attn_nas.execution import processes
from attn_nas.plugins import registry as plugins
from attn_nas.space.loading import load_space
from attn_nas.space.schema import SearchSpace
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk
from attn_nas.torchvision_operators import declare_torchvision_operators

if TYPE_CHECKING:
    from attn_nas.runs.run import Run

declare_torchvision_operators()  # before any test module is imported: many import torchvision or timm

FAMILIES = [
    Trunk("cifar_resnet", 20, 8),
    Trunk("resnet", 18, 8),
    Trunk("resnet", 50, 8),
    Trunk("resnext", 50, 8),
    Trunk("mobilenet_v2", 53, 8),
    Trunk("mobilenet_v3_large", 48, 8),
    Trunk("mobilenet_v3_large_bare", 48, 8),
    Trunk("convnext", 59, 8),
]
SWEEP = Path(__file__).parent / "data" / "sweep.json"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Every case of the tests marked with ``sweep``, instead of a fixed sample."""
    parser.addoption("--sweep", action="store_true", help="run every mechanism on every trunk, and write tests/data/sweep.json")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give a test that is marked with ``sweep`` its mechanisms and trunks, as ``name`` and ``trunk``.

    Each mechanism comes with as many trunks as ``most`` says in a sweep, and as many as ``sample`` says otherwise; ``first``
    ends the sample after so many cases. Trunks come in turns, so that all of them occur.
    """
    if marker := metafunc.definition.get_closest_marker("sweep"):
        whole = metafunc.config.getoption("--sweep")
        trunks = marker.kwargs.get("most", len(FAMILIES)) if whole else marker.kwargs.get("sample", 1)
        cases = [
            (name, FAMILIES[(number + 3 * turn) % len(FAMILIES)])
            for number, name in enumerate(mechanism_names())
            for turn in range(trunks)
        ]
        metafunc.parametrize(("name", "trunk"), cases if whole else cases[: marker.kwargs.get("first")], ids=str)


_swept: dict[str, dict[str, dict[str, list[str]]]] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Function, call: pytest.CallInfo) -> Iterator[None]:
    """Let the report of a case say what it is of, in whichever process it was run."""
    report = yield
    if item.get_closest_marker("sweep") and (report.when == "call" or report.outcome != "passed"):
        report.swept = [item.originalname, item.callspec.params["name"], str(item.callspec.params["trunk"])]
    return report


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Note it: by test, trunk and outcome the mechanisms."""
    if hasattr(report, "swept"):
        test, name, trunk = report.swept
        _swept.setdefault(test, {}).setdefault(trunk, {}).setdefault(report.outcome, []).append(name)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Write what a sweep has found."""
    if session.config.getoption("--sweep") and _swept and not hasattr(session.config, "workerinput"):
        import torch

        from attn_nas.version import __version__

        versions = {"attn_nas": __version__, "torch": torch.__version__, "python": platform.python_version()}
        in_order, trunks = mechanism_names().index, [*map(str, FAMILIES)]
        found = {
            test: {
                trunk: {outcome: sorted(names, key=in_order) for outcome, names in by_trunk[trunk].items()}
                for trunk in trunks
                if trunk in by_trunk
            }
            for test, by_trunk in sorted(_swept.items())
        }
        document = {"catalogue": catalogue_digest(), "versions": versions, "tests": found}
        SWEEP.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


def catalogue_digest() -> str:
    """Changes with what mechanisms, trunks and formats do, and not with what is said of them."""
    from attn_nas.export import FORMATS

    told = {"family", "formula", "title", "year", "arxiv", "url", "note", "aliases"}
    mechanisms = [{name: repr(value) for name, value in vars(get_mechanism(each)).items() if name not in told}
                  for each in mechanism_names()]  # fmt: skip
    trunks = {str(trunk): [repr(block) for block in trunk.blocks] for trunk in FAMILIES}
    document = json.dumps([mechanisms, trunks, list(FORMATS)], sort_keys=True)
    return hashlib.sha256(document.encode()).hexdigest()


@pytest.fixture(scope="session")
def swept() -> SimpleNamespace:
    """The committed sweep, the digest that it should have, and the names of all trunks."""
    found = json.loads(SWEEP.read_text(encoding="utf-8"))
    return SimpleNamespace(found=found, digest=catalogue_digest(), trunks=[*map(str, FAMILIES)])


def pytest_configure() -> None:
    """Hear SIGINT, to which what a shell starts in the background is deaf, and so is all that it starts."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # A worker that gets a trainer of a test imports the module of that test: its server has what such a module imports.
    processes._LOADED.extend(["pytest", "attn_nas.engine.search", "attn_nas.testing"])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Give several processes the slow files first, so that they end together: files of the system, then the others."""
    if hasattr(config, "workerinput"):
        folders = ["system", "integration", "unit"]
        items.sort(key=lambda item: folders.index(item.path.relative_to(Path(__file__).parent).parts[0]))


def pytest_collection_finish() -> None:
    """Give torch one thread, where a test module has imported it, and let the garbage collector pass over what is loaded."""
    if "torch" in sys.modules:
        sys.modules["torch"].set_num_threads(1)
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _forgotten(monkeypatch):
    """What a test loads into this process is gone after it."""
    for registry in plugins._registries:
        for name in ("_records", "_aliases", "_origins"):
            monkeypatch.setattr(registry, name, dict(getattr(registry, name)))
    monkeypatch.setattr(plugins, "_active", dict(plugins._active))


@pytest.fixture(autouse=True, scope="session")
def _state(tmp_path_factory):
    """Plug-ins that tests name and images that they decode are not kept in the home of who runs them."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
        patched.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(autouse=True, scope="module")
def few_steps(request) -> Iterator[dict[str, int]]:
    """Models are fitted in few steps; gives the usual numbers. Unit tests fit as usual, and others do by `full_fits`."""
    if request.path.is_relative_to(Path(__file__).parent / "unit"):
        yield {}
        return
    with pytest.MonkeyPatch.context() as patched:
        yield lighter.apply(lighter.FITS, patched.setattr)


@pytest.fixture
def full_fits(few_steps, monkeypatch) -> None:
    """In this test models are fitted as for users, because it judges estimates or compares them with another process."""
    for place, number in few_steps.items():
        monkeypatch.setattr(place, number)


@pytest.fixture(params=FAMILIES, ids=str)
def each_trunk(request) -> Trunk:
    """A narrow trunk of each family, of ResNet with both kinds of blocks."""
    return request.param


@pytest.fixture(scope="session")
def tiny_file() -> Path:
    """The file of `tiny_space`."""
    return Path(__file__).parent / "data" / "tiny.yaml"


@pytest.fixture(scope="session")
def tiny_space(tiny_file) -> SearchSpace:
    """A search space whose candidates train in about a second."""
    return load_space(tiny_file)


@pytest.fixture(scope="session")
def tiny_task() -> Task:
    """The images and classes of `tiny_space`."""
    return Task(3, 16, 16, 10)


@pytest.fixture(scope="session")
def search_in(tiny_space, tiny_task) -> Callable[..., "Run"]:
    """Searches with one worker, without confirmation, and with a `TableTrainer`, which trains nothing; returns the run.

    The run is in ``folder / "run"``; the space is `tiny_space`, or with ``resume=True`` that of the run. Other arguments are
    those of `attn_nas.Search`, `attn_nas.Search.optimize` and `attn_nas.Local`.
    """
    from attn_nas.engine.search import Search
    from attn_nas.execution.settings import Local
    from attn_nas.testing import TableTrainer

    def searched(folder, space=None, *, resume=False, **arguments):
        given = {"run": folder / "run", "workers": 1, "confirm": 0, "training": TableTrainer(tiny_task), **arguments}
        local = {name: given.pop(name) for name in ("workers", "threads", "device", "trial_timeout") if name in given}
        names = ("run", "training", "sampler", "storage", "download", "data", "seed", "warm_start")
        begun = {name: given.pop(name) for name in names if name in given}
        if resume:
            search = Search.load(begun.pop("run"), **begun)
            search.check(space=space)
        else:
            search = Search(tiny_space if space is None else space, **begun)
        return search.optimize(**{"execution": Local(**local), **given})

    return searched


@pytest.fixture
def table_search(search_in, tmp_path) -> Callable[..., "Run"]:
    """`search_in` with the space first, in a folder of the test unless another is given."""
    return lambda space=None, folder=tmp_path, **arguments: search_in(folder, space, **arguments)


@pytest.fixture
def command(tmp_path, monkeypatch, capsys):
    """Runs the command line in this process, in a folder of the test; gives exit code, stdout and stderr."""
    from attn_nas.cli import main

    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["attn-nas", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            main()
        return ended.value.code or 0, *capsys.readouterr()

    return run


@dataclass(frozen=True)
class Answer:
    """What a web application answers; ``headers`` are named in small letters."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()


@pytest.fixture(scope="session")
def ask() -> Callable[..., Answer]:
    """Asks an ASGI application for an address as it stands there, with these headers."""

    def asked(app, address, method="GET", headers=(("host", "127.0.0.1:8090"),), body=b"") -> Answer:
        path, _, query = address.partition("?")
        headers = (*headers, ("content-length", str(len(body)))) if body else headers
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": method, "scheme": "http",
            "path": unquote(path), "raw_path": path.encode(), "root_path": "", "query_string": query.encode(),
            "headers": [(name.encode(), value.encode("latin-1")) for name, value in headers],
            "server": ("127.0.0.1", 8090), "client": ("127.0.0.1", 50000),
        }  # fmt: skip
        messages, sent = [{"type": "http.request", "body": body, "more_body": False}], []

        async def receive():
            if not messages:
                await asyncio.Event().wait()
            return messages.pop()

        async def send(message):
            sent.append(message)

        asyncio.run(app(scope, receive, send))
        begun, *rest = sent
        found = {name.decode(): value.decode("latin-1") for name, value in begun["headers"]}
        return Answer(begun["status"], found, b"".join(message.get("body", b"") for message in rest))

    return asked


@pytest.fixture(scope="session")
def serving():
    """A context in which a folder is served by a dashboard of its own: its ``address``, and a way to ``stop`` it before."""
    import uvicorn

    from attn_nas.dashboard import serve as module

    @contextmanager
    def served(folder, **options) -> Iterator[SimpleNamespace]:
        started, servers = threading.Event(), []
        said = []

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                servers.append(self)
                await super().startup(sockets)
                started.set()

        def run():
            with pytest.MonkeyPatch.context() as patched:
                patched.setattr(module.uvicorn, "Server", Server)
                module.serve(folder, on_address=said.append, **{"port": 0, **options})

        thread = threading.Thread(target=run)
        thread.start()
        assert started.wait(20)

        def stop():
            servers[0].should_exit = True
            thread.join(20)
            assert not thread.is_alive()

        try:
            yield SimpleNamespace(address=said[0], port=int(said[0].split(":")[2].split("/")[0]), stop=stop)
        finally:
            stop()

    return served
