"""Partial evaluation of source: what is decided when a file is written, and what must stay as it is."""

import ast
import textwrap
from types import ModuleType

import pytest
import torch
from torch import nn

from attn_nas.attention.zoo import pooling
from attn_nas.export.lean.layout import LINE, written
from attn_nas.export.lean.program import Definition, Program
from attn_nas.export.lean.specialise import specialised


def lean(package: str, network: str, rest: str = "") -> str:
    """The specialised source of the class ``Net`` in ``network``, which uses the definitions in ``package``."""
    module = ModuleType("package")
    exec("import math, torch\nimport torch.nn.functional as F\nfrom torch import Tensor, nn\n" + package, vars(module))
    exec(network, vars(module))
    model = vars(module)["Net"]()
    trees = [*ast.parse(package).body]
    definitions = {tree.name: Definition(tree.name, tree, module) for tree in trees}
    definitions["Net"] = Definition("Net", ast.parse(network).body[0], None)
    del module.Net
    return "\n".join(line for tree in specialised(Program(definitions, "Net", model, {})) for line in written(tree))


BLOCK = """
def positive(**sizes):
    for name, value in sizes.items():
        if value < 1:
            raise ValueError(name)

def width(channels: int, ratio: int = 4, least: int = 2) -> int:
    positive(channels=channels)
    return max(least, channels // ratio)

class Gate(nn.Module):
    def __init__(self, channels, *, ratio=4, kind="avg", doubled=False):
        super().__init__()
        if kind not in ("avg", "max"):
            raise ValueError(kind)
        hidden = width(channels, ratio)
        self.kind = kind
        self.doubled = doubled
        self.inner = nn.Linear(channels, hidden)

    def gate(self, x):
        gate = self.inner(x).sigmoid()
        if self.kind == "max":
            gate = gate.amax()
        return 2 * gate if self.doubled else gate

    def unused(self):
        return self.kind

    def forward(self, x):
        return x.sum() * self.gate(x)
"""
NET = """
class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = Gate(8)
        self.second = Gate({second})

    def forward(self, x):
        return self.second(self.first(x))
"""


def test_a_parameter_with_one_value_is_replaced_by_it_and_with_two_values_is_kept():
    """Checks, tests that are decided, attributes of one value and methods that nothing calls are gone."""
    same = lean(BLOCK, NET.format(second="8"))
    assert "raise" not in same
    assert "self.inner = nn.Linear(8, 2)" in same
    assert "gate = self.inner(x).sigmoid()\n        return x.sum() * gate\n" in same
    assert not any(word in same for word in ("kind", "doubled", "unused", "def gate", "width", "positive"))
    other = lean(BLOCK, NET.format(second='16, kind="max"'))
    assert 'def __init__(self, channels, *, kind="avg")' in other
    assert "self.inner = nn.Linear(channels, max(2, channels // 4))" in other
    assert 'if self.kind == "max":' in other
    assert 'self.second = Gate(16, kind="max")' in other
    assert "doubled" not in other


def test_a_check_of_what_comes_in_stays():
    """Only checks of a constructor's arguments are of constants."""
    package = """
class Part(nn.Module):
    def forward(self, x):
        if x.shape[1] < 2:
            raise ValueError("too few")
        return x
"""
    assert "raise ValueError" in lean(package, NET.replace("Gate({second})", "Part()").replace("Gate(8)", "Part()"))


def test_an_alias_keeps_its_value_when_the_other_variable_changes():
    """The value of before is read after the change: one of the two has another name."""
    package = """
class Part(nn.Module):
    def forward(self, x):
        before = x
        x = x.relu()
        return before + x
"""
    source = lean(package, NET.replace("Gate({second})", "Part()").replace("Gate(8)", "Part()"))
    namespace = {"nn": nn, "torch": torch}
    exec(source, namespace)
    images = torch.linspace(-1, 1, 5)
    once = images + images.relu()
    assert torch.equal(namespace["Net"]()(images), once + once.relu())


def test_a_method_that_changes_its_argument_does_not_change_its_callers():
    """The method is written where it is called, with a variable of its own."""
    package = """
class Part(nn.Module):
    def gate(self, x):
        x = x * 2
        x = x + 1
        return x

    def forward(self, x):
        return x * self.gate(x)
"""
    source = lean(package, NET.replace("Gate({second})", "Part()").replace("Gate(8)", "Part()"))
    namespace = {"nn": nn, "torch": torch}
    exec(source, namespace)
    images = torch.linspace(-1, 1, 5)
    once = images * (images * 2 + 1)
    assert "def gate" not in source
    assert torch.equal(namespace["Net"]()(images), once * (once * 2 + 1))


SEQUENCE = """
class Part(nn.Module):
    def __init__(self, widths):
        super().__init__()
        self.layers = nn.Sequential(*(nn.Linear(width, width) for width in widths))
        self.between = nn.ModuleList(nn.Identity() for _ in widths)
        self.slot = nn.Identity()

    def forward(self, x):
        for index, layer in enumerate(self.layers):
            x = layer(x)
            x = self.between[index](x)
        return self.slot(x)

class Head(Part):
    def __init__(self, number):
        super().__init__([2] * number)
"""


@pytest.mark.parametrize(
    ("filled", "expected"),
    [
        ("", ["return self.layers(x)"]),
        ("self.between[1] = nn.Tanh()", ["for layer in list(self.layers)[2:]:", "x = self.between[1](x)"]),
        ("self.slot = nn.Tanh()", ["x = self.layers(x)", "return self.slot(x)"]),
    ],
)
def test_a_sequence_is_called_as_a_whole_where_nothing_is_between(filled, expected):
    """Empty slots are gone; a base class is merged; a part of a sequence of three layers or more is a loop."""
    network = f"class Net(Head):\n    def __init__(self):\n        super().__init__(5)\n        {filled or 'pass'}\n"
    source = lean(SEQUENCE, network)
    assert all(line in source for line in expected)
    assert "class Part" not in source
    assert ("nn.Identity()" in source) == bool(filled)
    namespace = {"nn": nn, "torch": torch}
    exec(source, namespace)
    found, ours = namespace["Net"](), torch.randn(2, 2)
    plain = {"nn": nn}
    exec(SEQUENCE + network, plain)
    whole = plain["Net"]()
    whole.load_state_dict(found.state_dict())
    assert torch.equal(found(ours), whole(ours))


def test_what_is_not_understood_is_copied():
    """A loop with a condition, a try and a function in a function."""
    package = """
class Part(nn.Module):
    def __init__(self, steps=2):
        super().__init__()
        self.steps = steps

    def forward(self, x):
        try:
            while x.sum() < self.steps:
                x = x + 1
        finally:
            pass
        return x
"""
    source = lean(package, NET.replace("Gate({second})", "Part()").replace("Gate(8)", "Part()"))
    assert "while x.sum() < self.steps:" in source
    assert "self.steps = steps" in source


@pytest.mark.parametrize("name", sorted(pooling.PLAIN))
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_the_plain_forms_are_equal_to_the_bit(name, layout):
    """In both memory formats and in half precision."""
    for kind in (torch.float32, torch.bfloat16):
        images = torch.randn(2, 16, 9, 7, generator=torch.Generator().manual_seed(0)).to(kind).contiguous(memory_format=layout)
        plain = eval(pooling.PLAIN[name], {"x": images})
        assert torch.equal(plain, getattr(pooling, name)(images))
        assert torch.equal(plain, getattr(pooling, name)(images.requires_grad_()))


LONG = [
    "x = some.function(first_argument_of_it, second_argument_of_it, third_argument_of_it, fourth_argument_of_it, fifth=(1, 2))",
    "x = a[1:] + b[:, :-1] + c[first : second + 1] * d**2 - (e + 1) ** 2",
    "values = [aaaaaaaaaaaaaaaaaaaaaaaa, bbbbbbbbbbbbbbbbbbbbbbbbbbbb, ccccccccccccccccccccccccc, dddddddddddd]",
    "def function(argument: int, another: float = 1.0, *, word: str = 'text', other: tuple[int, int] = (1, 2)):\n    return 1",
    "module = nn.Sequential(nn.Conv2d(channels, channels, 3, padding=1), nn.BatchNorm2d(channels), *layers)",
    'text = f"{value} of {name}" + "it\'s"',
]


@pytest.mark.parametrize("source", LONG)
@pytest.mark.parametrize("indent", [0, 20, 60])
def test_the_layout_means_the_same_and_fits(source, indent):
    """Lines that are too long are broken at their last bracket."""
    lines = written(ast.parse(source).body[0], indent)
    assert ast.dump(ast.parse(textwrap.dedent("\n".join(lines)))) == ast.dump(ast.parse(source))
    assert max(map(len, lines)) <= LINE
