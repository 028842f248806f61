"""The section ``model`` of a search space: a network of the user's own in the place of a trunk."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, ValidationError, ValidationInfo, field_validator, model_validator

from attn_nas.errors import SpaceError, first_line
from attn_nas.plugins.lazy_class import LazyClass
from attn_nas.plugins.user_code import UserCode
from attn_nas.space.fields import Count, PathText, SettingsSection, Text, refuse
from attn_nas.space.host import Host, Maker, module_from_dict, module_to_dict, set_maker
from attn_nas.space.refusals import refusal

_FINDER = LazyClass("attn_nas.models.insertion.user_model:found_in")


def _plain(value: object) -> object:
    """Arguments that a file can hold: text, numbers, truth values, None, and lists and mappings of them."""
    try:
        same = json.loads(json.dumps(value, allow_nan=False)) == _listed(value)
    except (TypeError, ValueError):
        same = False
    if not same or not isinstance(value, Mapping):
        raise SpaceError(
            "give a mapping of names to text, numbers, truth values and lists; other values belong into the function"
        )
    return value


def _listed(value: object) -> object:
    """``value`` with tuples as lists, as JSON has them."""
    if isinstance(value, Mapping):
        return {name: _listed(each) for name, each in value.items()}
    return [*map(_listed, value)] if isinstance(value, list | tuple) else value


class FoundModules(SettingsSection):
    """The modules that were found in a model; attn-nas writes them into the files of a run."""

    version: Text = Field(description="Digest of the code, its arguments, the example and the patterns.")
    modules: list[dict[str, Any]] = Field(description="Name, class, channels and positions of each module.")


class ModelSettings(SettingsSection):
    """A network of your own: the function that makes it, and which of its modules may receive attention."""

    file: PathText | None = Field(None, description="Python file with the function, relative to this file.")
    module: Text | None = Field(
        None, description="Module with the function, in the place of a file: one that Python can import, such as timm."
    )
    function: Text = Field(description="Function, or class, that returns the network as a torch module.")
    arguments: Annotated[dict[str, Any], BeforeValidator(_plain)] = Field(
        {},
        description="Keyword arguments of the function. The number of classes of the data is added if the function has a "
        "parameter num_classes, n_classes, classes, num_labels or nc.",
    )
    example: list[Count] = Field(
        min_length=3, max_length=3, description="Shape of one input: channels, height, width in pixels."
    )
    sites: list[Text] | None = Field(
        None,
        min_length=1,
        description="Patterns of dotted names of modules that may receive attention, such as decoder.blocks.*; * is one part "
        "of a name, ** any number of parts. By default the repeated blocks.",
    )
    found: FoundModules | None = Field(None, description="The sites that were found; written by attn-nas, leave it out.")

    @field_validator("function")
    @classmethod
    def _one_place(cls, function: str, info: ValidationInfo) -> str:
        if info.data.get("file") is not None and info.data.get("module") is not None:
            raise SpaceError("both file and module are given: leave one out")
        return function

    @model_validator(mode="after")
    def _find(self, info: ValidationInfo) -> ModelSettings:
        folder, named = Path((info.context or {}).get("folder", ".")), bool((info.context or {}).get("named"))
        try:
            maker = self._maker(folder, named=named)
        except SpaceError as error:
            refuse([(("function",), str(error))])
        file = maker.file if isinstance(maker, UserCode) else None
        found = self.found
        if maker is not None and (found is None or (named and found.version != self._version(maker))):
            found = self._look(maker)
        object.__setattr__(self, "file", file)
        object.__setattr__(self, "found", found)
        if maker is not None:
            host = self.host()
            set_maker(host.code, host.version, maker)
        return self

    def _maker(self, folder: Path, *, named: bool) -> Maker | None:
        """What makes the model; None for a function without a name that is not given in this process."""
        if self.file is None and self.module is None:
            if self.found is None and self.function not in _given:
                raise SpaceError("name the file or the module of the function")
            return _given.get(self.function)
        given = json.dumps(_listed(self.arguments), sort_keys=True) if self.module else ""
        code = UserCode(self.file, self.module, self.function, arguments=given).within(folder)
        return code.read(named=True) if named else code

    def _version(self, maker: Maker) -> str:
        """Digest of all that the sites depend on; empty for a function without a name."""
        if not isinstance(maker, UserCode):
            return ""
        source = maker.source().decode() or f"{self.module}"
        text = json.dumps([source, self.function, _listed(self.arguments), self.example, self.sites], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:12]

    def _look(self, maker: Maker) -> FoundModules:
        try:
            function = maker.load() if isinstance(maker, UserCode) else maker
            modules = _FINDER.load()(self._text, function, self.arguments, tuple(self.example), self.sites)
        except (SpaceError, ValueError) as error:
            refuse([((_place(error),), first_line(error))])
        return FoundModules(version=self._version(maker), modules=[module_to_dict(module) for module in modules])

    @property
    def _text(self) -> str:
        return (
            f"{Path(self.file).name if self.file else self.module}:{self.function}"
            if self.file or self.module
            else self.function
        )

    def host(self) -> Host:
        """The network of these settings."""
        assert self.found is not None
        channels, height, width = self.example
        return Host(
            self._text,
            self.found.version,
            json.dumps(_listed(self.arguments), sort_keys=True),
            (channels, height, width),
            tuple(module_from_dict(module) for module in self.found.modules),
        )

    @property
    def code(self) -> UserCode | None:
        """The code of the function, with its source if it is a file; None for a function without a name."""
        maker = self.host().maker()
        return maker.read() if isinstance(maker, UserCode) else None


def _place(error: Exception) -> str:
    """The key that a mistake in a model is reported at."""
    text = str(error)
    if text.startswith("sites"):
        return "sites"
    return "example" if "on the example" in text else "function"


_given: dict[str, Callable[..., Any]] = {}
"""Functions without a name that a program of this process has given, by the name that their definition has."""


def model_section(model: object, example: object, sites: object) -> object:
    """The section that stands for a function, its code, or a mapping, with the example and the sites of keywords.

    Raises:
        SpaceError: the function cannot be used.

    """
    if isinstance(model, ModelSettings):
        model = model.model_dump(exclude={"found"})
    arguments: dict[str, Any] = {}
    if isinstance(model, functools.partial) and not model.args:
        arguments = dict(model.keywords)
        model = model.func
    if isinstance(model, str | UserCode):
        model = UserCode.from_value(model).to_dict()
    elif callable(model) and not isinstance(model, Mapping):
        model = _of_function(model)
    if not isinstance(model, Mapping):
        return model
    more = {"arguments": arguments or None, "example": _shape(example), "sites": sites}
    return {**model, **{name: value for name, value in more.items() if value is not None}}


def _of_function(function: Callable[..., Any]) -> dict[str, Any]:
    if hasattr(function, "named_modules") and not isinstance(function, type):
        raise SpaceError(
            "model: this is a network; give the function or the class that makes it, for each candidate gets a new one"
        )
    code = UserCode.of(function)
    if code is not None:
        return dict(code.to_dict())
    name = getattr(function, "__qualname__", type(function).__name__)
    if _given.get(name, function) is not function:
        name = f"{name}_{len(_given)}"
    _given[name] = function
    return {"function": name}


def model_of(section: Mapping[str, Any], folder: Path) -> ModelSettings:
    """The settings of a ``section``, whose file is relative to ``folder``; the user has named it.

    Raises:
        SpaceError: a key is wrong, or the network cannot be made; each mistake is on a line of its own.

    """
    try:
        return ModelSettings.model_validate(section, context={"folder": folder, "named": True})
    except ValidationError as error:
        raise refusal(error, ModelSettings, section) from None


def give_function(name: str, function: Callable[..., Any]) -> None:
    """Give the function without a name again that a run was begun with."""
    _given[name] = function


def _shape(example: object) -> object:
    """The shape ``[C, H, W]`` of a tensor ``(1, C, H, W)``; other values as they are."""
    shape = getattr(example, "shape", None)
    if shape is not None and len(shape) == 4:
        return [int(number) for number in shape[1:]]
    return [*example] if isinstance(example, tuple) else example
