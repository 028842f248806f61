"""The contract that every mechanism must pass, as tests for pytest."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping
from functools import partial
from inspect import Parameter, signature
from itertools import product
from typing import TYPE_CHECKING, Any, get_args

from attn_nas.attention.mechanism import CostClass, Hyperparameters, Mechanism
from attn_nas.cost.count import count_module
from attn_nas.testing.placements import perturbed
from attn_nas.testing.tracers import TRACERS, passed_tracers, refused_operators

if TYPE_CHECKING:
    from torch import Tensor, nn

SIZES = ((1, 1), (7, 5), (32, 32))
_DRAWS = 8
"""Number of random draws of weights and inputs, since a single draw may leave a narrow layer of ReLUs dead."""
_BASIC_BLOCK = 2 * (9 * 64 * 64 + 2 * 64) * 32 * 32
"""FLOPs of two 3x3 convolutions with batch norm at 64 channels and 32 x 32 pixels."""


class MechanismContract:
    """Tests of a mechanism: subclass it under a name that pytest collects, and set ``mechanism``.

    A module keeps the shape of its input (apart from its stride) and does not change the input. Gradients reach every weight,
    and every argument has an effect. It is deterministic in eval mode; it works in bf16, in fp16 with large activations, in
    channels_last, after a copy and from a state dict, and exports to ONNX if its record says so. Symbolic tracing, tracing and
    scripting give the same network, unless its record says that they cannot. Its cost can be counted. A batch that is too
    small for training, and every impossible argument, is refused. All that its record says of it is true.
    """

    mechanism: Mechanism
    channels: tuple[int, ...] = (8, 16, 24, 64)
    """Numbers of channels to test; tests that need a single number use the last."""
    alternatives: Mapping[str, object] = {}
    """A second legal value by argument, for arguments whose type does not imply one."""

    def setup_method(self) -> None:
        """Seed torch, so that weights and inputs do not depend on other tests."""
        import torch

        torch.manual_seed(0)

    def _build(self, channels: int, **arguments: Any) -> nn.Module:
        """Build the module with the hyperparameters of its paper, or the nearest that ``channels`` allow."""
        return self.mechanism.build_typical(channels, **arguments)

    def test_keeps_the_shape_at_every_size_batch_and_mode(self) -> None:
        """The output is finite and has the shape and dtype of the input, which is unchanged."""
        import torch

        for channels in self.channels:
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
        """Fewer images than ``min_batch`` leave one value per channel for batch statistics, and raise ValueError."""
        import pytest
        import torch

        channels = self.channels[-1]
        if self.mechanism.min_batch > 1:
            with pytest.raises(ValueError):  # noqa: PT011  modules word the message themselves
                self._build(channels).train()(torch.randn(self.mechanism.min_batch - 1, channels, 1, 1))

    def test_it_trains_on_one_image_if_its_record_says_so(self) -> None:
        """A training step on one large map works, or raises ValueError."""
        import torch

        module, x = self._build(self.channels[-1]).train(), torch.randn(1, self.channels[-1], 32, 32, requires_grad=True)
        try:
            module(x).sum().backward()
            trains = True
        except ValueError:
            trains = False
        assert trains == self.mechanism.trains_on_one_image

    def test_tracers_give_the_same_network(self) -> None:
        """Each tracer that the record does not exclude gives the module's outputs, also at a size that was not traced."""
        import torch

        channels = self.channels[-1]
        module = perturbed(self._build(channels)).eval()
        maps = [torch.randn(2, channels, 9, 10), torch.randn(1, channels, 16, 7)]
        passed = passed_tracers(module, *maps)
        assert passed == [name for name in TRACERS if name not in self.mechanism.untraceable]

    def test_deterministic_algorithms_exist_if_its_record_says_so(self) -> None:
        """Forward and backward pass have no operator that torch refuses to run deterministically on CUDA."""
        import torch

        refused = set()
        for layout in (torch.contiguous_format, torch.channels_last):
            x = torch.randn(2, self.channels[-1], 9, 10).contiguous(memory_format=layout)
            refused |= refused_operators(self._build(self.channels[-1]).train(), x)
        assert (not refused) == self.mechanism.deterministic, refused

    def test_gradient_reaches_every_weight_and_the_input(self) -> None:
        """Every weight has an effect on the output, except biases, which a following norm or softmax may cancel."""
        import torch

        def backward(channels: int) -> dict[str, Tensor]:
            module = perturbed(self._build(channels)).train()
            x = (torch.randn(4, channels, 9, 9) + 2 * torch.randn(4, channels, 1, 1)).requires_grad_()
            (module(x) * torch.randn(4, channels, 9, 9)).sum().backward()
            return {"input": x, **dict(module.named_parameters())}

        for channels in self.channels:
            silent = _never_reached(partial(backward, channels))
            assert not silent, f"no gradient at {channels} channels: {sorted(silent)}"

    def test_degenerate_maps_give_finite_gradients(self) -> None:
        """Output and gradients are finite for zeros, constants, a dead channel and a single pixel."""
        import torch

        channels = self.channels[-1]
        dead = torch.randn(4, channels, 6, 5)
        dead[0, 0] = 0
        maps = (dead, torch.zeros(4, channels, 6, 5), torch.ones(4, channels, 6, 5), torch.randn(4, channels, 1, 1))
        legal = self.mechanism.legal_groups(channels)
        for arguments in ({}, {"groups": max(legal)}) if legal else ({},):
            for x in maps:
                module = perturbed(self._build(channels, **arguments))
                inputs = x.clone().requires_grad_()
                y = module.train()(inputs)
                y.square().sum().backward()
                gradients = {name: parameter.grad for name, parameter in module.named_parameters()}
                for name, tensor in {"output": y, "input": inputs.grad, **gradients}.items():
                    assert tensor is not None, name
                    assert torch.isfinite(tensor).all(), (arguments, tuple(x.shape), name)

    def test_reductions_are_merged_exactly_if_their_modules_are_equal(self) -> None:
        """Reductions have the same canonical form exactly if their modules are equal (``min_hidden`` must match the class)."""
        for channels in self.channels:
            typical = vars(self.mechanism.typical_at(channels))
            shapes: dict[int | None, set[object]] = {}
            for reduction in self.mechanism.reductions:
                module = self._build(channels, reduction=reduction)
                chosen = self.mechanism.canonical(channels, Hyperparameters(**{**typical, "reduction": reduction}))
                shapes.setdefault(chosen.reduction, set()).add(tuple(tuple(p.shape) for p in module.parameters()))
            assert all(len(found) == 1 for found in shapes.values()), (channels, shapes)
            assert len(set().union(*shapes.values())) == len(shapes), (channels, shapes)

    def test_a_stride_halves_the_map(self) -> None:
        """A mechanism that can replace a convolution takes its stride, and rounds sizes up as a convolution does."""
        import torch

        if self.mechanism.takes_stride:
            channels = self.channels[-1]
            for side in (8, 7):
                y = self._build(channels, stride=2)(torch.randn(2, channels, side, side))
                assert y.shape == (2, channels, (side + 1) // 2, (side + 1) // 2)

    def test_every_hyperparameter_changes_the_module(self) -> None:
        """Each combination of reduction, kernel size and groups of the record gives other parameters or another output."""
        import torch

        mechanism = self.mechanism
        channels = 4 * self.channels[-1]
        x = torch.randn(1, channels, 19, 17)
        behaviours = set()
        number = 0
        for reduction, kernel_size, groups in product(
            mechanism.reductions or (None,),
            [k for k in mechanism.kernel_sizes if k != "adaptive"] or (None,),
            mechanism.groups or (None,),
        ):
            torch.manual_seed(0)
            module = mechanism.build(channels, reduction=reduction, kernel_size=kernel_size, groups=groups)
            behaviours.add(_behaviour(module, x))
            number += 1
        assert len(behaviours) == number

    def test_every_argument_changes_something(self) -> None:
        """A second value of any argument of the class gives other parameters or another output."""
        import torch

        loaded: Callable[..., nn.Module] = self.mechanism.load()
        channels = self.channels[-1]
        x = torch.linspace(-1, 1, 2 * channels * 8 * 8).reshape(2, channels, 8, 8)
        for name, parameter in signature(self.mechanism.load()).parameters.items():
            another = self._another(parameter)
            if another is None:
                continue
            behaviours = set()
            for arguments in ({}, {name: another}):
                torch.manual_seed(0)
                behaviours.add(_behaviour(loaded(channels, **arguments), x, training="dropout" in name))
            assert len(behaviours) == 2, name

    def _another(self, parameter: Parameter) -> object:
        """Return a legal value other than the default; None if none is known."""
        default = parameter.default
        if parameter.name in self.alternatives:
            return self.alternatives[parameter.name]
        listed = {"kernel_size": self.mechanism.kernel_sizes, "groups": (*self.mechanism.groups, 4)}
        for choice in reversed(listed.get(parameter.name, ())):
            if choice not in (default, "adaptive"):
                return choice
        if isinstance(default, bool):
            return not default
        if isinstance(default, str):
            return next((choice for choice in get_args(parameter.annotation) if choice != default), None)
        known = {"reduction": 3, "stride": 2, "min_hidden": 48}
        if parameter.name in known or not isinstance(default, (int, float)):
            return known.get(parameter.name)
        return default / 2 if isinstance(default, float) else default + 1

    def test_unknown_and_impossible_arguments_are_errors(self) -> None:
        """Unknown keywords, 0 channels, even kernels, reductions below 1 and groups that do not divide are refused."""
        import pytest

        loaded: Callable[..., object] = self.mechanism.load()
        with pytest.raises(TypeError):
            loaded(16, no_such_argument=1)
        impossible: list[tuple[int, dict[str, int]]] = [(0, {})]
        impossible += [(16, {"kernel_size": size}) for size in (0, 4) if self.mechanism.kernel_sizes]
        impossible += [(16, {"reduction": ratio}) for ratio in (0, -1) if self.mechanism.reductions]
        impossible += [(16, {"groups": number}) for number in (0, 7, 17) if self.mechanism.groups]
        for channels, arguments in impossible:
            with pytest.raises(ValueError):  # noqa: PT011  mechanisms word the message themselves
                loaded(channels, **arguments)

    def test_eval_is_deterministic_and_independent_of_the_batch(self) -> None:
        """In eval mode the output of an image does not depend on other images of the batch."""
        import torch

        channels = self.channels[-1]
        module = self._build(channels).eval()
        x = torch.randn(3, channels, 7, 5)
        with torch.no_grad():
            assert torch.equal(module(x), module(x))
            assert torch.allclose(module(x)[:1], module(x[:1]), atol=1e-6)

    def test_state_dict_and_copy_give_the_same_output(self) -> None:
        """A module that was copied, or loaded from a state dict, computes the same."""
        import torch

        channels = self.channels[-1]
        module, other = self._build(channels).eval(), self._build(channels).eval()
        other.load_state_dict(module.state_dict())
        x = torch.randn(2, channels, 7, 5)
        with torch.no_grad():
            assert torch.equal(module(x), other(x))
            assert torch.equal(module(x), copy.deepcopy(module)(x))

    def test_bf16_and_channels_last_agree_with_fp32(self) -> None:
        """Autocast and memory layout change output and input gradient only by rounding, in eval and in training."""
        import torch

        for channels in (self.channels[0], self.channels[-1]):
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

    def test_large_activations_are_finite_in_half_precision(self) -> None:
        """Inputs of deviation 300 under bf16 and fp16 autocast give finite output and gradients."""
        import torch

        for dtype in (torch.bfloat16, torch.float16):
            module = self._build(self.channels[0]).train()
            x = (300 * torch.randn(4, self.channels[0], 8, 8)).to(dtype).requires_grad_()
            with torch.autocast("cpu", dtype):
                y = module(x)
            y.float().mean().backward()
            for name, tensor in (("output", y), ("input", x.grad), *((n, p.grad) for n, p in module.named_parameters())):
                assert tensor is not None, name
                assert torch.isfinite(tensor).all(), (dtype, name)

    def test_its_cost_can_be_counted(self) -> None:
        """Every operator can be counted, and the FLOPs belong to the cost class of the record."""
        channels = self.channels[-1]
        cost = count_module(self._build(channels), (channels, 32, 32))
        assert cost.flops > 0
        assert channels != 64 or self.mechanism.cost_class in (None, cost_class(cost.flops))

    def test_its_gate_scale_is_true(self) -> None:
        """Fresh modules in training mode scale standard normal inputs as the record says, on average over eight seeds."""
        import torch

        if self.mechanism.gate_scale is None:
            return
        scales = []
        for seed in range(8):
            torch.manual_seed(seed)
            x = torch.randn(2, 64, 16, 16)
            with torch.no_grad():
                scales.append((self._build(64).train()(x).abs().mean() / x.abs().mean()).item())
        assert abs(sum(scales) / len(scales) - self.mechanism.gate_scale) < 0.03, scales

    def test_identity_init_starts_as_the_identity(self) -> None:
        """If the record says so, the output of a fresh module equals the input bit by bit, and every weight learns."""
        import torch

        assert self.mechanism.identity_init == ("identity_init" in signature(self.mechanism.load()).parameters)
        if self.mechanism.identity_init:
            channels = self.channels[-1]
            x = torch.randn(4, channels, 7, 5) + torch.randn(4, channels, 1, 1)
            for training in (True, False):
                assert torch.equal(self._build(channels, identity_init=True).train(training)(x), x)

            def learn() -> dict[str, Tensor]:
                module = self._build(channels, identity_init=True).train()
                target = x * torch.rand(4, channels, 7, 5)
                optimizer = torch.optim.SGD(module.parameters(), lr=0.5)
                for _ in range(4):
                    optimizer.zero_grad()
                    (module(x) - target).square().mean().backward()
                    optimizer.step()
                return dict(module.named_parameters())

            silent = _never_reached(learn)
            assert not silent, f"these cannot learn: {sorted(silent)}"

    def test_exports_to_onnx_with_dynamic_batch_height_and_width(self) -> None:
        """If the record says so, one exported file gives the module's output also at sizes that were not traced."""
        import pytest
        import torch

        if not self.mechanism.dynamic_onnx:
            return
        runtime = pytest.importorskip("onnxruntime")
        pytest.importorskip("onnxscript")
        channels = self.channels[-1]
        module = perturbed(self._build(channels)).eval()
        axes = {0: torch.export.Dim("batch"), 2: torch.export.Dim("height"), 3: torch.export.Dim("width")}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            exported = torch.onnx.export(
                module, (torch.randn(2, channels, 9, 10),), dynamo=True, dynamic_shapes=(axes,), verbose=False
            )
        assert exported is not None
        options = runtime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = runtime.InferenceSession(
            exported.model_proto.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        for shape in ((2, channels, 9, 10), (1, channels, 16, 7), (5, channels, 5, 21)):
            x = torch.randn(shape)
            (found,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
            with torch.no_grad():
                torch.testing.assert_close(torch.from_numpy(found), module(x), atol=1e-4, rtol=1e-4)


def cost_class(flops: int) -> CostClass:
    """Return the cost class of a module with ``flops`` at 64 channels and 32 x 32 pixels; see `Mechanism`."""
    share = flops / _BASIC_BLOCK
    if share < 0.005:
        return "A"
    if share < 0.05:
        return "B"
    return "C" if share < 0.5 else "D"


def _never_reached(backward: Callable[[], Mapping[str, Tensor]]) -> set[str]:
    """Return the names of the tensors, except biases, whose gradient is zero in each of several backward passes."""
    import torch

    silent: set[str] = set()
    for draw in range(_DRAWS):
        quiet = set()
        for name, tensor in backward().items():
            assert tensor.grad is not None, f"no gradient for {name}"
            assert torch.isfinite(tensor.grad).all(), f"the gradient of {name} is not finite"
            if not tensor.grad.any() and not name.endswith("bias"):
                quiet.add(name)
        silent = silent & quiet if draw else quiet
        if not silent:
            break
    return silent


def _behaviour(module: nn.Module, x: Tensor, *, training: bool = False) -> tuple[object, ...]:
    """Return a key that is equal for equal modules: shapes of the parameters, and the output in short."""
    import torch

    with torch.no_grad():
        y = perturbed(module).train(training)(x)
    return tuple(tuple(p.shape) for p in module.parameters()), tuple(y.shape), y.double().abs().sum().item()


def _output_and_gradient(module: nn.Module, x: Tensor) -> tuple[Tensor, Tensor]:
    import torch

    x = x.detach().requires_grad_()
    torch.manual_seed(0)
    y = module(x).float()
    y.square().sum().backward()
    assert x.grad is not None
    return y.detach(), x.grad
