"""A host: a network of the user's own, as a trunk whose blocks are the modules that may receive attention."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property, lru_cache
from itertools import groupby
from multiprocessing.reduction import ForkingPickler
from typing import Any

from attn_nas.attention.mechanism import POSITIONS, Mechanism, Position
from attn_nas.errors import SpaceError, UsageError, first_line
from attn_nas.plugins.user_code import UserCode
from attn_nas.space.geometry import Block, Layout, Site

PREFIX = "attention_"
"""Slots of a module of no known family are its submodules ``attention_pre``, ``attention_post``, ``attention_stage_end``."""
Maker = UserCode | Callable[..., Any]
"""What makes a host: code with a name, or a function of this process that has none."""


@dataclass(frozen=True)
class HostModule(Block):
    """A module of a host that may receive attention, with the geometry of a block.

    Args:
        name: its dotted name in the host, as ``model.named_modules()`` has it.
        kind: name of its class.
        shape: its output for the example, ``(channels, height, width)``.
        at: its insertion points.
        family: the kind of block that it has been recognised as; empty for a module of any other class, which has ``pre``
            (before it) and ``post`` (after it) alone.
        calls: how often it runs in one forward pass.

    """

    name: str = ""
    kind: str = ""
    shape: tuple[int, int, int] = (0, 0, 0)
    at: tuple[Position, ...] = ()
    family: str = ""
    calls: int = 1

    @property
    def positions(self) -> tuple[Position, ...]:
        """Its insertion points."""
        return self.at

    def slot(self, position: Position) -> str:
        """The submodule that a mechanism at ``position`` fills, with dots."""
        return super().slot(position) if self.family else f"{PREFIX}{position}"


@dataclass(frozen=True)
class HostSite(Site):
    """A module of a host as a location for one placement."""

    block: HostModule

    @property
    def name(self) -> str:
        """Its dotted name in the host."""
        return self.block.name

    @property
    def kind(self) -> str:
        """Name of its class."""
        return self.block.kind

    @property
    def shape(self) -> tuple[int, int, int]:
        """Its output for the example, ``(channels, height, width)``."""
        return self.block.shape

    @property
    def path(self) -> str:
        """Its dotted name."""
        return self.block.name

    def slot(self, position: Position) -> str:
        """The submodule of the host that a mechanism at ``position`` fills, with dots."""
        return f"{self.block.name}.{self.block.slot(position)}"

    def __str__(self) -> str:
        return self.block.name


def host_sites(modules: Sequence[HostModule]) -> tuple[HostSite, ...]:
    """One site for each module."""
    return tuple(HostSite(index, module) for index, module in enumerate(modules))


def usual_position(mechanism: Mechanism, site: Site) -> Position:
    """The insertion point of ``mechanism`` at ``site`` if none is chosen: ``standard``, else ``post``, else its first there.

    Raises:
        SpaceError: it has none there.

    """
    legal = [position for position in ("standard", "post", *mechanism.positions) if position in mechanism.positions]
    here = [position for position in legal if position in site.positions]
    if not here:
        raise SpaceError(f"{mechanism.name} can be at {', '.join(legal)}; this module has {', '.join(site.positions)}")
    return here[0]


def in_stages(modules: Sequence[HostModule]) -> tuple[HostModule, ...]:
    """``modules`` in the order in which they run, with the numbers of their stages.

    A stage is a row of modules with the same parent and the same height and width. The last module of each stage but the last
    has the position ``stage_end`` too.
    """
    found: list[HostModule] = []
    rows = [list(row) for _, row in groupby(modules, key=lambda each: (_parent(each), each.shape[1:]))]
    for stage, row in enumerate(rows):
        ends = stage < len(rows) - 1
        for module in row:
            more: tuple[Position, ...] = ("stage_end",) if ends and module is row[-1] and "post" in module.at else ()
            found.append(replace(module, stage=stage, at=tuple(p for p in POSITIONS if p in (*module.at, *more))))
    return tuple(found)


def _parent(module: HostModule) -> str:
    return module.name.rpartition(".")[0]


@dataclass(frozen=True)
class Host:
    """A network of the user's own, in the place of a `Trunk`.

    Args:
        code: short form of the code that makes it, ``my_model.py:make_model``.
        version: digest of the code, its arguments, the example and the sites; empty for a function without a name.
        arguments: keyword arguments of the function, as JSON.
        example: shape of the example, ``(channels, height, width)``.
        modules: the modules that may receive attention, in the order in which they run.

    """

    code: str
    version: str
    arguments: str
    example: tuple[int, int, int]
    modules: tuple[HostModule, ...]
    _hash: int = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.code, self.version, self.arguments, self.example, self.modules)))

    def __hash__(self) -> int:
        return self._hash

    def __reduce__(self) -> Any:
        """Pickle it with the code that makes it, which another process needs."""
        self.check_carried()
        maker = _makers.get(self.identity)
        if isinstance(maker, UserCode):
            maker = maker.read()
        return _unpickled, (self.code, self.version, self.arguments, self.example, self.modules, maker)

    @property
    def _obstacle(self) -> str | None:
        """Why its code cannot be sent to another process; None if it can."""
        maker = _makers.get(self.identity)
        if maker is None or isinstance(maker, UserCode):
            return None
        if getattr(maker, "__module__", None) == "__main__":
            return "it belongs to a notebook or an interactive session"
        try:
            ForkingPickler.dumps(maker)
        except Exception as error:  # noqa: BLE001  an object may raise anything when it is pickled
            return first_line(error)
        return None

    @property
    def is_carried(self) -> bool:
        """True if other processes can make it."""
        return self._obstacle is None

    def check_carried(self) -> None:
        """Raise UsageError unless other processes can make it."""
        if self._obstacle is not None:
            raise UsageError(
                f"the function {self.code} that makes the model cannot be sent to another process: {self._obstacle}. "
                "Put it in a Python file and name that, or search in this process (one worker)"
            )

    @property
    def identity(self) -> tuple[str, str]:
        """Code and version."""
        return self.code, self.version

    @property
    def blocks(self) -> tuple[HostModule, ...]:
        """Its modules that may receive attention."""
        return self.modules

    @property
    def num_stages(self) -> int:
        """Number of stages."""
        return self.modules[-1].stage + 1

    @cached_property
    def sites(self) -> tuple[HostSite, ...]:
        """One site for each of its modules."""
        return host_sites(self.modules)

    def stage_name(self, stage: int) -> str:
        """How drawings and tables name a stage: by the parent of its modules, and the size of their maps."""
        first = next(each for each in self.modules if each.stage == stage)
        return f"{_parent(first) or 'model'}, {first.shape[1]} x {first.shape[2]}"

    def maker(self) -> Maker:
        """The code that makes it.

        Raises:
            SpaceError: this process does not know it.

        """
        if self.identity not in _makers:
            raise SpaceError(
                f"the function {self.code} that makes the model is not known here: load the search space or the run that has it"
                + ("" if self.version else ", and give it again, as in Search.load(run, model=function): no file has it")
            )
        return _makers[self.identity]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, the inverse of `from_dict`."""
        return {
            "model": self.code,
            "version": self.version,
            "arguments": json.loads(self.arguments),
            "example": [*self.example],
            "sites": [module_to_dict(module) for module in self.modules],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Host:
        """The host that `to_dict` wrote.

        Raises:
            KeyError, TypeError: a field is missing or of another type.
            SpaceError: a field is unknown.

        """
        return _host(json.dumps(data, sort_keys=True))

    def __str__(self) -> str:
        return self.code


@lru_cache(maxsize=64)
def _host(text: str) -> Host:
    data = json.loads(text)
    unknown = [name for name in data if name not in ("model", "version", "arguments", "example", "sites")]
    if unknown:
        raise SpaceError(f"a network of your own has no field {unknown[0]!r}")
    channels, height, width = data["example"]
    return Host(
        data["model"],
        data["version"],
        json.dumps(data["arguments"], sort_keys=True),
        (channels, height, width),
        tuple(map(module_from_dict, data["sites"])),
    )


_DEFAULTS = {each.name: each.default for each in fields(HostModule)}


def module_to_dict(module: HostModule) -> dict[str, Any]:
    """The fields of ``module`` that differ from their defaults, as plain data."""
    found = {}
    for name, default in _DEFAULTS.items():
        value = getattr(module, name)
        if name != "layout" and value != default:
            found[name] = [*value] if isinstance(value, tuple) else value
    return found


def module_from_dict(data: Mapping[str, Any]) -> HostModule:
    """The module that `module_to_dict` wrote; raises TypeError for unknown fields or missing ones."""
    values: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in data.items()}
    kind = str(values.get("kind", ""))
    return HostModule(**values, layout=host_layout(kind, known=bool(values.get("family"))))


@lru_cache(maxsize=256)
def host_layout(kind: str, *, known: bool) -> Layout:
    """The layout of a module of class ``kind``: between its points there is the module, or its convolution if it is known."""
    return Layout(replaced="conv" if known else kind)


_makers: dict[tuple[str, str], Maker] = {}


def set_maker(code: str, version: str, maker: Maker) -> None:
    """Let this process know the code that makes a host."""
    _makers[code, version] = maker


def _unpickled(
    code: str,
    version: str,
    arguments: str,
    example: tuple[int, int, int],
    modules: tuple[HostModule, ...],
    maker: Maker | None,
) -> Host:
    if maker is not None:
        set_maker(code, version, maker)
    return Host(code, version, arguments, example, modules)
