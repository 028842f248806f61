"""Image files: which count, what becomes of their pixels, damaged ones, memory, and the cache of decoded images."""

import errno
import os
import struct
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile, ImageOps

from attn_nas.data import decoding, decoding_pool, image_cache, listing, pixels
from attn_nas.data.decoding import decode, decode_parts
from attn_nas.data.image_cache import ImageCache
from attn_nas.data.listing import list_images
from attn_nas.data.pixels import read_image
from attn_nas.data.torchvision_import import torchvision_datasets
from attn_nas.errors import DataError
from attn_nas.events.loading import decoding_reported_to

RAMP = np.arange(0, 256, 4, dtype=np.uint8)[None, :].repeat(64, axis=0)
"""A grey image ``(64, 64)`` that becomes lighter to the right."""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path):
    """A folder with three images of each of two classes, as PNG and JPEG."""
    rng = np.random.default_rng(0)
    for label in ("cats", "dogs"):
        (tmp_path / "train" / label).mkdir(parents=True)
        for number, suffix in enumerate((".png", ".JPG", ".jpeg")):
            pixels = rng.integers(60, 256, (30, 40, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "train" / label / f"{number}{suffix}")
    return tmp_path / "train"


def _saved(tmp_path, image, name, **options):
    path = tmp_path / name
    image.save(path, **options)
    return path


def _many(tmp_path, count):
    """Samples of ``count`` small images."""
    for number in range(count):
        Image.new("RGB", (8, 8), (number % 200 + 50, 0, 0)).save(tmp_path / f"{number:03}.png")
    return [(str(tmp_path / f"{number:03}.png"), number % 2) for number in range(count)]


# Which files count


def test_a_plain_folder_is_listed_in_the_order_of_torchvision(photos):
    """Splits of older runs depend on it; sub-folders of a class belong to the class."""
    for name in ("b", "a/deeper", "1"):
        (photos / "dogs" / name).mkdir(parents=True)
        Image.new("RGB", (4, 4)).save(photos / "dogs" / name / "z.png")
    expected = torchvision_datasets().ImageFolder(photos)
    for rule in (1, 2):
        found = list_images(photos, rule)
        assert [(str(path), label) for path, label in found.samples] == expected.samples
        assert list(found.classes) == expected.classes
        assert found.notes == ()


@pytest.mark.parametrize(
    "name",
    [
        ".ipynb_checkpoints/0-checkpoint.png",
        "cats/.ipynb_checkpoints/0-checkpoint.png",
        "cats/._0.png",
        "cats/.DS_Store",
        "__MACOSX/cats/0.png",
        "cats/__MACOSX/0.png",
        "cats/Thumbs.db",
        "cats/Desktop.ini",
        "cats/@eaDir/0.png",
        "$RECYCLE.BIN/0.png",
    ],
)
def test_what_systems_leave_in_folders_is_no_data(photos, name):
    """Neither a class, nor an image, nor a file to mention."""
    before = list_images(photos)
    (photos / name).parent.mkdir(parents=True, exist_ok=True)
    (photos / name).write_bytes(b"no image")
    assert list_images(photos) == before


def test_every_suffix_that_pillow_reads_counts_and_other_files_are_counted(photos):
    """A suffix without a reader is named once, with the number of files of each class."""
    for suffix in (".gif", ".JFIF", ".bmp", ".tif", ".webp", ".jp2", ".tga"):
        Image.new("RGB", (4, 4)).save(photos / "cats" / f"more{suffix}", format={".JFIF": "JPEG"}.get(suffix))
    for name in ("cats/a.heic", "cats/b.HEIC", "dogs/c.txt", "dogs/d", "dogs/e.eps", "dogs/f.h5"):
        (photos / name).write_bytes(b"?")
    found = list_images(photos)
    assert [label for _, label in found.samples].count(0) == 10
    assert found.skipped == {"cats": 2, "dogs": 4}
    (note,) = found.notes
    assert "6 files are skipped" in note
    assert "(2 in cats, 4 in dogs)" in note
    assert "files without a suffix, .eps, .h5, .heic, .txt" in note
    assert decode(found.samples, 8, 2).split.images.shape[0] == 13


def test_files_beside_the_folders_of_the_classes_are_named(photos):
    """They belong to no class; a single image there is easily overlooked."""
    assert list_images(photos).notes == ()
    for name in ("labels.csv", "lost.jpg", ".DS_Store", "Thumbs.db"):
        (photos / name).write_bytes(b"?")
    (note,) = list_images(photos).notes
    assert note.startswith(
        f"2 files are skipped directly in {photos}, outside the folders of the classes (labels.csv, lost.jpg)"
    )
    assert list_images(photos, 1).notes == ()


def test_older_runs_count_the_files_that_they_counted(photos):
    """Under decoding rule 1 files count as in torchvision's ImageFolder: hidden ones do, a GIF does not."""
    Image.new("RGB", (4, 4)).save(photos / "cats" / "more.gif")
    Image.new("RGB", (4, 4)).save(photos / "cats" / ".hidden.png")
    (photos / ".hidden").mkdir()
    Image.new("RGB", (4, 4)).save(photos / ".hidden" / "0.png")
    expected = torchvision_datasets().ImageFolder(photos)
    found = list_images(photos, 1)
    assert [(str(path), label) for path, label in found.samples] == expected.samples
    assert list(found.classes) == expected.classes == [".hidden", "cats", "dogs"]


def test_a_class_without_images_is_named(photos):
    """Also where it has files, which are of other formats."""
    (photos / "birds").mkdir()
    (photos / "fish").mkdir()
    (photos / "fish" / "0.heic").write_bytes(b"?")
    with pytest.raises(DataError, match=r"no images of these classes: birds, fish \(1 file of another format\).*Add images"):
        list_images(photos)


def test_a_loop_of_links_is_not_followed(photos):
    """A link to a folder that contains it adds nothing; a link to another folder is a folder."""
    before = list_images(photos).samples
    (photos / "cats" / "again").symlink_to(photos)
    assert list_images(photos).samples == before
    (photos / "foxes").symlink_to(photos / "dogs")
    assert len(list_images(photos).samples) == 9


def test_folders_that_cannot_be_listed_say_why(photos, monkeypatch):
    """A missing folder, a file in its place, and a folder without the right to read it, at any depth."""
    (photos / "file").write_bytes(b"")
    with pytest.raises(DataError, match=r"no images under .*nowhere: .*one folder of images per class.*no such folder"):
        list_images(photos / "nowhere")
    with pytest.raises(DataError, match=r"no images under .*file: .*it is a file"):
        list_images(photos / "file")
    scandir = os.scandir

    def guarded(path):
        if str(path).endswith("dogs"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(listing.os, "scandir", guarded)
    with pytest.raises(DataError, match=r"train/dogs cannot be read \(Permission denied\)"):
        list_images(photos)


def test_a_name_that_is_not_utf8_is_listed_read_and_can_be_printed(photos):
    """Archives of other systems have such names."""
    try:
        (photos / "cats" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"no image")
    except OSError:
        pytest.skip("the file system takes UTF-8 alone")
    with pytest.raises(DataError, match=r"caf�\.png is not a readable image") as raised:
        decode(list_images(photos).samples, 8, 2)
    str(raised.value).encode()


# Pixels


def test_names_with_control_characters_stay_in_one_line(photos):
    """A line break in a name would look like another file."""
    (photos / "cats" / "a\n\x1b[2J.png").write_bytes(b"?")
    with pytest.raises(DataError, match=r"a\\n\\x1b\[2J\.png is not a readable image \(no image"):
        decode(list_images(photos).samples, 8, 2)


@pytest.mark.parametrize(
    ("image", "name"),
    [
        (Image.fromarray(RAMP.astype(np.uint16) * 257), "16.png"),
        (Image.fromarray(RAMP.astype(np.uint16) * 257), "16.tif"),
        (Image.fromarray(RAMP.astype(np.int32) * 257), "32.tif"),
        (Image.fromarray(RAMP.astype(np.float32) / 255), "float.tif"),
        (Image.fromarray(RAMP), "8.png"),
        (Image.fromarray(RAMP).convert("RGB"), "8.tif"),
        (Image.fromarray(RAMP).convert("LA"), "la.png"),
        (Image.fromarray(RAMP).convert("P"), "palette.png"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.mode,
)
def test_every_mode_keeps_its_image(tmp_path, image, name):
    """More than 8 bits are scaled by the range of their type."""
    read = read_image(_saved(tmp_path, image, name), 64, 2)
    assert np.array_equal(read, RAMP[..., None].repeat(3, axis=2))


def _tiff(values, order, bits, packed, photometric=1):
    """A TIFF file of one uncompressed strip, for kinds that Pillow reads and does not write."""
    height, width = values.shape
    strip = 8 + 2 + 12 * 9 + 4
    tags = {256: width, 257: height, 258: bits, 259: 1, 262: photometric, 273: strip, 277: 1, 278: height, 279: len(packed)}
    fields = b"".join(struct.pack(f"{order}HHII", tag, 4, 1, value) for tag, value in tags.items())
    name = {"<": b"II", ">": b"MM"}[order]
    return name + struct.pack(f"{order}HIH", 42, 8, len(tags)) + fields + bytes(4) + packed


def test_other_kinds_of_more_than_8_bits_keep_their_image(tmp_path):
    """A TIFF of big-endian values, one of 12 bits, and PGMs of 16 bits, which Pillow reads as 32."""
    values = (RAMP.astype(np.uint16) * 257).astype(">u2").tobytes()
    (tmp_path / "big.pgm").write_bytes(b"P5 64 64 65535\n" + values)
    (tmp_path / "ten.pgm").write_bytes(b"P5 64 64 1020\n" + (RAMP.astype(np.uint16) * 4).astype(">u2").tobytes())
    (tmp_path / "big.tif").write_bytes(_tiff(RAMP, ">", 16, values))
    first, second = np.round(RAMP.ravel() * (4095 / 255)).astype(int).reshape(-1, 2).T
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1).astype(np.uint8).tobytes()
    (tmp_path / "twelve.tif").write_bytes(_tiff(RAMP, "<", 12, packed))
    for name in ("big.pgm", "ten.pgm", "big.tif", "twelve.tif"):
        assert np.array_equal(read_image(tmp_path / name, 64, 2)[..., 0], RAMP), name


@pytest.mark.parametrize("bits", [8, 16])
def test_tiffs_in_which_0_is_white_are_read_as_people_see_them(tmp_path, bits):
    """X-rays are stored so."""
    values = (255 - RAMP).tobytes() if bits == 8 else ((255 - RAMP).astype(np.uint16) * 257).tobytes()
    (tmp_path / "negative.tif").write_bytes(_tiff(RAMP, "<", bits, values, photometric=0))
    assert np.array_equal(read_image(tmp_path / "negative.tif", 64, 2)[..., 0], RAMP)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (RAMP.astype(np.float32), r"its values are from 0 to 252, but floats must be from 0 to 1: scale them"),
        (np.where(RAMP == 0, np.nan, 0.5).astype(np.float32), r"its values are from nan to nan, but floats must be"),
        (
            RAMP.astype(np.int32) * 65537,
            r"its values are from 0 to 16515324, but integers of more than 8 bits must be from 0 to 65535",
        ),
        (RAMP.astype(np.int32) - 5, r"its values are from -5 to 247, but integers"),
    ],
)
def test_values_of_an_unknown_range_are_refused_by_file_name(tmp_path, values, message):
    """None of the files is left out for it, however few there are."""
    samples = _many(tmp_path, 200)
    _saved(tmp_path, Image.fromarray(values), "wide.tif")
    with pytest.raises(DataError, match=rf"wide\.tif is not a usable image \({message}"):
        decode([*samples, (str(tmp_path / "wide.tif"), 0)], 8, 2)


def test_images_that_are_nearly_black_are_reported(tmp_path):
    """12 bits in 16, and 8 bits in 32, are dark by the range of their type; a few dark images are not remarkable."""
    dark = [_saved(tmp_path, Image.fromarray(RAMP.astype(np.uint16) * 16), f"12-{number}.png") for number in range(3)]
    samples = _many(tmp_path, 40)
    (note,) = decode([*samples, *((str(path), 2) for path in dark)], 8, 2).notes
    assert note.startswith("3 of 43 images are nearly black")
    assert "12-0.png" in note
    assert decode([*samples, *((str(path), 1) for path in dark)], 8, 2).notes == ()


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_upright_as_people_see_them(tmp_path, orientation, suffix):
    """Each of the eight orientations of EXIF, in each format that has them."""
    image = Image.fromarray(np.kron(np.arange(40, 240, 8, dtype=np.uint8).reshape(5, 5), np.ones((16, 16), dtype=np.uint8)))
    image = image.convert("RGB")
    back = {6: 8, 8: 6}.get(orientation, orientation)
    stored = image.copy()
    stored.getexif()[274] = back
    stored = ImageOps.exif_transpose(stored)
    exif = Image.Exif()
    exif[274] = orientation
    options = {".jpg": {"quality": 100}, ".webp": {"lossless": True}}.get(suffix, {})
    read = read_image(_saved(tmp_path, stored, f"turned{suffix}", exif=exif, **options), 80, 2)
    assert np.abs(read.astype(int) - np.asarray(image)).max() <= (3 if suffix == ".jpg" else 0)


def test_damaged_exif_data_do_not_cost_the_image(tmp_path, monkeypatch):
    """The pixels are read, as they are stored."""
    path = _saved(tmp_path, Image.fromarray(RAMP).convert("RGB"), "odd.png")

    def failing(self):
        raise struct.error("unpack requires a buffer of 2 bytes")

    monkeypatch.setattr(Image.Image, "getexif", failing)
    monkeypatch.setattr("PIL.PngImagePlugin.PngImageFile.getexif", failing)
    assert np.array_equal(read_image(path, 64, 2)[..., 0], RAMP)


def test_transparent_images_are_put_on_white(tmp_path):
    """Alpha, a transparent colour of a palette, and that of a grey image; hidden colours do not come back."""
    alpha = np.where(RAMP > 100, 255, 0).astype(np.uint8)
    expected = np.where(alpha > 0, RAMP, 255)
    grey = Image.fromarray(RAMP)
    coloured = grey.convert("RGB")
    coloured.putalpha(Image.fromarray(alpha))
    both = Image.merge("LA", (grey, Image.fromarray(alpha)))
    for image, name in ((coloured, "rgba.png"), (both, "la.png"), (coloured, "rgba.webp")):
        options = {"lossless": True} if name.endswith("webp") else {}
        assert np.array_equal(read_image(_saved(tmp_path, image, name, **options), 64, 2)[..., 1], expected), name
    palette = grey.convert("P")
    read = read_image(_saved(tmp_path, palette, "palette.png", transparency=100), 64, 2)
    assert np.array_equal(read[..., 0], np.where(RAMP == 100, 255, RAMP))


def test_the_first_frame_of_an_animation_counts_and_cmyk_is_converted(tmp_path):
    """As Pillow reads them."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    animated = _saved(tmp_path, frames[0], "two.gif", save_all=True, append_images=frames[1:])
    assert read_image(animated, 8, 2).reshape(-1, 3).mean(0).tolist() == [255, 0, 0]
    printed = _saved(tmp_path, Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "cmyk.tif")
    assert read_image(printed, 8, 2).reshape(-1, 3).mean(0).tolist() == [255, 0, 0]


def test_a_large_photo_is_decoded_at_reduced_size(tmp_path, monkeypatch):
    """To at least twice the wanted size, so that it looks the same."""
    rng = np.random.default_rng(0)
    image = Image.fromarray(rng.integers(0, 256, (30, 40, 3), dtype=np.uint8)).resize((1600, 1200), Image.Resampling.BICUBIC)
    path = _saved(tmp_path, image, "large.jpg", quality=95)
    sizes = []
    fit = ImageOps.fit
    monkeypatch.setattr(ImageOps, "fit", lambda image, *rest: sizes.append(image.size) or fit(image, *rest))
    reduced, full = (read_image(path, 64, rule).astype(int) for rule in (2, 1))
    assert sizes == [(200, 150), (1600, 1200)]
    assert np.abs(reduced - full).mean() < 2


@pytest.mark.parametrize("rule", [1, 2])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
def test_small_jpegs_have_the_pixels_that_pillow_reads(tmp_path, monkeypatch, mode, rule):
    """Those that are decoded without being opened, and those that say more than their pixels, or are damaged."""
    exif = Image.Exif()
    exif[274] = 6
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (20, 33, 3), dtype=np.uint8)).convert(mode)
    kinds = [
        {},
        {"progressive": True},
        {"subsampling": 2},
        {"quality": 100},
        {"comment": "a note"},
        {"exif": exif},
        {"dpi": (9, 9)},
    ]
    files = [_saved(tmp_path, image, f"{number}.jpg", **options) for number, options in enumerate(kinds)]
    files.append(_saved(tmp_path, image.resize((330, 200)), "large.jpg"))
    opened = []
    monkeypatch.setattr(
        Image, "open", lambda *args, original=Image.open, **kwargs: opened.append(args) or original(*args, **kwargs)
    )
    found = [read_image(path, (10, 17), rule) for path in files]
    assert len(opened) == (len(files) if mode == "CMYK" else 2)
    monkeypatch.setattr(pixels, "_plain_jpeg", lambda data, limit: None)
    for path, image in zip(files, found, strict=True):
        assert np.array_equal(image, read_image(path, (10, 17), rule))
    whole = files[0].read_bytes()
    for cut in (3, 9, 100, len(whole) // 2):
        files[0].write_bytes(whole[:cut])
        with pytest.raises(OSError, match=r"(?i)identify|truncated|broken"):
            read_image(files[0], 8, rule)


def test_older_runs_decode_as_they_did(tmp_path):
    """Rule 1 converts to RGB as Pillow does, without EXIF, at full size."""
    exif = Image.Exif()
    exif[274] = 6
    image = Image.fromarray(np.random.default_rng(0).integers(0, 256, (300, 400, 3), dtype=np.uint8))
    files = [
        _saved(tmp_path, image, "turned.jpg", exif=exif),
        _saved(tmp_path, image.convert("LA"), "alpha.png"),
        _saved(tmp_path, Image.fromarray(RAMP.astype(np.uint16) * 257), "white.png"),
    ]
    decoded = decode([(str(path), 0) for path in files], 32, 1).split.images
    for path, image in zip(files, decoded, strict=True):
        with Image.open(path) as opened:
            expected = ImageOps.fit(opened.convert("RGB"), (32, 32), Image.Resampling.BILINEAR)
        assert np.array_equal(image.permute(1, 2, 0).numpy(), np.asarray(expected))


# Many files


def test_the_number_of_threads_changes_nothing(photos, monkeypatch):
    """Neither pixels nor their order."""
    monkeypatch.setenv(image_cache.VARIABLE, "0")
    samples = list_images(photos).samples
    monkeypatch.setattr(decoding, "usable_cores", lambda: 1)
    alone = decode(samples, 16, 2).split
    monkeypatch.setattr(decoding, "usable_cores", lambda: 5)
    together = decode(samples, 16, 2).split
    assert torch.equal(alone.images, together.images)
    assert alone.labels.tolist() == together.labels.tolist() == [0, 0, 0, 1, 1, 1]


def test_progress_is_reported_up_to_the_last_image(tmp_path):
    """For all splits together."""
    seen = []
    samples = _many(tmp_path, 12)
    with decoding_reported_to(lambda done, total: seen.append((done, total))):
        decode_parts([samples[:5], samples[5:]], 8, 2)
    assert seen == [(done, 12) for done in range(1, 13)]


def test_all_damaged_files_are_named_at_once(tmp_path):
    """Ten of them, and the number of the rest; of all splits."""
    samples = _many(tmp_path, 40)
    for path in (Path(path) for path, _ in samples[5:20]):
        path.write_bytes(path.read_bytes()[:50])
    with pytest.raises(DataError) as raised:
        decode_parts([samples[:10], samples[10:]], 8, 2)
    message = str(raised.value)
    assert "005.png is not a readable image (" in message
    assert "15 of 40 images are not readable" in message
    assert message.count(".png") == 10
    assert "and 5 more\nRemove or replace them" in message


def test_values_without_a_range_and_damaged_files_are_named_together(tmp_path):
    """Each error would otherwise cost another command."""
    samples = _many(tmp_path, 10)
    Image.fromarray(RAMP.astype(np.float32)).save(samples[4][0], format="TIFF")
    Path(samples[2][0]).write_bytes(b"")
    with pytest.raises(
        DataError, match=r"(?s)002\.png is not a usable image \(no image.*2 of 10 images.*004\.png \(its values"
    ):
        decode(samples, 8, 2)


def test_a_hundredth_of_the_files_may_be_damaged(tmp_path):
    """They are left out with a note; one more is an error, and so is the first for an older run."""
    samples = _many(tmp_path, 200)
    whole = decode(samples, 8, 2).split
    for path in (Path(samples[3][0]), Path(samples[150][0])):
        path.write_bytes(b"")
    for _ in range(2):  # decoded, then from the cache
        train, validation = decode_parts([samples[:100], samples[100:]], 8, 2)
        assert train.damaged == (samples[3][0],)
        assert "1 of 100 images is not readable and is left out" in train.notes[0]
        assert "003.png (" in train.notes[0]
        kept = [index for index in range(100) if index != 3]
        assert torch.equal(train.split.images, whole.images[:100][kept])
        assert torch.equal(train.split.labels, whole.labels[:100][kept])
        assert len(validation.split) == 99
    with pytest.raises(DataError, match="2 of 200 images are not readable"):
        decode(samples, 8, 1)
    Path(samples[7][0]).unlink()
    with pytest.raises(DataError, match=r"(?s)3 of 200 images are not readable.*007\.png \(No such file or directory\)"):
        decode(samples, 8, 2)


@pytest.mark.parametrize(
    "error",
    [
        Image.DecompressionBombError("Image size (1 pixels) exceeds limit of 0 pixels, could be an attack"),
        struct.error("unpack requires a buffer"),
        ValueError("bad value"),
        SyntaxError("broken PNG file"),
        OverflowError("too large"),
        MemoryError(),
        KeyError("tag"),
        NotImplementedError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_whatever_a_decoder_raises_names_the_file(photos, monkeypatch, error):
    """With the remedy, as one error of the data."""
    load = ImageFile.ImageFile.load

    def failing(self):
        if self.fp.name.endswith("1.JPG"):
            raise error
        return load(self)

    monkeypatch.setattr(pixels, "_plain_jpeg", lambda data, limit: None)
    monkeypatch.setattr("PIL.JpegImagePlugin.JpegImageFile.load", failing)
    with pytest.raises(DataError, match=r"(?s)cats/1\.JPG is not a readable image \(.+\).*Remove or replace"):
        decode(list_images(photos).samples, 16, 2)


def test_a_bomb_is_refused_and_a_large_photo_is_not(photos, monkeypatch):
    """Pillow warns above a number of pixels, and refuses twice that number."""
    samples = list_images(photos).samples
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 30 * 40 - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        decode(samples, 16, 2)
    Path(samples[0][0]).touch()
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 500)
    with pytest.raises(DataError, match=r"exceeds limit of 1000 pixels: make it smaller\)"):
        decode(samples, 16, 2)


def test_images_that_do_not_fit_into_memory_are_mapped_from_the_cache(tmp_path, monkeypatch):
    """They are those that memory would hold, without damaged ones, and are decoded once; training can use them."""
    samples = _many(tmp_path, 200)
    Path(samples[3][0]).write_bytes(b"no image")
    small = decode(samples, 8, 2)
    monkeypatch.setattr(decoding, "usable_memory", lambda: 1000)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "other"))
    large = decode(samples, 8, 2)
    monkeypatch.setattr("attn_nas.data.pixels.read_image", None)
    again = decode(samples, 8, 2)
    for found in (large, again):
        assert torch.equal(found.split.images, small.split.images)
        assert torch.equal(found.split.labels, small.split.labels)
        assert (found.damaged, found.notes) == (small.damaged, small.notes)


@pytest.mark.parametrize(("limit", "fault"), [("0.1", None), ("10", OSError(errno.ENOSPC, "No space left on device"))])
def test_images_that_fit_neither_into_memory_nor_on_the_disk_are_refused_first(photos, monkeypatch, limit, fault):
    """With the numbers of gigabytes and what to do, before a file is decoded."""

    def failing(*arguments):
        raise fault

    monkeypatch.setattr(decoding, "usable_memory", lambda: 10**8)
    monkeypatch.setattr(decoding, "_decode_into", None)
    monkeypatch.setattr("os.posix_fallocate", failing)
    monkeypatch.setenv(image_cache.VARIABLE, limit)
    wanted = r"0\.3 GB of images do not fit .*No space left on device\): make room there, or choose a smaller image_size"
    if fault is None:
        wanted = (
            r"4096 x 4096 pixels need 0\.3 GB, but 0\.1 GB of memory are free and the cache on disk may take 0\.1 GB: allow it"
        )
    with pytest.raises(DataError, match=wanted):
        decode(list_images(photos).samples, 4096, 2)


def test_processes_decode_as_threads_do(tmp_path, monkeypatch):
    """Many files are decoded by a process for each core; pixels, damaged files and their reasons are the same."""
    samples = _many(tmp_path, 300)
    Path(samples[3][0]).write_bytes(b"no image")
    Path(samples[7][0]).unlink()
    monkeypatch.setenv(image_cache.VARIABLE, "0")
    by_threads = decode(samples, (6, 9), 2)
    monkeypatch.setattr(decoding_pool, "_MANY", 100)
    monkeypatch.setattr(decoding_pool, "usable_cores", lambda: 2)
    monkeypatch.setattr("attn_nas.data.pixels.read_image", None)
    by_processes = decode(samples, (6, 9), 2)
    assert torch.equal(by_processes.split.images, by_threads.split.images)
    assert (by_processes.damaged, by_processes.notes) == (by_threads.damaged, by_threads.notes)
    Image.fromarray(np.full((8, 8), 3.5, np.float32)).save(tmp_path / "values.tif")
    with pytest.raises(DataError, match=r"(?s)003\.png is not a usable.*values\.tif \(.*floats must be from 0 to 1"):
        decode([*samples, (str(tmp_path / "values.tif"), 0)], 8, 2)


def test_training_and_validation_images_are_not_copied(photos):
    """Each split has memory of its own, of the size of its images."""
    samples = list_images(photos).samples
    for decoded in decode_parts([samples[:2], samples[2:]], 16, 2):
        assert decoded.split.images.untyped_storage().nbytes() == decoded.split.images.numel()


# The cache


def _entries(tmp_path):
    return sorted((tmp_path / "cache" / "attn-nas" / "images").iterdir())


def test_the_same_files_are_not_decoded_twice(photos, monkeypatch, tmp_path):
    """Until a file, the size, the rule or the choice of files changes."""
    samples = list_images(photos).samples
    first = decode(samples, 16, 2).split.images
    with monkeypatch.context() as patched:
        patched.setattr("attn_nas.data.pixels.read_image", None)
        assert torch.equal(decode(samples, 16, 2).split.images, first)
    assert len(_entries(tmp_path)) == 1
    Image.new("RGB", (9, 9), (200, 9, 9)).save(samples[0][0])
    assert decode(samples, 16, 2).split.images[0, 0].float().mean() == 200
    for size, rule, some in ((8, 2, samples), (16, 1, samples), (16, 2, samples[1:])):
        before = len(_entries(tmp_path))
        decode(some, size, rule)
        assert len(_entries(tmp_path)) == before + 1


def test_files_that_change_places_are_decoded_again(tmp_path):
    """Also where size and date stay the same, as those of files from one archive."""
    paths = [_saved(tmp_path, Image.new("RGB", (8, 8), (value, 0, 0)), f"{value}.bmp") for value in (50, 200)]
    for path in paths:
        os.utime(path, (10**9, 10**9))
    samples = [(str(path), label) for label, path in enumerate(paths)]
    assert decode(samples, 8, 2).split.images[:, 0, 0, 0].tolist() == [50, 200]
    time.sleep(0.02)  # clocks of file systems may go in steps
    for old, new in ((0, "third"), (1, paths[0].name)):
        paths[old].rename(tmp_path / new)
    (tmp_path / "third").rename(paths[1])
    assert decode(samples, 8, 2).split.images[:, 0, 0, 0].tolist() == [200, 50]


def test_a_file_that_could_not_be_read_for_a_while_comes_back(tmp_path, monkeypatch):
    """The cache keeps the images that were read, not a fault of the disk or of the memory."""
    samples = _many(tmp_path, 100)

    def failing(path, size, rule):
        if path == samples[3][0]:
            raise OSError(errno.EIO, "Input/output error")
        return read_image(path, size, rule)

    with monkeypatch.context() as patched:
        patched.setattr("attn_nas.data.pixels.read_image", failing)
        assert decode(samples, 8, 2).damaged == (samples[3][0],)
    for _ in range(2):
        found = decode(samples, 8, 2)
        assert not found.damaged
        assert found.split.images[:, 0, 0, 0].tolist() == [number + 50 for number in range(100)]


@pytest.mark.parametrize(
    "damage",
    [lambda content: content[:-1], lambda content: content[:-1] + b"?", lambda content: b"{}\n", lambda content: b""],
    ids=["cut", "changed", "without checksum", "empty"],
)
def test_a_damaged_cache_is_ignored(photos, tmp_path, damage):
    """The files are decoded and kept again."""
    samples = list_images(photos).samples
    first = decode(samples, 16, 2).split.images
    (entry,) = _entries(tmp_path)
    content = entry.read_bytes()
    entry.write_bytes(damage(content))
    assert torch.equal(decode(samples, 16, 2).split.images, first)
    assert entry.read_bytes() == content


@pytest.mark.parametrize("fault", [PermissionError(errno.EROFS, "read-only"), OSError(errno.ENOSPC, "no space")])
def test_a_cache_that_cannot_be_written_is_no_error(photos, tmp_path, monkeypatch, fault):
    """A read-only home and a full disk; nothing half-written is left."""

    def failing(self, target):
        raise fault

    monkeypatch.setattr("pathlib.Path.replace", failing)
    assert len(decode(list_images(photos).samples, 16, 2).split) == 6
    assert _entries(tmp_path) == []
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "train" / "cats" / "0.png"))
    assert len(decode(list_images(photos).samples, 16, 2).split) == 6


def test_the_cache_keeps_what_was_used_last(tmp_path):
    """Within its size; leftovers of killed processes are removed when they are old."""
    cache = ImageCache(tmp_path / "kept", 200)
    images = torch.arange(40, dtype=torch.uint8).reshape(1, 1, 4, 10)
    for age, key in ((30, "a"), (20, "b")):
        cache.write(key, images, {})
        os.utime(cache.folder / f"{key}.images", (time.time() - age,) * 2)
    for age, name in ((7200, "old"), (10, "new")):
        (cache.folder / f"{name}.unfinished").write_bytes(b"")
        os.utime(cache.folder / f"{name}.unfinished", (time.time() - age,) * 2)
    assert cache.read("a", torch.empty_like(images)) == {}
    cache.write("c", images, {3: "damaged"})
    assert {path.name for path in cache.folder.iterdir()} == {"a.images", "c.images", "new.unfinished"}
    read = torch.empty_like(images)
    assert cache.read("c", read) == {3: "damaged"}
    assert torch.equal(read, images)
    cache.write("d", torch.zeros(1, 1, 201, 1, dtype=torch.uint8), {})
    assert not (cache.folder / "d.images").exists()


def test_writers_at_the_same_time_leave_a_whole_cache(tmp_path):
    """Whoever comes last, the entry is valid."""
    cache = ImageCache(tmp_path, 10**9)
    images = torch.arange(250, dtype=torch.uint8).repeat(4000).reshape(1, 1, 1000, 1000)
    writers = [threading.Thread(target=cache.write, args=("same", images, {})) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    read = torch.empty_like(images)
    assert cache.read("same", read) == {}
    assert torch.equal(read, images)
    assert [path.name for path in tmp_path.iterdir()] == ["same.images"]


def test_the_cache_can_be_switched_off_and_limited(photos, tmp_path, monkeypatch):
    """By an environment variable, which is checked."""
    samples = list_images(photos).samples
    monkeypatch.setenv(image_cache.VARIABLE, "0")
    decode(samples, 16, 2)
    assert not (tmp_path / "cache").exists()
    monkeypatch.setenv(image_cache.VARIABLE, "0.5")
    assert ImageCache.of_user().most == 500_000_000
    monkeypatch.setenv(image_cache.VARIABLE, "much")
    with pytest.raises(DataError, match="ATTN_NAS_IMAGE_CACHE = 'much': give the most gigabytes"):
        decode(samples, 16, 2)
