"""The section ``data`` of a search-space file: the data set, its splits, and the random changes of training images."""

from __future__ import annotations

from os import PathLike, fspath
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationInfo, field_validator

from attn_nas.errors import SpaceError, choose_from
from attn_nas.space.data_sources import COMMON_KEYS, DataSource, data_source, dataset_names
from attn_nas.space.fields import AS_INTEGER, AS_NUMBER, Images, Number, PathText, Seed, SettingsSection, Text, Truth, suggested
from attn_nas.space.values import integer

_LEAST_SIDE, _MOST_SIDE = 8, 4096


def _registered(value: object) -> object:
    if isinstance(value, str) and value not in (names := dataset_names()):
        raise SpaceError(choose_from(value, names))
    return value


def _side(value: object) -> int:
    side = integer(value)
    if not _LEAST_SIDE <= side <= _MOST_SIDE:
        raise SpaceError(f"choose from {_LEAST_SIDE} to {_MOST_SIDE} pixels")
    return side


def _image_size(value: object) -> object:
    if isinstance(value, list | tuple):
        if len(value) != 2:
            raise SpaceError("write one side for squares, or height and width in brackets: [96, 128]")
        return tuple(map(_side, value))
    return None if value is None else _side(value)


def _image_size_schema(schema: dict[str, Any]) -> None:
    side = {"type": "integer", "minimum": _LEAST_SIDE, "maximum": _MOST_SIDE}
    schema.pop("anyOf", None)
    schema["anyOf"] = [side, {"type": "array", "items": side, "minItems": 2, "maxItems": 2}, {"type": "null"}]


class TransformSettings(SettingsSection):
    """A transform of ``torchvision.transforms.v2`` by its name, with its keyword arguments."""

    name: Text = Field(description="Name of the class, such as ColorJitter or RandomRotation.")
    arguments: dict[str, Any] = Field({}, description="Keyword arguments of the class, as in {degrees: 10}.")

    @field_validator("name")
    @classmethod
    def _is_a_class(cls, value: str) -> str:
        if not value.isidentifier() or not value[0].isupper():
            raise SpaceError("write the name of a class of torchvision.transforms.v2, such as ColorJitter")
        return value


class AugmentSettings(SettingsSection):
    """Random changes of training images. None may change the class that an image belongs to."""

    mirror: Truth | None = Field(
        None,
        description="Mirror half of the training images left to right; by default true for cifar10, cifar100 and "
        "fashion_mnist, else false. Set it only where a mirrored image belongs to the same class.",
    )
    crop: Annotated[int, Field(ge=0, le=4096), AS_INTEGER] | None = Field(
        None,
        description="Largest shift of a training image in pixels, in each direction; 0 for none. By default an eighth of "
        "the shorter side for images of files, 4 for cifar10 and cifar100, 2 for fashion_mnist and svhn, else 0.",
    )
    cutout: Annotated[int, Field(ge=0, le=4096), AS_INTEGER] = Field(
        0, description="Side in pixels of a square at a random place that is set to the mean; 0 for none."
    )
    resize: Annotated[float, Field(gt=0, le=1), AS_NUMBER] = Field(
        1.0,
        description="Smallest share of the area of a random part of the image, which is resized to the whole; 1 for none.",
    )
    transforms: list[TransformSettings] = Field(
        [], description="Transforms of torchvision.transforms.v2 that each training image goes through first, in this order."
    )


class DataSettings(SettingsSection):
    """The data set, and the images of it that a search uses.

    `name`, `root`, `num_train`, `num_validation`, `image_size`, `seed` and `augment` may be given for every data set, the other
    keys for those that their descriptions name.
    """

    name: Annotated[Text, BeforeValidator(_registered)] = Field(
        description="Name of the data set.", json_schema_extra=suggested(dataset_names)
    )
    root: PathText | None = Field(
        None,
        description="Folder of the files, relative to this file; by default the environment variable ATTN_NAS_DATA, or ./data. "
        "Embedded data sets have no files.",
    )
    num_train: Images | None = Field(None, description="Number of training images; by default all of the data set.")
    num_validation: Images | None = Field(
        None,
        description="Images that candidates are scored on; held out from the training images, unless they are generated.",
    )
    image_size: Annotated[int | tuple[int, int] | None, BeforeValidator(_image_size)] = Field(
        224,
        description="Size in pixels that images of files are resized and cropped to: a side for squares, or [height, width].",
        json_schema_extra=_image_size_schema,
    )
    seed: Seed = Field(0, description="Seed of the split, and of the images if they are generated.")
    augment: AugmentSettings = AugmentSettings.model_validate({})
    file: PathText | None = Field(
        None, description="CSV file of an image_list, relative to root; by default the only .csv file in root."
    )
    group: PathText | None = Field(
        None,
        description="For images of files, a CSV file, relative to root, with the columns path and group; for an image_list, "
        "the name of a column (by default group, where there is one). A hold-out never divides a group, such as a patient.",
    )
    window: tuple[Number, Number] | None = Field(
        None, description="Values [lowest, highest] of .npy, .npz and NIfTI slices that become 0 and 1; what is outside is cut."
    )
    ignored_index: Annotated[int, Field(ge=0, le=65535), AS_INTEGER] | None = Field(
        None, description="Value of the pixels of a mask that belong to no class (image_masks, arrays)."
    )
    classes: list[Text] | None = Field(
        None, description="Names of the classes in the order of their labels (image_masks, arrays)."
    )
    options: dict[str, Any] | None = Field(None, description="Keys of its own for a data set that you have registered.")

    @field_validator("file", "group", "window", "ignored_index", "classes", "options")
    @classmethod
    def _is_read(cls, value: object, info: ValidationInfo) -> object:
        name, key = info.data.get("name"), str(info.field_name)
        if value is not None and name and key not in (read := data_source(name).keys):
            has = f"; it has {', '.join((*COMMON_KEYS, *read))}"
            raise SpaceError(f"{name} has no {key}: leave it out{has}")
        return value

    @field_validator("window")
    @classmethod
    def _rises(cls, value: tuple[float, float] | None) -> tuple[float, float] | None:
        if value and value[0] >= value[1]:
            raise SpaceError("the highest value is not above the lowest: write [lowest, highest], such as [-100, 300]")
        return value

    @property
    def source(self) -> DataSource:
        """The record of the data set."""
        return data_source(self.name)

    @property
    def is_embedded(self) -> bool:
        """Whether the data set needs no files."""
        return self.source.embedded

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels that images of files get."""
        if isinstance(self.image_size, tuple):
            return self.image_size
        side = 224 if self.image_size is None else self.image_size
        return side, side


class ImageFolder(dict[str, Any]):
    """A folder of images with one folder per class, for ``Search(data=...)`` and ``SearchSpace(data=...)``.

    ``ImageFolder("photos", image_size=128)`` is short for ``{"name": "image_folder", "root": "photos", "image_size": 128}``.

    Args:
        root: the folder, which has a folder for each class, or ``train`` and ``val`` (or ``test``) with these.
        settings: other keys of the YAML's section ``data``.

    """

    def __init__(self, root: str | PathLike[str], **settings: Any) -> None:
        super().__init__(name="image_folder", root=fspath(root), **settings)
