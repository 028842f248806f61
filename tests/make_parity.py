"""Record what reference implementations of the mechanisms answer, for ``test_parity.py``.

    python tests/make_parity.py FOLDER

FOLDER holds one file ``NAME.py`` per reference: the classes of a public repository, unchanged except as its header says, and a
function ``make(channels, **arguments)`` that builds the module. The header is comment lines ``# repo:``, ``# commit:``,
``# path:``, ``# licence:`` and ``# fixes to the official code:``, the latter followed by a list of ``#   - change`` or by
``none``. The files themselves are not part of this package, since some of the repositories have no licence; only numbers are.

For every case below the reference gets random parameters and random running statistics from a fixed seed and answers one random
input, in evaluation and in training mode. Written beside this file, under ``data``:

``parity.safetensors``
    ``CASE/input``, ``CASE/weights/NAME`` under the names of our module, ``CASE/eval``, and ``CASE/train`` where training mode
    answers otherwise.
``parity.json``
    per case the mechanism, its channels and arguments, those of the reference, where the reference is from, how its file
    differs from the source, and a note.
"""

import json
import re
import runpy
import sys
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from attn_nas.attention.catalog import get_mechanism

DATA = Path(__file__).parent / "data"
SAME_NAMES = {"": ""}


def swap_maps(weight: Tensor) -> Tensor:
    """A convolution of [mean, max] as one of [max, mean]."""
    return weight.flip(1)


def pad_distances(table: Tensor) -> Tensor:
    """The embeddings of distances up to 4 as a table of distances up to 6, of which a map 5 wide uses the middle."""
    return nn.functional.pad(table, (0, 0, 2, 2))


@dataclass(frozen=True)
class Case:
    """One reference and the module of ours that must equal it.

    ``names`` maps a prefix in the reference's state dict to ours, None for a constant that we do not store; a value takes the
    shape of ours (a linear layer becomes a 1x1 convolution). ``changed`` holds what else is done to a weight of ours, ``part``
    the submodule of the reference that is meant, ``adds_input`` that the reference leaves the residual path out.
    """

    oracle: str
    channels: int = 8
    arguments: dict[str, Any] = field(default_factory=dict)
    oracle_arguments: dict[str, Any] = field(default_factory=dict)
    names: dict[str, str | None] = field(default_factory=lambda: dict(SAME_NAMES))
    changed: dict[str, Callable[[Tensor], Tensor]] = field(default_factory=dict)
    part: str = ""
    adds_input: bool = False
    batch: int = 2
    size: tuple[int, int] = (7, 5)
    scale: float = 1.0
    note: str = ""


ONE_UNIT = {"downop.dwconv": "gather.0", "downop.bn": "gather.1"}
TWO_UNITS = {
    "downop.0.dwconv": "gather.0",
    "downop.0.bn": "gather.1",
    "downop.1.dwconv": "gather.3",
    "downop.1.bn": "gather.4",
}
THREE_UNITS = TWO_UNITS | {"downop.2.dwconv": "gather.6", "downop.2.bn": "gather.7"}
BAM_CHANNEL = "channel_att.gate_c.gate_c"
BAM_SPATIAL = "spatial_att.gate_s.gate_s"
PSA_NAMES = {
    "reduce": "reduce_collect",
    "attention.0": "mask_collect.0.0",
    "attention.1": "mask_collect.0.1",
    "attention.3": "mask_collect.1",
    "reduce_p": "reduce_distribute",
    "attention_p.0": "mask_distribute.0.0",
    "attention_p.1": "mask_distribute.0.1",
    "attention_p.3": "mask_distribute.1",
    "proj": "proj",
}
MANY_SMALL_MAPS: dict[str, Any] = {"batch": 6, "size": (4, 3)}
PSA_NOTE = "the reference concatenates its answer to the input, ours adds it: the sum of both is recorded"

CASES = {
    "se": Case("se", arguments={"reduction": 2}, oracle_arguments={"rd_channels": 4, "bias": False}, **MANY_SMALL_MAPS),
    "se.bias": Case(
        "se", arguments={"reduction": 2, "bias": True}, oracle_arguments={"rd_channels": 4, "bias": True}, **MANY_SMALL_MAPS
    ),
    "ese": Case("ese"),
    "eca": Case("eca", arguments={"kernel_size": 5}, oracle_arguments={"kernel_size": 5}),
    "cam_gate": Case(
        "cbam", part="channel", arguments={"reduction": 2}, oracle_arguments={"rd_channels": 4}, **MANY_SMALL_MAPS
    ),
    "sam": Case(
        "cbam",
        part="spatial",
        names={"conv.conv": "conv", "conv.bn": "bn"},
        changed={"conv.weight": swap_maps},
        note="the reference stacks [mean, max], ours and the paper's authors [max, mean]: the kernel's two maps are swapped",
    ),
    "cbam": Case(
        "cbam",
        arguments={"reduction": 2, "kernel_size": 7},
        oracle_arguments={"rd_channels": 4},
        names={"channel": "channel", "spatial.conv.conv": "spatial.conv", "spatial.conv.bn": "spatial.bn"},
        changed={"spatial.conv.weight": swap_maps},
        batch=4,
        note="the reference stacks [mean, max], ours and the paper's authors [max, mean]: the kernel's two maps are swapped",
    ),
    "srm": Case("srm", batch=3),
    "gct": Case("gct"),
    "nam": Case("nam", names={"bn2": "bn"}),
    "fca": Case(
        "fca",
        channels=32,
        arguments={"reduction": 8, "groups": 32},
        oracle_arguments={"reduction": 8, "freq_sel_method": "top32"},
        names={"dct_layer": None, "fc.0": "fc1", "fc.2": "fc2"},
        batch=1,
        size=(7, 7),
        note="every ranked frequency; other maps the reference pools to its grid first, ours takes the cosines of the map",
    ),
    "fca.scaled": Case(
        "fca",
        arguments={"reduction": 2, "groups": 8},
        oracle_arguments={"reduction": 2, "freq_sel_method": "top8", "dct_h": 14, "dct_w": 7},
        names={"dct_layer": None, "fc.0": "fc1", "fc.2": "fc2"},
        batch=3,
        size=(14, 7),
        note="the grid of the reference is the map; below 7 places a side it has no frequency but zero, so ours differs there",
    ),
    "ge_global": Case("ge", oracle_arguments={"extent": 0}),
    "sge": Case("sge", arguments={"groups": 2}, oracle_arguments={"groups": 2}),
    "simam": Case("simam"),
    "coord": Case("coord", arguments={"reduction": 32}, oracle_arguments={"reduction": 32}),
    "triplet": Case(
        "triplet",
        names={
            "cw.conv.conv": "cw.conv",
            "cw.conv.bn": "cw.bn",
            "hc.conv.conv": "hc.conv",
            "hc.conv.bn": "hc.bn",
            "hw.conv.conv": "hw.conv",
            "hw.conv.bn": "hw.bn",
        },
    ),
    "bam": Case(
        "bam",
        arguments={"reduction": 2},
        oracle_arguments={"reduction_ratio": 2, "fuse": "add"},
        batch=4,
        names={
            f"{BAM_CHANNEL}_fc_0": "channel.0",
            f"{BAM_CHANNEL}_bn_1": "channel.1",
            f"{BAM_CHANNEL}_fc_final": "channel.3",
            f"{BAM_SPATIAL}_conv_reduce0": "spatial.0",
            f"{BAM_SPATIAL}_bn_reduce0": "spatial.1",
            f"{BAM_SPATIAL}_conv_di_0": "spatial.3",
            f"{BAM_SPATIAL}_bn_di_0": "spatial.4",
            f"{BAM_SPATIAL}_conv_di_1": "spatial.6",
            f"{BAM_SPATIAL}_bn_di_1": "spatial.7",
            f"{BAM_SPATIAL}_conv_final": "spatial.9",
        },
        note="the branches are added as in the paper, where the released code multiplies them",
    ),
    "scse": Case(
        "scse",
        arguments={"reduction": 2},
        oracle_arguments={"reduction_ratio": 2},
        names={"cSE.fc1": "fc1", "cSE.fc2": "fc2", "sSE.conv": "conv"},
        **MANY_SMALL_MAPS,
    ),
    "shuffle": Case(
        "shuffle",
        arguments={"groups": 2},
        oracle_arguments={"groups": 2},
        names={
            "cweight": "channel_weight",
            "cbias": "channel_bias",
            "sweight": "place_weight",
            "sbias": "place_bias",
            "gn": "norm",
        },
    ),
    "ela": Case(
        "ela",
        channels=32,
        arguments={"kernel_size": 7},
        oracle_arguments={"variant": "B"},
        batch=1,
        note="the authors released no code: a public copy, of the paper's base setting",
    ),
    "ema_attention": Case("ema", arguments={"groups": 2}, oracle_arguments={"factor": 2}),
    "lka": Case("lka", channels=4, batch=1, size=(20, 19), note="the map is larger than half the field of view, 23 places"),
    "lsk": Case("lsk", channels=4, batch=1, size=(20, 19), note="the map is larger than half the field of view, 23 places"),
    "gsop": Case(
        "gsop",
        arguments={"reduction": 2},
        oracle_arguments={"att_dim": 4},
        names={
            "conv_for_DR": "reduce",
            "bn_for_DR": "reduce_bn",
            "row_bn": "row_bn",
            "row_conv_group": "row_conv",
            "fc_adapt_channels": "expand",
        },
        note="without the stride 2 of the authors' first stage",
    ),
    "gc": Case(
        "gc",
        arguments={"reduction": 2},
        oracle_arguments={"ratio": 0.5},
        names={
            "conv_mask": "conv_mask",
            "channel_add_conv.0": "fc1",
            "channel_add_conv.1": "norm",
            "channel_add_conv.3": "fc2",
        },
        **MANY_SMALL_MAPS,
    ),
    "danet_cam": Case("danet_cam", scale=0.2, note="a small input, so that the softmax over channels is not an argmax"),
    "danet_pam": Case("danet_pam", channels=16, arguments={"reduction": 8, "min_hidden": 2}),
    "nonlocal": Case(
        "nonlocal_alexhex7",
        arguments={"reduction": 2},
        names={"theta": "theta", "phi": "phi", "g": "g", "W.0": "expand", "W.1": "bn"},
    ),
    "mhsa": Case(
        "mhsa",
        arguments={"groups": 2, "max_distance": 6},
        oracle_arguments={"num_heads": 2, "scale_pos_embed": True, "feat_size": (7, 5)},
        names={"qkv": "qkv", "pos_embed.height_rel": "row_embedding", "pos_embed.width_rel": "column_embedding"},
        changed={"column_embedding": pad_distances},
        note="the tables of the reference end at the map, ours reach as far to both sides: the unused ends are zero",
    ),
    "psa_pointwise": Case(
        "psa_pointwise",
        arguments={"reduction": 2, "kernel_size": 13},
        oracle_arguments={"mid_channels": 4, "mask_h": 13, "mask_w": 13},
        names=dict(PSA_NAMES),
        adds_input=True,
        note=f"a mask that covers the map; {PSA_NOTE}",
    ),
    "psa_pointwise.small": Case(
        "psa_pointwise",
        arguments={"reduction": 2, "kernel_size": 5},
        oracle_arguments={"mid_channels": 4, "mask_h": 5, "mask_w": 5},
        names=dict(PSA_NAMES),
        adds_input=True,
        note=f"a mask smaller than the map; {PSA_NOTE}",
    ),
    "sk": Case(
        "sk",
        arguments={"reduction": 2, "groups": 2},
        oracle_arguments={"rd_channels": 4, "groups": 2},
        names={
            "paths.0.conv": "branches.0.0",
            "paths.0.bn": "branches.0.1",
            "paths.1.conv": "branches.1.0",
            "paths.1.bn": "branches.1.1",
            "attn.fc_reduce": "reduce",
            "attn.bn": "bn",
            "attn.fc_select": "select",
        },
        batch=3,
    ),
    "split_attention": Case(
        "split_attention",
        arguments={"reduction": 1, "min_hidden": 32},
        batch=3,
        note="the hidden width of the reference is never below 32",
    ),
}
for _extent, _units in {2: ONE_UNIT, 4: TWO_UNITS, 8: THREE_UNITS}.items():
    _shape: dict[str, Any] = {"channels": 4, "arguments": {"kernel_size": 2 * _extent - 1}, "size": (11, 9)}
    CASES[f"ge.extent{_extent}"] = Case("ge", oracle_arguments={"extent": _extent}, **_shape)
    CASES[f"ge_conv.extent{_extent}"] = Case(
        "ge_param",
        oracle_arguments={"extent": _extent},
        names=dict(_units),
        note="a re-implementation: the authors' own code is for another framework",
        **_shape,
    )


def randomise(module: nn.Module, generator: torch.Generator) -> None:
    """Give every parameter and every running statistic a random value, none of them near zero."""

    def away_from_zero(tensor: Tensor) -> Tensor:
        sign = torch.randint(0, 2, tensor.shape, generator=generator) * 2 - 1
        return sign * (0.5 + torch.rand(tensor.shape, generator=generator))

    with torch.no_grad():
        for parameter in module.parameters():
            fan_in = parameter[0].numel() if parameter.dim() > 1 else 1
            parameter.copy_(away_from_zero(parameter) / fan_in**0.5)
        for name, buffer in module.named_buffers():
            if name.endswith("running_mean"):
                buffer.copy_(away_from_zero(buffer) / 2)
            if name.endswith("running_var"):
                buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))


def our_name(name: str, prefixes: dict[str, str | None]) -> str | None:
    """Our name of a tensor of the reference; None if we do not store it.

    Raises:
        KeyError: no prefix fits.

    """
    for prefix, ours in prefixes.items():
        if prefix == "":
            return name
        if name == prefix or name.startswith(f"{prefix}."):
            return None if ours is None else ours + name[len(prefix) :]
    raise KeyError(f"{name} has no counterpart in {prefixes}")


def our_weights(case: Case, theirs: dict[str, Tensor], ours: dict[str, Tensor]) -> dict[str, Tensor]:
    """The state dict ``theirs`` under the names and in the shapes of ``ours``."""
    found: dict[str, Tensor] = {}
    for their_name, value in theirs.items():
        name = our_name(their_name, case.names)
        if name is not None:
            changed = case.changed[name](value) if name in case.changed else value
            found[name] = changed.reshape(ours[name].shape).clone()
    return found


def source(file: Path) -> dict[str, Any]:
    """Where a reference is from, by the header of its file."""
    header = re.findall(r"^# ?(.*)$", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
    facts = dict(line.split(": ", 1) for line in header if re.match(r"(repo|commit|path|licence): ", line))
    return {
        "repository": facts["repo"],
        "commit": facts["commit"].partition(" (")[0].removeprefix("pip "),
        "path": facts["path"],
        "licence": facts["licence"].partition(" (")[0],
        "changes": [line.removeprefix("  - ") for line in header if line.startswith("  - ")],
    }


def record(label: str, case: Case, folder: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of one case, and its entry of the JSON file."""
    file = folder / f"{case.oracle}.py"
    generator = torch.Generator().manual_seed(zlib.crc32(label.encode()))
    oracle = runpy.run_path(str(file))["make"](case.channels, **case.oracle_arguments)
    oracle = oracle.get_submodule(case.part)
    randomise(oracle, generator)
    levels = torch.randn((case.batch, case.channels, 1, 1), generator=generator)
    x = (levels + torch.randn((case.batch, case.channels, *case.size), generator=generator)) * case.scale
    mechanism = label.partition(".")[0]
    ours = get_mechanism(mechanism).build(case.channels, **case.arguments)
    weights = our_weights(case, oracle.state_dict(), ours.state_dict())
    residual = x if case.adds_input else torch.zeros(())
    with torch.no_grad():
        tensors = {"input": x, "eval": residual + oracle.eval()(x.clone()), "train": residual + oracle.train()(x.clone())}
    if torch.equal(tensors["eval"], tensors["train"]):
        del tensors["train"]
    tensors |= {f"weights/{name}": value for name, value in weights.items()}
    facts = {
        "mechanism": mechanism,
        "channels": case.channels,
        "arguments": case.arguments,
        "source": source(file) | {"arguments": case.oracle_arguments},
        "note": case.note,
    }
    return {f"{label}/{name}": value.contiguous() for name, value in tensors.items()}, facts


def main(folder: Path) -> None:
    """Write both files from the references in ``folder``."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    tensors: dict[str, Tensor] = {}
    facts: dict[str, Any] = {}
    for label, case in sorted(CASES.items()):
        recorded, facts[label] = record(label, case, folder)
        tensors |= recorded
    save_file(tensors, DATA / "parity.safetensors")
    (DATA / "parity.safetensors").chmod(0o644)
    (DATA / "parity.json").write_text(json.dumps(facts, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
