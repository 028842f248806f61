"""The charts in a real browser: zoom, selection, hovering, keys, saving, themes, and a search that goes on meanwhile."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from PIL import Image

from attn_nas.report.document import html_report
from attn_nas.report.pages.reading import RunReading
from attn_nas.runs.run import Run
from attn_nas.sampling.baselines import at_random

BUDGET = 24


@pytest.fixture(scope="module")
def shown(search_in, tmp_path_factory, serving):
    """A dashboard of a run with a confirmation: its address, the run, and its folder."""
    folder = tmp_path_factory.mktemp("charts")
    run = search_in(folder, run=folder / "run", n_trials=BUDGET, sampler=at_random, confirm=1)
    with serving(folder) as served:
        yield SimpleNamespace(address=f"{served.address}runs/run", run=run, folder=folder / "run")


@pytest.fixture
def page(opened, shown):
    """The page of the run, which must have no problems: a violation of its policy is an error on the console."""
    with opened() as (page, problems):
        page.goto(shown.address)
        page.wait_for_selector("[data-chart=front] svg")
        yield page
        assert problems == []


def _chart(page, kind):
    if kind == "parallel":
        page.get_by_role("link", name="Explore").click()
        page.wait_for_selector("[data-chart=parallel] svg")
    return page.locator(f"[data-chart={kind}]").first


def _at(page, key):
    """The place of a candidate in the chart of the front, in pixels of the window."""
    _chart(page, "front").scroll_into_view_if_needed()
    x, y = page.evaluate(
        """key => {
          const row = attnNas.page.rows.get(key), plot = document.querySelector("[data-chart=front] .plot");
          const { instance } = attnNas.chartOf(plot.parentElement);
          const place = instance.convertToPixel({ gridIndex: 0 }, [attnNas.costOf(row), row.value]);
          const box = plot.getBoundingClientRect();
          return [place[0] + box.x, place[1] + box.y];
        }""",
        key,
    )
    return x, y


def _window(page):
    """What the chart of the front shows: its lower and upper ends on both axes."""
    return page.evaluate(
        """() => attnNas.chartOf(document.querySelector("[data-chart=front]")).instance.getOption().dataZoom
          .map(zoom => [zoom.startValue, zoom.endValue])"""
    )


def _dimmed(page):
    """Rows of tables that are dimmed, and candidates that are selected."""
    rows = page.locator("tr.out[data-key]").evaluate_all("rows => rows.map(row => row.dataset.key)")
    return set(rows), set(page.evaluate("[...attnNas.page.rows.values()].filter(attnNas.isSelected).map(row => row.key)"))


def _free(shown):
    """A candidate in the usual window that is no member of the front."""
    front = {member.record.key for member in shown.run.front}
    ranked = sorted(shown.run.candidates, key=lambda each: -each.accuracy)
    return next(each for each in ranked if each.record.key not in front and not each.record.reference)


def test_the_front_begins_where_most_candidates_are_and_is_zoomed(page):
    """By buttons and keys; everything is shown on request, and the usual window comes back."""
    usual, front = _window(page), _chart(page, "front")
    front.get_by_role("button", name="zoom in").click()
    nearer = _window(page)
    assert all(a[0] < b[0] < b[1] < a[1] for a, b in zip(usual, nearer, strict=True))
    front.locator(".plot").focus()
    page.keyboard.press("0")
    values = page.evaluate("[...attnNas.page.rows.values()].map(row => [attnNas.costOf(row), row.value])")
    for (low, high), found in zip(_window(page), zip(*values, strict=True), strict=True):
        assert low < min(found) <= max(found) < high
    front.get_by_role("button", name="Most").click()
    page.wait_for_timeout(100)
    assert [pytest.approx(ends, rel=1e-3) for ends in usual] == _window(page)


def test_a_point_tells_what_it_is_and_opens_its_candidate(page, shown):
    """Glyph, name, estimate with interval, costs and key; its rows are lit; a click opens its page."""
    candidate = _free(shown)
    key = candidate.record.key
    page.mouse.move(*_at(page, key))
    tip = page.locator("[data-chart=front] .chart-tip")
    tip.wait_for()
    text = tip.inner_text()
    low, high = candidate.run.metric.interval(candidate.belief.low, candidate.belief.high)
    for part in (
        candidate.glyph,
        candidate.name,
        candidate.run.metric.text(candidate.accuracy),
        low[:-2],
        high[:-2],
        "added FLOPs ",
        key,
    ):
        assert part in text
    assert page.locator(f'tr.hot[data-key="{key}"]').count() > 0
    page.mouse.click(*_at(page, key))
    page.wait_for_url(f"**/candidates/{key}")


def test_only_picks_are_labelled_until_one_points(page, shown):
    """The label of the pick, and the name of a candidate only while its row is pointed at."""
    front = _chart(page, "front")
    names = {candidate.name for candidate in shown.run.candidates}
    texts = set(front.locator(".plot svg text").all_text_contents())
    assert not names & texts
    row = page.locator("#part-candidates tr[data-key]").nth(2)
    candidate = shown.run.candidate(row.get_attribute("data-key"))
    named = front.locator(".plot svg text", has_text=candidate.name)
    row.locator("td").last.hover()
    named.wait_for(state="attached")
    page.mouse.move(2, 2)
    named.wait_for(state="detached")
    marked = page.evaluate("attnNas.page.charts.front.marked")
    assert shown.run.pick.record.key in marked
    assert any(label in texts for label in marked.values())


def test_a_range_of_an_axis_selects_everywhere(page, shown):
    """Also trials of the confirmation, whose rows have another number; the front and the count follow, and a button ends it."""
    parallel = _chart(page, "parallel")
    parallel.scroll_into_view_if_needed()
    box = parallel.locator(".plot").bounding_box()
    right = box["x"] + box["width"] - 70
    page.mouse.move(right, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(right, box["y"] + 160, steps=5)
    page.mouse.up()
    page.wait_for_function("() => attnNas.page.ranges.size === 1")
    dimmed, selected = _dimmed(page)
    assert 0 < len(selected) < BUDGET
    confirmed = {record.key for record in shown.run.records if record.seed != shown.run.manifest.seed}
    assert dimmed & confirmed or selected & confirmed
    rows = page.locator("tr[data-key]").evaluate_all("rows => rows.map(row => row.dataset.key)")
    assert dimmed == set(rows) - selected
    best = max(shown.run.candidates, key=lambda each: each.accuracy).record.key
    assert best in selected
    count = page.locator("[data-selected]").first.inner_text()
    assert count == f"{len(selected)} of {BUDGET} candidates are selected."
    faint = page.evaluate(
        """() => attnNas.chartOf(document.querySelector("[data-chart=front]")).instance.getOption().series
          .find(each => each.id === "candidates").data.filter(each => each.itemStyle.opacity < 0.1).length"""
    )
    assert faint == BUDGET - len(selected)
    page.get_by_role("button", name="Clear the selection").first.click()
    assert _dimmed(page) == (set(), {candidate.record.key for candidate in shown.run.candidates})


def test_a_box_in_the_front_selects_on_the_axes(page):
    """A drag with the button pressed; Escape ends the selection."""
    _chart(page, "parallel")
    front = _chart(page, "front")
    front.scroll_into_view_if_needed()
    front.get_by_role("button", name="Select a box").click()
    box = front.locator(".plot").bounding_box()
    page.mouse.move(box["x"] + 80, box["y"] + 30)
    page.mouse.down()
    page.mouse.move(box["x"] + 320, box["y"] + 200, steps=5)
    page.mouse.up()
    page.wait_for_function("() => attnNas.page.box !== null")
    dimmed, selected = _dimmed(page)
    assert dimmed
    lines = page.evaluate(
        """() => attnNas.chartOf(document.querySelector("[data-chart=parallel]")).instance.getOption().series
          .map(each => [each.id, each.data.length])"""
    )
    numbers = dict(map(tuple, lines))
    assert (numbers["kept"] + numbers["front"], numbers["dropped"]) == (len(selected), BUDGET - len(selected))
    front.locator(".plot").focus()
    page.keyboard.press("Escape")
    assert _dimmed(page)[0] == set()


def test_charts_are_used_with_keys_alone(page, shown):
    """Arrows go from point to point, each is described, Enter opens one; ranges of the axes are chosen with arrows."""
    parallel = _chart(page, "parallel")
    parallel.locator(".plot").focus()
    page.keyboard.press("ArrowUp")
    first = parallel.locator(".described").inner_text()
    assert re.fullmatch(r"Axis .*: none\.", first)
    page.keyboard.press("ArrowUp")
    assert parallel.locator(".described").inner_text() != first
    assert _dimmed(page)[0]
    page.keyboard.press("Escape")
    assert _dimmed(page)[0] == set()
    front = _chart(page, "front")
    front.locator(".plot").focus()
    page.keyboard.press("ArrowRight")
    one = front.locator(".described").inner_text()
    page.keyboard.press("ArrowRight")
    two = front.locator(".described").inner_text()
    assert one != two
    candidate = next(each for each in shown.run.candidates if two.startswith(f"{each.name}: "))
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/candidates/{candidate.record.key}")


def test_the_cost_axis_is_switched(page, shown):
    """Parameters in the place of FLOPs, in both charts."""
    _chart(page, "parallel")
    front = _chart(page, "front")
    front.get_by_label("cost axis").select_option("params")
    page.wait_for_function(
        "() => document.querySelector('[data-chart=parallel] svg')?.textContent.includes('added parameters')"
        " && document.querySelector('[data-chart=front] svg').textContent.includes('added parameters')"
    )
    bare = shown.run.manifest.bare_cost.params
    costs = page.evaluate("[...attnNas.page.rows.values()].map(row => attnNas.costOf(row))")
    wanted = [100 * (candidate.record.cost.params - bare) / bare for candidate in shown.run.candidates]
    assert costs == pytest.approx(wanted)


def test_a_chart_is_saved(page, tmp_path):
    """As a PNG of twice its size, and as an SVG with its texts; also where a policy allows no pictures of data."""
    front = _chart(page, "front")
    size = front.locator(".plot").bounding_box()
    for kind in ("PNG", "SVG"):
        with page.expect_download() as download:
            front.get_by_role("button", name=kind).click()
        assert download.value.suggested_filename == f"run-front.{kind.lower()}"
        download.value.save_as(tmp_path / kind)
    with Image.open(tmp_path / "PNG") as picture:
        assert picture.size == (round(2 * size["width"]), round(2 * size["height"]))
        assert len(picture.convert("RGB").getcolors(1 << 20)) > 10
    assert "added FLOPs" in (tmp_path / "SVG").read_text()


def test_charts_follow_the_theme_and_the_width(page):
    """Texts have the colour of the theme; on a telephone they are no smaller than 11 pixels, and nothing is cut."""
    inked = """() => [...document.querySelectorAll("[data-chart=front] svg text")]
      .some(each => getComputedStyle(each).fill === getComputedStyle(document.body).color)"""
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        page.wait_for_function(f"() => document.documentElement.dataset.theme === '{scheme}' && ({inked})()")
    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function("() => document.querySelector('[data-chart=front] svg').getBoundingClientRect().width <= 390")
    sizes = page.locator("[data-chart] svg text").evaluate_all(
        "all => all.map(each => parseFloat(getComputedStyle(each).fontSize))"
    )
    assert min(sizes) >= 11
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_the_heat_maps_mark_what_is_sure_and_what_has_no_data(page, shown):
    """The words for cells without data, the figures of the others, and each cell described on the way of the arrows."""
    page.goto(f"{shown.address}/insight")
    page.wait_for_selector("[data-chart=heat] svg")
    alone = shown.run.insight.alone
    texts = _chart(page, "heat").locator("svg text").all_text_contents()
    cells = [effect for row in alone.cells.values() for effect in row.values()]
    assert texts.count("no data") == sum(not cell.trained for cell in cells)
    for cell in cells:
        assert not cell.trained or shown.run.metric.signed(cell.change, 1) in texts
    _chart(page, "heat").locator(".plot").focus()
    page.keyboard.press("ArrowRight")
    told = _chart(page, "heat").locator(".described").inner_text()
    assert "best placement: " in told
    page.keyboard.press("ArrowRight")
    assert _chart(page, "heat").locator(".described").inner_text() != told


def test_a_search_that_goes_on_keeps_zoom_selection_and_hover(opened, search_in, tmp_path, serving):
    """New candidates appear in the charts, and what the reader has chosen stays."""
    folder = tmp_path / "run"
    search_in(tmp_path, run=folder, n_trials=12, sampler=at_random)
    with serving(tmp_path) as served, opened() as (page, problems):
        page.goto(f"{served.address}runs/run")
        page.wait_for_selector("[data-chart=front] svg")
        front = _chart(page, "front")
        front.get_by_role("button", name="zoom in").click()
        zoomed = _window(page)
        page.evaluate("attnNas.page.ranges.set('value', [0, 1000]); attnNas.select()")
        front.locator(".plot").focus()
        page.keyboard.press("ArrowRight")
        key = page.evaluate("attnNas.page.hot")
        assert key in {candidate.record.key for candidate in Run(folder).candidates}
        search_in(tmp_path, run=folder, resume=True, n_trials=16, sampler=at_random)
        page.wait_for_function("() => attnNas.page.rows.size === 16")
        page.wait_for_timeout(200)
        assert [pytest.approx(ends, rel=1e-6) for ends in zoomed] == _window(page)
        assert page.evaluate("[attnNas.page.ranges.size, attnNas.page.hot]") == [1, key]
        assert problems == []


def test_a_report_on_disk_has_the_same_charts(opened, shown, tmp_path):
    """Opened from a file: drawn, selected by keys, and saved, under its own policy."""
    (tmp_path / "report.html").write_text(html_report(RunReading.of(shown.folder)), encoding="utf-8")
    with opened() as (page, problems):
        page.goto((tmp_path / "report.html").as_uri())
        page.wait_for_selector("[data-chart=front] svg")
        assert page.locator("[data-chart=heat] svg").count() > 0
        page.mouse.move(*_at(page, _free(shown).record.key))
        page.locator("[data-chart=front] .chart-tip").wait_for()
        with page.expect_download() as download:
            _chart(page, "front").get_by_role("button", name="PNG").click()
        assert Path(download.value.path()).stat().st_size > 5_000
        assert problems == []


def test_without_javascript_the_front_is_a_picture(opened, shown):
    """The static picture of the front and the tables are shown."""
    with opened(java_script_enabled=False) as (page, problems):
        page.goto(shown.address)
        assert page.locator("noscript svg.figure.front, svg.figure.front").count() == 1
        assert page.locator("tr[data-key]").count() > 0
        assert problems == []
