"""Layouts of blocks: they are those of the modules, and the contract of trunks refuses others."""

import re
from collections import Counter

import pytest

from attn_nas.models.build import build_trunk
from attn_nas.space.geometry import Block, Layout, TrunkFamily
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk, register_trunk
from attn_nas.testing import TrunkContract
from attn_nas.testing.passage import passages


def _with_layout(name, layout):
    """A user's family that is ResNet-50 but for the layout of its blocks."""
    theirs = Trunk("resnet", 50, 8)
    blocks = tuple(Block(**{**vars(block), "layout": layout}) for block in theirs.blocks)
    target, arguments = theirs.family.target, theirs.family.arguments
    register_trunk(TrunkFamily(name, "", target, "50", lambda depth: depth == 50, lambda depth, width: blocks, arguments))
    return Trunk(name, 50, 8)


def test_layouts_leave_out_no_layer(each_trunk):
    """Convolutions, norms, linear layers and activations that torch runs in a block are those of its layout, in number."""
    kinds = r"\d+x\d+|norm|linear|relu6?|gelu|h-swish|scale"
    for block, passed in zip(
        each_trunk.blocks, passages(build_trunk(each_trunk, 5), each_trunk, Task(3, 64, 64, 5)), strict=True
    ):
        layout = block.layout
        names = [*layout.branch, *(layout.after if block.shortcut else ()), *(layout.shortcut if block.shortcut else ())]
        declared = Counter(name.rpartition(" ")[2] for name in [*names, layout.replaced])
        if declared.pop("se", 0):
            declared.update(["1x1", "relu", "1x1", "scale"])
        found = Counter(passed)
        assert {k: n for k, n in found.items() if re.fullmatch(kinds, k)} == {
            k: n for k, n in declared.items() if re.fullmatch(kinds, k)
        }


@pytest.mark.parametrize(
    ("layout", "late"),
    [
        (Layout(), "replace"),
        (Layout(("pre", "conv 3x3", "replace", "inner", "pre_norm", "standard")), "replace"),
        (Layout(("pre", "replace", "inner", "pre_norm", "standard"), replaced="conv 5x5"), "5x5"),
        (Layout(("pre", "replace", "inner", "pre_norm", "standard"), ("linear", "identity")), "linear"),
        (Layout(("pre", "replace", "inner", "pre_norm", "standard"), after=("post", "relu")), "relu"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_contract_refuses_a_layout_that_is_not_the_modules(layout, late):
    """Slots or layers of another order, another size, or that are not there."""
    contract = TrunkContract()
    contract.trunk = _with_layout(f"refused_{layout.branch[1].split()[0]}_{late}", layout)
    with pytest.raises(AssertionError, match=rf"block 0 passes .* where '{late}' is not in the order of"):
        contract.test_slots_and_layers_come_in_the_declared_order()
