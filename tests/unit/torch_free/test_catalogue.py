"""The catalogue: names, aliases and records of mechanisms."""

import pytest

from attn_nas.attention.catalog import get_mechanism, register_mechanism
from attn_nas.attention.mechanism import Mechanism
from attn_nas.errors import SpaceError


def test_an_unknown_mechanism_names_the_choices():
    """The error lists what exists and the closest name."""
    with pytest.raises(SpaceError, match=r"unknown mechanism 'gsopp'.*sk.*did you mean gsop\?"):
        get_mechanism("gsopp")


def test_a_name_can_be_registered_once():
    """A second mechanism of the same name, or with a name in use as an alias, is refused."""
    with pytest.raises(SpaceError, match="mechanism name 'se' is taken"):
        register_mechanism(Mechanism("se", "m:C", "channel", "", title="", year=2020))
    with pytest.raises(SpaceError, match="mechanism name 'SELayer' is taken"):
        register_mechanism(Mechanism("another", "m:C", "channel", "", title="", year=2020, aliases=("SELayer",)))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "none"}, "choose lower-case letters"),
        ({"name": "My Gate"}, "choose lower-case letters"),
        ({"family": "chanel"}, "unknown family 'chanel': choose from channel, .*did you mean channel"),
        ({"positions": ("middle",)}, "choose from standard, pre"),
        ({"positions": ()}, "choose from standard, pre"),
        ({"positions": ("stage_end", "post")}, "cannot be combined with other positions: give it alone"),
        ({"positions": ("replace",)}, "takes_stride=True"),
        ({"reductions": (4, 0)}, "reductions = 0: choose an integer"),
        ({"kernel_sizes": (3, 4)}, "kernel_size = 4: choose an odd integer"),
        ({"groups": (True,)}, "groups = True: choose an integer"),
    ],
    ids=str,
)
def test_a_record_that_cannot_be_is_refused_at_once(fields, message):
    """Where it is written, and not when a search has come to it."""
    valid = {"name": "mine", "target": "m:C", "family": "channel", "formula": "", "title": "", "year": 2026}
    Mechanism(**valid)
    with pytest.raises(SpaceError, match=message):
        Mechanism(**{**valid, **fields})


def test_aliases_lead_to_the_mechanism():
    """The names of the published snippets are understood."""
    assert {get_mechanism(name).name for name in ("SEBlock", "SELayer", "SEAttention")} == {"se"}
