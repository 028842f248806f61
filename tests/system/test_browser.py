"""The dashboard in a real browser: it follows a search, is used with mouse and keyboard, and can be read by everybody."""

import os
import re
import runpy
import shutil
import threading
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from urllib.parse import quote

import pytest
import torch
from safetensors.torch import load_file

from attn_nas.engine.search import Search
from attn_nas.execution.settings import Local
from attn_nas.sampling.baselines import at_random
from attn_nas.storage.location import create_study
from attn_nas.testing import TableTrainer

PATIENCE = 30_000
"""Milliseconds in which something must happen."""


@pytest.fixture(scope="module")
def chromium():
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


@contextmanager
def _opened(browser, **options):
    """A page and its problems: errors on the console, of scripts, and requests that failed."""
    context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
    context.set_default_timeout(PATIENCE)
    page, problems = context.new_page(), []
    page.on("console", lambda message: problems.append(message.text) if message.type in ("error", "warning") else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("response", lambda answer: problems.append(answer.url) if answer.status >= 400 else None)
    # Who leaves a page gives up its stream.
    page.on("requestfailed", lambda request: None if "ABORTED" in request.failure else problems.append(request.url))
    yield page, problems
    context.close()


@pytest.fixture
def page(chromium):
    """A page that must have no problems."""
    with _opened(chromium) as (page, problems):
        yield page
        assert problems == []


@dataclass
class HeldTrainer(TableTrainer):
    """Stops after the second epoch until it may ``go_on``."""

    go_on: threading.Event = field(default_factory=threading.Event)

    def __call__(self, genotype, seed, on_epoch):
        def told(epoch, accuracy):
            on_epoch(epoch, accuracy)
            assert epoch != 2 or self.go_on.wait(60)

        return super().__call__(genotype, seed, told)


@pytest.fixture(scope="module")
def searched(search_in):
    """A function that makes a run, or goes on with it."""

    def grow(folder, n_trials, **options):
        resume = (folder / "study.db").exists()
        return search_in(folder.parent, run=folder, resume=resume, n_trials=n_trials, **options)

    return grow


@pytest.fixture(scope="module")
def shown(searched, tiny_space, tmp_path_factory, serving):
    """A dashboard of finished runs: ``many`` candidates, one that was ``trained``, an ``empty`` one; and their candidates."""
    folder = tmp_path_factory.mktemp("shown")
    many = searched(folder / "many", 24, sampler=at_random)
    trained = Search(tiny_space, run=folder / "trained").optimize(n_trials=1, confirm=0, execution=Local(workers=1))
    (folder / "empty").mkdir()
    create_study(folder / "empty", None, ["flops"], many.study.user_attrs)
    with serving(folder) as served:
        yield SimpleNamespace(address=served.address.rstrip("/"), many=many, trained=trained)


@contextmanager
def _behind(work, *arguments, **options):
    """Do ``work`` in another thread."""
    thread = threading.Thread(target=work, args=arguments, kwargs=options)
    thread.start()
    try:
        yield
    finally:
        thread.join(60)
    assert not thread.is_alive()


def _dots(page, number):
    """Wait until the front's picture has so many dots."""
    page.wait_for_function("number => document.querySelectorAll('#front-dots circle').length === number", arg=number)


def test_a_page_follows_its_search(page, searched, tmp_path, serving, tiny_task):
    """Points, workers, table and trials change without a new load; a search that goes on later is followed too."""
    folder = tmp_path / "run"
    searched(folder, 3)
    with serving(tmp_path) as served:
        page.goto(f"{served.address}runs/run")
        page.evaluate("window.marker = 'still the same'")
        _dots(page, 3)
        for budget in (5, 7):
            trainer = HeldTrainer(tiny_task, epochs=3, seconds=0.1)
            with _behind(searched, folder, budget, training=trainer):
                page.wait_for_selector("#part-workers .spark")
                assert "epoch 2/" in page.locator("#part-workers").inner_text()
                assert page.locator("#part-status .running").count() == 1
                trainer.go_on.set()
                _dots(page, budget)
            page.wait_for_selector("#part-status .finished")
            page.wait_for_selector(f'#part-trials tr[data-t="{budget - 1}"] td:has-text("finished")')
            drawn = page.locator(".wires path").evaluate_all("paths => new Set(paths.map(each => each.dataset.t)).size")
            assert drawn == budget
        assert f"of {budget} candidates" in page.locator("#part-status").inner_text()
        assert page.evaluate("window.marker") == "still the same"


def test_a_page_of_a_run_that_was_replaced_begins_anew(page, searched, tmp_path, serving):
    """No point of the old run remains."""
    searched(tmp_path / "run", 4)
    searched(tmp_path / "other", 2, seed=5)
    with serving(tmp_path) as served:
        page.goto(f"{served.address}runs/run")
        _dots(page, 4)
        (tmp_path / "run").rename(tmp_path / "old")
        (tmp_path / "other").rename(tmp_path / "run")
        _dots(page, 2)


def test_a_page_survives_a_restart_of_the_dashboard(chromium, searched, tmp_path, serving):
    """A note appears and goes, what has happened in between is shown."""
    folder = tmp_path / "run"
    searched(folder, 3)
    with _opened(chromium) as (page, _):
        with serving(tmp_path) as served:
            page.goto(f"{served.address}runs/run")
            page.evaluate("window.marker = 'still the same'")
            _dots(page, 3)
        page.wait_for_selector(".lost")
        assert "does not answer" in page.locator(".lost").inner_text()
        searched(folder, 5)
        with serving(tmp_path, port=served.port):
            _dots(page, 5)
            page.wait_for_selector(".lost", state="detached")
            assert page.evaluate("window.marker") == "still the same"
            page.goto("about:blank")


def test_the_list_of_runs_renews_itself(page, searched, tmp_path, serving):
    """A run that is begun appears."""
    searched(tmp_path / "first", 2)
    page.clock.install()
    with serving(tmp_path) as served:
        page.goto(served.address)
        page.evaluate("window.marker = 'still the same'")
        searched(tmp_path / "second", 2)
        page.clock.run_for(16_000)
        page.wait_for_selector('a[href="/runs/second"]')
        assert page.evaluate("window.marker") == "still the same"


def test_ranges_are_chosen_on_an_axis(page, shown):
    """By dragging and by keys; what is outside is dimmed everywhere and counted, Escape and a click clear it."""
    page.goto(f"{shown.address}/runs/many")
    axis = page.locator(".brush").last
    axis.scroll_into_view_if_needed()
    count = page.locator("#brushed")

    def dimmed():
        """How many points and lines are dimmed."""
        return page.locator("#front-dots .out").count(), page.locator(".wires .out").count()

    def drag(upper, lower):
        box = axis.bounding_box()
        x = box["x"] + box["width"] / 2
        page.mouse.move(x, box["y"] + upper * box["height"])
        page.mouse.down()
        page.mouse.move(x, box["y"] + lower * box["height"], steps=4)
        page.mouse.up()

    assert dimmed() == (0, 0)
    drag(0.02, 0.4)
    kept = int(re.fullmatch(r"(\d+) of 24 candidates are in the ranges\.", count.inner_text())[1])
    assert 0 < kept < 24
    assert dimmed() == (24 - kept, 24 - kept)
    assert page.locator(".brushed").count() == 1
    assert page.locator("#part-trials tr.out").count() > 0
    best = max(shown.many.candidates, key=lambda each: each.accuracy).record
    assert "out" not in (page.locator(f"#t{best.number}").get_attribute("class") or "")
    page.keyboard.press("Escape")
    assert dimmed() == (0, 0)
    assert count.inner_text() == ""
    first = page.locator(".brush").first
    first.focus()
    page.keyboard.press("ArrowDown")
    assert first.get_attribute("aria-valuetext") == "limited"
    before = dimmed()
    page.keyboard.press("ArrowDown")
    assert dimmed() != before
    drag(0.5, 0.9)
    assert page.locator(".brushed").count() == 2
    drag(0.5, 0.5)
    assert page.locator(".brushed").count() == 1
    first.focus()
    page.keyboard.press("Escape")
    assert dimmed() == (0, 0)


def test_points_tell_what_they_are_and_lead_to_candidates(page, shown):
    """A tip with the key, the same candidate lit elsewhere, a click to its page, and back."""
    page.goto(f"{shown.address}/runs/many")
    front = {member.record.number for member in shown.many.front}
    numbers = [each.record.number for each in shown.many.candidates if each.record.number not in front]
    free = "number => { const box = document.getElementById('t' + number).getBoundingClientRect();"
    free += "return document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2)?.id === 't' + number }"
    number = next(each for each in numbers if page.evaluate(free, each))
    key = next(each.record.key for each in shown.many.candidates if each.record.number == number)
    page.locator(f"#t{number}").hover()
    assert key in page.locator(".tip").inner_text()
    assert "hot" in page.locator(f'.wires path[data-t="{number}"]').get_attribute("class")
    page.mouse.move(5, 5)
    assert page.locator(".tip").is_hidden()
    page.locator(f"#t{number}").click()
    page.wait_for_url(f"**/runs/many/candidates/{key}")
    assert key in page.locator("h1").inner_text()
    page.go_back()
    page.wait_for_url("**/runs/many")
    _dots(page, 24)


def test_chosen_candidates_are_compared(page, shown):
    """Two boxes and a button; the sites at which they differ are marked, and only those."""
    page.goto(f"{shown.address}/runs/many")
    boxes = page.locator("#part-front input[name=key]")
    boxes.nth(0).check()
    boxes.nth(1).check()
    page.get_by_role("button", name="Compare").click()
    page.wait_for_selector("h1:has-text('Comparison')")
    rows = page.locator("section#comparison table").nth(1).locator("tbody tr")
    marked = 0
    for row in rows.all():
        placements = [cell.inner_text() for cell in row.locator("td").all()]
        assert len(placements) == 2
        assert ("differs" in (row.get_attribute("class") or "")) == (placements[0] != placements[1])
        marked += placements[0] != placements[1]
    assert marked
    assert page.get_by_label("differs").count() == marked


def test_code_is_copied(page, shown):
    """The clipboard has what is shown."""
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(f"{shown.address}/runs/many/candidates/{shown.many.front[0].record.key}")
    button = page.locator("[data-copy]").first
    button.click()
    page.wait_for_function("() => document.querySelector('[data-copy]').textContent === 'Copied'")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "def build_model" in copied
    assert copied == page.locator("pre code").first.text_content()


def test_a_model_is_downloaded_and_works(page, shown, tmp_path):
    """The archive has code and weights."""
    key = shown.trained.front[0].record.key
    page.goto(f"{shown.address}/runs/trained/candidates/{key}")
    with page.expect_download() as download:
        page.get_by_role("link", name="model.zip").click()
    assert download.value.suggested_filename == f"{key}.zip"
    download.value.save_as(tmp_path / "model.zip")
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        archive.extractall(tmp_path)
    model = runpy.run_path(str(tmp_path / key / "model.py"))["build_model"]().eval()
    model.load_state_dict(load_file(tmp_path / key / "model.safetensors"))
    assert model(torch.zeros(1, 3, 16, 16)).isfinite().all()
    page.locator("details:has(img) summary").click()
    page.wait_for_function("() => document.querySelector('details img').naturalWidth > 100")


def _theme(page):
    """The theme, and whether the page is dark."""
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    return page.evaluate("document.documentElement.dataset.theme"), sum(map(int, re.findall(r"\d+", colour)[:3])) < 200


def test_the_theme_is_the_systems_until_one_is_chosen(page, shown):
    """And what was chosen is remembered."""
    page.emulate_media(color_scheme="dark")
    page.goto(shown.address)
    assert _theme(page) == ("dark", True)
    page.emulate_media(color_scheme="light")
    page.wait_for_function("() => document.documentElement.dataset.theme === 'light'")
    assert _theme(page) == ("light", False)
    page.get_by_role("button", name="Switch between light and dark").click()
    assert _theme(page) == ("dark", True)
    page.goto(f"{shown.address}/runs/many")
    assert _theme(page) == ("dark", True)


def test_the_page_of_a_run_is_used_with_keys_alone(page, shown):
    """The skip link first, then a point of the front, whose page opens."""
    page.goto(f"{shown.address}/runs/many")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    assert page.locator(".skip").bounding_box()["x"] >= 0
    page.keyboard.press("Enter")
    for _ in range(12):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.closest('#front-marks') !== null"):
            break
    label = page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert shown.many.front[0].record.key in label
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/candidates/{shown.many.front[0].record.key}")


def _pages(shown):
    """An address of each kind of page."""
    keys = [member.record.key for member in shown.many.front][:2]
    compared = f"/runs/many/compare?key={keys[0]}&key={shown.many.candidates[-1].record.key}&key={keys[1]}"
    candidates = [f"/runs/many/candidates/{keys[1]}", f"/runs/trained/candidates/{shown.trained.front[0].record.key}"]
    return ["/", "/runs/many", "/runs/many?x=total&q=se", "/runs/empty", *candidates, compared, "/runs/many/insight"]


def test_every_page_fits_and_is_free_of_errors(page, shown):
    """On a wide screen and on a telephone, nothing is wider than the window but what can be scrolled by itself."""
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        for address in _pages(shown):
            page.goto(shown.address + address)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (address, width)
    page.goto(f"{shown.address}/runs/many/raw")
    page.wait_for_url("**/dashboard/studies/**")


def test_every_page_can_be_read_by_everybody(chromium, shown):
    """Axe finds nothing serious in either theme, nor on the page that says what is wrong."""
    from axe_playwright_python.sync_playwright import Axe

    found = []
    with _opened(chromium) as (page, _):
        for address in (*_pages(shown), f"/runs/{quote('no such run')}"):
            page.goto(shown.address + address)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                violations = Axe().run(page).response["violations"]
                found += [(address, scheme, each["id"]) for each in violations if each["impact"] in ("serious", "critical")]
    assert found == []
