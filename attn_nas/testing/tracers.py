"""The ways in which torch turns a module into a graph, and the operators that it refuses to run deterministically on CUDA."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor, nn

NONDETERMINISTIC = frozenset(
    """_adaptive_avg_pool2d_backward _adaptive_avg_pool3d_backward _ctc_loss_backward _embedding_bag_dense_backward
    _upsample_bicubic2d_aa_backward _upsample_bilinear2d_aa_backward adaptive_max_pool2d_backward avg_pool3d_backward bincount
    cumsum cumsum_ fractional_max_pool2d_backward fractional_max_pool3d_backward grid_sampler_2d_backward
    grid_sampler_3d_backward histc kthvalue max_unpool2d max_unpool3d median nll_loss2d_backward nll_loss2d_forward put put_
    reflection_pad1d_backward reflection_pad2d_backward reflection_pad3d_backward upsample_bicubic2d_backward
    upsample_bilinear2d_backward upsample_linear1d_backward upsample_trilinear3d_backward""".split()  # noqa: SIM905
)
"""Names of the operators that raise under ``torch.use_deterministic_algorithms(True)`` on CUDA, from its documentation."""


def symbolic_trace(module: nn.Module, x: Tensor) -> nn.Module:
    """The graph of ``torch.fx.symbolic_trace``, which torchvision's feature extractors and FX quantisation use."""
    import torch

    return torch.fx.symbolic_trace(module)


def jit_trace(module: nn.Module, x: Tensor) -> nn.Module:
    """The program of ``torch.jit.trace`` with its defaults, which compare a second trace."""
    import torch

    traced: nn.Module = torch.jit.trace(module, (x,))
    return traced


def jit_script(module: nn.Module, x: Tensor) -> nn.Module:
    """The program of ``torch.jit.script``."""
    import torch

    scripted: nn.Module = torch.jit.script(module)
    return scripted


TRACERS: dict[str, Callable[[nn.Module, Tensor], nn.Module]] = {
    "torch.fx": symbolic_trace,
    "torch.jit.trace": jit_trace,
    "torch.jit.script": jit_script,
}


def passed_tracers(module: nn.Module, x: Tensor, *others: Tensor) -> list[str]:
    """Return the names of the `TRACERS` that take ``module`` and then give its outputs for ``x`` and for the ``others``."""
    import torch

    found = []
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        for name, tracer in TRACERS.items():
            try:
                traced = tracer(module, x)
                same = all(torch.allclose(traced(each), module(each), rtol=1e-4, atol=1e-5) for each in (x, *others))
            except Exception:  # noqa: BLE001  tracers raise all kinds of exceptions
                same = False
            if same:
                found.append(name)
    return found


def refused_operators(module: nn.Module, x: Tensor) -> set[str]:
    """Run ``module`` forward and backward, and return the operators it uses that are in `NONDETERMINISTIC`."""
    from torch.utils._python_dispatch import TorchDispatchMode

    used: set[str] = set()

    class Recorded(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            used.add(func.overloadpacket.__name__)
            return func(*args, **(kwargs or {}))

    with Recorded():  # type: ignore[no-untyped-call]
        module(x.requires_grad_()).sum().backward()
    return used & NONDETERMINISTIC
