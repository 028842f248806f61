"""Data sets read through torchvision, from tiny files in their true on-disk formats."""

import gzip
import hashlib
import pickle
import struct
import subprocess
import sys

import numpy as np
import pytest
import scipy.io
from PIL import Image

from attn_nas.data import load_dataset, torchvision_import
from attn_nas.data.torchvision_import import torchvision_datasets
from attn_nas.errors import DataError
from attn_nas.space.data_settings import DataSettings


def _settings(name, root, **changes):
    return DataSettings(name=name, root=str(root), num_validation=8).model_copy(update=changes)


def _pickled(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(pickle.dumps(content))
    return hashlib.md5(path.read_bytes()).hexdigest()


@pytest.fixture
def cifar10(tmp_path, monkeypatch):
    """Six batch files of five images, their checksums told to torchvision."""
    rng, loader = np.random.default_rng(0), torchvision_datasets().CIFAR10
    folder = tmp_path / "cifar-10-batches-py"
    files = {}
    for name in [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]:
        content = {"data": rng.integers(256, size=(5, 3072), dtype=np.uint8), "labels": list(rng.integers(10, size=5))}
        files[name] = _pickled(folder / name, content)
    meta = _pickled(folder / "batches.meta", {"label_names": [str(number) for number in range(10)]})
    monkeypatch.setattr(loader, "train_list", [[name, md5] for name, md5 in files.items() if name != "test_batch"])
    monkeypatch.setattr(loader, "test_list", [["test_batch", files["test_batch"]]])
    monkeypatch.setattr(loader, "meta", {**loader.meta, "md5": meta})
    return tmp_path


def test_cifar10_is_read_split_and_kept_from_its_test_batch(cifar10):
    """25 training images, 8 held out; the pixels are those of the file; the test batch is read on demand."""
    dataset = load_dataset(_settings("cifar10", cifar10))
    assert (len(dataset.train), len(dataset.validation), len(dataset.load_test())) == (17, 8, 5)
    assert dataset.augmentation.flip
    first = pickle.loads((cifar10 / "cifar-10-batches-py" / "test_batch").read_bytes())["data"][0]
    assert np.array_equal(dataset.load_test().images[0].numpy().ravel(), first)


def test_loading_for_a_search_opens_no_test_part(cifar10):
    """What a search loads is the training part alone."""
    loader = torchvision_datasets().CIFAR10
    opened = []
    original = loader.__init__

    def spy(self, root, train=True, **rest):
        opened.append(train)
        original(self, root, train=train, **rest)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(loader, "__init__", spy)
        load_dataset(_settings("cifar10", cifar10))
    assert opened == [True]


def test_cifar100_is_read(tmp_path, monkeypatch):
    """One pickle per split, with fine labels."""
    rng, loader = np.random.default_rng(0), torchvision_datasets().CIFAR100
    folder = tmp_path / "cifar-100-python"
    sums = {}
    for name, number in (("train", 20), ("test", 4)):
        labels = [int(label) for label in rng.integers(100, size=number)]
        content = {"data": rng.integers(256, size=(number, 3072), dtype=np.uint8), "fine_labels": labels}
        sums[name] = _pickled(folder / name, content)
    meta = _pickled(folder / "meta", {"fine_label_names": [str(number) for number in range(100)]})
    monkeypatch.setattr(loader, "train_list", [["train", sums["train"]]])
    monkeypatch.setattr(loader, "test_list", [["test", sums["test"]]])
    monkeypatch.setattr(loader, "meta", {**loader.meta, "md5": meta})
    dataset = load_dataset(_settings("cifar100", tmp_path))
    assert (len(dataset.train), len(dataset.load_test()), dataset.task.num_classes) == (12, 4, 100)


def _write_idx(path, array):
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.tobytes())
    with gzip.open(f"{path}.gz", "wb") as packed:
        packed.write(header + array.tobytes())


def test_fashion_mnist_is_read(tmp_path):
    """IDX files, one channel."""
    rng = np.random.default_rng(0)
    raw = tmp_path / "FashionMNIST" / "raw"
    for name, number in (("train", 20), ("t10k", 4)):
        _write_idx(raw / f"{name}-images-idx3-ubyte", rng.integers(256, size=(number, 28, 28), dtype=np.uint8))
        _write_idx(raw / f"{name}-labels-idx1-ubyte", rng.integers(10, size=number, dtype=np.uint8))
    dataset = load_dataset(_settings("fashion_mnist", tmp_path))
    assert dataset.train.images.shape == (12, 1, 28, 28)
    assert len(dataset.load_test()) == 4


def test_svhn_is_read_and_never_flipped(tmp_path, monkeypatch):
    """MATLAB files whose label 10 is the digit 0."""
    rng, loader = np.random.default_rng(0), torchvision_datasets().SVHN
    lists = {}
    for split, number in (("train", 20), ("test", 4)):
        path = tmp_path / f"{split}_32x32.mat"
        labels = rng.integers(1, 11, size=(number, 1), dtype=np.uint8)
        labels[0] = 10
        scipy.io.savemat(path, {"X": rng.integers(256, size=(32, 32, 3, number), dtype=np.uint8), "y": labels})
        lists[split] = ["", path.name, hashlib.md5(path.read_bytes()).hexdigest()]
    monkeypatch.setattr(loader, "split_list", lists)
    dataset = load_dataset(_settings("svhn", tmp_path))
    assert dataset.train.images.shape == (12, 3, 32, 32)
    assert int(dataset.load_test().labels[0]) == 0
    assert not dataset.augmentation.flip


@pytest.fixture
def folder(tmp_path):
    """Images of several sizes and modes in two classes."""
    rng = np.random.default_rng(0)
    for part in ("train", "val"):
        for label in ("cats", "dogs"):
            target = tmp_path / part / label
            target.mkdir(parents=True)
            for number in range(10):
                shape = (20 + number, 30, 3) if number % 2 else (25, 20 + number)
                Image.fromarray(rng.integers(256, size=shape, dtype=np.uint8)).save(target / f"{number}.png")
    return tmp_path


def test_a_folder_of_images_is_fitted_to_squares(folder):
    """Grey and coloured, tall and wide images become RGB squares; val is the test split."""
    dataset = load_dataset(_settings("image_folder", folder, image_size=16))
    assert dataset.train.images.shape == (12, 3, 16, 16)
    assert dataset.task.num_classes == 2
    assert len(dataset.load_test()) == 20


def test_a_corrupt_image_is_named(folder):
    """The error says which file to remove."""
    (folder / "train" / "cats" / "3.png").write_bytes(b"not an image")
    with pytest.raises(DataError, match=r"cats/3\.png is not a readable image"):
        load_dataset(_settings("image_folder", folder, image_size=16))


def test_a_folder_without_classes_says_what_it_needs(tmp_path):
    """Missing, or empty."""
    with pytest.raises(DataError, match=r"one folder of images per class"):
        load_dataset(_settings("image_folder", tmp_path))


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "fashion_mnist", "svhn"])
def test_missing_files_say_what_to_do_and_nothing_is_fetched(name, tmp_path):
    """The error names the folder and --download; the network is not touched without it."""
    with pytest.raises(DataError, match=r"Put its files there.*ATTN_NAS_DATA.*--download"):
        load_dataset(_settings(name, tmp_path))


def test_damaged_files_are_an_error(cifar10):
    """A wrong checksum is told, not read."""
    (cifar10 / "cifar-10-batches-py" / "data_batch_1").write_bytes(b"junk")
    with pytest.raises(DataError, match="could not be read"):
        load_dataset(_settings("cifar10", cifar10))


def test_the_folder_may_come_from_the_environment(cifar10, monkeypatch):
    """ATTN_NAS_DATA stands in for data.root."""
    monkeypatch.setenv("ATTN_NAS_DATA", str(cifar10))
    assert len(load_dataset(DataSettings(name="cifar10", num_validation=5)).train) == 20


def test_torchvision_is_imported_where_its_operators_do_not_fit(tmp_path):
    """One call, which imports nothing itself, lets a torchvision be imported whose compiled file cannot be loaded."""
    package = tmp_path / "torchvision"
    package.mkdir()
    (package / "_C.so").write_bytes(b"made for another torch")
    (package / "__init__.py").write_text("import torch\ntorch.library.register_fake('torchvision::nms')(lambda *given: None)\n")
    code = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
import attn_nas
attn_nas.declare_torchvision_operators()
attn_nas.declare_torchvision_operators()
assert "torch" not in sys.modules
import torchvision
assert torchvision.__file__.startswith({str(tmp_path)!r})
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_any_other_import_failure_names_both_versions(monkeypatch):
    """A torchvision that does not fit is not worked around."""

    def failing(name):
        raise RuntimeError("undefined symbol")

    monkeypatch.setattr(torchvision_import.importlib, "import_module", failing)
    with pytest.raises(DataError, match=r"torchvision \S+ does not work beside torch \S+: undefined symbol"):
        torchvision_import.torchvision_datasets.__wrapped__()


def test_the_core_never_imports_torchvision():
    """Embedded data, models and cost work without it."""
    code = (
        "import sys; from attn_nas.data import load_dataset; from attn_nas.space.data_settings import DataSettings; "
        "import attn_nas.engine.search; load_dataset(DataSettings(name='digits')); assert 'torchvision' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
