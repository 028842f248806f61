"""Recognises models and blocks whose modules cannot be exchanged for others, and says what to do first."""

from collections.abc import Iterator

from torch import Tensor, nn
from torch.nn.parameter import UninitializedParameter
from torch.nn.utils import parametrize
from torch.nn.utils.prune import BasePruningMethod

_FIXED = "which has fixed its parameters: insert into the model in it before you wrap it"
WRAPPERS = {
    "DataParallel": _FIXED,
    "DistributedDataParallel": _FIXED,
    "FullyShardedDataParallel": _FIXED,
    "FSDPModule": _FIXED,
    "DeepSpeedEngine": _FIXED,
    "OptimizedModule": "made by torch.compile: insert before you compile it",
    "ScriptModule": "made by torch.jit, whose code cannot be changed: insert before you script or trace it",
    "GraphModule": "made by tracing, whose code cannot be changed: insert before you trace it",
}
"""For each class of wrappers, which are recognised by name and derived classes, the end of the message."""
_REWRITTEN = {
    "WeightNorm": "torch.nn.utils.remove_weight_norm(module)",
    "SpectralNorm": "torch.nn.utils.remove_spectral_norm(module)",
}
_QUANTISED = ("torch.ao.nn.", "torch.nn.quantized.", "torch.nn.intrinsic.", "torch.nn.qat.", "bitsandbytes.")


def check_no_wrapper(model: nn.Module) -> None:
    """Check that no module of ``model`` is a wrapper that would not notice new modules.

    Raises:
        ValueError: there is a wrapper; the message names it and says what to do.

    """
    for path, module in model.named_modules():
        for base in type(module).__mro__:
            if base.__name__ in WRAPPERS:
                where = f"{path} of the model" if path else "the model"
                raise ValueError(f"{where} is a {base.__name__}, {WRAPPERS[base.__name__]}")


def check_plain(path: str, module: nn.Module) -> None:
    """Check that ``module`` at ``path``, with all in it, has plain weights.

    Raises:
        ValueError: it is pruned, parametrised, quantised, sharded or not initialised; the message says what to do.

    """
    reason = next((f"{path}.{name}".strip(".") + f" {reason}" for name, reason in alterations(module)), None)
    if reason:
        raise ValueError(reason)


def alterations(block: nn.Module) -> Iterator[tuple[str, str]]:
    """The modules in ``block`` whose weights are not plain: path, and reason with what to do."""
    for path, module in block.named_modules():
        kind = type(module)
        if parametrize.is_parametrized(module):
            yield (
                path,
                f"is parametrised ({', '.join(parametrized_by(module))}): call "
                "torch.nn.utils.parametrize.remove_parametrizations on it, insert, then parametrise again",
            )
        for hook in module._forward_pre_hooks.values():
            if isinstance(hook, BasePruningMethod):
                yield (
                    path,
                    "is pruned: make it permanent by torch.nn.utils.prune.remove(module, name), insert, then prune again",
                )
            if type(hook).__name__ in _REWRITTEN:
                yield path, f"has a {type(hook).__name__}: call {_REWRITTEN[type(hook).__name__]}, insert, then add it again"
        if f"{kind.__module__}.".startswith(_QUANTISED) or hasattr(module, "activation_post_process"):
            yield (
                path,
                f"is quantised, or prepared for it ({kind.__name__}): insert into the float model, then quantise the result",
            )
        for name, parameter in module.named_parameters(recurse=False):
            if isinstance(parameter, UninitializedParameter):
                yield path, "is a lazy module, whose weights do not exist yet: run the model on a batch first"
            elif type(parameter.data) is not Tensor or not parameter.dtype.is_floating_point:
                what = f"{name} is a {type(parameter.data).__name__} of {str(parameter.dtype).removeprefix('torch.')}"
                yield path, f"is quantised or sharded ({what}): insert into the float model, on one device, first"


def parametrized_by(module: nn.Module) -> list[str]:
    """Names of the parametrisations of ``module``."""
    groups = module.parametrizations.children() if isinstance(module.parametrizations, nn.ModuleDict) else ()
    return [type(each).__name__ for group in groups for each in group.children()]
