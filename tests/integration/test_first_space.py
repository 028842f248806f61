"""attn-nas init: what it finds in data, what it chooses, and that a search begins from what it writes."""

import numpy as np
import pytest
from PIL import Image
from safetensors.torch import save_file

from attn_nas.followups import first_space
from attn_nas.models.build import build_trunk
from attn_nas.space.loading import load_space
from attn_nas.space.trunks import Trunk


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder without splits: images of two classes, of 16 x 12 pixels; some are there twice, one is damaged."""
    monkeypatch.setattr(first_space, "_MEASURED", 0.02)
    rng = np.random.default_rng(0)
    for name, count in (("cat", 150), ("no cat", 60)):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for number in range(count):
            pixels = rng.integers(256, size=(12, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    for number in range(60):
        (tmp_path / "photos" / "no cat" / f"copy {number}.png").write_bytes(
            (tmp_path / "photos" / "no cat" / f"{number % 10}.png").read_bytes()
        )
    (tmp_path / "photos" / "cat" / "7.png").write_bytes(b"no image")
    return tmp_path / "photos"


def test_a_search_begins_from_what_init_writes(photos, command):
    """It reports what it found and asks nothing; the file validates, has a comment on each choice, and a search takes it."""
    code, out, _ = command("init", "photos")
    assert code == 0
    for found in (
        "270 images of 2 classes in photos, which has no splits",
        "images of each class: cat 150, no cat 120",
        "all of 269 images looked at are 16 x 12 pixels",
        "channels: 269 colour",
        "1 files cannot be opened, for example photos/cat/7.png",
        "validation images have the same pixels as training images",
        "test images have the same pixels as",
        "Written: photos.yaml",
        "A search of 50 candidates takes about ",
        "attn-nas search --space photos.yaml --budget 50",
    ):
        assert found in out
    space = load_space("photos.yaml")
    assert (space.trunk.name, space.data.image_size, space.data.augment.mirror) == ("cifar_resnet", (12, 16), False)
    assert (space.proxy.metric, space.proxy.batch_size, space.data.num_validation) == ("accuracy", 16, 54)
    text = (photos.parent / "photos.yaml").read_text()
    assert all("#" in line for line in text.splitlines() if line.startswith("  ") and ": " in line and "- {" not in line
               and "label_smoothing" not in line)  # fmt: skip
    (photos.parent / "photos.yaml").write_text(text.replace("epochs: 30", "epochs: 1"))
    options = ["--budget", "1", "--confirm", "0", "--run", "run", "--workers", "1", "--no-export"]
    code, out, err = command("search", "--space", "photos.yaml", *options)
    assert code == 0, err
    assert "Pick, not tested: No attention" in out
    code, _, err = command("init", "photos")
    assert (code, "photos.yaml exists already: name another file with --out" in err) == (2, True)


def test_classes_of_unequal_size_are_scored_alike(photos, command):
    """Balanced accuracy; images are mirrored only if that is said."""
    for number in range(60):
        (photos / "no cat" / f"copy {number}.png").unlink()
    assert command("init", "photos", "--mirror", "--out", "other.yaml", "--trunk", "resnet18")[0] == 0
    space = load_space("other.yaml")
    assert (space.proxy.metric, space.data.augment.mirror, space.trunk.name) == ("balanced_accuracy", True, "resnet")


def test_pretrained_weights_are_fine_tuned(photos, command):
    """Mechanisms start as the identity, with AdamW and a few epochs; weights of another trunk are refused."""
    save_file(build_trunk(Trunk("cifar_resnet", 8, 4), 10).state_dict(), photos.parent / "weights.safetensors")
    code, _, err = command("init", "photos", "--weights", "weights.safetensors", "--trunk", "cifar_resnet20")
    assert (code, "does not have the weights of cifar_resnet depth 20" in err) == (2, True)
    save_file(build_trunk(Trunk("cifar_resnet", 20, 16), 10).state_dict(), photos.parent / "weights.safetensors")
    assert command("init", "photos", "--weights", "weights.safetensors")[0] == 0
    space = load_space("photos.yaml")
    assert (space.proxy.optimizer, space.proxy.schedule) == ("adamw", "cosine")
    assert all(each.identity_init for each in space.mechanisms)
    assert space.proxy.weights == str(photos.parent / "weights.safetensors")


def test_what_cannot_begin_a_search_is_named(photos, command):
    """Nothing there, a single file, masks, and values without a window."""
    (photos.parent / "notes.txt").write_text("no data")
    (photos.parent / "scans.csv").write_text("path,label\nscan.npy,ill\n")
    (photos.parent / "masked" / "masks").mkdir(parents=True)
    for data, message in (
        ("missing", "missing does not exist: give a folder of images"),
        ("notes.txt", "notes.txt is one file: give a folder of images"),
        ("masked", "masked has masks, and the trunks that come with attn-nas classify whole images"),
        ("scans.csv", "scans.csv names files of values, and only you know which of them matter"),
    ):
        code, _, err = command("init", data)
        assert code in (1, 2)
        assert message in " ".join(err.split())
