"""What a contributor runs: ``nox -s fast`` while working, ``nox -s check`` before a commit, the rest when it concerns them.

The sessions use the environment in which nox is called (``pip install -e ".[dev]"``), so that none waits for an installation.
What follows ``--`` goes to pytest: ``nox -s check -- -k export -x``.
"""

import nox

nox.options.default_venv_backend = "none"
nox.options.sessions = ["fast"]


def _lint(session: nox.Session) -> None:
    session.run("ruff", "format", "--check", ".")
    session.run("ruff", "check", ".")
    session.run("mypy")


def _pytest(session: nox.Session, *arguments: str) -> None:
    session.run("python", "-m", "pytest", "-q", *arguments, *session.posargs, env={"OMP_NUM_THREADS": "1"})


@nox.session
def fast(session: nox.Session) -> None:
    """Format, lint, types and unit tests, those without torch first: under a minute on two cores."""
    _lint(session)
    _pytest(session, "tests/unit/torch_free")
    _pytest(session, "-n", "auto", "tests/unit", "--ignore", "tests/unit/torch_free")


@nox.session
def check(session: nox.Session) -> None:
    """What `fast` does, the contracts between the packages, and the integration tests: small trainings in this process."""
    _lint(session)
    session.run("lint-imports")
    _pytest(session, "-n", "auto", "tests/unit", "tests/integration")


@nox.session
def system(session: nox.Session) -> None:
    """Processes that are killed, Ray, PostgreSQL, a browser; what is not installed is skipped."""
    _pytest(session, "-n", "auto", "tests/system")


@nox.session
def sweep(session: nox.Session) -> None:
    """Every mechanism on every trunk, and in every format; writes tests/data/sweep.json, which is committed."""
    _pytest(session, "-n", "auto", "--dist", "worksteal", "--sweep", "-m", "sweep", "tests/integration")


@nox.session
def docs(session: nox.Session) -> None:
    """The documentation, into the folder site; a warning is an error."""
    session.run("mkdocs", "build", "--strict", *session.posargs)
