"""What a module computes, as a small graph: traced from the module itself, so that a drawing of it cannot be wrong."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import fx, nn
from torch.fx.experimental.proxy_tensor import make_fx

_PASSED = frozenset(
    """alias clone contiguous copy detach expand getitem lift_fresh_copy permute reshape select slice split split_with_sizes
    squeeze t _to_copy transpose unbind _unsafe_view unsqueeze view""".split()  # noqa: SIM905  a list would be a page long
)
"""Operators that move numbers or pick some, and compute nothing."""
_NAMES = {
    "mul": "×",
    "add": "+",
    "sub": "−",
    "rsub": "−",
    "div": "÷",
    "bmm": "matrix product",
    "matmul": "matrix product",
    "addmm": "linear",
    "mm": "linear",
    "cat": "join",
    "stack": "join",
    "amax": "max",
    "max": "max",
    "native_batch_norm": "batch norm",
    "_native_batch_norm_legit_no_training": "batch norm",
    "native_layer_norm": "layer norm",
    "native_group_norm": "group norm",
    "hardsigmoid": "hard sigmoid",
    "hardswish": "hard swish",
    "sqrt": "square root",
    "rsqrt": "1 / square root",
    "reciprocal": "1 / x",
    "upsample_nearest2d": "enlarge",
    "upsample_bilinear2d": "enlarge",
    "neg": "× −1",
}
_MERGED = (
    *("batch norm", "layer norm", "group norm", "relu", "sigmoid", "tanh", "hard sigmoid", "hard swish", "silu", "gelu"),
    *("softmax", "square", "square root", "1 / square root", "1 / x", "exp", "log", "abs"),
)
"""Operators that are written into the box of the step before them."""
_SMALLEST_NUMBER = 1e-3
"""A smaller number that is added guards against a division by zero, and is not drawn."""


@dataclass
class Step:
    """A box of a drawing: its lines, the shape of its result, and the steps that it reads."""

    lines: list[str]
    shape: tuple[int, ...]
    reads: list[Step] = field(default_factory=list)
    has_weights: bool = False


def trace(module: nn.Module, shape: tuple[int, int, int]) -> list[Step]:
    """The steps of ``module`` for a feature map of ``shape`` (C, H, W), in order, from the input to the output."""
    module.eval()
    with torch.no_grad():
        graph = make_fx(module)(torch.randn(1, *shape)).graph
    return _merged(_needed(_steps(graph)))


def _steps(graph: fx.Graph) -> list[Step]:
    """A step for each operator that computes something from the input."""
    found: dict[fx.Node, Step] = {}
    learned: set[fx.Node] = set()
    steps: list[Step] = []
    for node in graph.nodes:
        if any(each in learned for each in node.all_input_nodes) or "_param_constant" in str(node.target):
            learned.add(node)
        if node.op == "placeholder":
            found[node] = Step(["input"], _shape(node))
            steps.append(found[node])
        elif node.op == "output":
            (result,) = node.all_input_nodes
            steps.append(Step(["output"], _shape(result), [found[result]]))
        elif node.op == "call_function":
            reads = [found[each] for each in node.all_input_nodes if each in found]
            if not reads:
                continue  # it computes from weights alone
            fixed = [each for each in node.all_input_nodes if each not in found]
            label = _label(node, fixed, learned)
            if label is None:
                found[node] = reads[0]
            else:
                distinct = list({id(each): each for each in reads}.values())
                found[node] = Step([label], _shape(node), distinct, any(each in learned for each in fixed))
                steps.append(found[node])
    return steps


def _label(node: fx.Node, fixed: list[fx.Node], learned: set[fx.Node]) -> str | None:
    """The name of an operator in a drawing; None for an operator that is not drawn.

    ``fixed`` are the values that it reads and that do not depend on the input; some of them are ``learned``.
    """
    name = _operator(node)
    if name in _PASSED:
        return None
    if name == "convolution":
        return _convolution(node)
    if name in ("mul", "div", "add", "sub", "rsub"):
        return _arithmetic(node, _NAMES[name], fixed, learned)
    if name == "pow":
        return "square" if node.args[1] == 2 else f"power {node.args[1]}"
    if name == "avg_pool2d":
        height, width = cast("tuple[int, int]", node.args[1])
        return f"mean {height}×{width}"
    if name.startswith("clamp"):
        return None  # it guards against a division by zero
    return _NAMES.get(name, name.strip("_").replace("_", " "))


def _operator(node: fx.Node) -> str:
    if node.target is operator.getitem:
        return "getitem"
    return str(node.target).split(".")[1].rstrip("_")


def _arithmetic(node: fx.Node, sign: str, fixed: list[fx.Node], learned: set[fx.Node]) -> str | None:
    """Of two results, of a result and learned or constant values, or of a result and a number."""
    if fixed:
        return f"{sign} learned" if any(each in learned for each in fixed) else f"{sign} constant"
    number = next((each for each in node.args if isinstance(each, int | float)), None)
    if number is None:
        return sign
    if sign == "+" and abs(number) < _SMALLEST_NUMBER:
        return None
    return f"{sign} {number:.3g}" if isinstance(number, float) else f"{sign} {number}"


def _convolution(node: fx.Node) -> str:
    source, weight = node.args[0], node.args[1]
    assert isinstance(source, fx.Node)
    assert isinstance(weight, fx.Node)
    groups, dilation = node.args[8], cast("list[int]", node.args[5])
    size = _full_shape(weight)[2:]
    kind = f"conv of {size[0]}" if len(size) == 1 else f"conv {'×'.join(map(str, size))}"
    if groups != 1:
        is_depthwise = groups == _full_shape(source)[1]
        kind = f"{'depthwise' if is_depthwise else 'grouped'} {kind.removeprefix('conv ')}"
    return f"{kind}, dilation {dilation[0]}" if dilation[0] != 1 else kind


def _full_shape(node: fx.Node) -> tuple[int, ...]:
    value: Any = node.meta.get("val", node.meta.get("tensor_meta"))
    if isinstance(value, list | tuple) and not hasattr(value, "shape"):
        value = value[0]  # a norm gives statistics too
    return tuple(value.shape) if hasattr(value, "shape") else ()


def _shape(node: fx.Node) -> tuple[int, ...]:
    """The shape without the batch, and without sides of 1 at the end."""
    shape = list(_full_shape(node))
    if len(shape) > 1 and shape[0] == 1:
        del shape[0]
    while len(shape) > 1 and shape[-1] == 1:
        del shape[-1]
    return tuple(shape)


def _needed(steps: list[Step]) -> list[Step]:
    """Without the steps that the output does not depend on."""
    needed: set[int] = set()
    waiting = [steps[-1]]
    while waiting:
        step = waiting.pop()
        if id(step) not in needed:
            needed.add(id(step))
            waiting += step.reads
    return [step for step in steps if id(step) in needed]


def _merged(steps: list[Step]) -> list[Step]:
    """Norms and activations are lines of the box before them, if nothing else reads that."""
    readers: dict[int, int] = {}
    for step in steps:
        for read in step.reads:
            readers[id(read)] = readers.get(id(read), 0) + 1
    kept: list[Step] = []
    stands_for: dict[int, Step] = {}
    for step in steps:
        step.reads = [stands_for.get(id(read), read) for read in step.reads]
        before = step.reads[0] if step.reads else None
        alone = before is not None and len(step.reads) == 1 and readers.get(id(before), 0) == 1
        if alone and before is not None and before.reads and step.lines[0] in _MERGED:
            before.lines += step.lines
            before.shape = step.shape
            before.has_weights |= step.has_weights
            stands_for[id(step)] = before
            readers[id(before)] = readers.get(id(step), 0)
        else:
            kept.append(step)
    return kept
