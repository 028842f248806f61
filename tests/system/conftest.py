"""What tests of processes share: the environment of those they start, patience with them on a busy machine, and a browser."""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

PATIENCE = 300.0
"""Seconds after which something that should happen is taken not to happen."""
_BROWSER_PATIENCE = 30_000
"""Milliseconds in which something must happen in a browser."""


@pytest.fixture(scope="session")
def child_env() -> dict[str, str]:
    """That of this process, with one thread for torch."""
    return {**os.environ, "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="session")
def wait_until() -> Callable[[Callable[[], object]], None]:
    """Waits until something is true, and fails if it does not become so."""

    def wait(found: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE
        while not found():
            assert time.monotonic() < deadline
            time.sleep(0.02)

    return wait


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """The browser; the tests are left out where there is none, unless it is required."""
    found = shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None and os.environ.get("ATTN_NAS_REQUIRE_BROWSER"):
        pytest.fail("no chromium is installed, and ATTN_NAS_REQUIRE_BROWSER is set")
    if found is None:
        pytest.skip("no chromium is installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=found, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def opened(chromium: Any) -> Callable[..., Any]:
    """Opens a page with options of Playwright; gives the page and its problems.

    Problems are errors on the console, those of scripts, and requests that failed.
    """

    @contextmanager
    def new_page(**options: Any) -> Iterator[tuple[Any, list[str]]]:
        context = chromium.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        context.set_default_timeout(_BROWSER_PATIENCE)
        page, problems = context.new_page(), []
        page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("response", lambda answer: problems.append(answer.url) if answer.status >= 400 else None)
        # Who leaves a page gives up its stream.
        page.on("requestfailed", lambda request: None if "ABORTED" in request.failure else problems.append(request.url))
        yield page, problems
        context.close()

    return new_page
