"""The command line as a user meets it: output, exit codes, streams, speed of its help."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import warm
from typer.main import get_command

from attn_nas.attention.catalog import mechanism_names
from attn_nas.cli import app
from attn_nas.errors import ExportError
from attn_nas.space.trunks import trunk_names

SPACE = Path(__file__).parents[1] / "data" / "smoke.yaml"
_COMMANDS = get_command(app).commands
_FORMER = ("front", "compare", "insight", "maps", "plain", "mechanisms", "trunks", "spaces", "schema")


def _run(*arguments, cwd=None, **environment):
    command = [sys.executable, "-m", "attn_nas", *map(str, arguments)]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "120", **environment}
    return warm.run(command, cwd=cwd, env=env, capture_output=True, text=True)


@pytest.fixture
def here(command, monkeypatch):
    """As `_run`, in this process: sooner, where signals, streams and imports are not the point."""

    def run(*arguments, cwd=None):
        if cwd:
            monkeypatch.chdir(cwd)
        monkeypatch.setenv("COLUMNS", "120")
        return subprocess.CompletedProcess(arguments, *command(*arguments))

    return run


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    """A finished search of four candidates, and what it printed."""
    folder = tmp_path_factory.mktemp("cli")
    done = _run("search", "--space", SPACE, "--budget", 4, "--confirm", 0, "--run", "run", "--workers", 1, cwd=folder)
    assert done.returncode == 0, done.stderr
    return folder, done


def test_a_piped_search_prints_a_line_per_trial_and_ends_in_plain_words(searched, here):
    """No control characters; that nothing was tested, the pick, that trainings were short, the next command."""
    folder, done = searched
    lines = done.stdout.splitlines()
    assert [line[:5] for line in lines if line.startswith("[")] == ["[1/4]", "[2/4]", "[3/4]", "[4/4]"]
    assert "\x1b" not in done.stdout
    assert "Not tested: no network was trained again" in done.stdout.replace("\n", " ")
    assert "Pick, not tested: " in done.stdout
    assert "sure to be" not in done.stdout
    assert "Scores are of a short training (1 epoch, noise between seeds ± " in done.stdout.replace("\n", " ")
    assert lines[-1].startswith("Next: attn-nas search --resume --run run --confirm 1  # ")
    assert done.stderr == ""
    shown = here("show", "run", json.loads((folder / "run" / "front.json").read_text())["front"][0]["key"], cwd=folder)
    assert shown.returncode == 0
    assert "cifar_resnet depth 8 width 8: attention at " in shown.stdout
    assert "\nstage 2: 16 → 32 channels, stride 2\n  block 2" in shown.stdout
    assert "\x1b" not in shown.stdout
    assert "time     training step" in shown.stdout
    assert "x the bare trunk's), inference of 1 image" in shown.stdout


def test_a_search_leaves_front_and_models_in_its_folder(searched):
    """The three files of the front, the resolved space, the study, and model folders of the front and of the pick."""
    folder, _ = searched
    run = folder / "run"
    assert {"front.json", "front.csv", "front.svg", "space.yaml", "study.db", "events.jsonl"} <= {p.name for p in run.iterdir()}
    front = json.loads((run / "front.json").read_text())
    assert {path.name for path in (run / "export").iterdir()} == {front["pick"], *(row["key"] for row in front["front"])}


def test_front_prints_a_table_or_one_document(searched, here):
    """The document has what scripts rely on."""
    folder, _ = searched
    document = json.loads(here("front", "run", "--json", cwd=folder).stdout)
    assert {"reference_point", "hypervolume", "front", "references"} <= set(document)
    assert {"key", "accuracy", "flops", "macs", "params", "placements"} <= set(document["front"][0])
    table = here("front", "run", cwd=folder).stdout
    assert document["front"][0]["key"] in table
    assert "References" in table


@pytest.mark.usefixtures("verified_here")
def test_export_writes_to_a_folder(searched, here):
    """Model folders and the three files of the front, their paths printed; of other candidates the folders alone."""
    folder, _ = searched
    done = here("export", "run", "--to", "out", cwd=folder)
    assert done.returncode == 0
    assert all((folder / line).exists() for line in done.stdout.splitlines())
    assert len(list((folder / "out").iterdir())) == len(done.stdout.splitlines())
    refused = here("export", "run", "--to", "out", cwd=folder)
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "exists already: add --force" in refused.stderr
    key = json.loads((folder / "run" / "front.json").read_text())["pick"]
    options = [key[:6], "--format", "hub", "--without-data", "--json"]
    document = json.loads(here("export", "run", *options, cwd=folder).stdout)
    files = ["README.md", "config.json", "hubconf.py", "model.py", "model.safetensors", "placements.svg", "predict.py"]
    assert document == {"models": [{"key": key, "folder": f"export/{key}", "files": files}], "files": []}


def test_precision_workers_and_threads_are_set_by_hand_and_recorded(tmp_path, here):
    """They stand in the first event; a run goes on in the precision in which it was begun."""
    chosen = ["--workers", 1, "--threads", 1, "--precision", "fp32", "--no-export"]
    done = here("search", "--space", SPACE, "--budget", 1, "--confirm", 0, "--run", "run", *chosen, cwd=tmp_path)
    assert "1 worker of 1 thread, cpu, fp32, channels_last" in done.stdout
    started = json.loads((tmp_path / "run" / "events.jsonl").read_text().splitlines()[0])
    assert (started["workers"], started["threads"], started["gpus"]) == (1, 1, 0)
    assert started["cores"] >= 1
    refused = here("search", "--resume", "--run", "run", "--precision", "bf16", cwd=tmp_path)
    assert refused.returncode == 2
    assert "the run was begun in fp32: leave the precision bf16 out" in refused.stderr


def test_every_candidate_is_timed_beside_its_trunk(searched):
    """In the documents, the table of the front and its CSV."""
    folder, _ = searched
    front = json.loads((folder / "run" / "front.json").read_text())
    for row in (*front["front"], *front["references"]):
        assert row["profile"]["step_ratio"] > 0.2
        assert row["profile"]["step_memory_ratio"] >= 1
    header, first = (folder / "run" / "front.csv").read_text().splitlines()[:2]
    assert "step_ratio" in header
    assert float(first.split(",")[header.split(",").index("latency_128")]) > 0
    card = next((folder / "run" / "export").glob("*/README.md")).read_text()
    assert "Relative to the bare trunk, measured in turns: training step" in card


def test_show_json_has_the_curve(searched, here):
    """One candidate as a document."""
    folder, _ = searched
    key = json.loads((folder / "run" / "front.json").read_text())["pick"]
    shown = here("show", "run", key, "--json", "--svg", "drawn/network.svg", cwd=folder)
    assert len(json.loads(shown.stdout)["results"][0]["curve"]) == 1
    assert (folder / "drawn" / "network.svg").read_text().startswith("<svg")


@pytest.mark.parametrize(
    ("stop", "code", "reason"),
    [(ExportError("the disk is full"), 1, "the disk is full"), (KeyboardInterrupt(), 130, "")],
    ids=["failed", "interrupted"],
)
def test_a_search_says_its_pick_also_where_its_models_cannot_be_exported(
    searched, here, tmp_path, monkeypatch, stop, code, reason
):
    """The verdict and the next command are printed before the export's error, with the command that exports later."""
    shutil.copytree(searched[0] / "run", tmp_path / "run")

    def export_front(*_, **__):
        raise stop

    with monkeypatch.context() as patched:
        patched.setattr("attn_nas.export.export_front", export_front)
        ended = here("search", "--resume", "--run", "run", "--budget", 4, "--workers", 1, cwd=tmp_path)
    assert ended.returncode == code
    assert "The models are not exported. To export them later: attn-nas export run --to run/export --force\n" in ended.stdout
    assert "Pick, not tested: " in ended.stdout
    assert ended.stdout.splitlines()[-1].startswith("Next: attn-nas ")
    assert reason in ended.stderr


def test_resume_takes_the_latest_run(searched, here):
    """Without --run; the JSON Lines on stdout are events, the words go to stderr."""
    folder, _ = searched
    latest = folder / "elsewhere"
    latest.mkdir()
    begun = here("search", "--space", SPACE, "--budget", 1, "--confirm", 0, "--workers", 1, "--no-export", cwd=latest)
    assert begun.returncode == 0
    done = here("search", "--resume", "--budget", 2, "--workers", 1, "--no-export", "--json", cwd=latest)
    assert done.returncode == 0
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert [event["event"] for event in events][:2] == ["SearchStarted", "TrialStarted"]
    assert events[0]["finished"] == 1
    assert [event["event"] for event in events[-3:]] == ["SearchFinished", "ExportAdvanced", "ExportAdvanced"]
    assert "Pick, not tested: " in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["search", "--space", "nowhere.yaml"], 2, "no search space 'nowhere.yaml'"),
        (["search", "--device", "tpu"], 2, "choose from auto, cpu, cuda"),
        (["search", "--precision", "fp8"], 2, "proxy.precision = fp8: choose from auto, fp32, bf16"),
        (["search", "--workers", "512", "--threads", "2"], 2, "512 workers of 2 threads need more than the"),
        (["search", "--threads", "0"], 2, "threads = 0: choose an integer of at least 1"),
        (["audit", "nowhere"], 1, "nowhere is not a run"),
        (["search", "--budget", "0"], 2, "budget = 0: choose an integer of at least 1"),
        (["search", "--budget", "many"], 2, "--budget"),
        (["search", "--resume"], 2, "no run under runs/"),
        (["search", "--resume", "--run", "nowhere"], 1, "nowhere is not a run"),
        (["search", "--space", "cifar10_resnet20"], 1, "--download"),
        (["search", "--run", "file/run", "--budget", "1"], 1, "cannot be made"),
        (["front", "nowhere"], 1, "nowhere is not a run"),
        (["watch", "nowhere"], 1, "nowhere is not a run"),
        (["watch", "http://127.0.0.1/nowhere"], 2, "give the address of a run, such as http"),
        (["runs", "nowhere"], 1, "nowhere cannot be read"),
        (["compare", "nowhere", "a", "b"], 1, "nowhere is not a run"),
        (["export", "nowhere", "--to", "x"], 1, "nowhere is not a run"),
        (["export", "nowhere", "--format", "onx"], 2, "unknown format 'onx'"),
        (["mechanisms", "see"], 2, "did you mean se?"),
        (["mechanisms", "--channels", "0"], 2, "--channels 0 --size 32: choose integers of at least 1"),
        (["spaces", "cued"], 2, "choose from"),
        (["serch"], 2, "Did you mean 'search', 'bench'?"),
        (["catalog", "mechanism"], 2, "Did you mean 'mechanisms'?"),
        (["show", "nowhere"], 1, "nowhere is not a run"),
        (["why", "nowhere"], 1, "nowhere is not a run"),
        (["why", "nowhere", "--pick"], 1, "nowhere is not a run"),
        (["baseline", "nowhere"], 1, "nowhere is not a run"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_gets_one_message_on_stderr(arguments, code, message, tmp_path, command):
    """The right exit code, no traceback, nothing on stdout, nothing left behind."""
    (tmp_path / "file").write_text("")
    ended, out, said = command(*arguments)
    assert (ended, out) == (code, "")
    assert message in " ".join(said.replace("│", " ").split())
    assert "Traceback" not in said
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


def test_an_interrupted_search_ends_with_130_and_says_how_to_go_on(tmp_path):
    """One Ctrl-C: the running candidate is finished and stored."""
    command = [sys.executable, "-m", "attn_nas", "search", "--space", str(SPACE), "--run", "run", "--workers", "1"]
    process = warm.Popen(command, cwd=tmp_path, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, text=True)
    log, deadline = tmp_path / "run" / "events.jsonl", time.monotonic() + 60
    while not log.exists() or "TrialStarted" not in log.read_text():
        assert time.monotonic() < deadline
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    output, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "finished first; interrupt again to stop now" in output
    assert "Next: attn-nas search --resume --run run  # goes on where it stopped" in output.replace("\n", " ")


@pytest.mark.parametrize("arguments", [["front", "run", "--json"], ["front", "run"], ["watch", "run", "--json"], ["--version"]])
def test_a_reader_who_goes_ends_the_command_quietly(searched, arguments):
    """As `head` does, here before anything is written: exit code 141 as of any tool, and no traceback."""
    command, (folder, _) = [sys.executable, "-m", "attn_nas", *arguments], searched
    reader, writer = os.pipe()
    os.close(reader)
    with warm.Popen(command, cwd=folder, stdout=writer, stderr=subprocess.PIPE) as process:
        os.close(writer)
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_a_search_whose_reader_goes_ends_quietly(tmp_path):
    """It is no failure of the run, which goes on with --resume."""
    command = [sys.executable, "-m", "attn_nas", "search", "--space", str(SPACE), "--run", "run", "--workers", "1", "--json"]
    with warm.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141
    assert (tmp_path / "run" / "study.db").exists()


def test_help_is_quick_and_loads_no_heavy_package():
    """`attn-nas --help` and `--version` import neither torch nor optuna nor pydantic."""
    code = (
        "import sys\ntry:\n    from attn_nas.cli import app\n    app(['{}'])\nexcept SystemExit:\n    pass\n"
        "print(sorted({{'torch', 'optuna', 'fvcore', 'torchvision', 'pydantic'}} & set(sys.modules)), file=sys.stderr)"
    )
    for option in ("--help", "--version"):
        done = subprocess.run([sys.executable, "-c", code.format(option)], capture_output=True, text=True, check=True)
        assert done.stderr.strip() == "[]"
        assert done.stdout


def test_listing_commands_load_no_torch():
    """The catalog's mechanisms, spaces and schema answer from metadata."""
    for command in ("mechanisms", "spaces", "schema"):
        code = (
            f"import sys\nfrom attn_nas.cli import app\ntry:\n    app(['catalog', '{command}'])\nexcept SystemExit:\n    pass\n"
            "assert 'torch' not in sys.modules"
        )
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)


def test_help_lists_the_commands_in_the_order_of_use(here):
    """In groups; former names are hidden."""
    shown = here("--help").stdout
    visible = [name for line in shown.splitlines() if (name := line.strip("│ ").split(" ")[0]) in _COMMANDS]
    assert visible == list(dict.fromkeys(visible))
    assert " ".join(visible) == (
        "init search watch runs attach show why dashboard report audit baseline retrain export sites bench catalog"
    )
    groups = [
        title for title in ("Search", "Look at the result", "Check the result", "Use the result") if f"─ {title} ─" in shown
    ]
    assert len(groups) == 4
    assert sorted(set(_COMMANDS) - set(visible)) == sorted(_FORMER)


def test_former_names_have_the_options_of_the_present_ones():
    """A script that names them goes on working."""
    catalog = _COMMANDS["catalog"].commands
    for name, present in {"plain": _COMMANDS["baseline"], **{name: catalog[name] for name in catalog}}.items():
        assert [each.opts for each in _COMMANDS[name].params] == [each.opts for each in present.params], name
    for name, present in {"front": "show", "compare": "show", "insight": "why", "maps": "why"}.items():
        found, wanted = ({option for each in _COMMANDS[key].params for option in each.opts} for key in (name, present))
        assert found <= wanted, name


def test_show_answers_for_the_front_a_candidate_and_a_comparison(searched, here):
    """By the number of keys; the former commands print the same."""
    folder, _ = searched
    front = json.loads((folder / "run" / "front.json").read_text())
    keys = [row["key"] for row in (*front["front"], *front["references"])][:2]
    assert here("show", "run", cwd=folder).stdout == here("front", "run", cwd=folder).stdout
    assert here("show", "run", *keys, cwd=folder).stdout == here("compare", "run", *keys, cwd=folder).stdout
    name, candidate, *_ = here("show", "run", keys[0], cwd=folder).stdout.splitlines()
    assert name == f"{front['front'][0]['glyph']}  {front['front'][0]['name']}"
    assert candidate.startswith(f"candidate {keys[0]} ")
    for chosen in ([], keys):
        refused = here("show", "run", *chosen, "--svg", "drawn.svg", cwd=folder)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert "--svg drawn.svg draws one candidate: give one KEY" in refused.stderr


def test_why_is_about_all_trainings_unless_a_candidate_is_selected(searched, here):
    """Options for maps need a candidate; an unknown key is looked for in the run."""
    folder, _ = searched
    assert here("why", "run", cwd=folder).stdout == here("insight", "run", cwd=folder).stdout
    for options in (["--images", 3], ["--to", "x"], ["--download"]):
        refused = here("why", "run", *options, cwd=folder)
        assert (refused.returncode, refused.stdout) == (2, "")
        assert f"{options[0]} is for maps of candidates: add a KEY" in refused.stderr
    assert here("why", "run", "nothing", cwd=folder).stderr == here("maps", "run", "nothing", cwd=folder).stderr != ""


def test_lists_have_a_gap_between_columns(here):
    """However long the longest name is."""
    for command in (["catalog", "spaces"], ["catalog", "trunks"]):
        lines = [line for line in here(*command).stdout.splitlines() if not line.startswith(" ")]
        starts = {len(line) - len(line.split("  ", 1)[1].lstrip()) for line in lines}
        assert len(starts) == 1, command


def test_runs_are_of_a_folder_or_of_a_server(here):
    """Not of both."""
    refused = here("runs", "somewhere", "--storage", "postgresql://u@h/d")
    assert refused.returncode == 2
    assert "give a folder or a server, not both" in refused.stderr


def test_mechanisms_are_listed_for_people_and_programs(here):
    """Every entry has its name and paper; one can be printed in full, by an alias too."""
    documents = json.loads(here("mechanisms", "--json").stdout)
    assert [document["name"] for document in documents] == mechanism_names()
    for document in documents:
        assert all((document["title"], document["year"], document["formula"])), document["name"]
        assert document["arxiv"] or document["url"], document["name"]
        assert document["cost_class"] in "ABCD"
        assert document["gate_scale"] > 0
        assert document["cost"]["flops"] > 0
        assert document["cost"]["slowdown"]["step"] > 0
    assert json.loads(here("mechanisms", "SELayer", "--json").stdout)["name"] == "se"
    text = here("mechanisms", "se").stdout
    for part in ("Squeeze-and-Excitation Networks (2018)", "https://arxiv.org/abs/1709.01507", "(B, C, H, W)", "FLOPs at 64"):
        assert part in text
    table = here("mechanisms").stdout
    assert [name for name in mechanism_names() if f"\n{name} " not in table] == []


def test_costs_of_mechanisms_are_given_at_any_size(here):
    """Another size is counted; a mechanism whose groups do not divide the channels has no cost there."""
    shown = json.loads(here("mechanisms", "se", "--channels", "128", "--size", "7", "--json").stdout)
    assert shown["cost"]["params"] == 2 * 128 * 8
    assert shown["cost"]["slowdown"] is None
    refused = json.loads(here("mechanisms", "shuffle", "--channels", "9", "--json").stdout)["cost"]["why_not"]
    assert refused == "shuffle: groups = 64 with channels = 9: choose channels divisible by 2"
    assert "not counted beyond 64 a side" in here("mechanisms", "nonlocal", "--size", "224").stdout
    assert json.loads(here("mechanisms", "se", "--measure", "--size", "8", "--json").stdout)["cost"]["slowdown"]["step"] > 0


def test_trunks_are_listed_for_people_and_programs(here):
    """Every family with its depths."""
    names = [document["name"] for document in json.loads(here("trunks", "--json").stdout)]
    assert names == trunk_names()
    table = here("trunks").stdout
    assert all(name in table for name in names)


def test_a_shipped_space_can_be_printed_and_used(tmp_path, here):
    """What `spaces NAME` prints is the file, and loads."""
    from attn_nas.space.loading import load_space, parse_space

    text = here("spaces", "cued_digits").stdout
    assert parse_space(text) == load_space("cued_digits")
