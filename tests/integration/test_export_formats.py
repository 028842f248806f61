"""Every format of an exported winner loads by itself and is what was trained; what is asked wrongly leaves nothing behind."""

import ast
import errno
import io
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import warm
from generators.blocks import file_of
from safetensors.torch import load_file, save_file

from attn_nas.cli.exporting import export as export_command
from attn_nas.errors import AttnNasError, DataError, ExportError, RunError, UsageError
from attn_nas.export import DEFAULT_FORMATS, FORMATS, chosen_formats, export_candidates, isolated, verify
from attn_nas.export.hub import HUBCONF
from attn_nas.export.insert_source import insert_source
from attn_nas.export.model_card import _training_notes
from attn_nas.export.model_formats import Format
from attn_nas.export.verify import Verified, Written, _check_accuracy
from attn_nas.export.winner import Winner
from attn_nas.models.build import build_model
from attn_nas.runs import manifest as manifest_module
from attn_nas.runs.data_identity import Normalization
from attn_nas.runs.run import Run
from attn_nas.runs.selection import Selection
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.metric import ACCURACY
from attn_nas.space.trunks import Trunk
from attn_nas.storage.formats import FORMAT
from attn_nas.storage.optuna_db import MANIFEST

SHAPE = (3, 16, 16)
ALWAYS = {"README.md", "config.json", "placements.svg", "predict.py"}


@pytest.fixture(scope="module")
def run(trained_run):
    return trained_run


@pytest.fixture
def candidate(run):
    """SE everywhere."""
    return next(found for found in run.candidates if found.record.reference == "se everywhere")


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory, onnx_operators):
    """SE everywhere in all formats."""
    candidate = next(found for found in run.candidates if found.record.reference == "se everywhere")
    (folder,) = export_candidates(run, [candidate], tmp_path_factory.mktemp("all"), formats=list(FORMATS))
    return folder


@pytest.fixture
def trained(run, candidate):
    """The network as it was trained."""
    model = build_model(candidate.record.genotype, 10)
    model.load_state_dict(load_file(run.folder.weights_of(candidate.record.key)))
    return model.eval()


@pytest.fixture
def damaged(run, tmp_path):
    """A copy of the run whose weights may be spoiled."""
    return Run(shutil.copytree(run.folder.path, tmp_path / "run"))


def _images(batch):
    return torch.randn(batch, *SHAPE, generator=torch.Generator().manual_seed(batch))


def test_all_formats_are_written_and_say_what_their_verification_found(folder, candidate):
    """A file each; costs and accuracy of the table, to the image; what is found stands in the configuration and the card."""
    assert {path.name for path in folder.iterdir()} == {*ALWAYS, *(each.file for each in FORMATS.values())}
    verified = json.loads((folder / "config.json").read_text())["verified"]
    cost = candidate.record.cost
    exact = {"difference": 0.0, "flops": cost.flops, "params": cost.params, "accuracy": candidate.results[0].accuracy}
    assert verified["source"] == verified["hub"] == exact
    assert (verified["pt2"]["flops"], verified["pt2"]["params"]) == (cost.flops, cost.params)
    for name in ("pt2", "onnx"):
        assert verified[name]["difference"] <= FORMATS[name].tolerance
        assert verified[name]["accuracy"] == pytest.approx(exact["accuracy"], abs=1.5 / 200)
    card = (folder / "README.md").read_text()
    assert f"- `model.py`: logits equal to the bit at batch sizes 1, 2, 8; {cost.flops:,} FLOPs" in card
    for name, each in FORMATS.items():
        assert f"| `{each.file}` | {each.summary} |" in card, name
        assert each.loading in card


def test_the_graphs_take_batches_of_any_size(folder, trained):
    """A `.pt2` and an ONNX file give the trained network's logits for batches that no one has tried before."""
    import onnxruntime

    graph = torch.export.load(folder / "model.pt2").module()
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    for batch in (1, 3, 33):
        images = _images(batch)
        with torch.no_grad():
            wanted = trained(images)
            torch.testing.assert_close(graph(images), wanted, atol=1e-5, rtol=1e-5)
        (logits,) = session.run(["logits"], {"images": images.numpy()})
        torch.testing.assert_close(torch.from_numpy(logits), wanted, atol=1e-4, rtol=1e-4)


def test_a_pt2_holds_no_pickle(folder):
    """Raw tensors and JSON alone: no entry is a pickle or an archive of torch.save, which has one."""
    with zipfile.ZipFile(folder / "model.pt2") as archive:
        contents = {name: archive.read(name) for name in archive.namelist()}
    assert any(name.endswith("weights/weight_0") for name in contents)
    for name, content in contents.items():
        assert not zipfile.is_zipfile(io.BytesIO(content)), name
        if "/weights/weight_" not in name:
            assert b"\x80\x02" not in content[:2], name
            assert not name.endswith(".pt") or content == b""


HUB = """
import json, sys, warnings
import torch
folders = sys.argv[1:]
sys.path.insert(0, folders[0])
networks = [torch.hub.load(folder, "attn_model", source="local") for folder in folders]
fresh = torch.hub.load(folders[0], "attn_model", source="local", pretrained=False)
images = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)
from model import AttentionNetwork
from huggingface_hub import PyTorchModelHubMixin
class Hosted(AttentionNetwork, PyTorchModelHubMixin):
    pass
networks.append(Hosted.from_pretrained(folders[0]).eval())
import hubconf
networks.append(hubconf.from_pretrained(folders[1]))
print(json.dumps([network(images).tolist() for network in networks]))
assert not torch.equal(fresh(images), networks[0](images))
"""


def test_a_folder_loads_as_models_of_hubs_do(run, folder, candidate, tmp_path):
    """By torch.hub, two of them in one process; by `from_pretrained`, its own and that of the Hugging Face mixin."""
    other = next(found for found in run.candidates if found.record.reference == "none")
    (second,) = export_candidates(run, [other], tmp_path, formats=["hub"], without_data=True)
    command = [sys.executable, "-c", HUB, str(folder), str(second)]
    printed = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    logits = []
    for found in (candidate, other, candidate, other):
        model = build_model(found.record.genotype, 10)
        model.load_state_dict(load_file(run.folder.weights_of(found.record.key)))
        logits.append(model.eval()(torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, *SHAPE)).tolist())
    assert json.loads(printed.splitlines()[-1]) == logits


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.module."])
def test_a_folder_loads_weights_with_the_prefixes_of_wrappers(prefix, tmp_path):
    """As they are saved after a training with DistributedDataParallel or torch.compile; names without prefixes stay."""
    (tmp_path / "hubconf.py").write_text(HUBCONF)
    (tmp_path / "config.json").write_text('{"num_classes": 2, "in_channels": 3}')
    (tmp_path / "model.py").write_text(
        "from torch.nn import Linear\n\n\ndef build_model(outputs, inputs):\n    return Linear(inputs, outputs)\n"
    )
    save_file({f"{prefix}weight": torch.full((2, 3), 7.0), "bias": torch.ones(2)}, tmp_path / "model.safetensors")
    network = torch.hub.load(str(tmp_path), "attn_model", source="local")
    assert (network(torch.ones(1, 3)).tolist(), network.training) == ([[22.0, 22.0]], False)


@pytest.mark.parametrize(
    ("mechanism", "note"), [("srm", "at least two images: srm cannot be trained on one image"), ("se", "")]
)
def test_the_card_names_mechanisms_that_cannot_train_on_one_image(mechanism, note):
    """With the remedy; other mechanisms have no note."""
    trunk = Trunk("cifar_resnet", 8, 16)
    parameters = {"reduction": 4} if mechanism == "se" else {}
    genotype = Genotype(trunk, (Placement(mechanism, **parameters), None, None))
    notes = _training_notes(SimpleNamespace(genotype=genotype))
    assert len(notes) == bool(note)
    assert all(note in each and "drop_last=True" in each for each in notes)


WINNER = Path(__file__).parents[2] / "docs" / "winner.md"
LOADING = ("from_source.py", "from_hub.py", "from_pt2.py", "from_onnx.py", "from_mixin.py")


def test_the_documented_ways_of_loading_work(folder, trained, tmp_path):
    """Each file of the page, one after the other and from another folder: five networks, one of them without a module."""
    images = "torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)"
    lines = ["import torch", "found = []"]
    for code in (file_of(WINNER, name) for name in LOADING):
        ours = code.replace('"winner', f'"{folder}').replace("np.zeros((4, 3, 28, 16), np.float32)", f"{images}.numpy()")
        lines += [
            ours,
            "found.append(torch.from_numpy(logits))" if "onnx" in code else f"found.append(model({images}).detach())",
        ]
    lines.append("print([each.tolist() for each in found])")
    (tmp_path / "load.py").write_text("\n".join(lines))
    done = warm.run([sys.executable, "load.py"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    wanted = trained(torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, *SHAPE)).detach()
    for logits in json.loads(done.stdout.splitlines()[-1]):
        torch.testing.assert_close(torch.tensor(logits), wanted, atol=1e-4, rtol=1e-4)


@pytest.mark.usefixtures("verified_here")
def test_what_was_not_asked_for_is_not_kept(run, candidate, tmp_path):
    """Of one format its file, the configuration and the card, which then says that no accuracy was reproduced."""
    (folder,) = export_candidates(run, [candidate], tmp_path, formats=["pt2"], without_data=True)
    assert {path.name for path in folder.iterdir()} == {*ALWAYS, "model.pt2"}
    assert "the recorded accuracy was not reproduced" in (folder / "README.md").read_text()
    assert list(json.loads((folder / "config.json").read_text())["verified"]) == ["pt2"]


def test_exported_python_is_clean(folder):
    """As ruff would format it at 128 columns, no lint, and no line longer than that."""
    for name in ("model.py", "hubconf.py", "predict.py"):
        for command in (["format", "--check"], ["check", "--select", "E,W,F,I,UP,B,ANN,RET,SIM", "--ignore", "ANN401"]):
            options = ["--isolated", "--line-length", "128", "--target-version", "py311", "--quiet", str(folder / name)]
            done = subprocess.run(
                [sys.executable, "-m", "ruff", *command, *options], capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stdout + done.stderr


def test_the_isolated_process_knows_nothing_of_the_package():
    """It imports what a user has alone, and loads every format whose file is a network."""
    tree = ast.parse(Path(isolated.__file__).read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, (ast.Import, ast.ImportFrom))]
    modules = {
        name
        for node in imports
        for name in ([node.module] if isinstance(node, ast.ImportFrom) else [a.name for a in node.names])
    }
    foreign = {name.partition(".")[0] for name in modules} - set(sys.stdlib_module_names)
    assert foreign == {"torch", "safetensors", "fvcore", "onnxruntime"}
    assert set(isolated.LOADERS) == {name for name, each in FORMATS.items() if each.tolerance is not None}


def test_the_command_offers_every_format():
    """Its help names all, its default are those of the end of a search."""
    from inspect import signature

    option = signature(export_command, eval_str=True).parameters["format"]
    assert option.default == ",".join(DEFAULT_FORMATS)
    assert f"Formats, separated by commas: {', '.join(FORMATS)}." in option.annotation.__metadata__[0].help


@pytest.mark.parametrize("name", ["source", "onnx"])
@pytest.mark.usefixtures("verified_here", "onnx_operators")
def test_a_file_that_does_something_else_is_named_and_not_kept(run, candidate, tmp_path, monkeypatch, name):
    """The message says which file and how far it is off."""
    honest = FORMATS[name]

    def twice(winner, model):
        if name == "source":
            return honest.content(winner, model).replace(b"self.fc(", b"1.001 * self.fc(")
        doubled = build_model(winner.genotype, 10)
        doubled.load_state_dict({key: 1.001 * value if "fc." in key else value for key, value in winner.weights.items()})
        return honest.content(winner, doubled.eval())

    monkeypatch.setitem(FORMATS, name, Format(honest.file, twice, honest.summary, tolerance=honest.tolerance))
    with pytest.raises(
        ExportError, match=rf"the logits of {honest.file} differ .* by up to (1.0e-03|9.9e-04|9.\de-04) of the largest; "
    ):
        export_candidates(run, [candidate], tmp_path / "models", formats=[name], without_data=True)
    assert not (tmp_path / "models").exists()


@pytest.mark.usefixtures("verified_here")
def test_an_insertion_of_other_placements_is_not_kept(run, candidate, tmp_path, monkeypatch):
    """The weights are not those of the network that it makes."""
    honest = FORMATS["insert"]
    other = insert_source(Genotype.bare(candidate.record.genotype.trunk)).encode()
    spoilt = Format(honest.file, lambda winner, model: other, honest.summary, tolerance=honest.tolerance)
    monkeypatch.setitem(FORMATS, "insert", spoilt)
    with pytest.raises(ExportError, match=r"insert\.py does not run by itself: RuntimeError"):
        export_candidates(run, [candidate], tmp_path / "models", without_data=True)
    assert not (tmp_path / "models").exists()


@pytest.mark.usefixtures("verified_here")
def test_weights_that_do_not_reach_the_recorded_accuracy_are_not_kept(damaged, candidate, tmp_path):
    """A whole file with other numbers in it: the message has both accuracies in images."""
    path = damaged.folder.weights_of(candidate.record.key)
    weights = load_file(path)
    weights["fc.weight"] = weights["fc.weight"].flip(0)
    save_file(weights, path, metadata={"seed": "0"})
    recorded = round(100 * candidate.results[0].accuracy)
    message = (
        rf"model.py classifies \d+ of 100 validation images correctly; recorded are {recorded}\. Of the difference of \d+ "
    )
    with pytest.raises(ExportError, match=message):
        export_candidates(damaged, [candidate], tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_an_accuracy_may_differ_by_what_precision_decides(run, candidate, tmp_path):
    """By as many images as fp32 and bf16 tell apart, and by one in any case."""
    winner = Winner.of(run, candidate)
    written = Written(winner, winner.model(), tmp_path, ("source",))
    right = round(1000 * winner.recorded.accuracy)
    for found in ({"correct": right}, {"correct": right - 1}, {"correct": right + 7, "undecided": 7}, {}):
        _check_accuracy(written, "source", found, 1000)
    for found in ({"correct": right - 2}, {"correct": right + 8, "undecided": 7}):
        with pytest.raises(ExportError, match="images, precision explains"):
            _check_accuracy(written, "source", found, 1000)


def test_findings_read_as_a_sentence():
    """Equal to the bit, or how far off; costs and accuracy where they are known."""
    assert str(Verified(0.0, (12_345, 678), 95, 100)) == (
        "logits equal to the bit at batch sizes 1, 2, 8; 12,345 FLOPs and 678 parameters; "
        "accuracy 95.00% on 100 validation images"
    )
    assert str(Verified(2e-6, None, 95, 100)).startswith(
        "logits differ by 2e-06 of the largest at batch sizes 1, 2, 8; accuracy 95.00%"
    )


def test_data_that_are_gone_or_others_are_said_so(run, candidate, tmp_path, monkeypatch):
    """An error that names the way out, before anything is written."""

    def gone(settings, rules, download):
        raise DataError("no such files")

    with monkeypatch.context() as patch:
        patch.setattr(manifest_module, "load_dataset", gone)
        with pytest.raises(ExportError, match=r"cannot be reproduced: no such files. To export without .* --without-data"):
            export_candidates(run, [candidate], tmp_path / "models")
    other = Run(run.folder.path)
    grey = Normalization((0.5,) * 3, (0.5,) * 3)
    monkeypatch.setattr(other, "manifest", run.manifest.model_copy(update={"normalization": grey}))
    with pytest.raises(ExportError, match=r"cluttered_digits is not the data set that the run was begun with: .*training"):
        export_candidates(other, [candidate], tmp_path / "models")
    assert not (tmp_path / "models").exists()


def test_formats_are_chosen_by_name():
    """In the order of the registry and with what they need; an unknown one is an error that knows better."""
    assert chosen_formats(["insert", "safetensors", "source"]) == DEFAULT_FORMATS
    assert chosen_formats(["hub"]) == ("source", "safetensors", "hub")
    with pytest.raises(UsageError, match=r"unknown format 'onx': choose from .* \(did you mean onnx\?\)"):
        chosen_formats(["source", "onx"])
    with pytest.raises(UsageError, match="no format: choose from source"):
        chosen_formats([])


def test_a_missing_extra_is_said_before_anything_is_written(run, candidate, tmp_path, monkeypatch):
    """With the command that installs it."""
    monkeypatch.setitem(sys.modules, "onnxscript", None)
    with pytest.raises(UsageError, match=r'the format onnx needs onnxscript: pip install "attn-nas\[onnx\]"'):
        export_candidates(run, [candidate], tmp_path / "models", formats=["onnx"])
    assert not (tmp_path / "models").exists()


def _truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def _garble(path):
    path.write_bytes(b"\xff" * 100)


def _other_seed(path):
    save_file(load_file(path), path, metadata={"seed": "7"})


def _no_seed(path):
    save_file(load_file(path), path)


def _other_shape(path):
    save_file({**load_file(path), "fc.weight": torch.zeros(10, 3)}, path, metadata={"seed": "0"})


def _one_missing(path):
    save_file({name: tensor for name, tensor in load_file(path).items() if name != "fc.bias"}, path, metadata={"seed": "0"})


@pytest.mark.parametrize(
    ("spoil", "error", "message"),
    [
        (_truncate, RunError, "is damaged, or not as the run has written it .*: delete it. One more seed"),
        (_garble, RunError, "is damaged, or not as the run has written it .*: delete it. One more seed"),
        (_other_seed, RunError, "its seed is 7, trained were 0"),
        (_no_seed, RunError, "its seed is None, trained were 0"),
        (_other_shape, ExportError, r"do not fit its network: size mismatch for fc.weight"),
        (_one_missing, ExportError, r'do not fit its network: Missing key\(s\) in state_dict: "fc.bias"'),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_spoilt_weights_are_an_error_that_leaves_nothing(damaged, candidate, tmp_path, spoil, error, message):
    """Damaged, of another training, or of another network."""
    spoil(damaged.folder.weights_of(candidate.record.key))
    with pytest.raises(error, match=message):
        export_candidates(damaged, [candidate], tmp_path / "models", without_data=True)
    assert not (tmp_path / "models").exists()


@pytest.mark.parametrize(
    ("name", "number", "message"),
    [("write_bytes", errno.ENOSPC, "No space left on device"), ("mkdir", errno.EROFS, "Read-only file system")],
)
def test_a_full_or_read_only_target_is_an_error_that_leaves_nothing(
    run, candidate, tmp_path, monkeypatch, name, number, message
):
    """With the reason that the system gives."""
    honest = getattr(Path, name)

    def refuse(path, *given, **named):
        if "models" in path.parts:
            raise OSError(number, message, str(path))
        return honest(path, *given, **named)

    monkeypatch.setattr(Path, name, refuse)
    with pytest.raises(ExportError, match=f"cannot export to .*models: {message}"):
        export_candidates(run, [candidate], tmp_path / "models", without_data=True)
    assert not (tmp_path / "models").exists()


def test_a_target_that_is_a_file_is_left_alone(run, candidate, tmp_path):
    """The file, or what lies behind one."""
    (tmp_path / "file").write_text("mine")
    for target, message in ((tmp_path / "file", "it is a file"), (tmp_path / "file" / "models", "Not a directory")):
        with pytest.raises(ExportError, match=message):
            export_candidates(run, [candidate], target, without_data=True)
    assert (tmp_path / "file").read_text() == "mine"


def test_a_run_that_cannot_be_exported_says_why(run, damaged, tiny_space, tmp_path):
    """No such key, nothing finished yet, written by a newer version."""
    key = run.candidates[0].record.key
    with pytest.raises(RunError, match=rf"there is no candidate '{key[:-1]}x' in .*; the closest: {key} \("):
        Selection([f"{key[:-1]}x"]).of(run)
    damaged.__dict__["candidates"] = []
    with pytest.raises(RunError, match="has no finished trial yet"):
        Selection().of(damaged)
    damaged.study.set_user_attr(MANIFEST, {**damaged.manifest.to_stored(), "format": FORMAT + 1})
    with pytest.raises(
        AttnNasError,
        match=f"is a run of format {FORMAT + 1}, made by attn-nas .*; this version reads formats up to {FORMAT}: update",
    ):
        Run(damaged.folder.path)


class _Amplifying(torch.nn.Module):
    """Makes of rounding errors of float32, about 1e-7, differences of about 1e-3."""

    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(3, 7, 7)

    def forward(self, images):
        return torch.sin(1e4 * self.conv(images).mean((2, 3)))


def test_a_file_need_not_be_nearer_to_the_network_than_the_network_is_to_itself():
    """Differences that roundings explain are allowed, and no larger ones."""
    torch.manual_seed(0)
    model, inputs = _Amplifying().eval(), {"8": torch.randn(8, 3, 32, 32)}
    meaning = SimpleNamespace(metric=SimpleNamespace(metric=ACCURACY), preprocessing=None)
    written = Written(SimpleNamespace(key="network", meaning=meaning), model, None, ("onnx",))
    wanted = model(inputs["8"]).detach()
    rounding = verify._rounding(model, inputs, {"8": wanted})
    assert rounding > FORMATS["onnx"].tolerance

    def judge(relative):
        found = wanted + relative * wanted.abs().max()
        return verify._judged(written, inputs, {"network/onnx/8": found}, {"onnx": {}}, 0)["onnx"].difference

    assert judge(2 * rounding) == pytest.approx(2 * rounding, rel=0.01)
    with pytest.raises(ExportError, match=r"the logits of model\.onnx differ"):
        judge(5 * rounding)
