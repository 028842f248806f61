"""An exported folder says what its numbers mean, and turns a photo into the prediction that training would give."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from io import BytesIO

import numpy as np
import onnx
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file

from attn_nas.data import load_dataset
from attn_nas.data.decoding import decode
from attn_nas.engine.search import Search
from attn_nas.execution.settings import Local
from attn_nas.export import FORMATS, export_candidates
from attn_nas.export.meaning import Meaning, Preprocessing, Reported
from attn_nas.models.build import build_model
from attn_nas.space.schema import SearchSpace

NAMES = ("a [link](x) `daisy`", "rose", "tülip")
"""Names of classes as people give them; the first would be a link in a card."""


def _photo(seed, label, size=(90, 60)):
    """A noisy photo whose colour says its class."""
    noise = np.random.default_rng(seed).integers(0, 120, (size[1], size[0], 3), np.uint8)
    noise[:, :, label] += 120
    return Image.fromarray(noise)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A folder of photos of three classes: JPEGs that are decoded at a reduced width, and files of other kinds."""
    root = tmp_path_factory.mktemp("photos")
    for part, count in (("train", 16), ("val", 4)):
        for label, name in enumerate(NAMES):
            folder = root / part / name
            folder.mkdir(parents=True)
            for index in range(count):
                _photo(100 * label + index, label).save(folder / f"{index}.jpg", quality=95)
    first = root / "train" / NAMES[1]
    exif = Image.Exif()
    exif[0x0112] = 6
    _photo(1, 1).save(first / "turned.jpg", exif=exif)
    Image.fromarray(np.random.default_rng(2).integers(0, 65536, (50, 70), np.uint16)).save(first / "wide.png")
    _photo(3, 1).convert("RGBA").rotate(30, expand=True).save(first / "transparent.png")
    _photo(4, 1, (20, 31)).convert("P").save(first / "palette.gif")
    _photo(5, 1, (8, 8)).convert("L").save(first / "small.bmp")
    return root


@pytest.fixture(scope="module")
def run(photos, tmp_path_factory, many_rounds):
    """A search on the photos, really trained."""
    space = SearchSpace(
        trunk={"name": "cifar_resnet", "depth": 8, "width": 8},
        mechanisms=["se"],
        data={"name": "image_folder", "root": photos, "image_size": 16},
        proxy={"epochs": 2, "batch_size": 8, "lr": 0.05, "precision": "fp32"},
    )
    return Search(space, run=tmp_path_factory.mktemp("predicted") / "run").optimize(
        n_trials=3, confirm=0, execution=Local(workers=1)
    )


@pytest.fixture(scope="module")
def folder(run, tmp_path_factory, onnx_operators):
    """A winner in all formats."""
    (folder,) = export_candidates(run, run.front[:1], tmp_path_factory.mktemp("exported"), formats=list(FORMATS))
    return folder


@pytest.fixture(scope="module")
def predict(folder):
    """The module ``predict.py`` of the folder."""
    spec = importlib.util.spec_from_file_location("exported_predict", folder / "predict.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def network(run, folder):
    """The network as it was trained."""
    model = build_model(run.front[0].record.genotype, 3)
    model.load_state_dict(load_file(folder / "model.safetensors"))
    return model.eval()


def _files(photos):
    return sorted(path for path in photos.rglob("*") if path.is_file())


def test_classes_preprocessing_and_metric_are_in_every_file(run, folder):
    """In config.json, in the metadata of weights, graph and ONNX, and for readers in the card."""
    config = json.loads((folder / "config.json").read_text())
    assert config["classes"] == list(NAMES)
    assert config["class_names_known"] is True
    assert config["preprocessing"] == {
        "decoding_rule": run.manifest.rules.decoding,
        "exif_orientation": "applied",
        "more_than_8_bits": "scaled by the range of the type",
        "transparency": "on white",
        "mode": "RGB",
        "crop": "centre, in the proportions of size",
        "size": [16, 16],
        "interpolation": "bilinear, antialiased",
        "pixels": "from 0 to 1",
        **run.manifest.normalization.to_dict(),
    }
    candidate = run.front[0]
    assert config["metric"] == {"name": "accuracy", "value": candidate.accuracy, "split": "validation", "epochs": 2, "seeds": 1}
    onnx_texts = {entry.key: entry.value for entry in onnx.load(folder / "model.onnx").metadata_props}
    graph_texts = {f"{name}.json": "" for name in ("classes", "preprocessing", "metric")}
    torch.export.load(folder / "model.pt2", extra_files=graph_texts)
    with safe_open(folder / "model.safetensors", "pt") as weights:
        weight_texts = weights.metadata()
    for name in ("classes", "preprocessing", "metric"):
        for text in (onnx_texts[name], graph_texts[f"{name}.json"], weight_texts[name]):
            assert json.loads(text) == config[name]
    card = (folder / "README.md").read_text()
    assert "Classes, in the order of the logits: 0 a \\[link\\](x) \\`daisy\\`, 1 rose, 2 tülip." in card
    assert "turned upright by its EXIF orientation" in card
    assert "resized to 16 x 16 pixels" in card
    assert '"name": "accuracy on the validation split after 2 epochs, mean of 1 seed"' in card


def test_a_photo_has_the_pixels_that_it_had_in_training(photos, predict):
    """Every kind of file: as a path, as an open image of Pillow, and in memory; the images stay as they are."""
    paths = _files(photos)
    wanted = decode([(str(path), 0) for path in paths], 16, 2).split.images.permute(0, 2, 3, 1).numpy()
    for path, pixels in zip(paths, wanted, strict=True):
        assert np.array_equal(predict.pixels_of(path), pixels), path
        with Image.open(path) as opened:
            size = opened.size
            assert np.array_equal(predict.pixels_of(opened), pixels), path
            assert opened.size == size
            opened.load()
        with Image.open(BytesIO(path.read_bytes())) as opened:
            assert np.array_equal(predict.pixels_of(opened), pixels), path
    loaded = Image.open(photos / "train" / NAMES[1] / "turned.jpg")
    loaded.load()
    assert np.abs(predict.pixels_of(loaded).astype(int) - predict.pixels_of(loaded.filename)).mean() < 8


def test_predictions_reproduce_the_recorded_accuracy(run, network, predict, photos):
    """The names that `predict` gives to the validation images are right as often as the metric says."""
    validation = load_dataset(run.space.data).validation
    pixels = {predict.pixels_of(path).tobytes(): path for path in _files(photos)}
    files = [pixels[image.permute(1, 2, 0).contiguous().numpy().tobytes()] for image in validation.images]
    right = 0
    for path, label in zip(files, validation.labels.tolist(), strict=True):
        found = predict.predict(network, path)
        assert sorted(name for name, _ in found) == sorted(NAMES)
        assert sum(probability for _, probability in found) == pytest.approx(1)
        assert [probability for _, probability in found] == sorted((p for _, p in found), reverse=True)
        right += found[0][0] == NAMES[label]
    assert right / len(files) == pytest.approx(run.front[0].accuracy, abs=1.5 / len(files))


ALONE = """
import json, sys
sys.modules["attn_nas"] = None
sys.path.insert(0, sys.argv[1])
import torch
from model import build_model
from predict import predict
from safetensors.torch import load_file
import onnxruntime
model = build_model()
model.load_state_dict(load_file(sys.argv[1] + "/model.safetensors"))
session = onnxruntime.InferenceSession(sys.argv[1] + "/model.onnx")
onnx = lambda images: torch.from_numpy(session.run(["logits"], {"images": images.numpy()})[0])
graph = torch.export.load(sys.argv[1] + "/model.pt2").module()
try:
    predict(model, sys.argv[2])
except ValueError as error:
    refused = str(error)
print(json.dumps([refused, *(predict(network, sys.argv[2]) for network in (model.eval(), graph, onnx))]))
"""


def test_the_folder_predicts_where_the_package_does_not_exist(folder, photos, network, predict):
    """Modules, graphs and ONNX sessions give the same names and probabilities; a network in training mode is refused."""
    photo = photos / "val" / NAMES[2] / "1.jpg"
    command = [sys.executable, "-I", "-c", ALONE, str(folder), str(photo)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    refused, *printed = json.loads(done.stdout)
    assert "training mode" in refused
    wanted = predict.predict(network, photo)
    for found in printed:
        assert [name for name, _ in found] == [name for name, _ in wanted]
        assert [value for _, value in found] == pytest.approx([value for _, value in wanted], abs=1e-4)


def test_a_run_without_names_of_classes_has_numbered_ones():
    """As one that an older version has begun; the card says why, and its photos are decoded by the older rule."""
    meaning = Meaning(Preprocessing(1, (28, 16), (0.5,), (0.25,)), 2, None, Reported(0.5, "test", 30, 3))
    assert meaning.names == ("class 0", "class 1")
    assert meaning.to_dict()["class_names_known"] is False
    classes, why = meaning.paragraphs()
    assert classes == "Classes, in the order of the logits: 0 class 0, 1 class 1."
    assert "The names of the classes are not known: the run was begun by a version" in why
    assert meaning.preprocessing.mode == "L"
    assert "not turned by its EXIF orientation" in str(meaning.preprocessing)
    assert "proportions 16:28, resized to 16 x 28 pixels" in str(meaning.preprocessing)
    many = replace(meaning, num_classes=1000, classes=tuple(map(str, range(1000))))
    assert many.paragraphs()[0].endswith("99 99 and 900 more in config.json.")
