"""The reference of trunks: the families of the catalogue, with a drawing of each."""

from __future__ import annotations

from collections import Counter

from attn_nas.drawing import draw_svg
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.geometry import TrunkFamily
from attn_nas.space.trunks import Trunk, get_family, trunk_names
from generators.commands import invocation
from generators.markdown import code, definitions, drawing, front_matter

_SHOWN = Placement("eca", "standard", kernel_size=3)
"""What the first block of each drawing holds, so that its layers and insertion points are drawn."""
_MOST_LAYERS = 200


def page() -> str:
    """All families that come with the package."""
    return "\n\n".join(
        [
            front_matter("The convolutional networks whose blocks receive attention: depths, widths, insertion points.")
            + "# Trunks",
            "A trunk is the convolutional network whose blocks receive attention. A search space names its family, and its "
            "depth where there are several: `trunk: {name: resnet, depth: 18}`. "
            f"`{invocation('trunks')}` prints this list. A plug-in adds a trunk of your own: [extending](../extending.md).",
            "In each drawing the first block holds an example, ECA at `standard`, so that its layers are shown. Circles are "
            "[positions](../positions.md) where attention may sit. A square is a block without attention.",
            *(_section(get_family(name)) for name in trunk_names()),
        ]
    )


def _section(family: TrunkFamily) -> str:
    depth = family.default_depth or next(depth for depth in range(_MOST_LAYERS) if family.is_depth(depth))
    trunk = Trunk(family.name, depth, family.default_width)
    counted = Counter(position for site in trunk.sites for position in site.positions)
    blocks = len(trunk.blocks)
    where = ", ".join(code(name) if number >= blocks else f"`{name}` ({number})" for name, number in counted.items())
    placements = (_SHOWN.canonical(trunk.sites[0]), *(None for _ in trunk.blocks[1:]))
    drawn = Genotype(trunk, placements, (None,) * (trunk.num_stages - 1))
    facts = definitions(
        [
            ("depths", family.depths),
            ("width", f"{family.default_width} channels in the first stage, unless `trunk.width` says otherwise"),
            (f"depth {depth}", f"{blocks} blocks in {trunk.num_stages} stages"),
            ("positions", f"{where}; a number in brackets counts the sites that have it, where not all blocks do"),
        ]
    )
    heading = f"## {family.name} {{: #{family.name} }}"
    return "\n\n".join([heading, f"{family.description}.", facts, drawing(draw_svg(drawn, styled=False))])
