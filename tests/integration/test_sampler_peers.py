"""The comparison with other samplers: searches are played once and survive a kill; the analysis of made-up results."""

import json

import numpy as np
import pytest
import sampler_peers
from figures.peers import OVERALL, Searches
from figures.registry import FIGURES
from scipy.stats import ttest_rel

PLAN = [("random-distinct", "additive", number, 12) for number in (0, 1)]


def told(search) -> dict:
    """All of a search that repeats itself."""
    return {name: value for name, value in search.items() if name not in ("ask_seconds", "seconds")}


@pytest.fixture(scope="module")
def played(tmp_path_factory):
    """The file of two searches."""
    path = tmp_path_factory.mktemp("played") / "searches.jsonl"
    assert sampler_peers.play_all(path, PLAN) == []
    return path


@pytest.fixture
def never(monkeypatch):
    """A search that starts is an error."""

    def refuse(*plan):
        raise AssertionError(f"{plan} is played")

    monkeypatch.setattr(sampler_peers, "play", refuse)


def test_a_search_has_its_hypervolumes_and_what_it_takes(played):
    first, second = sampler_peers.finished(played)
    assert [sampler_peers.identity(search) for search in (first, second)] == PLAN
    assert [*first["hypervolume"]] == ["10", "12"]
    assert 0 <= first["reference"] < first["best"]
    assert first["networks"] == 12
    assert first["ask_seconds"] > 0
    assert {"attn_nas", "torch", "optuna"} <= first["versions"].keys()
    assert first["best"] != second["best"]


def test_what_the_file_has_is_not_played_again(played, never):
    before = played.read_bytes()
    assert sampler_peers.play_all(played, PLAN) == []
    assert played.read_bytes() == before


def test_after_a_kill_in_the_middle_of_a_line_that_search_is_played_again(played, tmp_path):
    path = tmp_path / "searches.jsonl"
    whole = played.read_bytes()
    path.write_bytes(whole[:-40])
    assert len(sampler_peers.finished(path)) == 1
    sampler_peers.play_all(path, PLAN)
    assert [*map(told, sampler_peers.finished(path))] == [*map(told, sampler_peers.finished(played))]


def test_a_search_that_fails_is_reported_and_the_others_are_played(monkeypatch, tmp_path):
    def play(name, where, number, budget):
        if number == 0:
            raise RuntimeError("no luck\nat all")
        return {"strategy": name, "landscape": where, "instance": number, "budget": budget} | {
            "hypervolume": {"12": 0.0}, "reference": 0.0, "best": 0.0, "ask_seconds": 0.0, "seconds": 0.0
        }  # fmt: skip

    monkeypatch.setattr(sampler_peers, "play", play)
    path = tmp_path / "searches.jsonl"
    assert sampler_peers.play_all(path, PLAN) == ["random-distinct on additive 0: RuntimeError: no luck"]
    assert [search["instance"] for search in sampler_peers.finished(path)] == [1]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--strategies", "botorc"], "unknown strategy 'botorc': choose from nsga2-references, botorch, "),
        (["--landscapes", "additiv"], "(did you mean additive?)"),
        (["--instances", "0"], "choose at least 1"),
    ],
)
def test_unknown_names_and_numbers_are_refused_with_the_choices(arguments, message, capsys):
    with pytest.raises(SystemExit) as raised:
        sampler_peers.main(arguments)
    assert raised.value.code == 2
    assert message in capsys.readouterr().err


def test_the_command_prints_the_searches_that_it_was_asked_for(played, never, capsys):
    asked = ["--strategies", "random-distinct", "--landscapes", "additive", "--instances", "1", "--budget", "12"]
    sampler_peers.main([*asked, "--results", str(played), "--json"])
    assert [json.loads(line)["instance"] for line in capsys.readouterr().out.splitlines()] == [0]


def made_up(strategy, landscape, shares, best=1.0) -> list[dict]:
    """Searches that recovered ``shares`` of a headroom from 0 to ``best``, and half of that after ten trials."""
    return [
        {
            "strategy": strategy,
            "landscape": landscape,
            "instance": number,
            "budget": 50,
            "hypervolume": {"10": share * best / 2, "50": share * best},
            "best": best,
            "reference": 0.0,
            "ask_seconds": 0.5,
            "versions": {"attn_nas": "1", "library": "2"},
        }
        for number, share in enumerate(shares)
    ]


OURS, THEIRS = [0.8, 0.6, 0.7], [0.5, 0.4, 0.45, 0.9]
LINES = [
    *made_up("attn-nas", "flat", OURS, best=0.02),
    *made_up("peer", "flat", THEIRS, best=0.02),
    *made_up("attn-nas", "steep", [0.5, 0.5]),
    *made_up("peer", "steep", [0.6, 0.7]),
    *made_up("other", "steep", [0.1]),
    *made_up("peer", "null", [0.0, 0.0], best=0.0),
]


def test_differences_are_paired_by_instance_and_corrected_for_all_pairs():
    found = Searches({"lines": LINES}).differences()
    flat = found["flat", "peer"]
    assert flat.instances == 3
    assert flat.mean.value == pytest.approx(0.25)
    assert flat.mean.standard_error == pytest.approx(np.std([0.3, 0.2, 0.25], ddof=1) / 3**0.5)
    ps = {"flat": ttest_rel(OURS, THEIRS[:3]).pvalue, "steep": ttest_rel([0.5, 0.5], [0.6, 0.7]).pvalue}
    assert ps["flat"] < ps["steep"]
    assert flat.p == pytest.approx(2 * ps["flat"])
    assert found["steep", "peer"].p == pytest.approx(ps["steep"])
    assert np.isnan(found["steep", "other"].p)


def test_the_tables_of_partial_results_say_how_many_instances_they_have():
    text = FIGURES["sampler_peers"].markdown({"lines": LINES})
    assert "| flat | 70.0 ± 5.8 (3) | 56.2 ± 11.4 (4) | - |" in text
    assert "| flat | +25.0 ± 2.9 (3), p = 0.026 | - |" in text
    assert f"| {OVERALL} | +5.0 ± 2.9 (2) | +40.0 (1) |" in text
    assert "| `peer` | 30.3 ± 3.1 | 60.6 ± 6.2 | 0.50 | 2 | 6 | library 2 |" in text
    assert "null" not in text


def test_without_ours_there_are_shares_and_no_differences():
    text = FIGURES["sampler_peers"].markdown({"lines": made_up("peer", "flat", THEIRS)})
    assert "| flat | 56.2 ± 11.4 (4) |" in text
    assert "| flat | - |" in text
    assert f"| {OVERALL} | - |" in text


def test_no_searches_make_no_tables():
    assert FIGURES["sampler_peers"].markdown({"lines": []}).count("Not in these results.") == 3
