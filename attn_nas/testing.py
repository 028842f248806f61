"""For tests of your own: a contract that every attention mechanism must pass, and a trainer that answers at once."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from inspect import Parameter, signature
from typing import TYPE_CHECKING, get_args

from attn_nas.attention.catalog import Mechanism
from attn_nas.cost import Cost, CostTable
from attn_nas.errors import AttnNasError
from attn_nas.proxy import OnEpoch, ProxyResult
from attn_nas.space.genotype import Genotype
from attn_nas.space.task import Task
from attn_nas.space.trunks import Trunk

if TYPE_CHECKING:
    from torch import Tensor, nn

CHANNELS = (8, 16, 24, 64)
SIZES = ((1, 1), (7, 5), (32, 32))


@dataclass
class TableTrainer:
    """Answers like proxy training, at once: accuracy from ``table`` by key, else from a hash of the key.

    ``failures`` maps keys to the reason with which they fail.
    """

    task: Task
    table: Mapping[str, float] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)

    def __call__(self, genotype: Genotype, seed: int, on_epoch: OnEpoch) -> tuple[ProxyResult, Cost]:
        """See `attn_nas.study.jobs.Trainer`."""
        if genotype.key in self.failures:
            raise AttnNasError(self.failures[genotype.key])
        digest = hashlib.sha256(f"{genotype.key} {seed}".encode()).digest()
        accuracy = self.table.get(genotype.key, 0.5 + digest[0] / 1000)
        on_epoch(1, accuracy)
        cost = _cost_table(genotype.trunk, self.task).cost(genotype)
        return ProxyResult(accuracy, 1.0 - accuracy, (accuracy,), (1.0,), 0.0, 0.0, 1, seed), cost


def _another(parameter: Parameter) -> object:
    """A legal value other than the default."""
    if isinstance(parameter.default, bool):
        return not parameter.default
    if isinstance(parameter.default, str):
        return next(choice for choice in get_args(parameter.annotation) if choice != parameter.default)
    return {"kernel_size": 9, "reduction": 3, "stride": 2, "groups": 4}.get(parameter.name, 48)


@cache
def _cost_table(trunk: Trunk, task: Task) -> CostTable:
    return CostTable(trunk, task)


class MechanismContract:
    """Subclass it in a test file under a name that pytest collects, set ``mechanism``, and the contract is tested.

    A module keeps the shape of its input (its stride aside), leaves the input alone, lets the gradient reach every
    parameter, uses every argument, is deterministic in eval mode, and survives bf16, channels_last, a copy and a state
    dict; too small a batch in training is a clear error.
    """

    mechanism: Mechanism

    def _build(self, channels: int) -> nn.Module:
        mechanism = self.mechanism
        numbers = [size for size in mechanism.kernel_sizes if isinstance(size, int)]
        return mechanism.build(
            channels,
            reduction=mechanism.reductions[0] if mechanism.reductions else None,
            kernel_size=numbers[0] if numbers else None,
        )

    def test_keeps_the_shape_at_every_size_batch_and_mode(self) -> None:
        """Output has the input's shape and dtype, is finite, and the input is left alone."""
        import torch

        for channels in CHANNELS:
            module = self._build(channels)
            for size in SIZES:
                for batch in (1, 2):
                    for training in (True, False):
                        module.train(training)
                        x = torch.randn(batch, channels, *size)
                        before = x.clone()
                        if training and batch < self.mechanism.min_batch:
                            continue
                        y = module(x)
                        assert y.shape == x.shape, (channels, size, batch, training)
                        assert y.dtype == x.dtype
                        assert torch.isfinite(y).all()
                        assert torch.equal(x, before)

    def test_too_small_a_batch_is_a_clear_error_in_training(self) -> None:
        """Below ``min_batch`` one value per channel is left, and the error says so."""
        import pytest
        import torch

        if self.mechanism.min_batch > 1:
            with pytest.raises(ValueError, match="more than 1 value per channel"):
                self._build(16).train()(torch.randn(1, 16, 1, 1))

    def test_gradient_reaches_every_parameter_and_the_input(self) -> None:
        """No parameter is left out of the output."""
        import torch

        for channels in CHANNELS:
            module = self._build(channels).train()
            x = torch.randn(4, channels, 9, 9, requires_grad=True)
            (module(x) * torch.randn(4, channels, 9, 9)).sum().backward()
            for name, tensor in (("input", x), *module.named_parameters()):
                assert tensor.grad is not None, (channels, name)
                assert tensor.grad.abs().sum() > 0, (channels, name)

    def test_every_hyperparameter_changes_the_parameters(self) -> None:
        """Each reduction and kernel size of the catalogue gives tensors of its own shape."""
        mechanism = self.mechanism
        numbers = [size for size in mechanism.kernel_sizes if isinstance(size, int)] if mechanism.kernel_sizes else [None]
        reductions = mechanism.reductions or (None,)
        shapes = [
            tuple(tuple(p.shape) for p in mechanism.build(256, reduction=r, kernel_size=k).parameters())
            for r in reductions
            for k in numbers
        ]
        assert len(set(shapes)) == len(shapes)

    def test_every_argument_changes_something(self) -> None:
        """Another value of any argument of the class gives other parameters, or another output."""
        import torch

        loaded: Callable[..., nn.Module] = self.mechanism.load()
        x = torch.linspace(-1, 1, 2 * 64 * 8 * 8).reshape(2, 64, 8, 8)
        for name, parameter in signature(self.mechanism.load()).parameters.items():
            if name == "channels":
                continue
            behaviours = set()
            for arguments in ({}, {name: _another(parameter)}):
                torch.manual_seed(0)
                module = loaded(64, **arguments).eval()
                with torch.no_grad():
                    y = module(x)
                shapes = tuple(tuple(p.shape) for p in module.parameters())
                behaviours.add((shapes, tuple(y.shape), y.sum().item()))
            assert len(behaviours) == 2, name

    def test_unknown_and_impossible_arguments_are_errors(self) -> None:
        """An unknown keyword, no channels, an even kernel and a reduction of 0 are refused."""
        import pytest

        loaded: Callable[..., object] = self.mechanism.load()
        with pytest.raises(TypeError):
            loaded(16, no_such_argument=1)
        impossible: list[tuple[int, dict[str, int]]] = [(0, {})]
        impossible += [(16, {"kernel_size": size}) for size in (0, 4) if self.mechanism.kernel_sizes]
        impossible += [(16, {"reduction": ratio}) for ratio in (0, -1) if self.mechanism.reductions]
        for channels, arguments in impossible:
            with pytest.raises(ValueError, match="choose"):
                loaded(channels, **arguments)

    def test_eval_is_deterministic_and_independent_of_the_batch(self) -> None:
        """In eval mode an image's output does not depend on its neighbours."""
        import torch

        module = self._build(16).eval()
        x = torch.randn(3, 16, 7, 5)
        with torch.no_grad():
            assert torch.equal(module(x), module(x))
            assert torch.allclose(module(x)[:1], module(x[:1]), atol=1e-6)

    def test_state_dict_and_copy_give_the_same_output(self) -> None:
        """A reloaded or copied module computes the same."""
        import torch

        module, other = self._build(16).eval(), self._build(16).eval()
        other.load_state_dict(module.state_dict())
        x = torch.randn(2, 16, 7, 5)
        with torch.no_grad():
            assert torch.equal(module(x), other(x))
            assert torch.equal(module(x), copy.deepcopy(module)(x))

    def test_bf16_and_channels_last_agree_with_fp32(self) -> None:
        """Autocast and memory layout change output and input gradient only by rounding, in eval and in training."""
        import torch

        for channels in (8, 64):
            module, x = self._build(channels), torch.randn(4, channels, 8, 8)
            for training in (False, True):
                module.train(training)
                expected, gradient = _output_and_gradient(module, x)
                last = _output_and_gradient(module, x.contiguous(memory_format=torch.channels_last))
                with torch.autocast("cpu", torch.bfloat16):
                    rounded = _output_and_gradient(module, x)
                torch.testing.assert_close(last, (expected, gradient), atol=1e-4, rtol=1e-3)
                torch.testing.assert_close(rounded[0], expected, atol=0.15, rtol=0.1)
                assert torch.isfinite(rounded[1]).all()


def _output_and_gradient(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    x = x.detach().requires_grad_()
    y = module(x).float()
    y.square().sum().backward()
    assert x.grad is not None
    return y.detach(), x.grad
