"""The reference of the command line, from the commands themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, get_args, get_origin, get_type_hints

from typer.core import TyperArgument
from typer.main import get_command

from attn_nas.cli import app
from generators.markdown import code, front_matter, table

PROGRAM = "attn-nas"
_COMPLETION = ("install_completion", "show_completion")
_KINDS: dict[type, str] = {int: "integer", float: "number", str: "text", Path: "path"}


def page() -> str:
    """All commands with their arguments and options."""
    group: Any = get_command(app)
    shown = dict(_visible(group, PROGRAM))
    overview = table(
        ("command", "what it does"),
        ((f"[`{name.removeprefix(f'{PROGRAM} ')}`](#{_anchor(name)})", _summary(command)) for name, command in shown.items()),
    )
    return "\n\n".join(
        [
            front_matter("Every command of attn-nas with its arguments, options and defaults.") + "# Command line",
            "This page is made from the commands themselves. `attn-nas COMMAND --help` prints the same on your machine.",
            overview,
            f"## {PROGRAM} {{: #{PROGRAM} }}",
            f"```text\n{PROGRAM} [OPTIONS] COMMAND [ARGUMENTS]\n```",
            "These options stand before the name of a command.",
            _parameters(group),
            *(_section(name, command) for name, command in shown.items()),
        ]
    )


def invocation(name: str) -> str:
    """How a command is called, ``attn-nas NAME``, also where it belongs to a group.

    Raises:
        ValueError: there is no visible command of this name.

    """
    found = [called for called, _ in _visible(get_command(app), PROGRAM) if called.rsplit(" ", 1)[1] == name]
    if len(found) != 1:
        raise ValueError(f"{len(found)} commands are called {name}")
    return found[0]


def _visible(group: Any, prefix: str) -> Iterator[tuple[str, Any]]:
    """How each command is called, and the command; those of groups as well."""
    for name, command in group.commands.items():
        if command.hidden:
            continue
        if hasattr(command, "commands"):
            yield from _visible(command, f"{prefix} {name}")
        else:
            yield f"{prefix} {name}", command


def _anchor(called: str) -> str:
    return called.replace(" ", "-")


def _section(called: str, command: Any) -> str:
    arguments = [each for each in command.params if isinstance(each, TyperArgument)]
    usage = " ".join([called, *(_metavar(each) for each in arguments), "[OPTIONS]"])
    return "\n\n".join(
        [
            f"## {called} {{: #{_anchor(called)} }}",
            _paragraphs(command.help or ""),
            f"```text\n{usage}\n```",
            _parameters(command),
        ]
    )


def _summary(command: Any) -> str:
    return (command.help or "").strip().split("\n\n")[0]


def _paragraphs(text: str) -> str:
    return "\n\n".join(" ".join(paragraph.split()) for paragraph in text.replace("\b", "").split("\n\n"))


def _parameters(command: Any) -> str:
    kinds = get_type_hints(command.callback) if command.callback else {}
    rows = list(_rows(command, kinds))
    return (
        table(("argument or option", "value", "default", "meaning"), rows) if rows else "It takes no arguments and no options."
    )


def _rows(command: Any, kinds: dict[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    for parameter in command.params:
        if parameter.hidden or parameter.name in _COMPLETION:
            continue
        is_argument = isinstance(parameter, TyperArgument)
        flags = [_metavar(parameter)] if is_argument else [*parameter.opts, *parameter.secondary_opts]
        meaning = parameter.help or ""
        if parameter.envvar:
            meaning += f" Also by the environment: `{parameter.envvar}`."
        kind = "" if getattr(parameter, "is_flag", False) else _kind(kinds.get(parameter.name, str))
        yield ", ".join(map(code, flags)), kind, _default(parameter), meaning


def _metavar(argument: Any) -> str:
    name = argument.metavar or argument.name.upper()
    dots = "..." if argument.nargs == -1 else ""
    return f"{name}{dots}" if argument.required else f"[{name}]{dots}"


def _kind(annotation: Any) -> str:
    """The type of a value in one word, or ``several`` of it."""
    if isinstance(annotation, UnionType):
        (annotation,) = (each for each in get_args(annotation) if each is not NoneType)
    if get_origin(annotation) is list:
        return f"{_kind(get_args(annotation)[0])}, may be repeated"
    return _KINDS.get(annotation, "text")


def _default(parameter: Any) -> str:
    default = parameter.default
    if parameter.required:
        return "required"
    if default is None or default in ([], ()):
        return ""
    if isinstance(default, bool):
        if not default:
            return "off"
        return code(parameter.opts[0]) if parameter.secondary_opts else "on"
    return code(default)
