"""Code of the user, named by a file or a module."""

import functools
import sys
from pathlib import Path
from types import ModuleType

import pytest

from attn_nas.errors import SpaceError
from attn_nas.plugins.user_code import UserCode


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this user trusts."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("ATTN_NAS_TRUST_PLUGINS", raising=False)


def _file(folder: Path, text: str, name: str = "train.py") -> str:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text)
    return str(folder / name)


def test_a_function_of_a_loose_file_is_named_by_the_file_and_one_of_a_package_by_its_module(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both lead back to the function."""
    text = "import functools\ndef objective(model, trial): ...\nshort = functools.partial(objective, trial=0)\n"
    path = _file(tmp_path, f"{text}class Nets:\n    @staticmethod\n    def small(): ...\n")
    module = ModuleType("train")
    module.__file__ = path
    exec(Path(path).read_text(), vars(module))
    monkeypatch.setitem(sys.modules, "train", module)
    code = UserCode.of(module.objective)
    assert code == UserCode(path, None, "objective")
    assert code.text == "train.py:objective"
    assert UserCode.of(module.short) == UserCode(path, None, "short")
    assert UserCode.of(module.Nets.small) == UserCode(path, None, "Nets.small")
    assert UserCode.of(functools.wraps) == UserCode(None, "functools", "wraps")
    assert UserCode.parse("functools:wraps").read(named=True).load() is functools.wraps


def test_what_has_no_name_is_not_named() -> None:
    """Lambdas, closures, instances."""

    def closure() -> None: ...

    assert [UserCode.of(each) for each in (lambda: 0, closure, functools.partial(print), 3)] == [None] * 4


def test_a_file_is_run_once_as_it_was_read_with_the_modules_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also from a copy in another folder, and after the file has changed."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    _file(tmp_path / "own", "SIZE = 7\n", "sibling_of_train.py")
    path = _file(
        tmp_path / "own", "import sibling_of_train\ndef size():\n    return sibling_of_train.SIZE, __name__, __file__\n"
    )
    code = UserCode.parse(f"{path}:size").read(named=True)
    Path(path).write_text("def size(): return 0\n")
    copy = UserCode.parse(f"{_file(tmp_path / 'copy', code.source().decode())}:size")
    assert code.load()()[0] == 7
    assert copy.load() is code.load()
    assert code.load()()[1] != "__main__"
    assert code.load()()[2] == path


def test_a_file_that_was_never_named_is_not_run(tmp_path: Path) -> None:
    """A run folder may come from a stranger."""
    code = UserCode.parse(_file(tmp_path, "raise SystemExit(3)  # it runs\n") + ":objective")
    with pytest.raises(SpaceError, match="was not run"):
        code.load()
    with pytest.raises(SpaceError, match=r"train.py:1 fails: SystemExit: 3"):
        code.read(named=True).load()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("import no_such_module\n", "train.py:1 fails: ModuleNotFoundError.*keep it beside the file"),
        ("def objectiv(): ...\n", r"has no 'objective'.*did you mean objectiv\?"),
        ("x = 1\ny = (\n", r"train.py:2 fails: SyntaxError"),
        (None, "cannot be read: No such file.*Correct its path"),
    ],
)
def test_code_that_cannot_be_loaded_says_where_and_why(tmp_path: Path, text: str | None, says: str) -> None:
    """In one sentence."""
    path = str(tmp_path / "train.py") if text is None else _file(tmp_path, text)
    with pytest.raises(SpaceError, match=says):
        UserCode.parse(f"{path}:objective").read(named=True).load()


@pytest.mark.parametrize(
    "given", ["train.py", "train.py:", ":x", 3, {"file": "a.py"}, {"fil": "a.py", "function": "x"}, "a.py:x y"]
)
def test_values_that_name_no_code_are_refused(given: object) -> None:
    """With the form to write."""
    with pytest.raises(SpaceError):
        UserCode.from_value(given)


def test_a_value_is_read_and_written_in_both_forms() -> None:
    """A short text, or a mapping."""
    for given in ({"file": "train.py", "function": "f"}, {"module": "package.train", "function": "f"}):
        assert UserCode.from_value(given).to_dict() == given
    assert UserCode.from_value("a/train.py:f").within(Path("/x")).file == "/x/a/train.py"


def test_a_function_of_a_module_is_trusted_with_its_arguments(tmp_path: Path) -> None:
    """A run of a stranger may name any installed function, with any arguments."""
    code = UserCode(None, "subprocess", "getoutput", arguments='{"cmd": "true"}')
    with pytest.raises(SpaceError, match="subprocess:getoutput was not run"):
        code.load()
    code.read(named=True)
    assert callable(code.load())
    with pytest.raises(SpaceError, match="was not run"):
        UserCode(None, "subprocess", "getoutput", arguments='{"cmd": "false"}').load()
