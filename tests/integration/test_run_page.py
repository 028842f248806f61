"""What the page of a run says: the pick in words, budgets, trust, next steps, steps of the search, the table of candidates."""

import json
import re
import tarfile
import time
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest
from placed import First, Nothing

from attn_nas.dashboard import app as app_module
from attn_nas.dashboard.app import dashboard_app
from attn_nas.dashboard.guard import Rules
from attn_nas.dashboard.library import Library
from attn_nas.errors import RunError, SpaceError
from attn_nas.events.progress import SearchProgress
from attn_nas.events.types import ConfirmationStarted, ExportAdvanced, SearchFinished, SearchStarted, TrialStarted
from attn_nas.report import document
from attn_nas.report.charts.front_data import front_data
from attn_nas.report.document import html_report
from attn_nas.report.pages import run_page
from attn_nas.report.pages.candidate_table import CandidateTable
from attn_nas.report.pages.comparison_page import choice_context
from attn_nas.report.pages.environment import render
from attn_nas.report.pages.hero import Hero, budget_card, cards_of, cost_of
from attn_nas.report.pages.insight_page import insight_context
from attn_nas.report.pages.links import Addresses
from attn_nas.report.pages.next_steps import NextSteps
from attn_nas.report.pages.reading import RunReading
from attn_nas.report.pages.run_page import RunPage
from attn_nas.report.pages.steps import steps_of
from attn_nas.report.pages.trust import Trust
from attn_nas.report.pick_label import pick_label
from attn_nas.runs.gate_effects import gate_effects
from attn_nas.runs.run import Run
from attn_nas.sampling.baselines import at_random
from attn_nas.space.metric import Metric
from attn_nas.space.trunks import Trunk

RECORDED = Path(__file__).parents[2] / "docs" / "pictures" / "run.tar.xz"


@pytest.fixture(scope="module")
def first(search_in, tiny_task, tmp_path_factory):
    """A run where a gate in block 0 helps."""
    return search_in(tmp_path_factory.mktemp("first"), n_trials=16, confirm=1, training=First(tiny_task), sampler=at_random)


@pytest.fixture(scope="module")
def nothing(search_in, tiny_task, tmp_path_factory):
    """A run where nothing helps."""
    return search_in(tmp_path_factory.mktemp("nothing"), n_trials=12, confirm=1, training=Nothing(tiny_task), sampler=at_random)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory):
    """The run of the documentation's pictures."""
    folder = tmp_path_factory.mktemp("recorded")
    with tarfile.open(RECORDED) as archive:
        archive.extractall(folder, filter="data")
    return Run(next(folder.iterdir()))


@pytest.fixture(scope="module")
def get(first, ask):
    """Asks a dashboard of the run where a gate in block 0 helps."""
    app = dashboard_app(Library(first.folder.path), Rules.of("127.0.0.1", None))
    return lambda address: ask(app, address)


def test_the_pick_is_said_in_one_sentence(first):
    """Name, estimate with interval and training, lead over no attention, cost, standing, and what it is not."""
    hero = Hero(first)
    assert first.pick.record.genotype.placements[0]
    assert hero.kicker == "Recommended"
    assert hero.headline.lower() == first.pick.name.lower()
    estimate, cost, standing = hero.sentences
    assert re.fullmatch(
        r"Accuracy (79|80|81)\.\d\d % \(90 % interval 7\d\.\d\d % to 8\d\.\d\d %\) after 2 epochs: "
        r"\+(19|20|21)\.\d\d ± \d\.\d\d points against no attention, > 99 % sure to be more accurate\.",
        estimate,
    )
    assert re.fullmatch(r"It (costs \+|saves )\d+\.\d\d % FLOPs\.", cost)
    best = "As accurate as anything larger in this search" if first.verdict.kind == "tie" else "It is more accurate than"
    assert standing.startswith(best)
    assert "short training (2 epochs" in hero.caution
    assert "before you rely on them" in hero.caution


def test_a_run_without_a_finding_says_so_first(nothing):
    """No lead is claimed, and no network is recommended but the one without attention."""
    hero = Hero(nothing)
    assert hero.kicker == "Nothing found"
    assert hero.headline == "No placement beat the network without attention"
    assert hero.sentences[0].startswith("Without attention: ")
    assert not any("against no attention" in sentence for sentence in hero.sentences)
    assert "with more epochs, images or seeds" in hero.caution


def test_nothing_is_recommended_where_nothing_is_shown_to_be_better(first, nothing, monkeypatch):
    """Hero, card, tags and chart say the same of the pick: for no attention, and where that has no score."""
    assert {pick_label(nothing), front_data(nothing, (), lambda _: None)["marked"][nothing.pick.record.key]} == {
        "nothing better found"
    }
    assert cards_of(nothing)[0].heading == "Nothing better found"
    assert nothing.verdict.best != nothing.verdict.pick
    assert front_data(nothing, (), lambda _: None)["marked"][nothing.verdict.best] == "largest estimate"
    cheapest = next(each for each in nothing.candidates if each.record.genotype.num_attended)
    picking = replace(nothing.verdict.picking, bare=None)
    monkeypatch.setattr(nothing, "verdict", replace(nothing.verdict, pick=cheapest.record.key, picking=picking))
    assert Hero(nothing).kicker == cards_of(nothing)[0].heading == "Cheapest tested"
    assert front_data(nothing, (), lambda _: None)["marked"][cheapest.record.key] == "cheapest tested"
    assert NextSteps(nothing).steps[0].command.endswith(f"--confirm {nothing.manifest.confirm + 1}")
    assert "recommended" not in html_report(RunReading(nothing, SearchProgress(), is_worked_in=False)).lower()
    assert pick_label(first) == "recommended"


def test_a_pick_that_cheaper_networks_may_equal_is_not_called_better_than_all_cheaper(first, monkeypatch):
    """The words of the verdict stand in its place."""
    best = first.verdict.best
    monkeypatch.setattr(first, "verdict", replace(first.verdict, kind="winner", pick=best))
    assert Hero(first).sentences[-1].startswith("It is more accurate than every cheaper network")
    monkeypatch.setattr(first, "verdict", replace(first.verdict, kind="tie", pick=best))
    assert Hero(first).sentences[-1] == first.verdict.text


def test_commands_are_shown_only_where_they_can_be_used(first, recorded, monkeypatch):
    """Other trunks cannot be trained for a network of a user's own, nor after they were."""
    page = RunPage(RunReading.of(first.folder.path), Addresses("run", has_runs=False), {})
    assert f"<code>attn-nas baseline {first.folder.path}</code> adds trunks" in page.part("front")
    monkeypatch.setattr(run_page, "Host", Trunk)
    assert "attn-nas baseline" not in page.part("front")


def test_the_words_of_the_recorded_run(recorded):
    """It was not confirmed enough: the words claim nothing, and say after which training."""
    hero = Hero(recorded)
    assert hero.kicker == {"not tested": "Best guess so far"}.get(recorded.verdict.kind, hero.kicker)
    text = " ".join(hero.sentences)
    assert "after 3 epochs" in text
    assert ("against no attention" in text) == recorded.verdict.allows_claims
    assert recorded.verdict.allows_claims or "no placement is called the best" in text


def test_without_a_candidate_there_is_nothing_to_say(first, monkeypatch):
    """Nor is there a next step."""
    monkeypatch.setattr(Run, "pick", None)
    assert (Hero(first).headline, Hero(first).sentences, cards_of(first), NextSteps(first).steps) == ("", [], [], [])


@pytest.mark.parametrize(
    ("budget", "heading", "problem"),
    [
        ("", None, ""),
        ("+3%", "Pick within +3%", ""),
        (" 3 % ", "Pick within 3 %", ""),
        ("+200k", "Pick within +200k", ""),
        ("10M", "Pick within 10M", ""),
        ("much", None, "'much' is not a limit: write a total"),
        ("-5%", None, "is not a limit"),
        ("<script>", None, "is not a limit"),
    ],
)
def test_a_budget_that_a_user_types(first, budget, heading, problem):
    """A card is added, or the page says how to write it."""
    assert [card.heading for card in cards_of(first)] == ["Recommended", "Pick within +1 %", "Pick within +5 %"]
    if problem:
        with pytest.raises(SpaceError, match=problem):
            budget_card(first, budget)
        return
    card = budget_card(first, budget)
    assert (card and card.heading) == heading


def test_a_budget_below_every_candidate_says_what_the_cheapest_costs(first, get):
    """The page keeps what was typed."""
    card = budget_card(first, "10")
    assert card.candidate is None
    assert "no candidate is that cheap: the cheapest has" in card.words
    page = unescape(get("/runs/run?budget=10").text)
    assert "no candidate is that cheap" in page
    assert 'value="10"' in page
    assert "is not a limit" in unescape(get("/runs/run?budget=much").text)


def test_costs_are_said_with_their_direction(first):
    """Nothing for no attention, one verb where both change alike."""
    bare = first.candidate(first.verdict.bare)
    assert cost_of(bare) == "adds nothing"
    for candidate in first.candidates:
        assert re.fullmatch(
            r"adds nothing|(adds|saves) \d+\.\d\d % of the FLOPs( and (saves |adds )?[\d,]+ parameters?)?", cost_of(candidate)
        )


def test_every_cost_that_the_search_minimised_is_said(first, monkeypatch):
    """Operations as shares, times as ratios; a time that was not measured is left out."""
    monkeypatch.setattr(Run, "axes", ("macs", "step_time", "latency"))
    timed = replace(first.pick, costs={"step_time": 1.064, "latency": float("nan")})
    assert re.search(r"( and |adds )\d+\.\d\d % of the MACs, a training step takes 1\.06 times as long$", cost_of(timed))


def test_ties_are_marked_among_the_networks_that_matter(first, nothing):
    """The pick and no attention are listed with all their seeds; the latter is told apart, where anything is."""
    rows = {row.candidate.record.key: row for row in Trust(first).rows}
    assert {first.pick.record.key, first.verdict.best, first.verdict.bare} <= rows.keys()
    assert rows[first.pick.record.key].tied
    assert rows[first.verdict.best].tied
    assert not rows[first.verdict.bare].tied
    for row in rows.values():
        assert len(row.dots) == len(row.candidate.results)
        assert all(0 <= place <= 100 for place in (*row.dots, row.low, row.high, row.estimate))
        assert row.low <= row.estimate <= row.high
    assert not any(row.tied for row in Trust(nothing).rows)
    assert "2 epochs" in Trust(first).warning


def test_the_axis_of_seeds_follows_the_metric(first, monkeypatch):
    """Where small values are good, they are still at the left."""
    monkeypatch.setattr(Run, "metric", Metric("error", "minimize", bounded=True))
    trust = Trust(first)
    best, worst = trust.rows[0], trust.rows[-1]
    assert best.estimate < worst.estimate
    assert float(trust.ends[0].split()[0]) < float(trust.ends[1].split()[0])


def test_a_full_training_is_shown_beside_the_estimates(first, get):
    """Each network with its interval and its gain over no attention; one seed has no interval, a damaged file is left out."""
    path = first.folder.path / "retraining.json"
    pick, bare = first.pick.record.key, first.verdict.bare
    gain = {"mean": 0.0312, "low": 0.02, "high": 0.042, "p": 0.01}
    rows = [
        {"key": pick, "name": "winner", "accuracy": 0.9712, "low": 0.968, "high": 0.974, "gains": {"bare": gain}},
        {"key": bare, "name": "none", "accuracy": 0.94, "low": None, "high": None, "gains": {}},
    ]
    try:
        path.write_text(json.dumps({"plan": {"recipe": {"epochs": 20}, "seeds": [1, 2, 3]}, "networks": rows}))
        page = get("/runs/run").text
        assert "20 epochs with 3 seeds, on the test split" in page
        assert "96.80 % to 97.40 %" in page
        assert "+3.12 (+2.00 to +4.20)" in page
        assert [score.key for score, _ in Trust(first).full_rows] == [pick, bare]
        path.write_text("{}")
        assert Trust(first).full is None
        assert "After full training" not in get("/runs/run").text
    finally:
        path.unlink()


def test_next_steps_follow_from_the_verdict(first, nothing, recorded):
    """Full training of a pick; one more seed where nothing may be claimed; each with its time where it is a training."""
    commands = {run: [step.command.split()[1] for step in NextSteps(run).steps] for run in (first, nothing, recorded)}
    assert commands[first] == ["retrain", "search", "export"]
    assert commands[nothing][0] == "search"
    assert set(commands[recorded]) <= {"retrain", "search", "export", "audit"}
    assert [step.seconds is None for step in NextSteps(recorded).steps] == [
        " export " in step.command for step in NextSteps(recorded).steps
    ]
    assert f"--confirm {first.manifest.confirm + 1}" in NextSteps(first).steps[1].command


def _reading(run, *events, worked_in=True):
    progress = SearchProgress()
    for event in events:
        progress(event)
    return RunReading(run, progress, worked_in)


def _started(confirm=1, finished=0):
    return SearchStarted(
        run="run", space="tiny", budget=16, time_budget=None, confirm=confirm, finished=finished, front=(), seed=0, workers=1,
        threads=1, gpus=0, cores=1, numerics="fp32", trunk="trunk", num_sites=3,
    )  # fmt: skip


ROUND = ConfirmationStarted(round=1, rounds=1, seed=1, candidates=3, references=2, trainings=5, seconds=1.0)
END = SearchFinished(run="run", why="budget", finished=16, confirmed=5, budget=16, seconds=1.0, training_seconds=1.0)


@pytest.mark.parametrize(
    ("events", "worked_in", "expected"),
    [
        ((), True, "now later later later"),
        ((_started(),), True, "done now later later"),
        ((_started(finished=3),), False, "done stopped later later"),
        ((_started(finished=16), ROUND), True, "done done now later"),
        ((_started(confirm=0),), True, "done now left-out later"),
        ((_started(finished=16), ROUND, END, ExportAdvanced(done=1, models=4)), False, "done done done now"),
        ((_started(finished=16), ROUND, END, ExportAdvanced(done=1, models=4, time=0.0)), False, "done done done stopped"),
        ((_started(finished=16), ROUND, END, ExportAdvanced(done=4, models=4)), False, "done done done done"),
        ((_started(finished=16), ROUND, END), False, "done done done done"),
        ((_started(finished=16), ROUND, END, ExportAdvanced(done=0, models=0)), False, "done done done left-out"),
        ((_started(finished=3), replace(END, why="interrupted")), False, "done stopped later later"),
    ],
)
def test_the_four_steps_of_a_search(first, events, worked_in, expected):
    """Prepare, search, confirm, export; an export that has said nothing for long has stopped."""
    now = [replace(event, time=time.time()) if isinstance(event, ExportAdvanced) and event.time else event for event in events]
    steps = steps_of(_reading(first, *now, worked_in=worked_in))
    assert [step.name for step in steps] == ["prepare", "search", "confirm", "export"]
    assert " ".join(step.progress.replace(" ", "-") for step in steps) == expected


def test_an_export_without_a_scored_candidate_is_left_out(first, monkeypatch):
    """Nothing could be exported, though the search has ended."""
    monkeypatch.setattr(first, "candidates", [])
    assert steps_of(_reading(first, _started(finished=16), ROUND, END, worked_in=False))[-1].progress == "left out"


def test_candidates_have_one_row_each_and_are_found(first, get):
    """Sorted by the estimate, filtered by name, mechanism and group; seeds in a list that unfolds."""
    reading = RunReading.of(first.folder.path)
    table = CandidateTable(reading, {}, None)
    keys = [each.record.key for each in table.matching]
    assert sorted(keys) == sorted(each.record.key for each in first.candidates)
    scores = [each.accuracy for each in table.matching]
    assert scores == sorted(scores, reverse=True)
    ascending = CandidateTable(reading, {"c_sort": "flops", "c_order": "asc"}, None).matching
    assert ascending[0].added_flops == min(each.added_flops for each in first.candidates)
    named = CandidateTable(reading, {"c_q": first.pick.name.upper()}, None).matching
    assert first.pick.record.key in [each.record.key for each in named]
    mechanism = CandidateTable(reading, {"c_mechanism": "sk"}, None).matching
    assert mechanism
    assert all("sk" in str(each.record.genotype) for each in mechanism)
    assert {each.record.key for each in CandidateTable(reading, {"c_group": "front"}, None).matching} == {
        each.record.key for each in first.front
    }
    nonsense = CandidateTable(reading, {"c_sort": "__class__", "c_group": "x", "c_page": "-1"}, 5)
    assert len(nonsense.pages.rows) == 5
    html = get("/runs/run/candidates").text
    assert html.count("<details><summary>") == len(first.candidates)
    assert "No candidate matches the filters" in get("/runs/run/candidates?c_q=nonesuch").text


def test_the_effect_of_a_gate_is_what_the_network_loses_without_it(first, get):
    """The gate in block 0 has the whole effect; those elsewhere have none, and may be left out."""
    candidate = max((each for each in first.candidates if all(each.record.genotype.placements)), key=lambda each: each.accuracy)
    (effects,) = gate_effects(first, [candidate]).values()
    assert 0.1 < effects["block 0"].change < 0.3
    assert effects["block 0"].low > 0
    assert effects["block 1"].low <= 0 <= effects["block 1"].high
    part = get(f"/runs/run/candidates/{candidate.record.key}/gates").text
    assert "without it" in part
    assert "after 2 epochs" in part
    assert gate_effects(first, [first.candidate(first.verdict.bare)]) == {first.verdict.bare: {}}


def test_gates_without_effects_say_why(first, get, monkeypatch):
    """Not loaded yet, with a link for a browser without JavaScript; too few networks; code that cannot be used here."""
    key = next(each.record.key for each in first.candidates if each.record.genotype.num_attended)
    page, part = f"/runs/run/candidates/{key}", f"/runs/run/candidates/{key}/gates"
    assert f'estimated when this page has loaded: <a href="{part}">' in get(page).text
    assert "estimated when this page has loaded" not in get(part).text
    monkeypatch.setattr(app_module, "gate_effects", lambda *_: {})
    assert f"from at least four networks; this run has {len(first.candidates)}." in get(part).text

    def fail(*_):
        raise SpaceError("shift.py is missing")

    monkeypatch.setattr(app_module, "gate_effects", fail)
    assert "cannot be estimated: shift.py is missing" in get(part).text
    monkeypatch.setattr(document, "gate_effects", fail)
    assert "not known here: they need the code" in html_report(RunReading.of(first.folder.path))


def test_effects_are_said_to_be_confirmed_only_where_the_verdict_is(first, monkeypatch):
    """One cell of dozens has a large estimate by chance."""
    reading, links = RunReading(first, SearchProgress(), is_worked_in=False), Addresses("run", has_runs=False)
    said = insight_context(reading, first.insight, links)
    assert re.search(r"^Alone, without other attention, .* adds most after 2 epochs: \+\d", said["sentence"])
    assert said["doubt"] == ""
    for kind, doubt in (("nothing found", "the seeds do not confirm it"), ("not tested", "not tested")):
        monkeypatch.setattr(first, "verdict", replace(first.verdict, kind=kind))
        said = insight_context(reading, first.insight, links)
        assert re.search(rf"^By the estimates alone, .* after 2 epochs: \+.* \({doubt}\)\.$", said["sentence"])
        assert said["doubt"] == first.verdict.text
        assert unescape(render("parts/insight.html", **said)).count(first.verdict.text) == 1


def test_trainings_are_shown_by_name_while_they_run_and_when_they_fail(first, monkeypatch):
    """With glyph and key; a training that is not stored yet by what its event says."""
    record = first.pick.record
    begun = TrialStarted(number=1, key=record.key, seed=0, placements="raw", reference=None, flops=1, params=1)
    unknown = replace(begun, number=2, key="f" * 8, name="SE in stage 9")
    reading = _reading(first, _started(), begun, unknown, replace(unknown, number=3, key="e" * 8, name=""))
    workers = RunPage(reading, Addresses("run", has_runs=False), {}).part("workers")
    assert re.search(
        rf"{first.pick.glyph}</span> <a [^>]+>{first.pick.name}</a> <code class=\"key\">{record.key}</code>", workers
    )
    assert "<b>SE in stage 9</b>" in workers
    assert workers.count("raw") == workers.count("<b>raw</b>") == 1
    monkeypatch.setattr(Run, "failures", [replace(record, state="failed", result=None, reason="it diverged")])
    failures = RunPage(reading, Addresses("run", has_runs=False), {}).part("failures")
    assert f'{first.pick.glyph}</span> {first.pick.name} <code class="key">{record.key}</code>: it diverged' in failures


def test_an_unknown_key_suggests_the_closest(first, get):
    """In the message, and on the page with links."""
    key = first.pick.record.key
    wrong = key[:6] + "zz"
    with pytest.raises(RunError, match=f"the closest: {key} "):
        first.candidate(wrong)
    answer = get(f"/runs/run/candidates/{wrong}")
    assert answer.status == 404
    assert f"/runs/run/candidates/{key}" in answer.text
    assert 'href="/runs/run"' in answer.text


def test_a_comparison_of_many_unknown_keys_looks_for_few(first, monkeypatch):
    """An address may have thousands; each search for the closest compares all names."""
    sought = []
    monkeypatch.setattr(Run, "closest", lambda self, text: sought.append(text) or self.candidates[:1])
    keys = [f"z{number}" for number in range(1000)]
    context = choice_context(RunReading.of(first.folder.path), ["", *keys], "too many", Addresses("run", has_runs=False))
    assert sought == keys[:4]
    assert first.candidates[0].record.key in [each.record.key for each in context["offered"]]


@pytest.mark.parametrize("number", [0, 1, 5])
def test_a_comparison_that_cannot_be_made_offers_candidates(first, get, number):
    """Those that were asked for are chosen already, up to four."""
    keys = [each.record.key for each in first.candidates[:number]]
    answer = get(f"/runs/run/compare?{'&'.join(f'key={key}' for key in keys)}")
    assert answer.status == 400
    assert f"keys given: {number}" in answer.text
    offered = re.findall(r'name="key" value="(\w+)"( checked)?', answer.text)
    assert {first.pick.record.key, *keys} <= {key for key, _ in offered}
    assert [key for key, chosen in offered if chosen] == keys[:4]


def test_the_page_being_read_is_marked_in_the_navigation(first, get):
    """Once on each page that it names."""
    for page in ("/runs/run", "/runs/run/insight"):
        (marked,) = re.findall(r'<a href="([^"]+)" aria-current="page"', get(page).text)
        assert marked == page


def test_the_raw_study_has_a_way_back(first, ask):
    """Its page has a link to the run, also where the page is sent compressed or only its head is asked for."""
    app = dashboard_app(Library(first.folder.path), Rules.of("127.0.0.1", None))
    page = ask(app, "/runs/run/raw").headers["location"]
    for headers in ((), (("accept-encoding", "gzip"),)):
        answer = ask(app, page, headers=(("host", "127.0.0.1:8090"), *headers))
        assert '<a href="/runs/run"' in answer.text
        assert "back to run</a></body>" in answer.text.replace("\n", "")
        assert int(answer.headers["content-length"]) == len(answer.body)
    head = ask(app, page, "HEAD")
    assert (head.status, head.body) == (200, b"")
