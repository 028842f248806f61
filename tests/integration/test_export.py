"""Exported winners: they work alone, they are what was trained, and what fails its verification is not kept."""

import ast
import inspect
import json
import re
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from attn_nas.attention.catalog import get_mechanism
from attn_nas.cost import count_cost
from attn_nas.engine.search import Search
from attn_nas.errors import ExportError, RunError
from attn_nas.execution.settings import Local
from attn_nas.export import FORMATS, Recorded, Winner, export_candidates, export_front, export_winners, model_formats
from attn_nas.export.meaning import Meaning, Preprocessing, Reported
from attn_nas.export.model_file import about, file_of, model_file, reached
from attn_nas.export.source import model_source
from attn_nas.models.build import build_model
from attn_nas.models.slots import SlottedBlock
from attn_nas.report import write_front
from attn_nas.report.pages.candidate_page import CandidatePage
from attn_nas.report.pages.links import Addresses
from attn_nas.report.pages.reading import RunReading
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.loading import parse_space
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk
from attn_nas.testing import legal_placements, perturbed
from attn_nas.training import Numerics


@pytest.fixture
def run(trained_run):
    return trained_run


ALONE = """
import importlib.util, json, sys
sys.modules["attn_nas"] = None
spec = importlib.util.spec_from_file_location("model", sys.argv[1] + "/model.py")
model = importlib.util.module_from_spec(spec)
spec.loader.exec_module(model)
import torch
from safetensors.torch import load_file
torch.set_num_threads(1)
net = model.build_model()
net.load_state_dict(load_file(sys.argv[1] + "/model.safetensors"))
print(json.dumps(net.eval()(torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)).tolist()))
"""


def test_a_pick_that_is_not_on_the_front_is_exported_too(trained_run, tmp_path, verified_here):
    """And each model is counted as it is verified."""
    run = trained_run.with_beliefs(trained_run.beliefs)
    off = next(each for each in run.references if each not in run.front)
    vars(run)["verdict"] = replace(run.verdict, pick=off.record.key)
    seen = []
    folders = export_front(run, tmp_path, on_verified=lambda *numbers: seen.append(numbers))
    assert folders[-1].name == off.record.key
    assert (seen[0], seen[-1]) == ((0, len(folders)), (len(folders), len(folders)))
    assert seen == sorted({*seen})


def test_exported_models_work_where_the_package_does_not_exist(run, tmp_path):
    """Source and weights give, to the bit, the logits of the trained network."""
    folders = export_front(run, tmp_path / "models")
    exported = run.front if run.pick in run.front else [*run.front, run.pick]
    assert [folder.name for folder in folders] == [candidate.record.key for candidate in exported]
    for candidate, folder in zip(exported, folders, strict=True):
        assert {path.name for path in folder.iterdir()} == {
            *("model.py", "model.safetensors", "insert.py", "predict.py", "config.json", "README.md", "placements.svg")
        }
        printed = subprocess.run(
            [sys.executable, "-I", "-c", ALONE, str(folder)], check=True, capture_output=True, text=True
        ).stdout
        model = build_model(candidate.record.genotype, 10)
        model.load_state_dict(load_file(run.folder.weights_of(candidate.record.key)))
        logits = model.eval()(torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16))
        assert json.loads(printed) == logits.tolist()


@pytest.mark.usefixtures("verified_here")
def test_the_exported_weights_reproduce_the_recorded_accuracy(run, tmp_path):
    """The normalisation in config.json and the weights give the accuracy of the table on the validation split."""
    from attn_nas.data import load_dataset

    validation = load_dataset(run.space.data).validation
    for candidate, folder in zip(run.front, export_front(run, tmp_path), strict=False):
        config = json.loads((folder / "config.json").read_text())
        mean, std = (torch.tensor(config["normalization"][name])[:, None, None] for name in ("mean", "std"))
        model = build_model(Genotype.from_dict(config["genotype"]), 10)
        model.load_state_dict(load_file(folder / "model.safetensors"))
        with torch.no_grad():
            logits = model.eval()((validation.images.float() / 255 - mean) / std)
        accuracy = (logits.argmax(1) == validation.labels).float().mean().item()
        assert accuracy == pytest.approx(candidate.accuracy, abs=1.5 / len(validation))


@pytest.mark.usefixtures("verified_here")
def test_the_folder_describes_itself(run, tmp_path):
    """Genotype in the weights' metadata, measured figures in the source and the card, a metadata block in the card."""
    (folder, *_) = export_front(run, tmp_path)
    candidate = run.front[0]
    with safe_open(folder / "model.safetensors", "pt") as weights:
        assert Genotype.from_json(weights.metadata()["genotype"]) == candidate.record.genotype
    source, card = (folder / "model.py").read_text(), (folder / "README.md").read_text()
    assert f"{candidate.measured.hundredths()} %" in card
    assert f"{candidate.record.cost.flops:,} FLOPs" in card
    text = ast.get_docstring(ast.parse(source))
    assert candidate.glyph in text
    assert f"Validation accuracy {run.metric.text(candidate.accuracy)} (90 % interval " in text
    assert f"after {run.space.proxy.epochs} epoch" in text
    assert text.count("ccuracy") == 1
    assert f"{candidate.record.cost.flops:,} FLOPs" in text
    assert (folder / "README.md").read_text().startswith("---\ntags:")


@pytest.mark.usefixtures("verified_here")
def test_the_dashboard_shows_the_files_that_are_exported(run, tmp_path):
    """Character for character, for every candidate with weights."""
    folders = export_front(run, tmp_path)
    reading = RunReading.of(run.folder.path)
    for folder in folders:
        shown = CandidatePage(reading, reading.run.candidate(folder.name), Addresses("run", has_runs=False)).code
        assert {f"{name}.py": text for name, _, text in shown} == {
            name: (folder / name).read_text() for name in ("model.py", "insert.py")
        }


def _everywhere(trunk, names):
    """The trunk with the named mechanisms in turn, each at its first legal place, as in its paper."""
    found = []
    for number, site in enumerate(trunk.sites):
        turned = [names[(number + shift) % len(names)] for shift in range(len(names))]
        legal = [placement for name in turned for placement in legal_placements(get_mechanism(name), site)[:1]]
        found.append(next(iter(legal), None))
    return Genotype.of_sites(trunk, found)


def _with_statistics(model, task):
    """Let batch normalisation know the means and variances, as after a training, and return the network in evaluation mode.

    Without them activations grow from block to block, up to where float32 is only 2e-4 exact.
    """
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        model.train()(torch.randn(16, task.channels, task.height, task.width, generator=torch.Generator().manual_seed(0)))
    return model.eval()


@pytest.mark.sweep
def test_source_of_every_mechanism_is_complete_and_minimal(trunk, name):
    """On every trunk, as far as it has places for it."""
    _check_source(_everywhere(trunk, [name]))


def test_source_of_every_trunk_is_complete_and_minimal(each_trunk):
    """With several mechanisms at once."""
    _check_source(_everywhere(each_trunk, ["mhsa", "cbam", "bam", "sk", "coord"]))


def _check_source(genotype):
    """It runs by itself, imports torch and the standard library alone, is clean, and holds only what is used."""
    assert genotype.num_attended > 1
    source = model_source(genotype, 7, 3, "A network.")
    assert "attn_nas" not in source
    assert "raise " not in source
    namespace = {"__name__": "exported"}
    exec(compile(source, "model.py", "exec"), namespace)
    exported = namespace["build_model"]()
    ours = build_model(genotype, 7, seed=0)
    exported.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(exported.eval()(images), ours.eval()(images))
    classes = {line.split("(")[0].removeprefix("class ") for line in source.splitlines() if line.startswith("class ")}
    used = {base for module in exported.modules() for base in type(module).__mro__}
    assert classes == {base.__name__ for base in used if base.__module__ == "exported"}
    checked = subprocess.run(
        [sys.executable, "-m", "ruff", "check", "--isolated", "--select", "E4,E7,E9,F,I,UP,B,RET,SIM", "--quiet", "-"],
        input=source,
        text=True,
        capture_output=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
    formatted = subprocess.run(
        [sys.executable, "-m", "ruff", "format", "--isolated", "--line-length", "128", "--check", "-"],
        input=source,
        text=True,
        capture_output=True,
        check=False,
    )
    assert formatted.returncode == 0, source


def test_the_source_of_one_gate_is_as_short_as_by_hand(run):
    """A ResNet-8 with one ECA gate: at most 80 lines with the docstring."""
    genotype = Genotype.of_sites(Trunk("cifar_resnet", 8, 16), [Placement("eca", "pre", kernel_size=3), *[None] * 4])
    described = about(run.front[0], reached(run.front[0]))
    source = model_file(genotype, Task(3, 32, 32, 10), described)
    assert len(source.splitlines()) <= 80
    assert "self.conv = nn.Conv1d(1, 1, 3, padding=1, bias=False)" in source
    assert "self.blocks[0].pre = EfficientChannelAttention()" in source


def test_the_source_of_a_candidate_without_weights_does_not_speak_of_them(run, monkeypatch, tmp_path):
    """With weights it says how they are loaded, in code that runs as it is written."""
    candidate = run.front[0]
    loading = 'from safetensors.torch import load_file\n\n    model = build_model()\n    model.load_state_dict(load_file("model'
    assert loading in file_of(candidate)
    monkeypatch.setattr(type(run.folder), "weights_of", lambda _, key: tmp_path / key)
    source = file_of(candidate)
    assert "safetensors" not in source
    assert "weights" not in source.partition("import")[0]
    assert f"candidate {candidate.record.key}" in source


def test_several_blocks_in_a_row_with_the_same_gate_are_a_loop():
    """The loop fills what single statements would, and no other block."""
    trunk = Trunk("cifar_resnet", 26, 8)
    gates = [Placement("eca", "standard", kernel_size=3) if number < 7 else None for number, _ in enumerate(trunk.sites)]
    genotype = Genotype.of_sites(trunk, gates)
    source = model_source(genotype, 7, 3, "A network.")
    assert "        for block in list(self.blocks)[:7]:\n            block.standard = EfficientChannelAttention()\n" in source
    _check_source(genotype)


def test_a_trunk_that_is_not_understood_is_copied_as_it_is(monkeypatch):
    """Its source is longer, and does the same."""
    method = "    def __init__(self, depth: int, width: int, num_classes: int, in_channels: int = 3) -> None:\n"
    whole = "        while width < 1:\n            width += 1\n"
    original = inspect.getsource
    monkeypatch.setattr(inspect, "getsource", lambda item: original(item).replace(method, method + whole))
    genotype = _everywhere(Trunk("cifar_resnet", 8, 8), ["eca"])
    source = model_source(genotype, 7, 3, "A network.")
    assert "class AttentionNetwork(CifarResNet):" in source
    assert "while width < 1:" in source
    namespace = {"__name__": "exported"}
    exec(compile(source, "model.py", "exec"), namespace)
    exported, ours = namespace["build_model"](), build_model(genotype, 7, seed=0)
    exported.load_state_dict(ours.state_dict())
    images = torch.randn(2, 3, 16, 16)
    with torch.no_grad():
        assert torch.equal(exported.eval()(images), ours.eval()(images))


@pytest.mark.parametrize("name", ["se", "gc", "mhsa", "sk", "sge", "lsk"])
def test_a_network_from_its_source_starts_like_ours(name):
    """Untrained weights have the distribution of the package's own: the same constants, and about the same deviations."""
    genotype = _everywhere(Trunk("cifar_resnet", 8, 16), [name])
    namespace = {"__name__": "exported"}
    exec(compile(model_source(genotype, 7, 3, "A network."), "model.py", "exec"), namespace)
    torch.manual_seed(0)
    theirs, ours = namespace["build_model"]().state_dict(), build_model(genotype, 7, seed=1).state_dict()
    assert [*theirs] == [*ours]
    for key, values in theirs.items():
        if values.unique().numel() == 1 and values.numel() > 1:
            assert torch.equal(values, ours[key]), key
        elif values.numel() > 200:
            assert values.std().item() == pytest.approx(ours[key].std().item(), rel=0.25), key


def test_blocks_have_no_slots_but_those_that_are_filled(each_trunk, tmp_path):
    """For each slot and for none: one `nn.Identity` at most to be made, the same logits, and formatted all the same."""
    images = torch.randn(2, 3, 32, 32)
    slots = [name for name, _ in SlottedBlock().named_children()]
    for slot in (*slots, None):
        placements = [Placement("eca", slot, kernel_size=3) if slot in site.positions else None for site in each_trunk.sites]
        genotype = Genotype.of_sites(each_trunk, placements)
        source = model_source(genotype, 7, 3, "A network.")
        (tmp_path / f"{slot}.py").write_text(source)
        assert "Slotted" not in source
        assert re.findall(r"self\.(\w+) = nn.Identity\(\)", source) == ([slot] if slot else [])
        assert not re.search(rf"self\.({'|'.join(set(slots) - {slot})})\(", source)
        namespace = {"__name__": "exported"}
        exec(compile(source, "model.py", "exec"), namespace)
        exported, ours = namespace["build_model"](), build_model(genotype, 7, seed=0)
        exported.load_state_dict(ours.state_dict())
        with torch.no_grad():
            assert torch.equal(exported.eval()(images), ours.eval()(images))
    options = ["--isolated", "--line-length", "128", "--check", str(tmp_path)]
    done = subprocess.run([sys.executable, "-m", "ruff", "format", *options], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("trunk", ["{name: cifar_resnet, depth: 8, width: 8}", "{name: mobilenet_v3_large_bare, width: 8}"])
@pytest.mark.usefixtures("verified_here")
def test_stage_ends_and_replacements_are_searched_and_exported(trunk, tmp_path):
    """BAM between stages and convolutions replaced: trained, counted as the table says, and exported with equal logits."""
    space = parse_space(
        f"trunk: {trunk}\n"
        "data: {name: cluttered_digits, num_train: 32, num_validation: 20}\n"
        "mechanisms:\n"
        "  - {name: bam, reductions: [4], identity_init: true}\n"
        "  - {name: split_attention, reductions: [2]}\n"
        "  - {name: mhsa, groups: [2], positions: [replace, standard]}\n"
        "granularity: per_stage\n"
        "proxy: {epochs: 1, batch_size: 8, lr: 0.1, precision: fp32}\n"
    )
    run = Search(space, run=tmp_path / "run").optimize(n_trials=4, confirm=0, execution=Local(workers=1))
    assert run.failures == []
    bam, split, mhsa = (
        next(c for c in run.candidates if c.record.reference == f"{n} everywhere") for n in ("bam", "split_attention", "mhsa")
    )
    assert any(bam.record.genotype.stage_ends)
    assert not any(bam.record.genotype.placements)
    assert {placement.position for placement in (*split.record.genotype.placements, *mhsa.record.genotype.placements)} == {
        "replace"
    }
    (folder, *_) = export_candidates(run, [bam, split, mhsa], tmp_path / "models", formats=["source"])
    assert "self.stage_ends[0] = BottleneckAttention(" in (folder / "model.py").read_text()


@pytest.mark.usefixtures("verified_here")
def test_a_failed_verification_leaves_nothing_behind(run, tmp_path, monkeypatch):
    """Other logits, other costs or a broken source end in an error and no folder."""
    original = model_formats.model_file
    breaks = {
        "the logits of model.py differ": lambda source: source.replace("return self.fc(", "return 2 * self.fc("),
        r"FLOPs and .* parameters; recorded are": lambda source: source.replace(
            "x = self.blocks(x)", "x = self.blocks(x) * 1.0"
        ),
        "model.py does not run by itself: ModuleNotFoundError": lambda source: source.replace(
            "from torch import", "import attn_nas\nfrom torch import", 1
        ),
    }
    for message, spoil in breaks.items():
        monkeypatch.setattr(model_formats, "model_file", lambda *given, spoil=spoil: spoil(original(*given)))
        with pytest.raises(ExportError, match=message):
            export_front(run, tmp_path / "models")
        assert not (tmp_path / "models").exists()


def test_a_candidate_without_weights_cannot_be_exported(run, tmp_path):
    """The error says whose are kept."""
    candidate = run.front[0]
    path = run.folder.weights_of(candidate.record.key)
    hidden = path.rename(path.with_suffix(".hidden"))
    try:
        with pytest.raises(RunError, match="were not kept: only the front, the references and confirmed candidates"):
            export_candidates(run, [candidate], tmp_path)
    finally:
        hidden.rename(path)


def test_an_unwritable_target_is_an_error(run, tmp_path):
    """A file where the folder should be."""
    (tmp_path / "file").write_text("")
    for function in (export_front, write_front):
        with pytest.raises(ExportError, match="cannot"):
            function(run, tmp_path / "file")


@pytest.mark.usefixtures("verified_here")
def test_an_existing_export_is_replaced_by_force_alone(run, tmp_path):
    """Exporting twice leaves one whole folder per candidate; unasked it is an error that names the folder."""
    (first, *_) = export_front(run, tmp_path)
    (first / "stale").write_text("")
    with pytest.raises(ExportError, match=f"{first} exists already: add --force"):
        export_front(run, tmp_path)
    assert (first / "stale").exists()
    export_front(run, tmp_path, force=True)
    assert not (first / "stale").exists()
    assert {path.name for path in tmp_path.iterdir()} == {run.pick.record.key, *(each.record.key for each in run.front)}


def test_the_front_is_written_as_json_csv_and_picture(run, tmp_path):
    """Three files that agree: the document, a row per candidate, an SVG with a mark for each."""
    paths = write_front(run, tmp_path)
    assert [path.name for path in paths] == ["front.json", "front.csv", "front.svg"]
    assert json.loads(paths[0].read_text()) == json.loads(json.dumps(run.to_dict()))
    header, *rows = paths[1].read_text().splitlines()
    assert header.startswith("on_front,key,reference,accuracy,flops")
    assert len(rows) == len(run.candidates)
    assert sum(row.startswith("1,") for row in rows) == len(run.front)
    picture = paths[2].read_text()
    assert picture.count("<circle") >= len(run.front)
    (dots,) = re.findall(r'<path class="dots" d="([^"]+)"', picture)
    assert dots.count("M") == len(run.candidates)
    assert picture.count('<path class="reference"') == len(run.references)
    from xml.etree import ElementTree

    ElementTree.fromstring(picture)


@pytest.mark.sweep(most=1, first=1)
@pytest.mark.usefixtures("onnx_operators")
def test_every_format_holds_every_mechanism_and_trunk(trunk, name, tmp_path):
    """Untrained networks: all files are verified in an isolated process."""
    genotype, task = _everywhere(trunk, [name]), Task(3, 64, 64, 7)
    model = _with_statistics(perturbed(build_model(genotype, task.num_classes, seed=0), 0.05), task)
    meaning = Meaning(Preprocessing(2, (64, 64), (0.5,) * 3, (0.25,) * 3), 7, None, Reported(0.5, "validation", 0, 1))
    recorded = Recorded(0.5, 8, Numerics())
    winner = Winner(
        genotype, task, model.state_dict(), recorded, meaning, count_cost(model, task), "noise",
        ("It was not trained.",), {}, ("A network.",),
    )  # fmt: skip
    (folder,) = export_winners([winner], tmp_path, None, formats=list(FORMATS))
    assert {each.file for each in FORMATS.values()} <= {path.name for path in folder.iterdir()}
