"""Every mechanism: the contract, the closed-form costs, its record, and equality with the formula of its paper."""

import re
import sys
from inspect import getdoc

import pytest
import torch
from torch.nn import functional as F

from attn_nas.attention.catalog import get_mechanism, mechanism_names
from attn_nas.attention.measured import measured_costs
from attn_nas.attention.mechanism import Mechanism
from attn_nas.attention.zoo.cbam import CBAM
from attn_nas.attention.zoo.eca import EfficientChannelAttention
from attn_nas.attention.zoo.fca import COLUMNS, ROWS, cosine_planes
from attn_nas.attention.zoo.gsop import GlobalSecondOrderPooling
from attn_nas.attention.zoo.mhsa import MultiHeadSelfAttention
from attn_nas.attention.zoo.se import SqueezeExcitation
from attn_nas.attention.zoo.sk import SelectiveKernel
from attn_nas.attention.zoo.triplet import TripletAttention
from attn_nas.cost.count import count_module
from attn_nas.errors import SpaceError
from attn_nas.testing import MechanismContract, perturbed
from attn_nas.training.catalogue_costs import catalogue_costs

SHAPES = [(64, 32, 32), (128, 16, 8), (256, 8, 8)]


@pytest.mark.usefixtures("onnx_operators")
@pytest.mark.parametrize("name", mechanism_names())
class TestContract(MechanismContract):
    """The public contract, for everything in the catalogue."""

    @pytest.fixture(autouse=True)
    def _mechanism(self, name):
        self.mechanism = get_mechanism(name)


class NarrowGate(torch.nn.Module):
    """One hidden ReLU, which half of the draws leave dead, and a weight that may be left out."""

    def __init__(self, channels, *, forgets):
        super().__init__()
        self.fc1 = torch.nn.Conv2d(channels, 1, 1)
        self.fc2 = torch.nn.Conv2d(1, channels, 1)
        self.unused = torch.nn.Parameter(torch.ones(1))
        self.forgets = forgets

    def forward(self, x):
        y = x * self.fc2(self.fc1(x.square().mean((2, 3), keepdim=True)).relu()).sigmoid()
        return y + 0 * self.unused if self.forgets else y * self.unused


@pytest.mark.parametrize("seed", range(8))
def test_the_contract_tells_a_dead_weight_from_an_unlucky_draw(seed):
    class Contract(MechanismContract):
        def _build(self, channels, **_):
            return NarrowGate(channels, forgets=self.forgets)

    contract = Contract()
    torch.manual_seed(seed)
    contract.forgets = False
    contract.test_gradient_reaches_every_weight_and_the_input()
    contract.forgets = True
    with pytest.raises(AssertionError, match="unused"):
        contract.test_gradient_reaches_every_weight_and_the_input()


class Sorted(torch.nn.Module):
    """Control flow on the values of the map, statistics of one number per channel, and a sum that CUDA cannot repeat."""

    def __init__(self, channels):
        super().__init__()
        self.norm = torch.nn.BatchNorm2d(channels)

    def forward(self, x):
        gate = F.adaptive_max_pool2d(self.norm(x.mean((2, 3), keepdim=True)), 1).sigmoid()
        return x * gate if x.sum() < 1e9 else x


@pytest.mark.parametrize(
    "promise",
    [
        "it_trains_on_one_image_if_its_record_says_so",
        "tracers_give_the_same_network",
        "deterministic_algorithms_exist_if_its_record_says_so",
    ],
)
def test_the_contract_finds_a_record_that_promises_too_much(promise):
    """A module that cannot train on one image, be traced, or run deterministically, and a record that says nothing of it."""
    contract = MechanismContract()
    contract.mechanism = Mechanism("sorted", f"{__name__}:Sorted", "channel", "", title="", year=2026)
    contract._build = Sorted
    with pytest.raises(AssertionError):
        getattr(contract, f"test_{promise}")()


def test_every_operator_that_torch_documents_is_known():
    """The documentation of the installed torch names no function that our list lacks."""
    documented = torch.use_deterministic_algorithms.__doc__.split("will throw a")[-1].split("In addition")[0]
    known = (
        "AvgPool3d AdaptiveAvgPool2d AdaptiveAvgPool3d AdaptiveMaxPool2d FractionalMaxPool2d FractionalMaxPool3d MaxUnpool1d "
        "MaxUnpool2d MaxUnpool3d interpolate ReflectionPad1d ReflectionPad2d ReflectionPad3d NLLLoss CTCLoss EmbeddingBag put_ "
        "histc bincount kthvalue median grid_sample cumsum scatter_reduce resize_ RuntimeError"
    )
    assert {name.rpartition(".")[2] for name in re.findall(r":\w+:`([\w.]+)`", documented)} <= set(known.split())


def se(c, h, w):
    n, d = h * w, max(4, c // 16)
    return {"reduction": 16}, 2 * c * d, 2 * c * d, c * n + c + c * n


def ese(c, h, w):
    return {}, c * c + c, c * c, c * h * w + c + c * h * w


def eca(c, h, w):
    return {"kernel_size": 5}, 5, 5 * c, c * h * w + c + c * h * w


def eca_max(c, h, w):
    return {"kernel_size": 5}, 5, 5 * c, 2 * c * h * w + c + c + c * h * w


def sam(c, h, w):
    n = h * w
    return {"kernel_size": 7}, 2 * 49 + 2, 2 * 49 * n, 2 * c * n + 2 * n + n + c * n


def cam_gate(c, h, w):
    n, d = h * w, max(4, c // 16)
    return {"reduction": 16}, 2 * c * d + c + d, 4 * c * d, 2 * c * n + c + c + c * n


def cbam(c, h, w):
    _, channel_params, channel_macs, channel_others = cam_gate(c, h, w)
    _, place_params, place_macs, place_others = sam(c, h, w)
    arguments = {"reduction": 16, "kernel_size": 7}
    return arguments, channel_params + place_params, channel_macs + place_macs, channel_others + place_others


def srm(c, h, w):
    variance, style, norm_and_sigmoid = 4 * c * h * w + c, 5 * c, 2 * c + c
    return {}, 4 * c, 0, variance + style + norm_and_sigmoid + c * h * w


def gct(c, h, w):
    norm, competition, gate = 2 * c * h * w + 3 * c, 3 * c + 2, 4 * c
    return {}, 3 * c, 0, norm + competition + gate + c * h * w


def nam(c, h, w):
    n, weights = h * w, 3 * c
    return {}, 2 * c, 0, 2 * c * n + weights + 3 * c * n


def fca(c, h, w):
    n, d, g = h * w, max(4, c // 16), 16
    basis = sum(6 * g + 2 * length + 3 * g * length for length in (h, w))
    return {"reduction": 16, "groups": g}, 2 * c * d, 2 * c * d, basis + g * n + 2 * c * n + c + c * n


def ge_global(c, h, w):
    return {}, 0, 0, c * h * w + c + c * h * w


def ge(c, h, w):
    n = h * w
    return {"kernel_size": 3}, 0, 0, 9 * c * n // 4 + c * n // 4 + 2 * c * n


def ge_conv(c, h, w):
    n = h * w
    return {"kernel_size": 3}, 11 * c, 9 * c * n // 4, 2 * c * n // 4 + c * n // 4 + 2 * c * n


def sge(c, h, w):
    n, g = h * w, 8
    return {"groups": g}, 2 * g, c * n, c * n + 8 * g * n + 3 * g + c * n


def simam(c, h, w):
    distance, scale, gate = 3 * c * h * w, c * h * w + 4 * c, 3 * c * h * w
    return {}, 0, 0, distance + scale + gate + c * h * w


def coord(c, h, w):
    n, m = h * w, max(8, c // 32)
    params = c * m + 3 * m + 2 * (m * c + c)
    return {"reduction": 32}, params, 2 * m * c * (h + w), 2 * c * n + 3 * m * (h + w) + c * (h + w) + 2 * c * n


def triplet(c, h, w):
    n, planes = h * w, c * w + h * c + h * w
    norm_sigmoid_third = 4 * planes
    return {"kernel_size": 7}, 3 * (2 * 49 + 2), 2 * 49 * planes, 6 * c * n + norm_sigmoid_third + 3 * c * n


def bam(c, h, w):
    n, d = h * w, max(4, c // 16)
    params = 2 * c * d + c + 3 * d + c * d + 3 * d + 2 * (9 * d * d + 3 * d) + d + 1
    macs = 2 * c * d + n * (c * d + 18 * d * d + d)
    return {"reduction": 16}, params, macs, c * n + 2 * d + 6 * d * n + 4 * c * n


def scse(c, h, w):
    n, d = h * w, c // 2
    return {"reduction": 2}, 2 * c * d + c + d + c + 1, 2 * c * d + c * n, c * n + c + n + 3 * c * n


def shuffle(c, h, w):
    half = c * h * w // 2
    by_channel, by_place = half + 3 * c // 2 + half, 5 * half + 4 * half
    return {"groups": 8}, 3 * c // 8, 0, by_channel + by_place


def ela(c, h, w):
    n = h * w
    return {"kernel_size": 7}, 7 * c + 2 * c, 7 * c * (h + w), 2 * c * n + 6 * c * (h + w) + 2 * c * n


def ema_attention(c, h, w):
    n, g, d = h * w, 8, c // 8
    macs = (h + w) * c * d + 9 * c * d * n + 2 * c * n
    directed, weights, gate = 2 * c * n + c * (h + w) + 2 * c * n + 5 * c * n, 3 * d + c * n + 3 * c, 2 * g * n
    return {"groups": g}, 10 * d * d + 4 * d, macs, directed + weights + gate + c * n


def lka(c, h, w):
    return {}, 77 * c + c * c, h * w * (74 * c + c * c), c * h * w


def lsk(c, h, w):
    n, d = h * w, c // 2
    params = 76 * c + 2 * (c * d + d) + d * c + c + 198
    choice = 2 * c * n + 3 * n + 2 * n
    return {}, params, n * (74 * c + 3 * c * d + 196), choice + 3 * c * n // 2 + c * n


def gsop(c, h, w):
    d, n = c // 4, h * w
    params = c * d + d + 4 * d + 4 * d * d + 4 * d + 4 * d * c + c
    macs = c * d * n + d * d * n + 4 * d * d + 4 * d * c
    norms, covariance = 2 * d * n + 2 * d * d, d * n + d * n + d * d
    return {"reduction": 4}, params, macs, norms + covariance + c + c * n


def gc(c, h, w):
    n, d = h * w, max(4, c // 16)
    return {"reduction": 16}, 2 * c * d + c + 1 + d + c + 2 * d, 2 * c * n + 2 * c * d, 3 * n + 5 * d + c * n


def danet_cam(c, h, w):
    n = h * w
    return {}, 1, 2 * c * c * n, 4 * c * c + 2 * c * n


def danet_pam(c, h, w):
    n, d = h * w, c // 8
    macs = n * (2 * c * d + c * c) + n * n * d + n * n * c
    return {"reduction": 8}, 2 * (c * d + d) + c * c + c + 1, macs, 3 * n * n + 2 * c * n


def nonlocal_(c, h, w):
    n, d = h * w, c // 2
    return {"reduction": 2}, 4 * c * d + 3 * d + c + 2 * c, 4 * c * d * n + 2 * d * n * n, 3 * n * n + 3 * c * n


def mhsa(c, h, w):
    n, g = h * w, 4
    macs = 3 * c * c * n + 2 * c * n * n + c * n * (h + w)
    return {"groups": g}, 3 * c * c + 2 * 27 * c // g, macs, c * n + 5 * g * n * n + 2 * (h * h + w * w)


def psa_pointwise(c, h, w):
    n, d, k = h * w, c // 4, 15
    params = 2 * (c * d + 2 * d + d * d + 2 * d + d * k * k) + 2 * d * c + 2 * c
    macs = 2 * n * (c * d + d * d + d * k * k) + 2 * d * n * n + 2 * d * c * n
    offsets, masks = 4 * (h * h + w * w) + h * h + 2 * n * n, 2 * n * n + 6 * n * n
    return {"reduction": 4, "kernel_size": k}, params, macs, 8 * d * n + offsets + masks + 3 * c * n


def sk(c, h, w):
    d, n = max(4, c // 16), h * w
    params = 2 * (9 * c * c // 32 + 2 * c) + c * d + 2 * d + 2 * c * d
    macs = 2 * 9 * c * c // 32 * n + c * d + 2 * c * d
    return {"reduction": 16}, params, macs, 2 * 2 * c * n + c * n + c * n + 2 * d + 3 * 2 * c + 3 * c * n


def split_attention(c, h, w):
    n, d = h * w, c // 2
    params = 9 * c * c + 4 * c + c * d + 3 * d + 2 * c * d + 2 * c
    return {"reduction": 2}, params, 9 * c * c * n + 3 * c * d, 4 * c * n + 2 * c * n + 2 * c + 2 * d + 6 * c + 3 * c * n


COSTS = {function.__name__.rstrip("_"): function for function in [
    se, ese, eca, eca_max, cam_gate, srm, gct, nam, fca, ge_global, sam, ge, ge_conv, sge, cbam, simam, coord, triplet, bam,
    scse, shuffle, ela, ema_attention, lka, lsk, gsop, gc, danet_cam, danet_pam, nonlocal_, mhsa, psa_pointwise, sk,
    split_attention,
]}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("name", mechanism_names())
def test_costs_equal_the_closed_form(name, shape):
    """Parameters, MACs and complete FLOPs are those of the formula, at three sizes."""
    arguments, params, macs, others = COSTS[name](*shape)
    cost = count_module(get_mechanism(name).build(shape[0], **arguments), shape)
    assert (cost.params, cost.macs, cost.flops) == (params, macs, macs + others)


def test_squeeze_excitation_is_the_papers_formula():
    """Equations 2 to 4 of arXiv 1709.01507, written with matrices."""
    module, x = SqueezeExcitation(16, reduction=4), torch.randn(2, 16, 5, 3)
    squeezed = x.mean((2, 3))
    gate = torch.sigmoid(torch.relu(squeezed @ module.fc1.weight.flatten(1).T) @ module.fc2.weight.flatten(1).T)
    torch.testing.assert_close(module(x), x * gate[:, :, None, None])


def test_eca_max_is_two_passes_of_the_same_convolution():
    """The convolution is linear, so the sum of two pools stands for two passes."""
    module, x = EfficientChannelAttention(16, kernel_size=3, pooling="avg+max"), torch.randn(2, 16, 5, 3)
    passes = module.conv(x.mean((2, 3))[:, None]) + module.conv(x.amax((2, 3))[:, None])
    torch.testing.assert_close(module(x), x * passes.sigmoid().transpose(1, 2).unsqueeze(-1))


@pytest.mark.parametrize(("channels", "kernel_size"), [(16, 3), (64, 3), (128, 5), (256, 5), (512, 5), (1024, 5), (2048, 7)])
def test_adaptive_kernel_follows_the_authors_code(channels, kernel_size):
    """Truncate, then make odd."""
    assert EfficientChannelAttention(channels).conv.kernel_size == (kernel_size,)


def test_gsop_covariance_is_the_biased_covariance_of_places():
    """The pooled matrix equals NumPy-style covariance with division by the number of places."""
    z = torch.randn(2, 6, 7, 5)
    covariance = GlobalSecondOrderPooling(6, reduction=1).covariance(z)
    for image, matrix in zip(z, covariance, strict=True):
        torch.testing.assert_close(matrix, torch.cov(image.flatten(1), correction=0))


def test_gsop_equals_the_authors_centring_matrix():
    """The official code multiplies by I/N - 11'/N^2; plain centring is the same."""
    module, z = GlobalSecondOrderPooling(8, reduction=1), torch.randn(1, 8, 4, 4)
    flat, n = z.flatten(2), 16
    centring = torch.eye(n) / n - torch.ones(n, n) / n**2
    torch.testing.assert_close(module.covariance(z), flat @ centring @ flat.transpose(1, 2))


def test_gsop_statistics_are_computed_in_fp32():
    """Activations scaled by 300, whose sums of squares overflow fp16, give a finite fp32 covariance under autocast."""
    module, z = GlobalSecondOrderPooling(16), (300 * torch.randn(2, 16, 8, 8)).half()
    with torch.autocast("cpu", torch.float16):
        covariance = module.covariance(z)
    assert covariance.dtype == torch.float32
    assert covariance.max() > torch.finfo(torch.float16).max
    assert torch.isfinite(covariance).all()


def test_selective_kernel_weights_sum_to_one_and_stride_shrinks():
    """Equal branches are reproduced whatever the choice between them, and stride 2 halves the map."""
    module, x = SelectiveKernel(16, stride=2).eval(), torch.randn(2, 16, 8, 8)
    assert module(x).shape == (2, 16, 4, 4)
    module.branches[1] = module.branches[0]
    torch.testing.assert_close(module(x), module.branches[0](x))


def test_cbam_is_channel_then_space():
    """The module is the composition of its halves, in the paper's order."""
    module, x = CBAM(16).eval(), torch.randn(2, 16, 6, 6)
    torch.testing.assert_close(module(x), module.spatial(module.channel(x)))
    maximum_first = torch.cat((x.amax(1, keepdim=True), x.mean(1, keepdim=True)), 1)
    spatial = module.spatial
    expected = torch.sigmoid(spatial.bn(F.conv2d(maximum_first, spatial.conv.weight, padding=3)))
    torch.testing.assert_close(spatial.gate(x), expected)


@pytest.mark.parametrize(
    ("name", "channels", "arguments", "message"),
    [
        ("se", 0, {}, "se: channels = 0: choose an integer of at least 1"),
        ("se", 16, {"reduction": -4}, "reduction = -4: choose an integer"),
        ("se", 16, {"reduction": 2.5}, "reduction = 2.5: choose an integer"),
        ("sam", 16, {"kernel_size": 4}, "kernel_size = 4: choose an odd integer"),
        ("ge_conv", 16, {"kernel_size": 5}, "kernel_size = 5: choose from 3, 7, 15"),
        ("sge", 24, {"groups": 16}, "groups = 16 with channels = 24: choose from 1, 2, 3, 4, 6, 8, 12, 24"),
        ("shuffle", 24, {"groups": 8}, "groups = 8 with channels = 24: choose from 1, 2, 3, 4, 6, 12"),
        ("shuffle", 9, {"groups": 3}, "choose channels divisible by 2"),
        ("fca", 66, {"groups": 33}, "choose at most 32"),
        ("mhsa", 18, {"groups": 4}, "groups = 4 with channels = 18"),
        ("lsk", 1, {}, "lsk: channels = 1: choose an integer of at least 2"),
        ("sam", 16, {"kernel_size": 100_001}, "kernel_size = 100001: choose an odd integer from 1 to 255"),
        ("se", 16, {"reduction": True}, "reduction = True: choose an integer"),
        ("simam", 4, {"e_lambda": 0.0}, "e_lambda = 0.0: choose a number above 0"),
    ],
    ids=str,
)
def test_impossible_arguments_name_the_value_and_the_choices(name, channels, arguments, message):
    """At construction, not in a training run."""
    with pytest.raises(ValueError, match=re.escape(message)):
        get_mechanism(name).build(channels, **arguments)


def test_every_record_says_where_it_is_from():
    """Title, year, formula, cost class, gate scale, and an arXiv id or an address; names are unambiguous."""
    for name in mechanism_names():
        record = get_mechanism(name)
        assert record.title, name
        assert 2017 < record.year < 2027, name
        assert re.fullmatch(r"\d{4}\.\d{5}", record.arxiv) or record.url.startswith("https://"), name
        assert record.formula, name
        assert record.cost_class is not None, name
        assert record.gate_scale is not None, name
        cited = getdoc(sys.modules[record.load().__module__])
        assert record.arxiv in cited if record.arxiv else f"{record.year}" in cited, name
        assert "(B, C, H, W)" in (getdoc(record.load()) or ""), name
    known = {word.lower() for name in mechanism_names() for word in (name, *get_mechanism(name).aliases)}
    assert not {"sa", "psa", "ema", "cam", "pam"} & known


def test_shipped_costs_are_those_of_the_modules():
    """What `attn-nas catalog mechanisms` prints without counting is what counting gives, for every entry."""
    assert list(measured_costs(64, 32)) == mechanism_names()
    counted = catalogue_costs([get_mechanism(name) for name in mechanism_names()], 64, 32, timed=False)
    for name, cost in measured_costs(64, 32).items():
        assert {key: cost[key] for key in ("params", "macs", "flops")} == counted[name], name


def test_a_multi_head_attention_clips_distances():
    """Beyond the largest distance embeddings are constant, so one module serves every resolution."""
    module = MultiHeadSelfAttention(8, groups=2, max_distance=2).eval()
    embeddings = module.embeddings(module.row_embedding, 6)
    torch.testing.assert_close(embeddings[0, 2], embeddings[0, 5])
    torch.testing.assert_close(embeddings[3, 3], module.row_embedding[2])
    assert module(torch.randn(1, 8, 6, 9)).shape == (1, 8, 6, 9)


def test_triplet_attention_is_the_mean_of_three_rotated_gates():
    """The one pass equals three gated copies, each rotated as in the paper."""
    module, x = TripletAttention(8, kernel_size=3).eval(), torch.randn(2, 8, 5, 7)

    def gated(gate, rotated):
        return rotated * gate(rotated.amax(1), rotated.mean(1)).unsqueeze(1)

    cw = gated(module.cw, x.permute(0, 2, 1, 3)).permute(0, 2, 1, 3)
    hc = gated(module.hc, x.permute(0, 3, 2, 1)).permute(0, 3, 2, 1)
    torch.testing.assert_close(module(x), (cw + hc + gated(module.hw, x)) / 3)


def test_the_frequencies_of_fca_are_orthonormal_cosines():
    """On a 7 x 7 map the planes of different frequencies are an orthonormal set, the first of them constant."""
    planes = cosine_planes(torch.zeros(1, 32, 7, 7), list(ROWS), list(COLUMNS))[0].flatten(1)
    torch.testing.assert_close(planes @ planes.T, torch.eye(32), atol=1e-5, rtol=0)
    torch.testing.assert_close(planes[0], torch.full((49,), 1 / 7))


def test_an_unknown_keyword_names_the_choices():
    """Nothing is swallowed: keyword, value, choices, and the closest."""
    with pytest.raises(SpaceError, match=r"se has no argument redution \(given 4\): choose from .*did you mean reduction"):
        get_mechanism("se").build(16, redution=4)
    with pytest.raises(SpaceError, match="eca_max has no argument pooling"):
        get_mechanism("eca_max").build(16, pooling="avg")


def test_a_class_that_is_not_there_is_a_clear_error():
    """A misspelt target names module and class."""
    for target in ("attn_nas.attention.zoo.se:SqueezeExcitatoin", "no_such_module:Class", "nothing"):
        with pytest.raises(SpaceError, match=f"there is no class {target}"):
            Mechanism("mine", target, "channel", "", title="", year=2026).load()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cuda_agrees_with_the_cpu_and_survives_half_precision():
    """Every mechanism computes the same on CUDA, and is finite under fp16 and bf16 for activations 300 times too large."""
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    for name in mechanism_names():
        mechanism = get_mechanism(name)
        module = perturbed(mechanism.build_typical(16)).eval()
        x = torch.randn(4, 16, 12, 9)
        with torch.no_grad():
            expected = module(x)
            torch.testing.assert_close(module.cuda()(x.cuda()).cpu(), expected, atol=1e-4, rtol=1e-4, msg=name)
        for dtype in (torch.bfloat16, torch.float16):
            large = (300 * x).cuda().to(dtype).requires_grad_()
            with torch.autocast("cuda", dtype):
                y = mechanism.build_typical(16).cuda()(large)
            y.float().mean().backward()
            assert torch.isfinite(y).all(), (name, dtype)
            assert torch.isfinite(large.grad).all(), (name, dtype)
