"""The pages of a run in a real browser: without JavaScript, on a phone, in both themes, and the notes that they take."""

import re
import tarfile
from pathlib import Path
from types import SimpleNamespace

import pytest
from placed import First

from attn_nas.runs.notes import Note, read_notes
from attn_nas.runs.run import Run
from attn_nas.sampling.baselines import at_random

RECORDED = Path(__file__).parents[2] / "docs" / "pictures" / "run.tar.xz"
TARGETS = "a[href], button, select, input:not([type=hidden]), summary, textarea"


@pytest.fixture(scope="module")
def shown(search_in, tiny_task, tmp_path_factory, serving):
    """A dashboard of two runs: one in which a gate in block 0 helps, and that of the documentation's pictures."""
    folder = tmp_path_factory.mktemp("pages")
    run = search_in(folder, run=folder / "first", n_trials=30, confirm=1, training=First(tiny_task), sampler=at_random)
    with tarfile.open(RECORDED) as archive:
        archive.extractall(folder, filter="data")
    recorded = next(path for path in folder.iterdir() if path.name != "first")
    with serving(folder) as served:
        address = f"{served.address}runs"
        yield SimpleNamespace(
            home=served.address, address=f"{address}/first", run=run, recorded=f"{address}/{recorded.name}", folder=recorded
        )


def _candidate(shown):
    return f"{shown.address}/candidates/{shown.run.pick.record.key}"


def test_the_first_screen_says_what_was_found(opened, shown):
    """Name, sentence and three actions of the recorded run are seen without scrolling; the actions lead somewhere."""
    pick = Run(shown.folder).pick
    with opened() as (page, problems):
        page.goto(shown.recorded)
        hero = page.locator(".hero")
        assert hero.locator("h2").inner_text().lower() == pick.name.lower()
        assert "after 3 epochs" in hero.inner_text()
        assert hero.locator("svg.compact text", has_text="block 0").count() == 1
        box = hero.bounding_box()
        assert box["y"] + box["height"] < 900
        page.get_by_role("link", name=re.compile("^Confirm by full training")).click()
        assert page.url.endswith("#next")
        assert page.locator("ol.next code").count() == 3
        page.get_by_role("link", name="Get the code").click()
        page.wait_for_selector("#code code:visible")
        assert "import" in page.locator("#code code").first.inner_text()
        assert problems == []


def test_everything_works_without_javascript(opened, shown):
    """Tabs, the filter of the table, a budget, the comparison, and the note of a candidate."""
    with opened(java_script_enabled=False) as (page, problems):
        page.goto(shown.address)
        panels = {name: page.locator(f"#tab-{name} h2").first for name in ("candidates", "explore", "progress", "raw")}
        assert [name for name, panel in panels.items() if panel.is_visible()] == ["candidates"]
        page.get_by_role("link", name="Progress", exact=True).click()
        assert [name for name, panel in panels.items() if panel.is_visible()] == ["progress"]
        page.get_by_role("link", name="Candidates", exact=True).click()
        page.locator("input[name=c_q]").fill(shown.run.pick.record.key)
        page.get_by_role("button", name="Filter").first.click()
        assert page.locator("table.candidates tbody tr").count() == 1
        assert page.locator("#tab-candidates h2").is_visible()
        page.get_by_label("My budget of FLOPs").fill("much")
        page.get_by_role("button", name="Show").click()
        assert "is not a limit" in page.locator("#cards").inner_text()
        page.get_by_label("My budget of FLOPs").fill("+200k")
        page.get_by_role("button", name="Show").click()
        assert "pick within +200k" in page.locator("#cards").inner_text().lower()
        page.goto(_candidate(shown))
        page.get_by_label("My note").fill("written without a script")
        page.get_by_role("button", name="Save").click()
        assert page.get_by_label("My note").input_value() == "written without a script"
        assert problems == []
    assert read_notes(shown.run.folder)[shown.run.pick.record.key] == Note("written without a script")
    shown.run.folder.notes.unlink()


def test_the_table_is_filtered_while_one_types(opened, shown):
    """Without a new load; the address keeps the choice, and an empty filter shows all."""
    with opened() as (page, problems):
        page.goto(shown.address)
        page.evaluate("window.marker = 'still the same'")
        rows = "() => document.querySelectorAll('table.candidates tbody tr').length"
        page.locator("input[name=c_q]").type(shown.run.pick.record.key[:8])
        page.wait_for_function(f"{rows} === 1")
        assert f"c_q={shown.run.pick.record.key[:8]}" in page.url
        page.locator("input[name=c_q]").fill("")
        page.wait_for_function(f"{rows} === 25")
        page.locator("select[name=c_group]").select_option("references")
        page.wait_for_function(f"{rows} === {len(shown.run.references)}")
        assert page.evaluate("window.marker") == "still the same"
        assert problems == []


def test_slow_parts_come_after_the_page(opened, shown):
    """Why the pick works, and the effect of each gate."""
    with opened() as (page, problems):
        page.goto(shown.address)
        page.wait_for_selector("#part-why [data-chart=heat]")
        assert "Alone, without other attention" in page.locator("#part-why").inner_text()
        page.goto(_candidate(shown))
        page.wait_for_selector("#part-gates:not([aria-busy])")
        assert re.search(r"\+\d+\.\d\d", page.locator("#part-gates tbody tr").first.inner_text())
        assert problems == []


def test_another_site_cannot_write_a_note(opened, shown, serving, tmp_path):
    """A page of another origin sends the form; nothing is written, while a page of the dashboard's own may."""
    send = """async address => {
      const body = new URLSearchParams({ text: "evil", has_text: "1", token: "guessed" });
      return (await fetch(address, { method: "POST", mode: "no-cors", body }).catch(() => ({ type: "failed" }))).type;
    }"""
    with serving(tmp_path) as other, opened() as (page, _):
        page.goto(other.address)
        page.evaluate(send, f"{_candidate(shown)}/note")
        assert not shown.run.folder.notes.exists()
        page.goto(_candidate(shown))
        page.get_by_label("starred").check()
        page.get_by_role("button", name="Save").click()
        page.wait_for_url("**#note")
        assert page.get_by_label("starred").is_checked()
        page.goto(f"{shown.address}?c_group=starred")
        assert page.locator("table.candidates tbody tr").count() == 1
    assert read_notes(shown.run.folder) == {shown.run.pick.record.key: Note(starred=True)}
    shown.run.folder.notes.unlink()


def _with_all_tabs(page, address):
    """Open a page with its late parts, and all tabs at once."""
    page.goto(address)
    page.add_style_tag(content=".sheet { visibility: visible !important; height: auto !important; }")
    page.wait_for_function("() => !document.querySelector('[aria-busy=true]')")


def test_a_phone_shows_everything(opened, shown):
    """Nothing is wider than the window, targets have at least 24 pixels, text of drawings 11, and the gates are seen."""
    everywhere = next(each for each in shown.run.references if each.record.genotype.num_attended > 1).record.key
    candidate = f"{shown.address}/candidates/{everywhere}"
    compared = f"{shown.address}/compare?key={shown.run.pick.record.key}&key={everywhere}"
    with opened(viewport={"width": 390, "height": 844}, bypass_csp=True) as (page, _):
        for address in (shown.home, shown.address, candidate, compared, f"{shown.address}/compare", f"{candidate[:-2]}zz"):
            _with_all_tabs(page, address)
            assert page.evaluate("document.documentElement.scrollWidth") <= 390, address
            small = page.locator(TARGETS).evaluate_all(
                """elements => elements.filter(each => {
                  const box = each.getBoundingClientRect(), visible = each.checkVisibility({ visibilityProperty: true });
                  return visible && !each.closest(".skip, svg") && (box.height < 23.5 || box.width < 23.5);
                }).map(each => each.outerHTML.slice(0, 120))"""
            )
            assert small == [], address
            sizes = page.locator("svg.compact text").evaluate_all(
                "texts => texts.map(text => text.getScreenCTM().a * parseFloat(getComputedStyle(text).fontSize))"
            )
            assert min(sizes, default=11) >= 11, address
            gates = page.locator("svg.compact g rect").evaluate_all(
                "gates => gates.map(gate => gate.getBoundingClientRect().right)"
            )
            assert max(gates, default=0) <= 390, address


def test_the_pages_can_be_read_by_everybody(opened, shown):
    """Axe finds nothing serious in either theme, with all tabs open at once."""
    from axe_playwright_python.sync_playwright import Axe

    found = []
    with opened(bypass_csp=True) as (page, _):
        for address in (shown.address, _candidate(shown), f"{shown.address}/compare"):
            _with_all_tabs(page, address)
            for scheme in ("light", "dark"):
                page.emulate_media(color_scheme=scheme)
                violations = Axe().run(page).response["violations"]
                found += [
                    (address, scheme, each["id"], each["nodes"][0]["html"][:120])
                    for each in violations
                    if each["impact"] in ("serious", "critical")
                ]
    assert found == []
