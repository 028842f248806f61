"""Search-space files: what ships is sound, what is wrong is told at its place, and encoding loses nothing."""

import json
import random
from pathlib import Path

import jsonschema
import pytest
import yaml

from attn_nas.attention import catalog
from attn_nas.attention.mechanism import Mechanism
from attn_nas.errors import SpaceError
from attn_nas.space.encoding import Encoding
from attn_nas.space.genotype import Genotype, Placement
from attn_nas.space.loading import builtin_spaces, load_space, parse_space
from attn_nas.space.references import reference_genotypes
from attn_nas.space.schema import LimitSettings, SearchSpace, json_schema
from attn_nas.space.trunks import Trunk

FOLDER = Path(__file__).parents[3] / "search_spaces"
SHIPPED = [
    "cifar100_resnet56",
    "cifar10_resnet20",
    "cifar10_zoo",
    "cued_digits",
    "cued_digits_table",
    "imagefolder_mobilenet_v3",
    "imagefolder_resnet18",
]

WRONG = """\
trunk: {name: cifar_resnet, depth: 21}
data:
  name: cued_digit
  nun_train: 5
mechanisms:
  - name: see
  - name: se
    reductions: [0, 4]
    positions: [standart, replace]
  - name: sam
    kernel_sizes: [3, 4]
    reductions: [2]
  - eca
  - {name: sk, positions: [standard]}
proxy: {epochs: many, lr: 0.1}
granularity: per_blok
proxy2: 1
"""

PROBLEMS = """\
wrong.yaml:1:36  trunk.depth = 21: cifar_resnet has no depth 21: choose from 6n + 2: 8, 14, 20, 32, 44, 56, 110, ...
wrong.yaml:3:9  data.name = cued_digit: choose from cued_digits, cluttered_digits, digits, cifar10, cifar100, \
fashion_mnist, svhn, image_folder, image_list, image_masks, arrays (did you mean cued_digits?)
wrong.yaml:4:3  data.nun_train: no such key: choose from name, root, num_train, num_validation, image_size, seed, \
augment, file, group, window, ignored_index, classes, options (did you mean num_train?)
wrong.yaml:6:11  mechanisms[0].name = see: unknown mechanism 'see': choose from se, ese, eca, eca_max, cam_gate, srm, \
gct, nam, fca, ge_global, sam, ge, ge_conv, sge, cbam, simam, coord, triplet, bam, scse, shuffle, ela, ema_attention, lka, \
lsk, gsop, gc, danet_cam, danet_pam, nonlocal, mhsa, psa_pointwise, sk, split_attention (did you mean se?)
wrong.yaml:8:18  mechanisms[1].reductions[0] = 0: input should be greater than or equal to 1
wrong.yaml:9:17  mechanisms[1].positions[0] = standart: choose from standard, pre, inner, pre_norm, identity, post, \
replace, stage_end (did you mean standard?)
wrong.yaml:9:27  mechanisms[1].positions[1] = replace: se cannot have replace: choose from standard, pre, inner, \
pre_norm, identity, post
wrong.yaml:11:23  mechanisms[2].kernel_sizes[1] = 4: choose an odd integer such as 3, 5 or 7, or adaptive where the \
mechanism has it
wrong.yaml:12:17  mechanisms[2].reductions: sam has no reductions: leave it out
wrong.yaml:13:5  mechanisms[3]: write a mapping with name, reductions, kernel_sizes, groups, positions, identity_init
wrong.yaml:14:28  mechanisms[4].positions[0] = standard: sk cannot have standard: choose from replace
wrong.yaml:15:8  proxy.batch_size: this key is missing
wrong.yaml:15:17  proxy.epochs = many: this is text: write an integer such as 3
wrong.yaml:16:14  granularity = per_blok: choose from per_block, per_stage (did you mean per_block?)
wrong.yaml:17:1  proxy2: no such key: choose from plugins, model, trunk, data, mechanisms, granularity, limits, proxy, \
objectives, objective (did you mean proxy?)"""


def test_every_mistake_is_reported_at_its_place_at_once():
    """File, line, column, path, value, choices and a guess; all mistakes in the order of the file."""
    with pytest.raises(SpaceError) as caught:
        parse_space(WRONG, "wrong.yaml")
    assert str(caught.value) == PROBLEMS


UNFIT = """\
trunk: {name: mobilenet_v2}
data: {name: digits}
mechanisms:
  - name: sge
    groups: [4, 48]
  - {name: ge_conv, kernel_sizes: [3, 5]}
  - {name: simam, identity_init: true}
  - {name: shuffle, groups: [8], positions: [standard, pre]}
  - {name: bam, positions: [standard]}
  - {name: mhsa}
proxy: {epochs: 1, batch_size: 1, lr: 0.1}
"""

UNFIT_PROBLEMS = """\
unfit.yaml:7:34  mechanisms[2].identity_init = true: simam has no identity_init: leave it out
unfit.yaml:9:29  mechanisms[4].positions[0] = standard: bam cannot have standard: choose from stage_end
unfit.yaml:11:32  proxy.batch_size = 1: input should be greater than or equal to 2"""

UNFIT_AFTERWARDS = """\
unfit.yaml:5:17  mechanisms[0].groups[1] = 48: sge: groups = 48 with channels = 16: choose from 1, 2, 4, 8, 16 (block 0)
unfit.yaml:6:39  mechanisms[1].kernel_sizes[1] = 5: ge_conv cannot have kernel_size 5: choose from 3, 7, 15 (block 0)
unfit.yaml:8:30  mechanisms[3].groups[0] = 8: shuffle: groups = 8 with channels = 24: choose from 1, 2, 3, 4, 6, 12 (block 1)"""


def test_what_a_trunk_has_no_room_for_is_reported_at_its_place():
    """Groups that do not divide, kernels that do not exist, positions and options that a mechanism does not have."""
    with pytest.raises(SpaceError) as caught:
        parse_space(UNFIT, "unfit.yaml")
    assert str(caught.value) == UNFIT_PROBLEMS
    mended = (
        UNFIT.replace(", identity_init: true", "").replace("bam, positions: [standard]", "bam").replace("size: 1", "size: 2")
    )
    with pytest.raises(SpaceError) as caught:
        parse_space(mended, "unfit.yaml")
    assert str(caught.value) == UNFIT_AFTERWARDS


def test_a_batch_must_be_large_enough_for_every_mechanism(monkeypatch):
    """A mechanism with a larger smallest batch is refused by name."""
    large = Mechanism("needs_eight", "no_such_module:Class", "channel", "", title="", year=2026, min_batch=8)
    monkeypatch.setitem(catalog._CATALOG._records, "needs_eight", large)
    text = (
        (FOLDER / "cued_digits.yaml")
        .read_text()
        .replace("name: se,", "name: needs_eight,")
        .replace("reductions: [2, 4], ", "", 1)
    )
    with pytest.raises(SpaceError, match="needs_eight cannot be trained on batches of less than 8: choose 8 or more"):
        parse_space(text.replace("batch_size: 64", "batch_size: 4"))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("warm_epochs: 3", "proxy.warm_epochs = 3: candidates need an epoch: choose less than the 3 of proxy.epochs"),
        ("warm_epochs: -1", "proxy.warm_epochs = -1: input should be greater than or equal to 0"),
        ("averaging: mean", "proxy.averaging = mean: choose from none, ema, last"),
        ("averaging_epochs: 0", "proxy.averaging_epochs = 0: input should be greater than 0"),
        ("initial_resolution: 0.1", "proxy.initial_resolution = 0.1: input should be greater than or equal to 0.25"),
    ],
)
def test_levers_of_the_proxy_are_checked(setting, message):
    """Out of range, or no epoch left."""
    text = (FOLDER / "cued_digits.yaml").read_text().partition("proxy:")[0]
    with pytest.raises(SpaceError) as caught:
        parse_space(f"{text}proxy: {{epochs: 3, batch_size: 64, lr: 0.1, {setting}}}")
    assert message in str(caught.value)


def test_groups_left_out_are_those_that_divide_everywhere():
    """The catalogue's numbers that every block of the trunk has room for; none at all is an error."""
    text = "trunk: {{name: cifar_resnet, depth: 8, width: {}}}\ndata: {{name: digits}}\nmechanisms: [{{name: shuffle}}]\n"
    text += "proxy: {{epochs: 1, batch_size: 2, lr: 1}}\n"
    encoding = Encoding(parse_space(text.format(12)))
    assert encoding.choices["block0.groups"] == (1, 2)
    with pytest.raises(SpaceError, match="shuffle has no number of groups for cifar_resnet depth 8 width 9: none of 1, 2"):
        parse_space(text.format(9))


def test_stage_ends_have_genes_of_their_own():
    """What may sit between stages is chosen apart from the blocks, and referred to as everywhere."""
    data = yaml.safe_load((FOLDER / "cued_digits.yaml").read_text())
    data["mechanisms"] = [{"name": "se", "reductions": [4]}, {"name": "bam", "identity_init": True}]
    space = parse_space(yaml.safe_dump(data))
    encoding = Encoding(space)
    assert encoding.num_genes == 5
    assert encoding.choices["end0.mechanism"] == ("none", "bam")
    assert encoding.choices["block0.mechanism"] == ("none", "se")
    everywhere = reference_genotypes(space, encoding)["bam everywhere"]
    assert str(everywhere) == "- |bam r4 init=1| - |bam r8 init=1| -"
    assert encoding.decode(encoding.encode(everywhere)) == everywhere
    only_ends = Encoding(parse_space(yaml.safe_dump({**data, "mechanisms": [{"name": "bam"}]})))
    assert {name.split(".")[0] for name in only_ends.choices} == {"end0", "end1"}


def test_positions_that_a_block_lacks_are_left_out_there():
    """In blocks without a shortcut a space offers the nearest legal position, or nothing."""
    data = yaml.safe_load((FOLDER / "cued_digits.yaml").read_text())
    data["trunk"] = {"name": "mobilenet_v2", "width": 8}
    data["mechanisms"] = [{"name": "se", "reductions": [4], "positions": ["identity"]}]
    encoding = Encoding(parse_space(yaml.safe_dump(data)))
    genotype = encoding.decode({name: values[-1] for name, values in encoding.choices.items()})
    shortcuts = [block.shortcut for block in encoding.trunk.blocks]
    assert [placement is not None for placement in genotype.placements] == shortcuts
    assert encoding.decode(encoding.encode(genotype)) == genotype


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "bad.yaml:1:1  a search space is a mapping"),
        ("- 1", "bad.yaml:1:1  a search space is a mapping with plugins, model, trunk, data"),
        ("trunk: {name: [", r"bad.yaml:1:\d+  not YAML"),
        ("\x00", "not YAML"),
        ("a: &a [*a]", "bad.yaml:1:4  not YAML: this anchor contains itself"),
        ("? [a]\n: 1", "bad.yaml:1:3  not YAML: found unhashable key"),
        ("data: {1: 2}", "bad.yaml:1:8  data.1: a key is text: choose from name, root"),
        ("trunk: 1\ntrunk: 2", "bad.yaml:2:1  trunk: this key appears twice"),
    ],
)
def test_what_is_no_search_space_says_so(text, message):
    """Empty, list, broken YAML, control characters, repeated keys."""
    with pytest.raises(SpaceError, match=message):
        parse_space(text, "bad.yaml")


def test_a_missing_file_names_the_shipped_spaces():
    """A misspelt name gets a guess."""
    with pytest.raises(SpaceError, match=r"no search space 'cued_digit'.*did you mean cued_digits\?"):
        load_space("cued_digit")


def test_the_same_mechanism_twice_is_refused():
    """Also under an alias."""
    data = yaml.safe_load((FOLDER / "cued_digits.yaml").read_text())
    data["mechanisms"] = [{"name": "se"}, {"name": "SELayer"}]
    with pytest.raises(SpaceError, match="se appears twice"):
        parse_space(yaml.safe_dump(data))


def test_the_shipped_spaces_are_listed():
    """The embedded default, CIFAR-10, CIFAR-100 and a folder of images."""
    assert list(builtin_spaces()) == SHIPPED


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_spaces_encode_and_decode_without_loss(name):
    """Random parameters decode to a genotype whose encoding decodes to the same."""
    space = load_space(name)
    encoding, rng = Encoding(space), random.Random(0)
    for _ in range(100):
        genotype = encoding.decode({key: rng.choice(values) for key, values in encoding.choices.items()})
        assert encoding.decode(encoding.encode(genotype)) == genotype


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_spaces_have_their_references(name):
    """The bare trunk comes first, and every mechanism of the space is tried everywhere."""
    space = load_space(name)
    references = reference_genotypes(space, Encoding(space))
    assert next(iter(references)) == "none"
    assert references["none"].num_attended == 0
    for mechanism in space.mechanisms:
        everywhere = references[f"{mechanism.name} everywhere"]
        possible = [set(mechanism.legal_positions) & set(site.positions) for site, _ in everywhere.sites]
        assert [placement and placement.mechanism for _, placement in everywhere.sites] == [
            mechanism.name if positions else None for positions in possible
        ]
    assert len({genotype.key for genotype in references.values()}) == len(references)


def test_tied_stages_share_one_choice(tiny_space):
    """With per_stage granularity all blocks of a stage decode alike, and an untied genotype is not in the space."""
    deep = tiny_space.model_copy(
        update={"granularity": "per_stage", "trunk": tiny_space.trunk.model_copy(update={"depth": 14})}
    )
    encoding, rng = Encoding(deep), random.Random(0)
    assert encoding.num_genes == 3
    for _ in range(50):
        genotype = encoding.decode({key: rng.choice(values) for key, values in encoding.choices.items()})
        first, second = genotype.placements[0], genotype.placements[1]
        assert (first and first.mechanism) == (second and second.mechanism)
        assert encoding.decode(encoding.encode(genotype)) == genotype
    untied = Genotype(encoding.trunk, (Placement("eca", kernel_size=5), *(None,) * 5))
    with pytest.raises(SpaceError, match="tied to another choice"):
        encoding.encode(untied)


def test_a_genotype_outside_the_space_is_refused(tiny_space):
    """The error names the block and the placement."""
    encoding = Encoding(tiny_space)
    outside = Genotype(encoding.trunk, (None, Placement("cbam", reduction=4, kernel_size=7), None))
    with pytest.raises(SpaceError, match=r"block 1: cbam .* is not in the search space"):
        encoding.encode(outside)


def test_the_committed_schema_is_current():
    """`attn-nas catalog schema` prints the file beside the spaces."""
    assert json.loads((FOLDER / "search_space.schema.json").read_text()) == json_schema()


@pytest.mark.parametrize("name", SHIPPED)
def test_the_schema_accepts_the_shipped_spaces(name):
    """Editors that follow the schema find no fault."""
    jsonschema.validate(yaml.safe_load((FOLDER / f"{name}.yaml").read_text()), json_schema())


def test_the_schema_rejects_what_the_loader_rejects():
    """A wrong position or key is red in an editor too; names are left to the loader, because plug-ins add some."""
    data = yaml.safe_load((FOLDER / "cued_digits.yaml").read_text())
    for change in ({"mechanisms": [{"name": "se", "positions": ["standart"]}]}, {"proxy2": 1}):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate({**data, **change}, json_schema())


@pytest.mark.parametrize("name", SHIPPED)
def test_keywords_and_a_file_of_the_same_content_give_equal_spaces(name):
    """Every shipped space, its sections as keywords."""
    assert SearchSpace(**yaml.safe_load((FOLDER / f"{name}.yaml").read_text())) == load_space(name)


def test_short_forms_stand_for_mappings():
    """A trunk with its depth, mechanisms and data by name, limits at the top."""
    written = """\
trunk: {name: resnet, depth: 18}
data: {name: cifar10}
mechanisms: [{name: se}, {name: eca}, {name: cbam, reductions: [8]}]
limits: {max_flops: +5%, max_params: 12000000}
proxy: {epochs: 12, batch_size: 64, lr: 0.1, label_smoothing: 0.1}
"""
    mechanisms = ("se", catalog.get_mechanism("eca"), {"name": "cbam", "reductions": [8]})
    limits = {"max_flops": "+5%", "max_params": 12_000_000}
    from_file = parse_space(written)
    assert SearchSpace(trunk="resnet18", mechanisms=mechanisms, data="cifar10", **limits) == from_file
    for spelling in ("resnet-18", "resnet_18", {"name": "resnet", "depth": 18}, from_file.trunk):
        assert SearchSpace(trunk=spelling, mechanisms=mechanisms, data=from_file.data, limits=limits) == from_file
    mixed = SearchSpace(
        trunk="resnet18",
        mechanisms=from_file.mechanisms,
        data={"name": "cifar10"},
        limits=LimitSettings(max_flops="+5%"),
        max_params=12_000_000,
    )
    assert mixed == from_file
    assert SearchSpace.model_validate(from_file.model_dump()) == SearchSpace(**from_file.model_dump()) == from_file


@pytest.mark.parametrize(
    ("trunk", "expected"),
    [
        ("mobilenet_v2", Trunk("mobilenet_v2", 53, 32)),
        ("mobilenet_v3_large", Trunk("mobilenet_v3_large", 48, 16)),
        ("cifar_resnet20", Trunk("cifar_resnet", 20, 16)),
        ("convnext113", Trunk("convnext", 113, 96)),
        (Trunk("resnet", 50, 32), Trunk("resnet", 50, 32)),
    ],
)
def test_a_trunk_is_named_by_family_and_depth(trunk, expected):
    """The depth may be left out where the family has a single one; the width is the family's own."""
    assert SearchSpace(trunk=trunk, mechanisms=["se"]).trunk.trunk() == expected


GOOD = {"trunk": "resnet18", "mechanisms": ["se"]}


@pytest.mark.parametrize(
    ("changes", "messages"),
    [
        ({"trnk": 1, "mechanism": 2}, ["trnk: no such key: choose from plugins, model, trunk, ", "(did you mean mechanisms?)"]),
        ({"max_flop": "+5%"}, ["max_flop: no such key: ", "max_flops, max_params (did you mean max_flops?)"]),
        ({"trunk": None, "mechanisms": None}, ["trunk: this key is missing", "mechanisms: this key is missing"]),
        ({"trunk": "resnet19"}, ["trunk.depth = 19: resnet has no depth 19: choose from 18, 34, 50, 101"]),
        ({"trunk": "resnett18"}, ["trunk.name = resnett18: unknown trunk 'resnett18'", "did you mean resnet"]),
        ({"trunk": "cifar_resnet"}, ["trunk.depth: cifar_resnet needs a depth: choose from 6n + 2"]),
        ({"trunk": 18}, ["trunk: write a mapping with name, depth, width"]),
        ({"trunk": "resnet" + "9" * 5000}, ["unknown trunk 'resnet999"]),
        ({"mechanisms": "se"}, ["mechanisms = se: write a list, in brackets: [a, b]"]),
        ({"mechanisms": []}, ["mechanisms: write a list of at least 1 item"]),
        ({"mechanisms": ["se", "SELayer"]}, ["mechanisms: se appears twice"]),
        (
            {"mechanisms": ["sq", 3]},
            ["mechanisms[0].name = sq: unknown mechanism 'sq'", "mechanisms[1]: write a mapping with name"],
        ),
        (
            {"mechanisms": [{"name": "se", "reductions": [4, 0]}], "granularity": "per_blok"},
            [
                "mechanisms[0].reductions[1] = 0: input should be greater",
                "granularity = per_blok: choose from per_block, per_stage",
            ],
        ),
        ({"max_flops": "5%"}, ["limits.max_flops = 5%: '5%' is not a limit: write a total (45M)"]),
        (
            {"max_flops": 5.5, "max_params": True},
            ["limits.max_flops = 5.5: write a total", "limits.max_params = True: write a total"],
        ),
        ({"max_flops": 0}, ["limits.max_flops = 0: choose a number of at least 1"]),
        ({"max_flops": 9, "limits": {"max_flops": 9}}, ["max_flops: leave it out, or limits.max_flops: both are given"]),
        (
            {"limits": {"max_flop": 9}},
            ["limits.max_flop: no such key: choose from max_flops, max_params (did you mean max_flops?)"],
        ),
        ({"limits": "+5%", "max_params": 9}, ["limits: write a mapping with max_flops, max_params"]),
        ({"data": "cifar"}, ["data.name = cifar: choose from cued_digits", "did you mean cifar10?"]),
        ({"data": 3}, ["data: write a mapping with name, root"]),
        ({"proxy": {"epochs": 3, "batch_size": 8}}, ["proxy.lr: this key is missing"]),
        ({"plugins": ["nowhere.py"]}, ["plugins: the plug-in", "No such file"]),
    ],
)
def test_wrong_keywords_are_named_with_their_values(changes, messages):
    """As in a file: the path of the key, the value, and how to correct it; all wrong values at once."""
    with pytest.raises(SpaceError) as caught:
        SearchSpace(**{**GOOD, **changes})
    for message in messages:
        assert message in str(caught.value)


def test_a_mechanism_record_must_be_the_registered_one():
    """Another record of a taken name is not replaced in silence."""
    other = Mechanism("se", "no_such_module:Class", "channel", "", title="", year=2026)
    with pytest.raises(SpaceError, match="mechanisms: another mechanism is registered as 'se'"):
        SearchSpace(trunk="resnet18", mechanisms=[other])


def test_plugins_of_keywords_are_run_from_the_working_folder(tmp_path, monkeypatch):
    """As a path or as text; the caller has named them, so that they are trusted."""
    monkeypatch.chdir(tmp_path)
    lines = [
        "import attn_nas",
        'attn_nas.register_mechanism(attn_nas.Mechanism("own", "m:C", "channel", "", title="", year=2026))',
    ]
    Path("own.py").write_text("\n".join(lines))
    space = SearchSpace(trunk="resnet18", mechanisms=["own"], plugins=[Path("own.py")])
    assert space.plugins == [str(tmp_path / "own.py")]
    assert space == SearchSpace(trunk="resnet18", mechanisms=["own"], plugins=["own.py"])


def test_data_limits_and_training_are_given_later():
    """Each gives a new space with the rest unchanged, and refuses wrong values by their path."""
    space = SearchSpace(trunk="resnet18", mechanisms=["se"], max_flops="+5%")
    assert space.data is None
    assert space.with_data("digits") == SearchSpace(**GOOD, max_flops="+5%", data="digits")
    assert space.with_data({"name": "image_folder", "root": Path("photos")}).data.root == "photos"
    assert space.with_limits(max_params="12M") == SearchSpace(**GOOD, max_flops="+5%", max_params="12M")
    longer = space.with_training(epochs=30, precision="fp32")
    assert (longer.proxy.epochs, longer.proxy.precision, longer.proxy.lr) == (30, "fp32", space.proxy.lr)
    assert longer.model_copy(update={"proxy": space.proxy}) == space
    for change, message in [
        (lambda: space.with_data("cifar"), "data.name = cifar: choose from cued_digits"),
        (lambda: space.with_limits(max_flops="5%"), "limits.max_flops = 5%: '5%' is not a limit"),
        (lambda: space.with_training(epoch=3), "proxy.epoch: no such key"),
        (lambda: space.with_training(batch_size=1), "proxy.batch_size = 1: input should be greater than or equal to 2"),
    ]:
        with pytest.raises(SpaceError) as caught:
            change()
        assert message in str(caught.value)


def test_training_given_later_fits_the_mechanisms(monkeypatch):
    """Batches too small for a mechanism of the space are refused."""
    large = Mechanism("needs_eight", "no_such_module:Class", "channel", "", title="", year=2026, min_batch=8)
    monkeypatch.setitem(catalog._CATALOG._records, "needs_eight", large)
    space = SearchSpace(trunk="resnet18", mechanisms=["needs_eight"])
    with pytest.raises(SpaceError, match=r"proxy\.batch_size = 4: needs_eight cannot be trained on batches of less than 8"):
        space.with_training(batch_size=4)
