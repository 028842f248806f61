"""Every mechanism: the contract, the closed-form costs, and equality with the formula of its paper."""

import pytest
import torch
from torch.nn import functional as F

from attn_nas.attention.catalog import Mechanism, get_mechanism, mechanism_names, register
from attn_nas.attention.cbam import CBAM, ChannelGate, SpatialGate
from attn_nas.attention.eca import EfficientChannelAttention
from attn_nas.attention.gsop import GlobalSecondOrderPooling
from attn_nas.attention.sk import SelectiveKernel
from attn_nas.attention.squeeze import SqueezeExcitation
from attn_nas.cost.count import count_module
from attn_nas.errors import SpaceError
from attn_nas.testing import MechanismContract

SHAPES = [(64, 32, 32), (128, 16, 8), (256, 8, 8)]


@pytest.mark.parametrize("name", mechanism_names())
class TestContract(MechanismContract):
    """The public contract, for everything in the catalogue."""

    @pytest.fixture(autouse=True)
    def _mechanism(self, name):
        torch.manual_seed(0)
        self.mechanism = get_mechanism(name)


def _hidden(channels, reduction):
    return max(4, channels // reduction)


def se(c, h, w):
    """Parameters, MACs, complete FLOPs."""
    hidden = _hidden(c, 16)
    macs = 2 * c * hidden
    return SqueezeExcitation(c), 2 * c * hidden, macs, macs + c * h * w + c + c * h * w


def eca(c, h, w):
    macs = 5 * c
    return EfficientChannelAttention(c, kernel_size=5), 5, macs, macs + c * h * w + c + c * h * w


def eca_max(c, h, w):
    module = EfficientChannelAttention(c, kernel_size=5, pooling="avg+max")
    return module, 5, 5 * c, 5 * c + 2 * c * h * w + c + c + c * h * w


def sam(c, h, w):
    macs = 2 * 49 * h * w
    return SpatialGate(c), 2 * 49 + 2, macs, 2 * c * h * w + macs + 2 * h * w + h * w + c * h * w


def cam_gate(c, h, w):
    hidden = _hidden(c, 16)
    macs = 4 * c * hidden
    return ChannelGate(c), 2 * c * hidden + c + hidden, macs, macs + 2 * c * h * w + c + c + c * h * w


def cbam(c, h, w):
    _, channel_params, channel_macs, channel_flops = cam_gate(c, h, w)
    _, spatial_params, spatial_macs, spatial_flops = sam(c, h, w)
    return CBAM(c), channel_params + spatial_params, channel_macs + spatial_macs, channel_flops + spatial_flops


def gsop(c, h, w):
    d, n = c // 4, h * w
    params = c * d + d + 4 * d + 4 * d * d + 4 * d + 4 * d * c + c
    macs = c * d * n + d * d * n + 4 * d * d + 4 * d * c
    batch_norms = 2 * d * n + 2 * d * d
    covariance = d * n + d * n + d * d  # mean, subtraction, division
    return GlobalSecondOrderPooling(c, reduction=4), params, macs, macs + batch_norms + covariance + c + c * n


def sk(c, h, w):
    hidden, n = _hidden(c, 16), h * w
    params = 2 * (9 * c * c // 32 + 2 * c) + c * hidden + 2 * hidden + 2 * c * hidden
    macs = 2 * 9 * c * c // 32 * n + c * hidden + 2 * c * hidden
    others = 2 * 2 * c * n + c * n + c * n + 2 * hidden + 3 * 2 * c + 3 * c * n
    return SelectiveKernel(c), params, macs, macs + others


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("expected", [se, eca, eca_max, sam, cam_gate, cbam, gsop, sk], ids=lambda f: f.__name__)
def test_costs_equal_the_closed_form(expected, shape):
    """Parameters, MACs and complete FLOPs are those of the formula, at three sizes."""
    module, params, macs, flops = expected(*shape)
    cost = count_module(module, shape)
    assert (cost.params, cost.macs, cost.flops) == (params, macs, flops)


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


def test_an_unknown_mechanism_names_the_choices():
    """The error lists what exists and the closest name."""
    with pytest.raises(SpaceError, match=r"unknown mechanism 'gsopp'.*sk.*did you mean gsop\?"):
        get_mechanism("gsopp")


def test_an_unknown_keyword_names_the_choices():
    """Nothing is swallowed: keyword, value, choices, and the closest."""
    with pytest.raises(SpaceError, match=r"se has no argument redution \(given 4\): choose from .*did you mean reduction"):
        get_mechanism("se").build(16, redution=4)
    with pytest.raises(SpaceError, match="eca_max has no argument pooling"):
        get_mechanism("eca_max").build(16, pooling="avg")


def test_a_name_can_be_registered_once():
    """A second mechanism of the same name, or one called none, is refused."""
    record = get_mechanism("se")
    for name in ("se", "SELayer", "none"):
        with pytest.raises(SpaceError, match="is taken"):
            register(Mechanism(name, record.target, "channel", "", title="", year=2020, arxiv=""))


def test_aliases_lead_to_the_mechanism():
    """The names of the published snippets are understood."""
    assert {get_mechanism(name).name for name in ("SEBlock", "SELayer", "SEAttention")} == {"se"}
