"""The committed sweep: every mechanism, trunk and format is in it, all of them passed, and it is of this catalogue."""

import pytest

from attn_nas.attention.catalog import mechanism_names


def test_the_sweep_is_of_this_catalogue(swept):
    """What was changed since is to be swept again: nox -s sweep."""
    assert swept.found["catalogue"] == swept.digest, "run nox -s sweep, and commit tests/data/sweep.json"


@pytest.mark.parametrize(
    ("test", "trunks"),
    [
        ("test_every_legal_position_works", 8),
        ("test_source_of_every_mechanism_is_complete_and_minimal", 8),
        ("test_every_format_holds_every_mechanism_and_trunk", 1),
    ],
)
def test_the_sweep_has_all_mechanisms_and_trunks(swept, test, trunks):
    """Each mechanism on so many trunks, and each trunk; nothing else than passes."""
    found = swept.found["tests"][test]
    assert list(found) == swept.trunks
    assert all(list(outcomes) == ["passed"] for outcomes in found.values())
    passed = [name for outcomes in found.values() for name in outcomes["passed"]]
    assert sorted(passed) == sorted(mechanism_names() * trunks)
