"""All figures, by name. Tables with a page are those of the documentation, cell by cell."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import chain
from statistics import fmean, geometric_mean
from typing import Any

from attn_nas.format import count
from attn_nas.report.charts.line_svg import Series, line_svg
from figures.core import (
    Column,
    Document,
    Figure,
    Step,
    Table,
    at,
    cell,
    code,
    decimal,
    first,
    interval,
    mean,
    number,
    percent,
    percentage,
    significant,
)
from figures.peers import TABLES as PEERS_TABLES

EMBEDDED, PLAIN = "resolution from a half, ema", "plain"
"""Levers of `fidelity.py`: those of the embedded space, and none."""
LEVER_SIDES = {"naive": "naive", "plain": "ours, plain", "with levers": "ours, with levers"}
SHOWN = {
    "cam_gate everywhere": "CAM gate everywhere",
    "se everywhere": "SE everywhere",
    "eca everywhere": "ECA everywhere",
    "sam everywhere": "SAM everywhere",
    "none": "bare trunk",
    "width 17": "bare trunk, width 17",
}
"""References of the full training that the page on trust shows, and their names there."""
EXAMPLES = (
    *("none", "se last stage", "cbam stage 2", "sam stage 1", "sam everywhere", "se everywhere", "se stage 1"),
    "gsop everywhere",
)
"""Placements that the page on how it works shows."""
CURSE = {
    "hypervolume, raw front": "true hypervolume of the measured front, hundredths",
    "hypervolume, believed front": "of the estimated front",
    "optimism of the raw front": "how far the measured front is too optimistic by its first trainings, points",
    "optimism of the believed front": "how far the estimated front is",
    "covered, all": "90 % intervals that hold, all candidates",
    "covered, front": "90 % intervals that hold, members of the front",
}
GROWTH = {
    "a trial": "a trial: ask, tell, write",
    "a trial, processor": "of it on the processor",
    "a trial by chance": "a random trial instead of the sampler's",
    "resume": "resume, until the first candidate trains",
    "read all trials": "read all trials",
    "believed front": "the front, estimated",
    "page, first": "the dashboard's page, first",
    "page, again": "the same page again",
    "study.db, MB": "`study.db`, MB",
    "memory at most, MB": "memory of all that in one process, MB",
}
KILLS = {
    "a write or commit of the study": "inside the transaction of a write of the study, or at its commit",
    "the coordinator": "the coordinator, at random moments, four times and more in a run",
    "a worker": "one of two workers",
    "the coordinator and a worker": "the coordinator and a worker at once",
    "a real search": "a search that really trains, while it searches",
    "a real confirmation": "the same, while it confirms",
    "an export": "the same, while it exports",
    "a full training": "a full training",
}


def _main_job(job: Document) -> list[tuple[str, str]]:
    again = sum(line.startswith("[seed ") for line in job["output"])
    return [
        ("trials, and trainings of their confirmation with new seeds", f"{job['trials']}, {again}"),
        ("wall time, start and verified export included", f"{decimal(job['wall_seconds'], 0)} s"),
        ("workers, arithmetic", f"{job['workers']}, {job['numerics']}"),
        ("share of the search outside training", percent(job["share_outside_training"])),
        ("the same with start and export", percent(job["share_outside_training_with_start_and_export"])),
        ("peak memory, coordinator and workers", f"{decimal(job['peak_memory_mb'], 0)} MB"),
    ]


def _front(job: Document) -> list[tuple[str, str, str]]:
    bare = min(each["flops"] for each in job["front"])
    return [
        (code(each["summary"]), percent(each["accuracy"], 2), f"{each['flops'] - bare:+,}".replace("+0", "0"))
        for each in job["front"]
    ]


def _placements(found: Document) -> list[dict[str, Any]]:
    levers = {lever["lever"]: lever["accuracies"] for lever in found["levers"]}
    rows = [
        {"name": name, "truth": fmean(truth)}
        | {lever: fmean(levers[lever][name]) if lever in levers else None for lever in (PLAIN, EMBEDDED)}
        for name, truth in found["truth"].items()
    ]
    return sorted(rows, key=at("truth"), reverse=True)


def _levers(found: Document) -> list[dict[str, Any]]:
    base = found["levers"][0]["seconds"]
    return [{**lever, "time": lever["seconds"] / base} for lever in found["levers"]]


def _examples(found: Document) -> list[dict[str, Any]]:
    rows = {row["name"]: row for row in _placements(found)}
    return [rows[name] for name in EXAMPLES if name in rows]


def _retrained(found: Document) -> list[dict[str, Any]]:
    """Winners, references, plain trunks, the most accurate first; times are over those of the bare trunk."""
    bare = next(each["profile"] for each in found["networks"] if each["name"] == "none")
    roles = ("winner", "reference", "plain trunk")
    names = {each["key"]: each["summary"] for each in found["plan"]["networks"]}
    rows = []
    for each in sorted(
        found["networks"], key=lambda each: (roles.index(each["role"]), each["name"] == "none", -each["accuracy"])
    ):
        profile, plain = each["profile"], each["role"] == "plain trunk"
        rows.append(
            each
            | {
                "label": code(names[each["key"]]) if each["role"] == "winner" else each["name"],
                "added": f"{'+' if each['added_flops'] else ''}{count(each['added_flops'])}",
                # The ratios of a plain trunk are over itself.
                "step": profile["step_seconds"] / bare["step_seconds"] if plain else profile["step_ratio"],
                "latency": profile["latency_1"] / bare["latency_1"] if plain else profile["latency_1_ratio"],
                "best": each["key"] == found["best_reference"],
            }
        )
    return rows


def _winners(found: Document) -> list[dict[str, Any]]:
    return [row for row in _retrained(found) if row["role"] == "winner"]


def _trusted(found: Document) -> list[dict[str, Any]]:
    return [row for row in _retrained(found) if row["role"] == "winner" or row["name"] in SHOWN]


def _trust_label(row: dict[str, Any]) -> str:
    return SHOWN.get(row["name"], row["label"]) + " (best on the validation split)" * row["best"]


def _full_label(row: dict[str, Any]) -> str:
    return {"winner": f"{row['label']} (winner)", "plain trunk": f"none, {row['name']}"}.get(row["role"], row["label"])


def _gain(row: dict[str, Any], over: str) -> str:
    gain = row["gains"][over]
    low, middle, high = (f"{100 * gain[key]:+.2f}" for key in ("low", "mean", "high"))
    return f"{middle} [{low}, {high}], {_chance(gain['p'], 3)}"


def _short_gain(row: dict[str, Any], over: str) -> str:
    gain = row["gains"].get(over)
    return f"{100 * gain['mean']:+.2f} ({_chance(gain['p'], 2)})" if gain else ""


def _chance(p: float, digits: int) -> str:
    return "p < 0.001" if p < 0.001 else f"p = {p:.{digits}f}"


def _gains(found: Document) -> list[Column]:
    rows = _retrained(found)
    best = next((row["label"] for row in rows if row["best"]), "none")
    plain = next((row["name"] for row in rows if row["role"] == "plain trunk"), "none")
    return [
        ("gain in points of", cell("label")),
        ("over the bare trunk", lambda row: _gain(row, "bare")),
        (f"over the best reference ({best})", lambda row: _gain(row, "reference")),
        (f"over the plain trunk, {plain}", lambda row: _gain(row, "plain")),
    ]


def _strategies(found: Document) -> list[dict[str, Any]]:
    return sorted(found["one_worker"], key=lambda row: -round(next(iter(row["after"].values()))["hypervolume"]["mean"], 4))


def _after(found: Document) -> list[Column]:
    rows = found["one_worker"]
    marks = [*rows[0]["after"]]
    best = {mark: max(row["after"][mark]["hypervolume"]["mean"] for row in rows if mark in row["after"]) for mark in marks}

    def write(row: dict[str, Any], mark: str) -> str:
        if mark not in row["after"]:
            return "-"
        volume, recovered = row["after"][mark]["hypervolume"], row["after"][mark]["recovered"]["mean"]
        bold = "**" * (volume["mean"] == best[mark])
        return f"{bold}{mean(volume)}{bold} ({percent(recovered, 0)})"

    columns = [(f"after {mark}", lambda row, mark=mark: write(row, mark)) for mark in marks]
    return [("strategy", lambda row: code(row["strategy"])), *columns, ("repeated", percentage("repeated", digits=0))]


def _curse(found: Document) -> list[list[str]]:
    rows = []
    for key, label in CURSE.items():
        digits, unit = (0, " %") if key.startswith("covered") else (2, "")
        cells = [mean(found["found"][f"{name}: {key}"], digits) + unit for name in ("search", "confirmed", "search as long")]
        rows.append([label, *cells])
    return rows


def _announced(found: Document) -> list[dict[str, Any]]:
    """The landscapes one by one, those on which nothing matters first, then both kinds together."""
    rows = sorted(found["rows"], key=lambda row: row["matters"])
    both = {"all where nothing matters": found["nothing_matters"], "all others": found["something_matters"]}
    return [*rows, *({"landscape": name, **row} for name, row in both.items() if row)]


def _announcing(rounds: int) -> Column:
    def write(row: Document) -> str:
        share = row[f"rounds {rounds}"]
        return f"{percentage('share')(share)} [{100 * share['low']:.1f}, {100 * share['high']:.1f}]"

    return f"something announced after {rounds} round{'s' * (rounds > 1)}", write


def _part(*path: str) -> Callable[[Document], str]:
    """What writes the fraction found at ``path`` as a part: ``1/12.3``."""
    find = at(*path)
    return lambda row: f"1/{1 / find(row):.1f}"


def _holding(kind: str) -> Callable[[Document], str]:
    """What writes the share of intervals that hold, with its interval and their number."""

    def write(row: Document) -> str:
        share = row[kind]
        return f"{percentage('share')(share)} [{100 * share['low']:.1f}, {100 * share['high']:.1f}] of {share['of']}"

    return write


def _reliability(found: Document) -> str:
    """Reliability diagrams of what is said to be probable, over all landscapes: shares that are true, in ranges."""
    series = [Series("as said", [(0.0, 0.0), (1.0, 1.0)])]
    for kind in dict.fromkeys(row["kind"] for row in found["probabilities"]):
        for place in dict.fromkeys(row["place"] for row in found["probabilities"]):
            rows = [row for row in found["probabilities"] if (row["kind"], row["place"]) == (kind, place) and row["of"] >= 10]
            series.append(Series(f"{kind}, {place}", [(row["said"], row["share"]) for row in rows]))
    return line_svg("What is said to be probable, and how often it is true", "said", "true", series)


def _over_none(row: Document) -> str:
    """The paired lead over the network without attention; nothing for that network itself."""
    return "" if row["network"] == "none" else mean(row["over_none"], signed=True)


def _seen(network: Document) -> str:
    options = set(network["placements"].split(" | "))
    if options == {"-"}:
        return "bare trunk"
    return f"{options.pop().split()[0].upper()} everywhere" if len(options) == 1 else code(network["placements"])


def _modules(found: Document) -> list[dict[str, Any]]:
    return [{**gate, "network": _seen(network)} for network in found["networks"] for gate in network["gates"]]


def _costs(found: Document) -> list[tuple[str, list[dict[str, Any]]]]:
    sizes = [*found["sizes"].values()]
    return [(name, [size[name] for size in sizes]) for name in sizes[0]]


def _cost_columns(found: Document) -> Sequence[Column]:
    columns: list[Column] = [("mechanism", cell(0))]
    for index, size in enumerate(found["sizes"]):
        columns += [
            (f"FLOPs, {size}", number(1, index, "flops", digits=0)),
            ("step", number(1, index, "slowdown", "step")),
            ("inference", number(1, index, "slowdown", "inference")),
        ]
    return columns


def _peers(found: Document) -> Iterable[list[str]]:
    settings = [*found.get("peers", {}).values()]
    if not settings:
        return
    for name in settings[0]:
        yield [name, *(f"{each[name]['step']:.2f} / {each[name]['inference']:.2f}" for each in settings)]
    means = [[geometric_mean(ratio[what] for ratio in each.values()) for what in ("step", "inference")] for each in settings]
    yield ["**geometric mean**", *(f"**{step:.2f} / {inference:.2f}**" for step, inference in means)]


def _peer_columns(found: Document) -> Sequence[Column]:
    names = [setting.replace("cpu, ", "").replace(", contiguous", "") for setting in found["peers"]]
    return [("mechanism", cell(0)), *((name, cell(index)) for index, name in enumerate(names, start=1))]


def _identity(row: Document) -> dict[str, Any]:
    return {
        **row,
        "last": fmean(curve[-1] for curve in row["published"]),
        "last_from_one": fmean(curve[-1] for curve in row["from_one"]),
    }


def _identity_columns(found: Document) -> Sequence[Column]:
    def write(row: dict[str, Any], epoch: int) -> str:
        return mean({"mean": row["difference"][epoch], "standard_error": row["standard_error"][epoch]}, signed=True)

    epochs = range(len(found["mechanisms"][0]["difference"]))
    return [
        ("mechanism", cell("mechanism")),
        ("scale as published", number("gate_scale")),
        ("as published", percentage("last", digits=2)),
        ("from one", percentage("last_from_one", digits=2)),
        *((f"epoch {epoch + 1}", lambda row, epoch=epoch: write(row, epoch)) for epoch in epochs),
    ]


def _memory(found: Document) -> str:
    series = [Series(row["what"], row["mb"]) for row in found["memory"]]
    return line_svg("Memory over trials", "finished trials", "memory, MB", series)


def _sides(found: Document) -> list[list[str]]:
    rows = []
    for name, side in found["sides"].items():
        ratios = sorted(side["ratios"])
        spread = f" ({ratios[0]:.2f}, {ratios[-1]:.2f})" if name != "naive" else ""
        mean_ratio = decimal(fmean(side["candidate_ratios"].values()))
        share = percent(side["share_of_arithmetic"], 0)
        rows.append([LEVER_SIDES[name], decimal(fmean(side["per_hour"]), 1), f"{side['ratio']:.2f}{spread}", mean_ratio, share])
    return rows


def _speed(found: Document) -> list[list[str]]:
    sides, rows = found["sides"], []
    for name, seconds in sides["naive"]["seconds"].items():
        ours = [(side["seconds"][name], side["candidate_ratios"][name]) for key, side in sides.items() if key != "naive"]
        rows.append([name, decimal(seconds, 1), *chain.from_iterable((decimal(time, 1), decimal(by)) for time, by in ours)])
    return rows


def _accuracies(found: Document) -> list[dict[str, Any]]:
    by_side: dict[str, dict[str, Any]] = {}
    for row in found["accuracy"]:
        by_side.setdefault(row["side"], {"side": row["side"]})[row["candidate"]] = row
    return [*by_side.values()]


def _accuracy_columns(found: Document) -> Sequence[Column]:
    def difference(row: dict[str, Any], name: str) -> str:
        each = row[name]
        values = {"mean": each["difference"], "standard_error": each["difference_standard_error"]}
        return "" if row["side"] == "naive" else mean(values, 1, signed=True)

    extent, names = found["extent"], dict.fromkeys(row["candidate"] for row in found["accuracy"])
    heading = f"accuracy after {extent['epochs']} epochs, {extent['seeds']} seeds"
    columns: list[Column] = [(heading, lambda row: LEVER_SIDES[row["side"]])]
    for name in names:
        columns += [
            (name, lambda row, name=name: f"{mean(row[name], 1)} %"),
            ("difference", lambda row, name=name: difference(row, name)),
        ]
    return columns


def _growth_of(what: str, label: str, digits: int = 2) -> Table:
    """The table of one series of `scaling.py`: a column for each size."""

    def found(document: Document) -> Document:
        return next(each for each in document["growth"] if each["what"] == what)

    def columns(document: Document) -> Sequence[Column]:
        headings = [f"{size:,}" for size in found(document)["sizes"]]
        return [(what, cell(0)), *((size, cell(index)) for index, size in enumerate(headings, start=1)), ("exponent", cell(-1))]

    def rows(document: Document) -> list[list[str]]:
        return [[label, *(decimal(each, digits) for each in found(document)["seconds"]), decimal(found(document)["exponent"])]]

    return Table(f"Growth with {what}", rows, columns)


def _workers(found: Document) -> list[list[str]]:
    rows, each = found["workers"], found["workers"][0]
    return [
        [f"wall, s ({each['ideal']:.0f} at best)", *(decimal(row["wall"], 1) for row in rows)],
        ["efficiency", *(percent(row["efficiency"]) for row in rows)],
        ["coordinator, processor seconds per trial", *(decimal(row["coordinator"], 3) for row in rows)],
    ]


def _worker_columns(found: Document) -> Sequence[Column]:
    return [("workers", cell(0)), *((str(row["workers"]), cell(index)) for index, row in enumerate(found["workers"], start=1))]


def _compared(found: float | str | None) -> str:
    """The largest difference of an output from what it should be; the exporter's reason where there is no output."""
    if found is None:
        return "-"
    return found.partition(":")[0] if isinstance(found, str) else "equal" if found == 0 else f"{found:.0e}"


def _sizes(found: Document) -> list[list[str]]:
    rows = []
    for key, label in GROWTH.items():
        row = found["rows"][key]
        rows.append([label, *(significant(value) for value in row["values"]), decimal(row["exponent"])])
    return rows


def _size_columns(found: Document) -> Sequence[Column]:
    headings = [f"{size:,}" for size in found["sizes"]]
    return [("trials", cell(0)), *((size, cell(index)) for index, size in enumerate(headings, start=1)), ("exponent", cell(-1))]


def _dashboard(found: Document) -> list[tuple[str, str, str]]:
    memory = [megabytes for _, megabytes in found["memory_mb"]]
    page = f"{decimal(found['first_page_kb'], 0)}, {decimal(found['with_beliefs_kb'], 0)}"
    sent = (found["compressed_page_kb"], found["compressed_page_kb"] + found["compressed_assets_kb"])
    watched = "wall time of a search while its page is asked for twice a second, over alone"
    return [
        ("first page of a run that was never read, s", "1", decimal(found["first_page_cold_seconds"])),
        ("the same page again, s", "", decimal(found["first_page_warm_seconds"])),
        ("size of the page, kB, not compressed: measured accuracies, with estimates", "", page),
        (
            "compressed, kB: page with estimates, with all scripts and the library of the charts",
            "600",
            f"{decimal(sent[0], 0)}, {decimal(sent[1], 0)}",
        ),
        (f"largest of {found['updates']} updates, kB", "20", decimal(found["largest_update_kb"], 1)),
        (
            f"memory of the server over {decimal(found['polls'], 0)} further pages, MB: first, last",
            "flat",
            f"{decimal(memory[0], 0)}, {decimal(memory[-1], 0)}",
        ),
        (watched, "1", decimal(found["search"]["ratio"])),
    ]


def _kills(found: Document) -> list[tuple[str, str]]:
    rows = [(KILLS[name], str(number)) for name, number in found["kills"].items()]
    return [*rows, ("**in all**", f"**{found['total']}**"), ("violations", str(len(found["violations"])))]


def _designs(found: Document) -> list[dict[str, Any]]:
    groups: dict[tuple[str, str, int, str], list[dict[str, Any]]] = {}
    for row in found["rows"]:
        groups.setdefault((row["network"], row["database"], row["trials"], row["design"]), []).append(row)
    return [
        {
            "search": f"{network}, {trials:,} trials before" if trials else f"{network}, from nothing",
            "database": database,
            "design": {"copy": "copied", "append": "appended"}[design],
            **{name: fmean(row[name] for row in rows) for name in ("processor", "statements", "transactions", "resume")},
        }
        for (network, database, trials, design), rows in groups.items()
    ]


def _images(found: Document) -> list[dict[str, Any]]:
    groups: dict[tuple[int, int], list[dict[str, Any]]] = {}
    for line in found["lines"]:
        groups.setdefault((line["epochs"], line["seed"]), []).append(line)
    return [
        {
            "epochs": epochs,
            "seed": seed,
            "networks": len(lines),
            "bare": next((each["test_accuracy"] for each in lines if not any(each["genotype"]["placements"])), None),
            "mean": fmean(each["test_accuracy"] for each in lines),
            "best": max(each["test_accuracy"] for each in lines),
        }
        for (epochs, seed), lines in sorted(groups.items())
    ]


_SEARCH = Step(
    "attn-nas search --budget 50 --run {to}/run --no-export",
    "attn-nas search --budget 4 --confirm 0 --run {to}/run --no-export",
    threads=None,
)
_FIGURES = (
    Figure(
        "main_job",
        "a search of 50, from start to verified models",
        "main_job.json",
        [Step("python main_job.py --json", threads=None)],
        [
            Table("Main job", _main_job, first(2)),
            Table("Front of the main job", _front, [("placements", cell(0)), ("accuracy", cell(1)), ("added FLOPs", cell(2))]),
        ],
    ),
    Figure(
        "fidelity",
        "ranking and time of each lever of the short training",
        "fidelity.json",
        [Step("python fidelity.py --json --folder {to}/trainings")],
        [
            Table(
                "Levers",
                _levers,
                [
                    ("lever", cell("lever")),
                    ("time", number("time")),
                    ("reliability", interval("reliability")),
                    ("Spearman, one run", interval("spearman_of_one_run")),
                    ("Spearman, mean of 2", interval("spearman_of_mean")),
                    ("Kendall, mean of 2", number("kendall_of_mean", "value")),
                    ("at equal time", number("spearman_at_equal_time")),
                ],
            ),
            Table(
                "Other scores of the plain training",
                lambda found: found["scores"].items(),
                [
                    ("score of the plain run", cell(0)),
                    ("reliability", interval(1, "reliability")),
                    ("Spearman, one run", interval(1, "spearman_of_one_run")),
                ],
            ),
            Table(
                "Mean accuracy of two seeds",
                _placements,
                [
                    ("placement", cell("name")),
                    ("plain", percentage(PLAIN)),
                    ("embedded", percentage(EMBEDDED)),
                    ("truth", percentage("truth", digits=2)),
                ],
            ),
            Table(
                "Placements that differ",
                _examples,
                [
                    ("placement", cell("name")),
                    ("accuracy, mean of 2 seeds", percentage(EMBEDDED)),
                    ("four times the epochs, without levers", percentage("truth", digits=2)),
                ],
                "docs/how-it-works.md",
            ),
        ],
    ),
    Figure(
        "audit",
        "does the short training rank what a search tries?",
        "audit.json",
        [
            _SEARCH,
            Step(
                "attn-nas audit {to}/run --candidates 12 --seeds 2 --json",
                "attn-nas audit {to}/run --candidates 4 --seeds 2 --epochs 4 --json",
                threads=None,
            ),
        ],
        [
            Table(
                "Audit of the embedded task",
                at("lines"),
                [
                    ("score of one run", cell("score")),
                    ("Spearman", interval("spearman")),
                    ("Kendall", interval("kendall")),
                    ("reliability", interval("reliability")),
                ],
            )
        ],
    ),
    Figure(
        "retraining",
        "do winners beat the usual placements after full training?",
        "retraining.json",
        [
            _SEARCH,
            Step(
                "attn-nas retrain {to}/run --seeds 5 --epochs 15 --json",
                "attn-nas retrain {to}/run --seeds 2 --epochs 1 --json",
                threads=None,
            ),
        ],
        [
            Table(
                "Full training of the embedded task",
                _retrained,
                [
                    ("network", _full_label),
                    ("accuracy, %", lambda row: f"{100 * row['accuracy']:.2f}"),
                    ("deviation", lambda row: f"{100 * row['standard_deviation']:.2f}"),
                    ("interval", lambda row: f"{100 * row['low']:.2f}..{100 * row['high']:.2f}"),
                    ("added FLOPs", cell("added")),
                    ("step", number("step")),
                    ("latency", number("latency")),
                ],
            ),
            Table("Gains, paired by seed", _winners, _gains),
            Table(
                "Winners and usual placements",
                _trusted,
                [
                    ("network", _trust_label),
                    (
                        "test accuracy, %",
                        lambda row: f"{100 * row['accuracy']:.2f} [{100 * row['low']:.2f}, {100 * row['high']:.2f}]",
                    ),
                    ("added FLOPs", cell("added")),
                    ("training step", lambda row: f"{row['step']:.2f} x"),
                    ("over the bare trunk", lambda row: _short_gain(row, "bare")),
                    ("over the best reference", lambda row: _short_gain(row, "reference")),
                ],
                "docs/trust.md",
            ),
        ],
    ),
    Figure(
        "samplers",
        "the best front per trial",
        "samplers.json",
        [Step("python samplers.py --seeds 50 --budget 200 --json")],
        [Table("Samplers", _strategies, _after)],
    ),
    Figure(
        "sampler_peers",
        "our sampler beside those of other libraries on landscapes; not complete yet",
        "sampler_peers.jsonl",
        [Step("python sampler_peers.py --results {to}/searches.jsonl --json")],
        PEERS_TABLES,
    ),
    Figure(
        "credible_front",
        "the winner's curse, and whether intervals hold",
        "credible_front.json",
        [Step("python credible_front.py --json")],
        [
            Table(
                "The winner's curse",
                _curse,
                [("", cell(0)), ("search", cell(1)), ("confirmed", cell(2)), ("search with as many trainings", cell(3))],
            )
        ],
    ),
    Figure(
        "null_searches",
        "how often a search announces something, where nothing matters and where something does",
        "null_searches.json",
        [Step("python null_searches.py --kept {to}/null_searches.jsonl --json")],
        [
            Table(
                "Verdicts",
                _announced,
                [("landscape", cell("landscape")), ("searches", cell("searches")), _announcing(1), _announcing(2)],
            )
        ],
    ),
    Figure(
        "reliability",
        "whether the statements about a search hold",
        "reliability.json",
        [Step("python reliability.py --kept {to}/reliability.jsonl --json")],
        [
            Table(
                "What is said to be probable, and how often it is true",
                at("probabilities"),
                [
                    ("statement", cell("kind")),
                    ("where", cell("place")),
                    ("said", lambda row: f"{row['from']:.2f} to {row['to']:.2f}"),
                    ("mean said", percentage("said")),
                    ("true", lambda row: f"{percentage('share')(row)} [{100 * row['low']:.1f}, {100 * row['high']:.1f}]"),
                    ("statements", cell("of")),
                ],
            ),
            Table(
                "90 % intervals that hold",
                at("intervals"),
                [
                    ("landscape", cell("landscape")),
                    ("searches", cell("searches")),
                    ("members of the front", _holding("front")),
                    ("all candidates", _holding("all")),
                ],
            ),
        ],
        {"reliability.svg": _reliability},
    ),
    Figure(
        "equal_front",
        "seconds until a search has a front as good as a plain loop's",
        "equal_front.json",
        [Step("python equal_front.py --kept {to}/equal_front.jsonl --json")],
        [
            Table(
                "Time to an equally good front",
                at("rows"),
                [
                    ("landscape", cell("landscape")),
                    ("pairs", cell("pairs")),
                    ("headroom that the loop recovered", lambda row: f"{mean(row['loop_recovered'], 0)} %"),
                    ("trials of the search", number("trials", "mean", digits=1)),
                    ("seconds, as a part of the loop's", _part("share", "mean")),
                    ("with the plain recipe", _part("share_plain", "mean")),
                    ("without an equal front", cell("not_reached")),
                ],
            )
        ],
    ),
    Figure(
        "build_table",
        "the tabular benchmark",
        "build_table.json",
        [Step("python build_table.py --folder {to}/trainings --to {to}/cued_digits_resnet8.parquet --json")],
        [
            Table(
                "True front of the tabular benchmark",
                at("says", "true_front"),
                [
                    ("placements", lambda row: row["placements"].replace("|", "·")),
                    ("added FLOPs", number("added_flops", digits=0, signed=True)),
                    ("accuracy, %", lambda row: mean(row["accuracy"])),
                ],
                "attn_nas/benchmark/cued_digits_resnet8.md",
            ),
            Table(
                "Main effects on the test accuracy",
                at("says", "effects"),
                [
                    ("placement", cell("option")),
                    ("site", cell("site")),
                    ("points", lambda row: mean(row["gain"], signed=True)),
                ],
                "attn_nas/benchmark/cued_digits_resnet8.md",
            ),
        ],
    ),
    Figure(
        "where_it_looks",
        "what networks look at, and what their gates follow",
        "where_it_looks.json",
        [_SEARCH, Step("python where_it_looks.py {to}/run --json", threads=None)],
        [
            Table(
                "Where networks look",
                at("networks"),
                [
                    ("network", _seen),
                    ("accuracy", percentage("accuracy")),
                    ("at the named digit", percentage("at_named_digit")),
                    ("when right", percentage("at_named_digit_when_right")),
                    ("when wrong", percentage("at_named_digit_when_wrong")),
                ],
            ),
            Table(
                "What gates follow",
                _modules,
                [
                    ("network", cell("network")),
                    ("module", lambda row: f"{row['site']}: {row['placement']}"),
                    ("worth, points", lambda row: "" if row["worth"] is None else f"{100 * row['worth']:+.1f}"),
                    ("tint accounts for", percentage("variance_by_tint")),
                    ("open at the named digit", percentage("larger_at_named_digit")),
                ],
            ),
        ],
    ),
    Figure(
        "mechanisms",
        "FLOPs and time of each mechanism",
        "mechanisms.json",
        [Step("python mechanisms.py --json")],
        [
            Table("Cost of the mechanisms", _costs, _cost_columns),
            Table("Beside other implementations (needs --peers FOLDER)", _peers, _peer_columns),
        ],
    ),
    Figure(
        "identity_init",
        "gates that start at one",
        "identity_init.json",
        [Step("python identity_init.py --json")],
        [
            Table(
                "Starting at the identity",
                lambda found: [_identity(row) for row in found["mechanisms"]],
                _identity_columns,
            )
        ],
    ),
    Figure(
        "objective_overhead",
        "our own training and the same training as an objective, in turns",
        "objective_overhead.json",
        [Step("python objective_overhead.py --json", "python objective_overhead.py --json --quick")],
        [
            Table(
                "What an objective adds to a training",
                at("rows"),
                [
                    ("pairs", number("pairs", digits=0)),
                    ("epochs", number("epochs", digits=0)),
                    ("ours, processor's s", number("ours", digits=2)),
                    ("as an objective", number("objective", digits=2)),
                    ("more, median", percentage("overhead", digits=2)),
                    ("smallest", percentage("smallest", digits=2)),
                    ("largest", percentage("largest", digits=2)),
                    ("goal", percentage("goal", digits=0)),
                ],
                page="docs/training.md",
            )
        ],
    ),
    Figure(
        "overhead",
        "what a search takes beside training",
        "overhead.json",
        [Step("python overhead.py --json --train 1000", "python overhead.py --json --quick")],
        [
            Table(
                "Time outside training",
                at("rows"),
                lambda found: [
                    ("workers", cell("workers")),
                    ("trials", number("trials", digits=0)),
                    ("seconds per trial", number("seconds_per_trial", digits=3)),
                    (f"of the last {found['block']}", number("seconds_per_trial_of_the_last", digits=3)),
                    ("coordinator's share", percentage("coordinator_alone", digits=2)),
                    ("outside training", percentage("share_outside_training")),
                ],
            ),
            Table(
                "Memory",
                at("memory"),
                [
                    ("memory, MB", cell("what")),
                    ("first", number("first_mb", digits=0)),
                    ("last", number("last_mb", digits=0)),
                    ("per 1,000 trials, second half", number("mb_per_1000_trials", digits=0, signed=True)),
                ],
            ),
        ],
        {"overhead_memory.svg": _memory},
    ),
    Figure(
        "proxy_speed",
        "candidates an hour, beside a naive loop",
        "proxy_speed.json",
        [Step("python proxy_speed.py --json", threads=None)],
        [
            Table(
                "Speed of training",
                _sides,
                [
                    ("side", cell(0)),
                    ("candidates an hour", cell(1)),
                    ("over naive", cell(2)),
                    ("mean over candidates", cell(3)),
                    ("share of a matrix product's arithmetic", cell(4)),
                ],
            ),
            Table(
                "Seconds by candidate",
                _speed,
                [
                    ("candidate", cell(0)),
                    ("naive, s", cell(1)),
                    ("plain, s of all cores", cell(2)),
                    ("ratio", cell(3)),
                    ("with levers, s", cell(4)),
                    ("ratio", cell(5)),
                ],
            ),
            Table("Accuracy", _accuracies, _accuracy_columns),
        ],
    ),
    Figure(
        "scaling",
        "how the cost grows",
        "scaling.json",
        [Step("python scaling.py --json")],
        [
            _growth_of("images", "seconds (depth 8, width 16)"),
            _growth_of("depth", "seconds (width 16)"),
            _growth_of("width", "seconds (depth 8)"),
            _growth_of("trials", "the coordinator's seconds per trial, second half", 3),
            Table("Workers", _workers, _worker_columns),
        ],
    ),
    Figure(
        "hosts",
        "sites on networks that nobody here wrote",
        "hosts.json",
        [Step("python hosts.py --json")],
        [
            Table(
                "Sites on networks of others",
                lambda document: document["networks"],
                [
                    ("network", cell("name")),
                    ("sites", cell("sites")),
                    ("of known families", lambda row: str(row.get("known", "-"))),
                    ("classes", lambda row: ", ".join(row.get("kinds", ())) or row["why_not"].partition(":")[0]),
                    ("SE as the identity", lambda row: _compared(row.get("identity"))),
                    ("removed", lambda row: _compared(row.get("undone_difference"))),
                    ("`.pt2`", lambda row: _compared(row.get("pt2"))),
                    ("ONNX", lambda row: _compared(row.get("onnx"))),
                ],
                page=None,
            )
        ],
    ),
    Figure(
        "growth",
        "ten thousand trials",
        "growth.json",
        [Step("taskset -c 0 python growth.py --json")],
        [Table("Ten thousand trials", _sizes, _size_columns)],
    ),
    Figure(
        "dashboard",
        "what the dashboard takes",
        "dashboard.json",
        [Step("python dashboard.py --json")],
        [Table("Dashboard", _dashboard, [("", cell(0)), ("goal", cell(1)), ("measured", cell(2))])],
    ),
    Figure(
        "soak",
        "runs that are killed",
        "soak.json",
        [Step("python soak.py --json")],
        [Table("Soak", _kills, [("killed", cell(0)), ("kills", cell(1))])],
    ),
    Figure(
        "loading",
        "images per second from files, beside torchvision",
        "loading.json",
        [Step("python loading.py --json")],
        [
            Table(
                "Loading images from files",
                at("best"),
                [
                    ("loader", cell("loader")),
                    ("images per second", number("per_second", digits=0)),
                    ("of torchvision's", number("per_second_ratio", digits=1)),
                    ("images per second of the processor", number("per_processor_second", digits=0)),
                    ("of torchvision's", number("per_processor_second_ratio", digits=1)),
                ],
            )
        ],
    ),
    Figure(
        "storage_designs",
        "what it costs to store a running search",
        "storage_designs.json",
        [Step("python storage_designs.py --json")],
        [
            Table(
                "Storage of a running search",
                _designs,
                [
                    ("search", cell("search")),
                    ("database", cell("database")),
                    ("design", cell("design")),
                    ("coordinator, processor seconds per trial", number("processor", digits=3)),
                    ("statements per trial", number("statements", digits=0)),
                    ("transactions per trial", number("transactions", digits=0)),
                    ("resume, s", number("resume", digits=1)),
                ],
                "docs/decisions/optuna-storage.md",
            )
        ],
    ),
    Figure(
        "unet_camvid",
        "attention in a small U-Net for street scenes, trained in full (examples/unet_camvid.py)",
        "unet_camvid.json",
        [],
        [
            Table(
                "Mean IoU on the test split after full training",
                at("rows"),
                [
                    ("network", lambda row: code(row["network"])),
                    ("FLOPs", number("flops", digits=0)),
                    ("mean IoU of each seed, %", lambda row: ", ".join(f"{100 * each:.2f}" for each in row["scores"])),
                    ("mean", lambda row: mean({"mean": row["mean"], "standard_error": row["standard_error"]})),
                    ("over no attention, points", _over_none),
                ],
            )
        ],
    ),
    Figure(
        "cifar10_resnet8",
        "placements on real images; not complete yet",
        "cifar10_resnet8.jsonl",
        [],
        [
            Table(
                "Trainings so far, test split",
                _images,
                [
                    ("epochs", cell("epochs")),
                    ("seed", cell("seed")),
                    ("networks", cell("networks")),
                    ("bare trunk", percentage("bare", digits=2)),
                    ("mean", percentage("mean", digits=2)),
                    ("best", percentage("best", digits=2)),
                ],
                None,
            )
        ],
    ),
)
FIGURES = {figure.name: figure for figure in _FIGURES}
