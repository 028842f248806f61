"""Processes that are forked warm are like those that start cold: what they see, how they end, and who their parent is."""

import json
import os
import signal
import subprocess
import sys

import pytest
import warm

SEES = """
import json, os, signal, sys
seen = [sys.argv, sys.path, os.getcwd(), dict(os.environ), os.getppid(), os.getsid(0) == os.getpid(), sys.stdin.read()]
seen += [[str(signal.getsignal(number)) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGPIPE)]]
seen += [sorted(map(int, signal.pthread_sigmask(signal.SIG_BLOCK, ()))), len(os.listdir("/dev/fd"))]
seen += [__name__, sys.stdout.encoding, sys.stdout.line_buffering, sys.stderr.line_buffering]
print(json.dumps(seen))
"""
ENDS = {
    "pass": 0,
    "raise SystemExit": 0,
    "raise SystemExit(3)": 3,
    "raise SystemExit('no')": 1,
    "1 / 0": 1,
    "raise KeyboardInterrupt": -signal.SIGINT,
    "import os, signal; os.kill(os.getpid(), signal.SIGKILL)": -signal.SIGKILL,
    "import atexit, os; atexit.register(os._exit, 7)": 7,
    "import os, sys; os.dup2(os.open('/dev/full', os.O_WRONLY), 1); print(1)": 120,
}


@pytest.mark.parametrize(("new_session", "unbuffered"), [(False, ""), (True, "1")])
def test_a_warm_process_sees_what_a_cold_one_sees(tmp_path, monkeypatch, new_session, unbuffered):
    """Also that a signal is ignored, and another one blocked."""
    (tmp_path / "sees.py").write_text(SEES)
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    environment = {**os.environ, "PYTHONPATH": str(tmp_path / "own"), "WORD": "a\udc80b"}
    options = {"cwd": tmp_path, "env": environment, "text": True, "input": "said", "start_new_session": new_session}
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN), signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGUSR1])
    try:
        for arguments in (["-c", SEES, "x"], ["sees.py", "x"]):
            command = [sys.executable, *arguments]
            ended = [way.run(command, capture_output=True, **options) for way in (warm, subprocess)]
            found, expected = (json.loads(each.stdout) for each in ended)
            assert found == expected
            assert found[4:6] == [os.getpid(), new_session]
    finally:
        signal.signal(signal.SIGHUP, before[0])
        signal.pthread_sigmask(signal.SIG_SETMASK, before[1])


@pytest.mark.parametrize("code", ENDS)
def test_a_warm_process_ends_as_a_cold_one_does(code, monkeypatch):
    """With its exit code, and with the last line of its complaint."""
    monkeypatch.delenv("PYTHONUNBUFFERED", raising=False)
    done = warm.run([sys.executable, "-c", code], capture_output=True, text=True)
    cold = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == cold.returncode == ENDS[code]
    assert done.stderr.splitlines()[-1:] == cold.stderr.splitlines()[-1:]
    assert done.stdout == cold.stdout


def test_a_signal_that_comes_at_once_is_heard():
    """Before the process has come to its code."""
    with warm.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as process:
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == -signal.SIGTERM


def test_what_cannot_be_started_warm_is_refused():
    """Another program, options of the interpreter, and code of the caller between fork and start."""
    for command, options in (
        (["ls"], {}),
        ([sys.executable, "-I", "x.py"], {}),
        ([sys.executable, "x.py"], {"preexec_fn": print}),
    ):
        with pytest.raises(ValueError, match="cannot be started warm: use subprocess"):
            warm.run(command, **options)
