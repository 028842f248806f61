"""The dashboard in a real browser: it follows a search, is used with mouse and keyboard, and can be read by everybody."""

import re
import runpy
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


@pytest.fixture
def page(opened):
    """A page that must have no problems."""
    with opened() as (page, problems):
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


def _drawn(page, number):
    """Wait until the chart of the front has so many candidates."""
    page.wait_for_function(
        "number => typeof attnNas === 'object' && attnNas.page.rows.size === number"
        " && document.querySelector('[data-chart=front] svg') !== null",
        arg=number,
    )


def test_a_page_follows_its_search(page, searched, tmp_path, serving, tiny_task):
    """Points, workers, table and trials change without a new load; a search that goes on later is followed too."""
    folder = tmp_path / "run"
    searched(folder, 3)
    with serving(tmp_path) as served:
        page.goto(f"{served.address}runs/run")
        page.evaluate("window.marker = 'still the same'")
        page.get_by_role("link", name="Progress").click()
        _drawn(page, 3)
        for budget in (5, 7):
            trainer = HeldTrainer(tiny_task, epochs=3, seconds=0.1)
            with _behind(searched, folder, budget, training=trainer):
                page.wait_for_selector("#part-workers .spark")
                assert "epoch 2/" in page.locator("#part-workers").inner_text()
                assert page.locator("#part-status .running").count() == 1
                trainer.go_on.set()
                _drawn(page, budget)
            page.wait_for_selector("#part-status .finished")
            page.wait_for_function(
                "number => document.getElementById('part-trials').textContent.split('finished').length > number", arg=budget
            )
        assert f"of {budget} candidates" in page.locator("#part-status").inner_text()
        assert page.evaluate("window.marker") == "still the same"


def test_a_page_of_a_run_that_was_replaced_begins_anew(page, searched, tmp_path, serving):
    """No point of the old run remains."""
    searched(tmp_path / "run", 4)
    searched(tmp_path / "other", 2, seed=5)
    with serving(tmp_path) as served:
        page.goto(f"{served.address}runs/run")
        _drawn(page, 4)
        (tmp_path / "run").rename(tmp_path / "old")
        (tmp_path / "other").rename(tmp_path / "run")
        _drawn(page, 2)


def test_a_page_survives_a_restart_of_the_dashboard(opened, searched, tmp_path, serving):
    """A note appears and goes, what has happened in between is shown."""
    folder = tmp_path / "run"
    searched(folder, 3)
    with opened() as (page, _):
        with serving(tmp_path) as served:
            page.goto(f"{served.address}runs/run")
            page.evaluate("window.marker = 'still the same'")
            _drawn(page, 3)
        page.wait_for_selector(".lost")
        assert "does not answer" in page.locator(".lost").inner_text()
        searched(folder, 5)
        with serving(tmp_path, port=served.port):
            _drawn(page, 5)
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


def test_chosen_candidates_are_compared(page, shown):
    """Two boxes and a button; the sites at which they differ are marked, and only those."""
    page.goto(f"{shown.address}/runs/many")
    boxes = page.locator("#part-candidates input[name=key]")
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
    page.get_by_role("link", name="Code", exact=True).click()
    button = page.locator("[data-copy^=code-]").first
    button.click()
    page.wait_for_function("() => document.querySelector('[data-copy^=code-]').textContent === 'Copied'")
    copied = page.evaluate("navigator.clipboard.readText()")
    assert "def build_model" in copied
    assert copied == page.locator("[id^=code-]").first.text_content()


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
    page.get_by_role("link", name="Where it looks").click()
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


def _pages(shown):
    """An address of each kind of page."""
    keys = [member.record.key for member in shown.many.front][:2]
    compared = f"/runs/many/compare?key={keys[0]}&key={shown.many.candidates[-1].record.key}&key={keys[1]}"
    candidates = [f"/runs/many/candidates/{keys[1]}", f"/runs/trained/candidates/{shown.trained.front[0].record.key}"]
    return ["/", "/runs/many", "/runs/many?q=se", "/runs/empty", *candidates, compared, "/runs/many/insight"]


def test_every_page_fits_and_is_free_of_errors(page, shown):
    """On a wide screen and on a telephone, nothing is wider than the window but what can be scrolled by itself."""
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 844})
        for address in _pages(shown):
            page.goto(shown.address + address)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (address, width)
    page.goto(f"{shown.address}/runs/many/raw")
    page.wait_for_url("**/dashboard/studies/**")


def test_every_page_can_be_read_by_everybody(opened, shown):
    """Axe finds nothing serious in either theme, nor on the page that says what is wrong."""
    from axe_playwright_python.sync_playwright import Axe

    found = []
    with opened() as (page, _):
        for address in (*_pages(shown), f"/runs/{quote('no such run')}"):
            page.goto(shown.address + address)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                violations = Axe().run(page).response["violations"]
                found += [(address, scheme, each["id"]) for each in violations if each["impact"] in ("serious", "critical")]
    assert found == []
