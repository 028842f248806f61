"""Processes that have the product loaded: `Popen` and `run` as those of `subprocess`, for what sys.executable runs.

A cold start of the command line imports torch and Optuna, and so does the server that forks the workers of a search. Here a
process that has imported them once forks for each command: with its own arguments, environment, folder, streams, signals and
session, a child of the caller, which can wait for it, signal it and kill it. The server of workers is a fork of the command.
What is not so: /proc shows the command line of the first process, modules are not imported anew, and what `lighter` names takes
less time. Tests whose point is the start itself use `subprocess`.
"""

import atexit
import ctypes
import gc
import importlib
import io
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import suppress
from functools import cache
from multiprocessing import forkserver, resource_tracker, util
from pathlib import Path
from types import ModuleType
from typing import Any

LOADED = (
    "attn_nas.cli",
    "attn_nas.engine.search",
    "attn_nas.execution.local",
    "attn_nas.export.write",
    "attn_nas.followups.retraining",
    "attn_nas.followups.trunk_baseline",
    "attn_nas.report.document",
    "attn_nas.terminal.closing",
    "attn_nas.terminal.live",
    "attn_nas.terminal.training_lines",
    "attn_nas.testing",
    "attn_nas.training.trainer",
    "fvcore.nn",
)
"""Modules of the product that most commands import."""
_PR_SET_CHILD_SUBREAPER = 36
_CAUGHT = [number for number in signal.valid_signals() if number not in (signal.SIGKILL, signal.SIGSTOP)]
_SPAWNED_COLD = util.spawnv_passfds
_KEPT: list[object] = []
"""In a server of workers: what the command had left when the server was forked."""
_STARTING = threading.Lock()
"""Held while a process is started, which takes one request and one answer."""


def run(
    command: list[str | Path],
    *,
    input: Any = None,
    capture_output: bool = False,
    timeout: float | None = None,
    check: bool = False,
    **options: Any,
) -> subprocess.CompletedProcess[Any]:
    """`subprocess.run` with `Popen`."""
    if input is not None:
        options["stdin"] = subprocess.PIPE
    if capture_output:
        options |= {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with Popen(command, **options) as process:
        try:
            output, errors = process.communicate(input, timeout=timeout)
        except BaseException:
            process.kill()
            raise
    done = subprocess.CompletedProcess(process.args, process.returncode, output, errors)
    if check:
        done.check_returncode()
    return done


class Popen(subprocess.Popen):
    """`subprocess.Popen` of ``[sys.executable, "-m", MODULE, ...]``, of ``"-c", CODE`` or of a script.

    Of the options for the child it takes streams, ``cwd``, ``env`` and ``start_new_session``, and no others.
    """

    def _execute_child(
        self, args, executable, preexec_fn, close_fds, pass_fds, cwd, env, startupinfo, creationflags, shell,
        p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite, restore_signals, gid, gids, uid, umask, start_new_session,
        process_group,
    ) -> None:  # fmt: skip
        arguments = [os.fspath(each) for each in args]
        is_known = arguments[0] == sys.executable and (arguments[1] in ("-m", "-c") or not arguments[1].startswith("-"))
        others = (executable, gid, gids, uid) != (None,) * 4 or (umask, process_group) != (-1, -1)
        if not is_known or preexec_fn or pass_fds or shell or others:
            raise ValueError(f"{arguments} cannot be started warm: use subprocess")
        request = {
            "arguments": arguments[1:],
            "cwd": os.fspath(cwd or Path.cwd()),
            "environment": {name: os.fspath(value) for name, value in (os.environ if env is None else env).items()},
            "ignored": [number for number in _CAUGHT if signal.getsignal(number) == signal.SIG_IGN],
            "blocked": [*signal.pthread_sigmask(signal.SIG_BLOCK, ())],
            "new_session": start_new_session,
        }
        given = (p2cread, c2pwrite, errwrite)
        self.pid = _forked(request, [number if fd == -1 else fd for number, fd in enumerate(given)])
        self._child_created = True
        self._close_pipe_fds(p2cread, p2cwrite, c2pread, c2pwrite, errread, errwrite)


@cache
def _server() -> socket.socket:
    """Start the process that forks; returns the socket at which it listens, and at whose end it ends."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    command = [sys.executable, "-P", __file__, str(theirs.fileno())]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | {"OMP_NUM_THREADS": "1"}
    server = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()])
    theirs.close()

    def end() -> None:
        ours.close()
        server.wait()

    atexit.register(end)
    return ours


def _forked(request: dict[str, Any], streams: list[int]) -> int:
    """The number of a new child of this process, which does what ``request`` says."""
    with _STARTING, tempfile.TemporaryFile("w+") as file:
        json.dump(request, file)
        file.flush()
        server, adopt = _server(), ctypes.CDLL(None).prctl
        adopt(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # the child's own parent ends, and so this process becomes it
        try:
            socket.send_fds(server, [b"fork"], [file.fileno(), *streams])
            return int(server.recv(32))
        finally:
            adopt(_PR_SET_CHILD_SUBREAPER, 0, 0, 0, 0)


def _serve(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Fork for each request, until nobody can ask any more; returns in forks only, with the request and the streams."""
    while True:
        message, received, _, _ = socket.recv_fds(control, 32, 4)
        if not message:
            os._exit(0)
        read, write = os.pipe()
        between = os.fork()
        if not between:
            between = os.getpid()
            if child := os.fork():
                os.write(write, str(child).encode())
                os._exit(0)
            control.detach()
            while os.getppid() == between:
                time.sleep(0.001)
            os.lseek(received[0], 0, os.SEEK_SET)
            with os.fdopen(received[0]) as file:
                return json.load(file), received[1:]
        os.waitpid(between, 0)
        os.close(write)  # or reading would wait for ever where the child could not be made
        control.send(os.read(read, 32))
        for fd in (*received, read):
            os.close(fd)


def _open_files() -> set[int]:
    """The numbers of open files but the streams, and that of the listing, which is closed again."""
    return {int(path.name) for path in Path("/dev/fd").iterdir()} - {0, 1, 2}


def _open_streams() -> None:
    """Give this process stdout and stderr of its own, as an interpreter makes them."""
    is_unbuffered = bool(os.environ.get("PYTHONUNBUFFERED"))
    for name, fd, errors in (("stdout", 1, "strict"), ("stderr", 2, "backslashreplace")):
        file = open(fd, "wb", buffering=0 if is_unbuffered else -1, closefd=False)  # noqa: SIM115  it stays open
        is_by_line = not is_unbuffered and (fd == 2 or os.isatty(fd))
        stream = io.TextIOWrapper(file, "utf-8", errors, line_buffering=is_by_line, write_through=is_unbuffered)
        setattr(sys, name, stream)
        setattr(sys, f"__{name}__", stream)
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115


def _reset_signals(ignored: list[int]) -> None:
    """Signals at the start of an interpreter whose parent ignored some."""
    at_start = {signal.SIGINT: signal.default_int_handler, signal.SIGPIPE: signal.SIG_IGN, signal.SIGXFSZ: signal.SIG_IGN}
    for number in _CAUGHT:
        if signal.getsignal(number) is not None:  # None are the C library's own
            signal.signal(number, signal.SIG_IGN if number in ignored else at_start.get(number, signal.SIG_DFL))


def _spawn_in_fork(path: bytes, args: list[str], passfds: list[int]) -> int:
    """Stands in for `multiprocessing.util.spawnv_passfds`: a server of workers has nothing to import in a fork."""
    code = args[args.index("-c") + 1]
    if "multiprocessing.spawn" in code:
        return _SPAWNED_COLD(path, args, passfds)
    ignored = [number for number in _CAUGHT if signal.getsignal(number) == signal.SIG_IGN]
    if child := os.fork():
        return child
    try:
        # What the command has left stays, and its files keep their numbers: one that is closed later closes nothing else.
        _KEPT.extend(gc.get_objects())
        nowhere = os.open(os.devnull, os.O_RDWR)
        for fd in _open_files() - {nowhere, *map(int, passfds)}:
            os.dup2(nowhere, fd)
        _reset_signals(ignored)
        _open_streams()
        forkserver._forkserver.__init__()
        resource_tracker._resource_tracker.__init__()
        sys.modules["__main__"] = ModuleType("__main__")
        exec(code, vars(sys.modules["__main__"]))
    except Exception:  # noqa: BLE001  it is reported
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(0)


def _become(request: dict[str, Any], streams: list[int]) -> None:
    """Make this fork the process that was asked for, up to its code."""
    for number, fd in enumerate(streams):
        os.dup2(fd, number)
    for fd in _open_files():
        with suppress(OSError):
            os.close(fd)
    if request["new_session"]:
        os.setsid()
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    _open_streams()
    util.spawnv_passfds = _spawn_in_fork
    importlib.import_module("numpy").random.seed()
    _reset_signals(request["ignored"])
    signal.pthread_sigmask(signal.SIG_SETMASK, request["blocked"])


def _execute(arguments: list[str]) -> None:
    """What an interpreter does with its arguments."""
    first, *rest = arguments
    start = {"-m": str(Path.cwd()), "-c": ""}.get(first, str(Path(first).resolve().parent))
    own = [] if os.environ.get("PYTHONSAFEPATH") else [start]
    sys.path[:0] = [*own, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    if first == "-m":
        sys.argv = rest
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
        return
    main = sys.modules["__main__"] = ModuleType("__main__")
    if first == "-c":
        code, name, sys.argv = rest[0], "<string>", [first, *rest[1:]]
    else:
        code, name, sys.argv = Path(first).read_text(encoding="utf-8"), first, arguments
        main.__file__ = str(Path(first).absolute())
    exec(compile(code, name, "exec", dont_inherit=True), vars(main))


def _end(code: object) -> None:
    """End as an interpreter does, but free no memory; returns where it would have something to say."""
    threading._shutdown()
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        return
    if code is None or isinstance(code, int):
        os._exit((code or 0) & 0xFF)


if __name__ == "__main__":
    # Signals of the terminal do not end this process, and those that a fork gets before it hears them wait.
    signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
    for module in LOADED:
        importlib.import_module(module)
    lighter = runpy.run_path(str(Path(__file__).with_name("lighter.py")))
    for kind in ("FITS", "TIMES", "IMAGES"):
        lighter["apply"](lighter[kind], setattr)
    importlib.import_module("sqlalchemy.orm").configure_mappers()  # the first study of a process would, for 0.2 s
    gc.freeze()
    asked, files = _serve(socket.socket(fileno=int(sys.argv[1])))
    _become(asked, files)
    try:
        _execute(asked["arguments"])
    except SystemExit as ended:
        _end(ended.code)
        raise
    _end(0)
