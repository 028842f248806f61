"""Numbers, texts and truth values of a search space: YAML 1.2 in files, the same rule in Python, no silent conversion."""

from fractions import Fraction
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from pydantic import BaseModel

from attn_nas.errors import SpaceError
from attn_nas.space import core_yaml
from attn_nas.space.loading import load_space, parse_space
from attn_nas.space.schema import SearchSpace

SPACE = """\
trunk: {name: cifar_resnet, depth: 8, width: 8}
data: {name: image_folder, root: photos, image_size: 32}
mechanisms: [{name: se, reductions: [4]}]
proxy: {epochs: 1, batch_size: 16, lr: 0.05}
"""


def _changed(old, new):
    assert old in SPACE
    return SPACE.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new", "where", "value"),
    [
        ("lr: 0.05", "lr: 5e-2", "proxy.lr", 0.05),
        ("lr: 0.05", "lr: +5.E-2", "proxy.lr", 0.05),
        ("lr: 0.05", "lr: .5", "proxy.lr", 0.5),
        ("lr: 0.05", "lr: 1", "proxy.lr", 1.0),
        ("epochs: 1", "epochs: +12", "proxy.epochs", 12),
        ("epochs: 1", "epochs: 0o17", "proxy.epochs", 15),
        ("epochs: 1", "epochs: 0x1F", "proxy.epochs", 31),
        ("root: photos", "root: yes", "data.root", "yes"),
        ("root: photos", "root: 2024-01-01", "data.root", "2024-01-01"),
        ("root: photos", "root: 0224", "data.root", "0224"),
        ("root: photos", "root: 1:30", "data.root", "1:30"),
        ("root: photos", "root: '2024'", "data.root", "2024"),
        ("root: photos", "root: ~", "data.root", None),
        ("lr: 0.05}", "lr: 0.05}\nlimits: {max_flops: 4.5e+7}", "limits.max_flops", 45_000_000),
        ("lr: 0.05}", "lr: 0.05}\nlimits: {max_flops: 45M}", "limits.max_flops", "45M"),
        ("lr: 0.05}", "lr: 0.05}\nlimits: {max_flops: +200000}", "limits.max_flops", "+200000"),
        ("lr: 0.05}", "lr: 0.05}\nlimits: {max_flops: +2e5}", "limits.max_flops", "+200000"),
        ("lr: 0.05", "lr: 0.05, averaging: no", "proxy.averaging", None),
    ],
)
def test_a_value_is_read_by_the_core_schema_of_yaml_1_2(old, new, where, value):
    """Numbers as they are written; what YAML 1.1 alone takes for a number, a date or a truth value is text."""
    if where == "proxy.averaging":  # a text, which is no choice
        with pytest.raises(SpaceError, match=r"proxy\.averaging = no: choose from none, ema, last"):
            parse_space(_changed(old, new))
        return
    section, key = where.split(".")
    found = getattr(getattr(parse_space(_changed(old, new)), section), key)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("lr: 0.05", "lr: yes", "4:40  proxy.lr = yes: a truth value (yes, no, true, false) is not a number: write a number"),
        ("lr: 0.05", "lr: true", "4:40  proxy.lr = true: a truth value"),
        ("lr: 0.05", "lr: Off", "4:40  proxy.lr = Off: a truth value"),
        (
            "size: 32",
            "size: 0224",
            "2:54  data.image_size = 0224: a number has no leading zeros, which some programs read as octal: ",
        ),
        ("size: 32", "size: 0224", "octal: write 224"),
        ("epochs: 1", "epochs: 010", "4:17  proxy.epochs = 010: a number has no leading zeros"),
        ("epochs: 1", "epochs: 1:30", "proxy.epochs = 1:30: a number has no colons, which some programs read as base 60"),
        ("epochs: 1", "epochs: 1_000", "proxy.epochs = 1_000: a number has no separators: write 1000"),
        ("epochs: 1", "epochs: '1,5'", "a number has no commas: write a decimal point"),
        ("epochs: 1", "epochs: '1'", "4:17  proxy.epochs = '1': in quotes it is text, not a number: write 1 without quotes"),
        ("lr: 0.05", 'lr: "5e-2"', "proxy.lr = '5e-2': in quotes it is text, not a number: write 5e-2 without quotes"),
        ("[4]", "['4']", "3:38  mechanisms[0].reductions[0] = '4': in quotes it is text"),
        ("reductions: [4]", "kernel_sizes: ['3']", "mechanisms[0].kernel_sizes[0] = '3': in quotes it is text"),
        ("epochs: 1", "epochs: 1.0", "proxy.epochs = 1.0: write an integer, without a decimal point or exponent: 1"),
        ("epochs: 1", "epochs: 1e3", "proxy.epochs = 1e3: write an integer, without a decimal point or exponent: 1000"),
        ("epochs: 1", "epochs: 2.5", "proxy.epochs = 2.5: write an integer"),
        ("epochs: 1", "epochs: 2024-01-01", "proxy.epochs = 2024-01-01: this is text: write an integer"),
        ("epochs: 1", "epochs: ", "proxy.epochs = : this key has no value: write an integer such as 3"),
        ("epochs: 1", "epochs: [1]", "proxy.epochs: write an integer such as 3, not a list"),
        ("lr: 0.05", "lr: .inf", "proxy.lr = .inf: write a finite number"),
        ("lr: 0.05", "lr: 1e999", "proxy.lr = 1e999: write a finite number"),
        ("lr: 0.05", "lr: .NaN", "proxy.lr = .NaN: write a finite number"),
        ("lr: 0.05", f"lr: {'9' * 301}", "4:40  not YAML: the number has more than 300 digits"),
        ("lr: 0.05", "lr: !!float 010", "4:40  not YAML: leave out the tag !!float"),
        ("root: photos", "root: 2024", "2:34  data.root = 2024: this is a number, and text is needed: put it in quotes"),
        ("root: photos", "root: true", "data.root = true: this is a truth value, and text is needed: put it in quotes"),
        ("name: se", "name: 3", "mechanisms[0].name = 3: this is a number, and text is needed"),
        ("name: se", "name: SE", "3:21  mechanisms[0].name = SE: unknown mechanism 'SE': did you mean se?"),
        ("name: cifar_resnet", "name: CIFAR_ResNet", "unknown trunk 'CIFAR_ResNet': did you mean cifar_resnet?"),
        ("name: image_folder", "name: Image_Folder", "data.name = Image_Folder: did you mean image_folder?"),
        ("name: image_folder", "name: CIFAR-10", "(did you mean cifar10?)"),
        ("epochs: 1", "Epochs: 1", "proxy.Epochs: no such key: did you mean epochs?"),
        ("reductions: [4]", "reductions: 4", "mechanisms[0].reductions = 4: write a list, in brackets: [a, b]"),
        ("reductions: [4]", "identity_init: yes", "mechanisms[0].identity_init = yes: write true or false"),
        ("reductions: [4]", "identity_init: 1", "mechanisms[0].identity_init = 1: write true or false"),
        ("reductions: [4]", "identity_init: 'true'", "in quotes it is text: write true without quotes"),
        (
            "lr: 0.05}",
            "lr: 0.05}\nlimits: {max_flops: 045}",
            "limits.max_flops = 045: '045' is not a limit: write a total (45M)",
        ),
        ("lr: 0.05}", "lr: 0.05}\nlimits: {max_flops: 4.5}", "limits.max_flops = 4.5: write a total (45M)"),
        ("lr: 0.05}", "lr: 0.05}\nlimits: {max_flops: .inf}", "limits.max_flops = .inf: write a total (45M)"),
        ("lr: 0.05}", "lr: 0.05}\nlimits: {max_flops: true}", "limits.max_flops = true: write a total (45M)"),
    ],
)
def test_a_value_of_another_type_is_refused_at_its_place_with_the_remedy(old, new, message):
    """Line, column, key, the value as it is written, and how to write it; no type of a library is named."""
    with pytest.raises(SpaceError) as caught:
        parse_space(_changed(old, new), "space.yaml")
    said = str(caught.value)
    assert message in said
    assert not [word for word in ("NoneType", "pydantic", "parsing", "Input should", "instance of") if word in said]


@pytest.mark.parametrize("value", [3, np.int64(3), np.int8(3)])
def test_integers_of_numpy_are_integers(value):
    """They are stored as Python's."""
    space = SearchSpace(trunk="resnet18", mechanisms=[{"name": "se", "reductions": [value]}]).with_training(epochs=value)
    assert (type(space.proxy.epochs), space.proxy.epochs, space.mechanisms[0].reductions) == (int, 3, [3])


@pytest.mark.parametrize("value", [0.5, np.float32(0.5), np.float64(0.5), Fraction(1, 2)])
def test_floats_of_numpy_are_numbers(value):
    """They are stored as Python's."""
    lr = SearchSpace(trunk="resnet18", mechanisms=["se"]).with_training(lr=value).proxy.lr
    assert (type(lr), lr) == (float, 0.5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": "1"}, "proxy.epochs = 1: in quotes it is text, not a number: write 1 without quotes"),
        ({"epochs": True}, "proxy.epochs = True: a truth value"),
        ({"epochs": np.float64(2)}, "proxy.epochs = 2.0: write an integer, without a decimal point or exponent: 2"),
        ({"lr": np.bool_(True)}, "proxy.lr = True: write a number such as 0.1"),
        ({"lr": 10**400}, "write a finite number"),
        ({"lr": None}, "proxy.lr: this key has no value: write a number such as 0.1"),
        ({"epochs": {}}, "proxy.epochs: write an integer such as 3, not a mapping"),
    ],
)
def test_values_in_python_follow_the_same_rule(change, message):
    """Text is no number, and a truth value neither."""
    with pytest.raises(SpaceError) as caught:
        SearchSpace(trunk="resnet18", mechanisms=["se"]).with_training(**change)
    assert message in str(caught.value)


def _scalar_fields(model):
    """Sections with the names of their fields that take one number, text or truth value."""
    for name, field in model.model_fields.items():
        kinds = {kind for kind in (field.annotation, *get_args(field.annotation)) if isinstance(kind, type)}
        if any(issubclass(kind, BaseModel) for kind in kinds):
            yield from _scalar_fields(next(kind for kind in kinds if issubclass(kind, BaseModel)))
        elif not any(word in str(field.annotation) for word in ("list", "dict", "tuple")):
            yield model, name, str(field.annotation)


_FIELDS = [*_scalar_fields(SearchSpace)]


@pytest.mark.parametrize(("model", "name", "kind"), _FIELDS, ids=[f"{model.__name__}.{name}" for model, name, _ in _FIELDS])
def test_every_key_follows_the_rule(model, name, kind):
    """A key that is added later is read by it too: no truth value or quoted number is taken for a number, nor the reverse."""
    wrong = [True, "1"] if "int" in kind or "float" in kind else ["yes", "1", 1] if "bool" in kind else [1, True]
    if "int" in kind and "str" in kind:  # a limit is a number or text
        wrong = [True, "01"]
    for value in wrong:
        with pytest.raises(ValueError, match=name) as caught:
            model.model_validate({name: value})
        (own,) = (each for each in caught.value.errors() if each["loc"] == (name,))
        assert own["type"] == "value_error", own


def test_a_byte_order_mark_of_utf_8_is_not_part_of_the_text(tmp_path):
    """Some editors of Windows write it."""
    path = tmp_path / "space.yaml"
    path.write_bytes(SPACE.replace("photos", "größe").encode("utf-8-sig"))
    assert Path(load_space(path).data.root).name == "größe"


def test_a_merge_key_adds_keys():
    """Anchors, aliases and merge keys are read as before."""
    merged = parse_space(_changed("reductions: [4]}", "reductions: &r [4]}, {name: cbam, <<: {reductions: *r}}"))
    assert [settings.reductions for settings in merged.mechanisms] == [[4], [4]]


@pytest.mark.parametrize(
    "value", ["1e3", "0o17", "0x1F", "010", "yes", "1:30", "2024-01-01", "~", "null", ".5", "1_000", "<<", 5e-05, 3]
)
def test_a_space_that_a_run_keeps_is_read_as_it_was(value):
    """Text that a version of YAML would read as another value is written in quotes."""
    assert core_yaml.read(core_yaml.write({"root": value}))[1] == {"root": value}


def test_the_shipped_spaces_are_read_as_their_text_says():
    """The core schema reads every value that a plain text editor shows."""
    for path in sorted((Path(__file__).parents[3] / "search_spaces").glob("*.yaml")):
        _, document = core_yaml.read(path.read_text())
        assert core_yaml.read(core_yaml.write(document))[1] == document
