"""The contract that every trunk must pass, as tests for pytest."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attn_nas.attention.catalog import get_mechanism
from attn_nas.cost import CostTable, count_cost
from attn_nas.cost.table import slot_shapes
from attn_nas.models.build import build_model, build_trunk, get_slot
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk
from attn_nas.testing.passage import in_order, passages
from attn_nas.testing.placements import legal_placements

if TYPE_CHECKING:
    from torch import nn


class TrunkContract:
    """Tests of a trunk: subclass it under a name that pytest collects, and set ``trunk``.

    The tests compare the module with what its family declares. Every slot exists, is passed by an image, and has the declared
    channels and stride. Slots and layers come in the order of the blocks' layouts. Filled slots change the output and no weight
    of the trunk. The costs of trunk and sites add up to the cost of the whole network.
    """

    trunk: Trunk
    task = Task(3, 64, 48, 7)

    def _bare(self) -> nn.Module:
        return build_trunk(self.trunk, self.task.num_classes, self.task.channels)

    def test_gives_logits_and_gradients(self) -> None:
        """Forward and backward pass work with three input channels and with one."""
        import torch

        for channels in (3, 1):
            model = build_trunk(self.trunk, self.task.num_classes, channels).train()
            logits = model(torch.randn(2, channels, self.task.height, self.task.width))
            assert logits.shape == (2, self.task.num_classes)
            logits.square().sum().backward()
            assert all(parameter.grad is not None for parameter in model.parameters())

    def test_every_slot_sees_the_declared_channels(self) -> None:
        """An image passes every slot of every block and stage end, with the declared number of channels."""
        shapes = slot_shapes(self._bare(), self.trunk, self.task)
        for site in self.trunk.sites:
            for position in site.positions:
                path = site.slot(position)
                assert path in shapes, f"{path} is not passed through"
                assert {shape[0] for shape in shapes[path]} == {site.block.channels_at(position)}, path

    def test_replaced_convolutions_have_the_declared_stride(self) -> None:
        """The convolution at a ``replace`` position keeps its channels and shrinks the map by the declared stride."""
        import torch

        model = self._bare()
        for site in self.trunk.sites:
            if "replace" in site.positions:
                channels, side = site.block.replace_channels, 8 // site.stride_at("replace")
                replaced = get_slot(model, site.slot("replace"))
                assert replaced(torch.zeros(1, channels, 8, 8)).shape == (1, channels, side, side)

    def test_slots_and_layers_come_in_the_declared_order(self) -> None:
        """An image passes the layers that each block's layout names, on branch and shortcut, in that order."""
        for index, passage in enumerate(passages(self._bare(), self.trunk, self.task)):
            for declared in in_order(self.trunk.blocks[index]):
                rest = iter(passage)
                late = next((name for name in declared if name not in rest), None)
                assert late is None, f"block {index} passes {passage}, where {late!r} is not in the order of {declared}"

    def test_filled_slots_leave_the_rest_of_the_trunk_alone(self) -> None:
        """With equal seeds a network with attention has the weights of the bare trunk, and another output."""
        import torch

        images = torch.randn(2, self.task.channels, self.task.height, self.task.width)
        bare = build_model(Genotype.bare(self.trunk), self.task.num_classes, seed=0).eval()
        se, bam = Placement("se", reduction=2), Placement("bam", "stage_end", reduction=2)
        genotype = Genotype.of_sites(self.trunk, [bam if site.at_stage_end else se for site in self.trunk.sites])
        model = build_model(genotype, self.task.num_classes, seed=0).eval()
        assert all(torch.equal(value, model.state_dict()[name]) for name, value in bare.state_dict().items())
        with torch.no_grad():
            assert not torch.equal(model(images), bare(images))

    def test_costs_add_up(self) -> None:
        """The cost table's sum over trunk and sites equals the count of the whole network."""
        table = CostTable(self.trunk, self.task)
        for name in ("se", "cbam", "sk", "bam"):
            mechanism = get_mechanism(name)
            found = [next(iter(legal_placements(mechanism, site)), None) for site in self.trunk.sites]
            genotype = Genotype.of_sites(self.trunk, found)
            model = build_model(genotype, self.task.num_classes, self.task.channels)
            assert table.cost(genotype) == count_cost(model, self.task)
