"""Data that a program gives: what can be given, what a run keeps of them, and what is wrong with others."""

import json
import re

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

import attn_nas as an
from attn_nas.data import load_dataset
from attn_nas.data.own import OwnData, read_own
from attn_nas.data.rules import DataRules
from attn_nas.errors import AttnNasError, DataError, SpaceError, UsageError
from attn_nas.execution.settings import Local
from attn_nas.plugins import registry as plugins
from attn_nas.space.data_settings import DataSettings

RNG = np.random.default_rng(0)
PIXELS = RNG.integers(256, size=(40, 3, 8, 8), dtype=np.uint8)
LABELS = [number % 2 for number in range(40)]


class Pairs(Dataset):
    """A map-style Dataset of what it is given; ``length`` is what it says."""

    def __init__(self, images, labels, length=None):
        self.images, self.labels, self.length = images, labels, len(images) if length is None else length

    def __len__(self):
        return self.length

    def __getitem__(self, index):
        return self.images[index], self.labels[index]


class Stream(IterableDataset):
    """An iterable Dataset."""

    def __iter__(self):
        return zip(torch.from_numpy(PIXELS), LABELS, strict=True)


class Columns(Pairs):
    """Items as a Dataset of Hugging Face gives them."""

    def __getitem__(self, index):
        return {"id": index, "image": self.images[index], "label": self.labels[index]}


@pytest.fixture
def read(tmp_path):
    """Reads data as a search does."""

    def read(data, **more):
        own = OwnData.given(data)
        folder = tmp_path / f"arrays-{len(list(tmp_path.iterdir()))}"
        folder.mkdir()
        return read_own(own, DataSettings.model_validate({**own.settings, **more}), DataRules(), folder)

    return read


def _photos(sizes=((8, 8),)):
    return [Image.fromarray(image.transpose(1, 2, 0)).resize(sizes[n % len(sizes)]) for n, image in enumerate(PIXELS)]


@pytest.mark.parametrize(
    "data",
    [
        (PIXELS, LABELS),
        (torch.from_numpy(PIXELS), torch.tensor(LABELS)),
        (PIXELS.transpose(0, 2, 3, 1), np.array(LABELS)),
        TensorDataset(torch.from_numpy(PIXELS), torch.tensor(LABELS)),
        Pairs(_photos(), LABELS),
        Pairs(torch.from_numpy(PIXELS), [np.int8(label) for label in LABELS]),
        Columns(_photos(), LABELS),
        Stream(),
        [*zip(PIXELS, LABELS, strict=True)],
        {"train": Pairs(_photos(), LABELS)},
    ],
    ids=[
        "arrays",
        "tensors",
        "channels-last",
        "TensorDataset",
        "Pillow",
        "map-style",
        "mappings",
        "iterable",
        "list",
        "DatasetDict",
    ],
)
def test_the_same_images_in_any_form_are_the_same_data(read, data):
    """With a stratified hold-out by the seed, and classes named by their numbers."""
    found, first = read(data), read((PIXELS, LABELS))
    assert torch.equal(found.train.images, first.train.images)
    assert torch.equal(found.validation.labels, first.validation.labels)
    assert sorted(found.validation.labels.tolist()) == [0, 0, 1, 1]
    assert (len(found.train), found.task.channels, found.classes) == (36, 3, ("0", "1"))
    assert not torch.equal(read(data, seed=1).train.images, found.train.images)


@pytest.mark.parametrize(
    ("dtype", "channels", "scale"), [(np.uint16, 1, 65535), (np.float32, 5, 1), (np.uint8, 2, 255), (np.float64, 3, 1)]
)
def test_images_keep_their_bits_and_channels(read, dtype, channels, scale):
    """8 and 16 bits and floats, any number of channels, and rectangles."""
    images = (RNG.random((40, channels, 6, 9)) * (1 if np.dtype(dtype).kind == "f" else 200)).astype(dtype)
    found = read((images, LABELS))
    assert found.train.images.numpy().dtype == (np.float32 if dtype is np.float64 else dtype)
    assert (found.train.scale, found.task.channels, found.task.height, found.task.width) == (scale, channels, 6, 9)


def test_datasets_of_hugging_face(read):
    """Images and labels are found by their columns, with the names of the classes; also of a stream."""
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    found = datasets.Dataset.from_dict({"image": _photos(), "label": LABELS}, features=features)
    for data in (found, datasets.DatasetDict({"train": found, "test": found}), found.to_iterable_dataset()):
        dataset = read(data)
        assert dataset.classes == ("cat", "dog")
        assert torch.equal(dataset.train.images, read((PIXELS, LABELS)).train.images)


def test_names_and_other_numbers_become_classes(read):
    """Names in the order of the alphabet; numbers that are not 0, 1, 2 keep their names, and a note says so."""
    names = ["wolf" if label else 'cat\'s "paw"' for label in LABELS]
    assert read((PIXELS, names)).classes == ('cat\'s "paw"', "wolf")
    years = read((PIXELS, [2019 + label for label in LABELS]))
    assert years.classes == ("2019", "2020")
    from_one = read(OwnData((PIXELS, [1 + label for label in LABELS]), classes=["cat", "dog"]))
    assert from_one.classes == ("cat", "dog")
    assert "Labels are from 1 to 2: they are numbered from 0" in from_one.notes
    assert "they are numbered from 0 in this order" in " ".join(years.notes)


def test_several_labels_per_image(read):
    """As zeros and ones, or as lists of names."""
    flags = np.array([[1, label, 0] for label in LABELS])
    found = read((PIXELS, flags))
    assert (found.task.kind, found.task.num_classes, found.train.labels.shape) == ("multi_label", 3, (36, 3))
    named = read(Pairs(PIXELS, [["sea", "sky"] if label else ["sky"] for label in LABELS]))
    assert named.classes == ("sea", "sky")
    assert torch.equal(named.train.labels.sum(0), torch.tensor([18, 36]))


def test_masks_are_segmentation(read):
    """With a value for pixels of no class; masks move with their images when these are resized."""
    masks = (PIXELS[:, 0] > 100).astype(np.int64)
    masks[:, 0] = 255
    found = read(OwnData(Pairs(PIXELS, masks), ignored_index=255))
    assert (found.task.kind, found.task.num_classes, found.task.ignored) == ("segmentation", 2, 255)
    assert found.train.labels.dtype == torch.uint8
    larger = read(OwnData(Pairs(PIXELS, masks), ignored_index=255, image_size=(16, 16)), image_size=(16, 16))
    assert larger.train.labels.shape == (36, 16, 16)
    assert torch.equal(larger.train.labels[:, ::2, ::2], found.train.labels)
    with pytest.raises(DataError, match=r"the mask of item 0 of the training data has the shape \(4, 4\), its image \(8, 8\)"):
        read(Pairs(PIXELS, masks[:, :4, :4]))


def _masks(*values):
    """Forty masks of 8 x 8 pixels that have these values in turns."""
    return torch.tensor(values)[torch.arange(40 * 64) % len(values)].reshape(40, 8, 8)


def test_the_value_255_of_masks_belongs_to_no_class(read):
    """It is said; two values, of which 255 is the object, are refused with the remedy."""
    found = read((torch.from_numpy(PIXELS), _masks(0, 1, 2, 255).to(torch.uint8)))
    assert (found.task.num_classes, found.task.ignored) == (3, 255)
    assert "Pixels with the value 255 in a mask count for nothing" in " ".join(found.notes)
    with pytest.raises(DataError, match="write 0 and 1 for two classes"):
        read((torch.from_numpy(PIXELS), _masks(0, 255).to(torch.uint8)))


def test_masks_of_different_width_keep_their_values(read):
    """One mask has a value above 255, which belongs to no class."""
    masks = [_masks(0, 1, 2)[number].numpy().astype(np.uint8) for number in range(40)]
    masks[7] = masks[7].astype(np.int32)
    masks[7][0, 0] = 1000
    found = read(OwnData(Pairs(PIXELS, masks), Pairs(PIXELS[:5], masks[:5]), ignored_index=1000))
    assert found.task.num_classes == 3
    wanted = np.stack([mask.astype(np.int64) for mask in masks])
    assert np.array_equal(np.asarray(found.train.labels).astype(np.int64), wanted)


def test_data_sets_with_other_classes_are_refused(read):
    """As two folders, of which one lacks a class: its numbers mean other classes."""
    train, validation = Pairs(PIXELS, [number % 3 for number in range(40)]), Pairs(PIXELS[:4], [0, 1, 0, 1])
    train.classes, validation.classes = ["a", "b", "c"], ["a", "c"]
    with pytest.raises(DataError, match="the classes differ"):
        read((train, validation))


def test_groups_are_never_divided(read):
    """All images of a patient are for training, or all for validation."""
    groups = [f"patient {number // 4}" for number in range(40)]
    images = np.broadcast_to(np.arange(40, dtype=np.uint8)[:, None, None, None], (40, 1, 8, 8))
    found = read(OwnData((images, LABELS), groups=groups, num_validation=12), num_validation=12)
    held = {groups[number] for number in found.validation.images[:, 0, 0, 0].tolist()}
    assert len(found.validation) == 12
    assert held.isdisjoint(groups[number] for number in found.train.images[:, 0, 0, 0].tolist())
    with pytest.raises(DataError, match="there are 3 groups for 40 training items: give one for each"):
        read(OwnData((images, LABELS), groups=["a", "b", "c"]))
    with pytest.raises(DataError, match="has one group: at least 2 are needed"):
        read(OwnData((images, LABELS), groups=["a"] * 40))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (Pairs(PIXELS, LABELS, length=50), "item 40 of the training data cannot be read (IndexError: index 40"),
        (Pairs(PIXELS, [*LABELS[:-1], None]), "the label of item 39 of the training data is missing: remove the image"),
        (Pairs(PIXELS, [*LABELS[:-1], -1]), "the label of item 39 of the training data is -1: labels are 0 or more"),
        (Pairs(PIXELS, [*LABELS[:-1], 0.5]), "the label of item 39 of the training data is 0.5: give the number or the name"),
        (Pairs(PIXELS, [*LABELS[:-1], "cat"]), "some labels are int and some are str"),
        (Pairs(_photos(((8, 8), (9, 8))), LABELS), "item 1 of the training data is 3 x 8 x 9, the first is 3 x 8 x 8: give"),
        (Pairs(PIXELS.reshape(40, -1), LABELS), "item 0 of the training data has the shape (192,): give (C, H, W)"),
        (Pairs(PIXELS[:, None], LABELS), "has the shape (1, 3, 8, 8): give (C, H, W)"),
        ((PIXELS.reshape(40, -1), LABELS), "images of shape (40, 192): give (N, C, H, W)"),
        ((PIXELS, LABELS[:-1]), "have 40 images and 39 labels: give one label for each image"),
        (Pairs(PIXELS.astype(np.int64) - 3, LABELS), "has values from -3 to"),
        (Pairs(np.full((40, 3, 8, 8), np.nan), LABELS), "has values that are not finite"),
        (Pairs([object()] * 40, LABELS), "is object: give a tensor, an array of NumPy or an image of Pillow"),
        ([5] * 40, "item 0 of the training data is int: give a pair of image and label"),
        ([{"picture": PIXELS[0], "label": 0}] * 4, "has the keys picture, label: name them image and label"),
        (DataLoader(TensorDataset(torch.zeros(4, 3, 8, 8), torch.zeros(4))), "are a DataLoader, which gives batches: give its"),
        (([], []), "the training data have no items"),
        ((Pairs(PIXELS, LABELS), Pairs(PIXELS, [7] * 40)), "the validation data have labels that no training image has: 7"),
        (PIXELS, "the training data are an array without labels"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_named(read, data, message):
    """One sentence with the item, its value and the remedy."""
    with pytest.raises(AttnNasError, match=re.escape(message)):
        read(data)


def test_a_random_dataset_is_noticed(read):
    """Its images are read once, and a note says so."""
    torch.manual_seed(0)
    noisy = Pairs([0] * 40, LABELS)
    noisy.__class__ = type("Noisy", (Pairs,), {"__getitem__": lambda self, index: (torch.rand(3, 8, 8), self.labels[index])})
    assert any("give another image each time" in note for note in read(noisy).notes)


@pytest.fixture
def space():
    """Trains a candidate in a moment."""
    trunk = {"name": "cifar_resnet", "depth": 8, "width": 4}
    proxy = {"epochs": 2, "batch_size": 16, "lr": 0.05, "precision": "fp32", "metric": "balanced_accuracy"}
    return an.SearchSpace(trunk=trunk, mechanisms=["se"], proxy=proxy)


def test_a_run_keeps_the_arrays_and_goes_on_without_the_objects(space, tmp_path, monkeypatch):
    """They are in its folder, mapped by workers, found after a move, and no pickle of an object is there."""
    monkeypatch.chdir(tmp_path)
    pixels = PIXELS.astype(np.float32) / 255
    train, held = Pairs(torch.from_numpy(pixels), LABELS), (pixels[:10] / 2, LABELS[:10])
    search = an.Search(space, data=OwnData(train, held, held), run="run", training={"class_weights": "balanced"})
    run = search.optimize(n_trials=2, confirm=0, execution=Local(workers=1))
    assert {path.name for path in (tmp_path / "run" / "arrays").iterdir()} == {
        "dataset.json",
        *(f"{part}_{kind}.npy" for part in ("train", "validation", "test") for kind in ("images", "labels")),
    }
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".attn-nas")]
    (tmp_path / "run").rename(tmp_path / "moved")
    run = an.Search.load("moved").optimize(n_trials=3, confirm=0, execution=Local(workers=1))
    assert len(run.candidates) == 3
    dataset = run.load_dataset()
    assert torch.equal(dataset.train.images, torch.from_numpy(pixels))
    assert len(dataset.load_test()) == 10
    run.check_test_split()
    run.front[-1].export("best")
    np.save("moved/arrays/train_labels.npy", 1 - np.array(LABELS))
    with pytest.raises(
        DataError, match="is not the data set that the run was begun with: the labels of training images differ"
    ):
        run.load_dataset()


def test_data_that_cannot_be_read_leave_nothing_behind(space, tmp_path, monkeypatch):
    """No run folder, no arrays."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match="cannot be read"):
        an.Search(space, data=Pairs(PIXELS, LABELS, length=50), run="new/run").optimize(n_trials=1)
    assert [path.name for path in tmp_path.rglob("*")] == ["new"]
    masks = OwnData((PIXELS, (PIXELS[:, 0] > 99).astype(np.uint8)))
    with pytest.raises(SpaceError, match=r"gives \(1, 2\) for an image, but masks need 2 logits for each of 8 x 8 pixels"):
        an.Search(space.with_training(metric=None), data=masks, run="new/run").optimize(n_trials=1)
    with pytest.raises(UsageError, match="data has 4 parts: give"):
        an.Search(space, data=(1, 2, 3, 4))


PLUGIN = """
import attn_nas as an

def scans(settings):
    import numpy as np
    pixels = np.random.default_rng(settings.seed).integers(256, size=(30, 1, 8, 8), dtype=np.uint8)
    return pixels, [number % settings.options["classes"] for number in range(30)]

an.register_dataset("scans", scans, embedded=True, crop=1)
"""


def test_a_plug_in_registers_a_data_set(tmp_path):
    """Its function gets the settings and returns what Search takes; its keys are under ``options``."""
    (tmp_path / "scans.py").write_text(PLUGIN)
    plugins.load_file(tmp_path / "scans.py", named=True)
    space = an.SearchSpace(trunk="resnet18", mechanisms=["se"], data={"name": "scans", "options": {"classes": 3}})
    dataset = load_dataset(space.data)
    assert (dataset.name, dataset.task.num_classes, dataset.augmentation.crop, len(dataset.validation)) == ("scans", 3, 1, 3)
    with pytest.raises(SpaceError, match="data set name 'scans' is taken"):
        an.register_dataset("scans", print)
    with pytest.raises(SpaceError, match="choose lower-case letters"):
        an.register_dataset("My scans", print)
    with pytest.raises(SpaceError, match=r"data\.options: cifar10 has no options: leave it out"):
        an.SearchSpace(trunk="resnet18", mechanisms=["se"], data={"name": "cifar10", "options": {}})


def test_files_of_arrays(tmp_path):
    """Single arrays with a hold-out, an .npz of several splits, and what is missing."""
    np.save(tmp_path / "images.npy", PIXELS)
    np.save(tmp_path / "labels.npy", LABELS)
    settings = {"name": "arrays", "root": str(tmp_path)}
    assert len(load_dataset(DataSettings.model_validate({**settings, "num_validation": 10})).train) == 30
    (tmp_path / "labels.npy").unlink()
    with pytest.raises(DataError, match="has images, but no labels: add them"):
        load_dataset(DataSettings.model_validate(settings))
    other = tmp_path / "other"
    other.mkdir()
    parts = {
        f"{part}_{kind}": values
        for part in ("train", "val", "test")
        for kind, values in (("images", PIXELS), ("labels", LABELS))
    }
    np.savez(other / "medical.npz", **parts)
    found = load_dataset(DataSettings.model_validate({**settings, "root": str(other), "classes": ["well", "ill"]}))
    assert (len(found.train), len(found.validation), len(found.load_test()), found.classes) == (40, 40, 40, ("well", "ill"))
    np.savez(other / "medical.npz", train_images=np.array([object()]), train_labels=[0])
    with pytest.raises(DataError, match="save it without objects"):
        load_dataset(DataSettings.model_validate({**settings, "root": str(other)}))


def _listed(folder, rows, name="list.csv", columns="path,label"):
    (folder / name).write_text("\n".join([columns, *rows]) + "\n")
    return DataSettings.model_validate({"name": "image_list", "root": str(folder), "image_size": [8, 12]})


def test_a_csv_list(tmp_path):
    """Paths, names, splits and groups; rectangles; errors with the file and the line."""
    for number, photo in enumerate(_photos()):
        photo.save(tmp_path / f"a, b {number}.png")
    rows = [f'"a, b {number}.png",{"dog" if LABELS[number] else "cat"},p{number // 4}' for number in range(40)]
    found = load_dataset(_listed(tmp_path, rows, columns="path,label,group"))
    assert (found.task.height, found.task.width, found.classes) == (8, 12, ("cat", "dog"))
    assert len(found.validation) == 4
    divided = [f"{row},{'test' if number > 30 else 'val' if number > 20 else 'train'}" for number, row in enumerate(rows)]
    settings = _listed(tmp_path, divided, columns="path,label,patient,split")
    assert [len(split) for split in (load_dataset(settings).train, load_dataset(settings).load_test())] == [21, 9]
    for wrong, columns, message in (
        ([f'{rows[0].rsplit(",", 1)[0]},'], "path,label,group", None),
        (['"a, b 0.png",'], "path,label", r"list\.csv, line 2: the label is missing"),
        (["missing.png,cat"], "path,label", r"1 of the 1 files in .*list\.csv are missing: missing\.png"),
        (rows, "path,name,group", r"has no column label: its columns are path, name, group"),
        ([*rows, rows[0]], "path,label,group", r"names a, b 0\.png more than once"),
        ([row + ",hold" for row in rows], "path,label,group,split", r"the split of a, b 0\.png is 'hold': write train"),
        ([f"{row},{'val' if number == 3 else 'train'}" for number, row in enumerate(rows)], "path,label,group,split",
         r"has the group p0 in train and in validation"),
        ([rows[0], rows[1].replace("p0", " "), *rows[2:]], "path,label,group",
         r"list\.csv names no group in 1 of its 40 lines \(line 3\)"),
        (["a"], "path,label", r"list\.csv, line 2: it has not as many values"),
    ):  # fmt: skip
        if message:
            with pytest.raises(DataError, match=message):
                load_dataset(_listed(tmp_path, wrong, columns=columns))


def test_slices_are_scaled_by_a_window(tmp_path):
    """Arrays and a slice of a volume; values outside the window are cut, and without a window they are refused."""
    rows_of_files = [f"{number}.npy,{number % 2}" for number in range(8)]
    volume = np.stack([np.full((8, 8), value, np.float32) for value in (-1000, -100, 100, 300, 900)], -1)
    for number in range(20):
        np.save(tmp_path / f"{number}.npy", np.full((8, 8), number * 10.0))
    np.save(tmp_path / "volume.npy", volume)
    rows = [f"{number}.npy,{number % 2}," for number in range(20)] + [
        f"volume.npy,{number % 2},{number}" for number in range(5)
    ]
    settings = _listed(tmp_path, rows, columns="path,label,slice").model_copy(update={"window": (-100.0, 300.0)})
    found = load_dataset(settings)
    pixels = torch.cat([found.train.images, found.validation.images]).int()
    assert found.train.images.dtype == torch.uint16
    assert (found.task.channels, int(pixels.min()), int(pixels.max())) == (1, 0, 65535)
    assert int((pixels[:, 0, 0, 0] == 65535).sum()) == 2
    with pytest.raises(DataError, match=r"say with data\.window which of them become 0 and 1"):
        load_dataset(settings.model_copy(update={"window": None}))
    with pytest.raises(DataError, match=r"volume\.npy is a volume of 5 slices: name one with the column slice"):
        load_dataset(_listed(tmp_path, ["volume.npy,0", *rows_of_files]).model_copy(update={"window": (0.0, 1.0)}))
    with pytest.raises(SpaceError, match=r"data\.window: the highest value is not above the lowest"):
        an.SearchSpace(trunk="resnet18", mechanisms=["se"], data={"name": "image_list", "window": [3, 3]})


def test_images_beside_slices_keep_their_values(tmp_path):
    """Eight bits and sixteen; floats have no known range."""
    np.save(tmp_path / "0.npy", np.full((8, 8), 0.5))
    for number in range(1, 9):
        Image.fromarray(np.full((8, 8), number, np.uint8)).save(tmp_path / f"{number}.png")
    Image.fromarray(np.full((8, 8), 1000, np.uint16)).save(tmp_path / "9.png")
    rows = [f"{number}.{'png' if number else 'npy'},{number % 2}" for number in range(10)]
    settings = _listed(tmp_path, rows).model_copy(update={"window": (0.0, 1.0), "image_size": 8})
    found = load_dataset(settings)
    pixels = torch.cat([found.train.images, found.validation.images])[:, 0, 0, 0].int()
    assert sorted(pixels.tolist()) == sorted([32768, 1000, *(257 * number for number in range(1, 9))])
    for file, content, message in (
        ("8.tif", np.full((8, 8), 0.5, np.float32), r"8\.tif is an image of floats: save it as \.npy"),
        (
            "9.tif",
            np.full((8, 8), 70_000, np.int32),
            r"9\.tif has values from 70000 to 70000: integers must be from 0 to 65535",
        ),
    ):
        Image.fromarray(content).save(tmp_path / file)
        with pytest.raises(DataError, match=message):
            load_dataset(_listed(tmp_path, [*rows, f"{file},0"]).model_copy(update={"window": (0.0, 1.0)}))
    (tmp_path / "8.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"8\.png is not a readable image"):
        load_dataset(settings)


def test_slices_of_nifti_volumes(tmp_path):
    """By their number along the last axis; a file that is none is named."""
    nibabel = pytest.importorskip("nibabel")
    values = np.arange(8 * 8 * 20, dtype=np.float32).reshape(8, 8, 20)
    nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / "head.nii.gz")
    rows = [f"head.nii.gz,{number % 2},{number}" for number in range(20)]
    settings = _listed(tmp_path, rows, columns="path,label,slice").model_copy(update={"window": (0.0, 1280.0), "image_size": 8})
    found = load_dataset(settings)
    pixels = torch.cat([found.train.images, found.validation.images])[:, 0].int()
    assert sorted(pixels[:, 0, 0].tolist()) == [round(65535 * number / 1280) for number in range(20)]
    (tmp_path / "head.nii.gz").write_bytes(b"no volume")
    with pytest.raises(DataError, match=r"head\.nii\.gz cannot be read"):
        load_dataset(settings)


def test_images_with_masks(tmp_path):
    """Folders of images and masks, with and without splits; a missing mask is named."""
    for part in ("train", "val"):
        for kind in ("images", "masks"):
            (tmp_path / part / kind).mkdir(parents=True)
        for number in range(6):
            Image.fromarray(PIXELS[number].transpose(1, 2, 0)).save(tmp_path / part / "images" / f"{number}.jpg")
            mask = np.zeros((8, 8), np.uint8)
            mask[:, number:] = 1
            mask[0] = 11
            Image.fromarray(mask).save(tmp_path / part / "masks" / f"{number}.png")
    data = {"name": "image_masks", "image_size": [8, 8], "ignored_index": 11, "augment": {"mirror": True}}
    settings = DataSettings.model_validate({**data, "root": str(tmp_path), "classes": ["road", "sky"]})
    (tmp_path / "train" / "masks" / ".copies").mkdir()
    (tmp_path / "train" / "masks" / ".copies" / "0.png").write_bytes(b"of an editor")
    found = load_dataset(settings)
    assert (found.task.kind, found.classes, len(found.train), len(found.validation)) == ("segmentation", ("road", "sky"), 6, 6)
    assert found.augmentation.flip
    alone = load_dataset(DataSettings.model_validate({**data, "root": str(tmp_path / "train")}))
    assert (len(alone.train), len(alone.validation)) == (5, 1)
    (tmp_path / "train" / "masks" / "3.png").unlink()
    with pytest.raises(DataError, match=r"1 of 6 images have no mask of the same name in .*masks: .*3\.jpg"):
        load_dataset(settings)


def test_a_folder_without_splits_is_divided_by_its_seed(tmp_path):
    """A tenth for the test and a tenth for validation, of each class; groups stay together; rectangles."""
    for name in ("a.b", "c d"):
        (tmp_path / name).mkdir()
        for number in range(30):
            value = number if name == "a.b" else 100 + number
            Image.new("RGB", (9, 7), (value, 0, 0)).save(tmp_path / name / f"{number}.png")
    data = an.ImageFolder(tmp_path, image_size=[8, 12], num_validation=6)
    dataset = load_dataset(DataSettings.model_validate(data))
    splits = [dataset.train, dataset.validation, dataset.load_test()]
    assert [torch.bincount(split.labels).tolist() for split in splits] == [[24, 24], [3, 3], [3, 3]]
    assert len({int(value) for split in splits for value in split.images[:, 0, 0, 0]}) == 60
    assert dataset.train.images.shape[1:] == (3, 8, 12)
    assert any("has no splits: 6 images" in note for note in dataset.notes)
    again = load_dataset(DataSettings.model_validate({**data, "seed": 1}))
    assert not torch.equal(again.load_test().images, splits[2].images)
    rows = [f"{name}/{number}.png,{number // 10}" for name in ("a.b", "c d") for number in range(30)]
    (tmp_path / "groups.csv").write_text("\n".join(["path,group", *rows]))
    grouped = load_dataset(DataSettings.model_validate({**data, "group": "groups.csv", "num_validation": 20}))
    held = [{int(value) % 100 // 10 for value in split.images[:, 0, 0, 0]} for split in (grouped.train, grouped.validation)]
    assert held[0].isdisjoint(held[1])
    (tmp_path / "groups.csv").write_text("path,group\na.b/0.png,1\n")
    with pytest.raises(DataError, match=r"groups\.csv has no group for 59 of 60 images"):
        load_dataset(DataSettings.model_validate({**data, "group": "groups.csv"}))


def test_the_description_of_kept_data_is_checked(read, tmp_path):
    """A damaged file in a run folder is named."""
    read((PIXELS, LABELS))
    (folder,) = tmp_path.iterdir()
    (folder / "dataset.json").write_text(json.dumps({"name": "x"}))
    with pytest.raises(DataError, match=r"are damaged .*: restore them, or begin a new run"):
        load_dataset(DataSettings.model_validate({"name": "arrays", "root": str(folder)}))
