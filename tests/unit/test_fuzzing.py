"""Whatever a file says, it is read, or refused by an error of this package."""

import copy
import json
import math
import random
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from attn_nas.benchmark.table import Header
from attn_nas.cost import Cost
from attn_nas.errors import RunError, SpaceError
from attn_nas.events.log import event_in
from attn_nas.monitor.summary import brief_progress
from attn_nas.runs.manifest import RunManifest
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype
from attn_nas.space.loading import builtin_spaces, load_space, parse_space
from attn_nas.space.references import reference_genotypes
from attn_nas.space.trunks import Trunk
from attn_nas.storage.formats import FORMAT
from attn_nas.training import ProxyResult
from attn_nas.training.protocol import Trained

quickly = settings(
    max_examples=150,
    derandomize=True,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.large_base_example, HealthCheck.data_too_large],
)

SPACES = [yaml.safe_load(path.read_text()) for path in builtin_spaces().values()]
_TINY = load_space(Path(__file__).parents[1] / "data" / "tiny.yaml")
GENOTYPES = [each.to_dict() for each in reference_genotypes(_TINY, Encoding(_TINY)).values()]
WORDS = [
    "se",
    "eca",
    "sk",
    "standard",
    "pre",
    "replace",
    "adaptive",
    "cifar_resnet",
    "resnet",
    "digits",
    "+5%",
    "45M",
    "bf16",
    "ema",
]
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, 1, -1, 2, 3, 8, 2**31, 2**63, 10**30]),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(WORDS),
)
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3), max_leaves=8
)


def _mutated(document, rng, draw_value):
    """``document`` with a few changes anywhere in it."""
    document = copy.deepcopy(document)
    for _ in range(rng.randint(1, 3)):
        node = document
        while True:
            keys = list(node) if isinstance(node, dict) else list(range(len(node)))
            if not keys:
                break
            key = rng.choice(keys)
            if isinstance(node[key], dict | list) and node[key] and rng.random() < 0.8:
                node = node[key]
                continue
            change = rng.randrange(4)
            if change == 0:
                del node[key]
            elif change == 1 and isinstance(node, dict):
                node[str(rng.choice(WORDS))] = node.pop(key)
            elif change == 2 and isinstance(node, list):
                node.append(node[key])
            else:
                node[key] = draw_value()
            break
    return document


@st.composite
def nearly(draw, documents):
    """One of ``documents`` with a few things changed."""
    rng = draw(st.randoms(use_true_random=False))
    assert isinstance(rng, random.Random)
    return _mutated(draw(st.sampled_from(documents)), rng, lambda: draw(values))


def _is_read_or_refused(read, *wanted):
    """What ``read`` gives, or None where it raises one of the ``wanted`` errors; any other fails the test."""
    try:
        return read()
    except wanted:
        return None


@quickly
@given(st.text() | st.text(alphabet="abc: -[]{}&*!#|>'\"\n\t,0123456789._%@`?=~", max_size=60))
def test_any_text_is_a_space_or_refused(text):
    """By a SpaceError that names the file."""
    assert _is_read_or_refused(lambda: parse_space(text, "space.yaml"), SpaceError) is None


@quickly
@given(st.binary(max_size=200))
def test_any_bytes_are_a_space_or_refused(tmp_path_factory, content):
    """Read from a file."""
    path = tmp_path_factory.getbasetemp() / "fuzzed.yaml"
    path.write_bytes(content)
    assert _is_read_or_refused(lambda: load_space(path), SpaceError) is None


@quickly
@given(nearly(SPACES))
def test_nearly_a_space_is_one_or_refused(document):
    """And one that is read survives being written."""
    text = yaml.safe_dump(document, allow_unicode=True)
    space = _is_read_or_refused(lambda: parse_space(text, "space.yaml"), SpaceError)
    if space is not None:
        assert parse_space(yaml.safe_dump(space.model_dump(mode="json"))) == space


@quickly
@given(values | nearly(GENOTYPES))
def test_any_document_is_a_genotype_or_refused(document):
    """And one that is read comes back from JSON, with the same key."""
    genotype = _is_read_or_refused(lambda: Genotype.from_dict(document), SpaceError)
    if genotype is not None:
        again = Genotype.from_json(genotype.to_json())
        assert (again, again.key) == (genotype, genotype.key)


@quickly
@given(st.text() | values.map(json.dumps) | nearly(GENOTYPES).map(lambda value: json.dumps(value)[:-3]))
def test_any_text_is_a_genotype_or_refused(text):
    """JSON with NaN and huge numbers included."""
    _is_read_or_refused(lambda: Genotype.from_json(text), SpaceError)


MANIFEST = {
    "space_name": "tiny",
    "space": _TINY.model_dump(mode="json"),
    "seed": 0,
    "budget": 4,
    "confirm": 2,
    "early_stopping": False,
    "numerics": {"device": "cpu", "precision": "fp32", "channels_last": True},
    "task": {"channels": 3, "height": 16, "width": 16, "num_classes": 10},
    "normalization": {"mean": [0.5, 0.5, 0.5], "std": [0.2, 0.2, 0.2]},
    "bare_cost": {"flops": 4, "macs": 3, "fvcore_default": 3, "params": 2},
    "reference_point": [0.1, 9],
    "flops_convention": "words",
    "format": FORMAT,
    "versions": {"attn_nas": "0", "torch": "2", "python": "3"},
    "rules": {"decoding": 1, "split": 1, "digest": 0},
}


def _read_manifest(document):
    manifest = RunManifest.from_stored(document, "run")
    manifest.space.load(Path("run"))
    return manifest


@quickly
@given(values | nearly([MANIFEST]))
def test_any_document_is_a_manifest_or_refused(document):
    """The manifest of a run, and the space in it; one that is read survives being stored."""
    manifest = _is_read_or_refused(lambda: _read_manifest(document), RunError, SpaceError)
    if manifest is not None:
        assert RunManifest.from_stored(json.loads(json.dumps(manifest.to_stored())), "run") == manifest


RESULT = ProxyResult(0.5, 1.0, 0.1, (0.4, 0.5), (1.2, 1.0), (0.0, 0.1), (2.0, 1.0), 1.0, 1.0, 1.0, 32, 0)
TRAINED = Trained(RESULT, Cost(4, 3, 3, 2)).to_dict()


@quickly
@given(values | nearly([TRAINED]))
def test_any_document_is_a_training_or_not(document):
    """What is read of files beside a study raises what their readers expect; accuracies are shares of 1."""
    try:
        trained = Trained.from_dict(document)
    except (ValueError, TypeError, KeyError, AttributeError):
        return
    assert all(math.isfinite(share) and 0 <= share <= 1 for share in (trained.result.accuracy, *trained.result.curve))
    assert trained.cost.flops >= 0


_NAMED = {"time": 1.0, "number": 1, "key": "k", "seed": 0, "placements": "-"}
EVENTS = [
    {"event": "TrialStarted", **_NAMED, "reference": None, "flops": 1, "params": 1},
    {"event": "EpochFinished", "time": 1.0, "number": 1, "epoch": 1, "accuracy": 0.5},
    {"event": "TrialFailed", **_NAMED, "reason": "r", "counts": True, "finished": 1},
    {"event": "SearchFinished", "run": "r", "why": "budget", "finished": 1, "confirmed": 0, "budget": 1, "seconds": 1.0,
     "training_seconds": 1.0},
]  # fmt: skip


@quickly
@given(st.lists(values.map(json.dumps) | nearly(EVENTS).map(json.dumps) | st.text(max_size=20), max_size=5))
def test_any_lines_are_a_log(lines):
    """What is no event is left out."""
    for line in lines:
        event_in(line)
    brief_progress(lines)


@quickly
@given(
    values
    | nearly(
        [{"name": "t", "space": MANIFEST["space"], "task": MANIFEST["task"], "bare": MANIFEST["bare_cost"], "dearest_flops": 9}]
    )
)
def test_any_header_is_a_tables_or_not(document):
    """It raises what the reader of tables expects."""
    try:
        Header.from_dict(document)
    except (KeyError, ValueError, TypeError):
        return


@pytest.mark.parametrize("depth", [2**63, -1, 0, 10**30])
def test_a_trunk_beyond_reason_is_refused(depth):
    """At once."""
    with pytest.raises(SpaceError):
        Trunk("cifar_resnet", depth, 8)
