"""Mobile trunks with torchvision's parameter names.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", arXiv 1801.04381; Howard et al., "Searching for
MobileNetV3", arXiv 1905.02244.
"""

import torch.nn.functional as F
from torch import Tensor, nn

from attn_nas.attention.zoo.pooling import mean_over_pixels
from attn_nas.models.slots import SlottedBlock, SlottedTrunk
from attn_nas.space.families import V2_ROWS, V3_ROWS, round_channels


def conv_norm(
    in_channels: int,
    out_channels: int,
    kernel_size: int,
    stride: int,
    groups: int,
    eps: float,
    activation: type[nn.Module] | None,
) -> nn.Sequential:
    """Convolution, batch norm and, unless ``activation`` is None, an activation."""
    conv = nn.Conv2d(in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=False)
    norm = nn.BatchNorm2d(out_channels, eps, momentum=0.1 if eps < 1e-3 else 0.01)
    return nn.Sequential(conv, norm) if activation is None else nn.Sequential(conv, norm, activation(inplace=True))


def initialise(model: nn.Module) -> None:
    """Initialise convolutions by He's rule, linear layers with small normal weights."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
        elif isinstance(module, nn.Linear):
            nn.init.normal_(module.weight, 0.0, 0.01)
            nn.init.zeros_(module.bias)


class MobileNet(SlottedTrunk):
    """Base of both versions: ``features`` (stem, blocks, 1x1 convolution), global average, ``classifier``."""

    def __init__(self, stage_lengths: tuple[int, ...], features: list[nn.Module], classifier: nn.Sequential) -> None:
        super().__init__(stage_lengths)
        self.features = nn.Sequential(*features)
        self.classifier = classifier
        initialise(self)

    @property
    def blocks(self) -> list[nn.Module]:
        """The inverted residual blocks from input to output."""
        return list(self.features)[1:-1]

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, num_classes)``."""
        x = self.features[-1](self.run_blocks(self.features[0](x), self.blocks))
        return self.classifier(x.mean((2, 3)))


class InvertedResidualV2(SlottedBlock):
    """1x1 expansion, depthwise 3x3 and linear 1x1 projection; a shortcut where the shape is kept.

    ``inner`` is after the activation of the depthwise convolution; without a shortcut ``pre``, ``identity`` and ``post`` are
    not used.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = in_channels * expansion
        layers: list[nn.Module] = []
        if expansion > 1:
            layers.append(conv_norm(in_channels, hidden, 1, 1, 1, 1e-5, nn.ReLU6))
        layers.append(conv_norm(hidden, hidden, 3, stride, hidden, 1e-5, nn.ReLU6))
        layers.append(nn.Conv2d(hidden, out_channels, 1, bias=False))
        layers.append(nn.BatchNorm2d(out_channels))
        self.conv = nn.Sequential(*layers)
        self.use_res_connect = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        *expand, project, norm = self.conv
        out = self.pre(x)
        for layer in expand:
            out = layer(out)
        out = self.standard(norm(self.pre_norm(project(self.inner(out)))))
        return self.post(self.identity(x) + out) if self.use_res_connect else out


class MobileNetV2(MobileNet):
    """Stem, 17 inverted residual blocks, 1x1 convolution, average, linear layer; ``width`` is the stem's, 32 in the paper.

    Maps images ``(B, in_channels, H, W)`` to logits ``(B, num_classes)``; 3,504,872 parameters at width 32 for 1,000 classes.
    Stages end where the map is downsampled.
    """

    def __init__(self, width: int, num_classes: int, in_channels: int = 3) -> None:
        channels = round_channels(width)
        last = round_channels(1280 * max(1.0, width / 32))
        layers: list[nn.Module] = [conv_norm(in_channels, channels, 3, 2, 1, 1e-5, nn.ReLU6)]
        for expansion, out, count, stride in V2_ROWS:
            out_channels = round_channels(out * width / 32)
            for index in range(count):
                layers.append(InvertedResidualV2(channels, out_channels, 1 if index else stride, expansion))
                channels = out_channels
        layers.append(conv_norm(channels, last, 1, 1, 1, 1e-5, nn.ReLU6))
        super().__init__((1, 2, 3, 7, 4), layers, nn.Sequential(nn.Dropout(0.2), nn.Linear(last, num_classes)))


class OwnSqueezeExcitation(nn.Module):
    """The trunk's own gate: ``y = x * hardsigmoid(W2 relu(W1 mean_hw(x)))``, ``(B, C, H, W)`` to the same."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = round_channels(channels // 4)
        self.fc1 = nn.Conv2d(channels, hidden, 1)
        self.fc2 = nn.Conv2d(hidden, channels, 1)

    def forward(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` times its gate."""
        return x * F.hardsigmoid(self.fc2(self.fc1(mean_over_pixels(x)).relu()))


class InvertedResidualV3(SlottedBlock):
    """1x1 expansion, depthwise convolution, the trunk's own gate, linear 1x1 projection; a shortcut where the shape is kept.

    ``inner`` is after the activation of the depthwise convolution and before the trunk's own gate; without a shortcut ``pre``,
    ``identity`` and ``post`` are not used.
    """

    def __init__(
        self,
        in_channels: int,
        hidden: int,
        out_channels: int,
        kernel_size: int,
        stride: int,
        activation: type[nn.Module],
        gate: nn.Module | None,
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        if hidden != in_channels:
            layers.append(conv_norm(in_channels, hidden, 1, 1, 1, 1e-3, activation))
        layers.append(conv_norm(hidden, hidden, kernel_size, stride, hidden, 1e-3, activation))
        self.num_before_inner = len(layers)
        if gate is not None:
            layers.append(gate)
        layers.append(conv_norm(hidden, out_channels, 1, 1, 1, 1e-3, None))
        self.block = nn.Sequential(*layers)
        self.use_res_connect = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        *earlier, last = self.block
        project, norm = last.children()
        out = self.pre(x)
        for layer in earlier[: self.num_before_inner]:
            out = layer(out)
        out = self.inner(out)
        for gate in earlier[self.num_before_inner :]:
            out = gate(out)
        out = self.standard(norm(self.pre_norm(project(out))))
        return self.post(out + self.identity(x)) if self.use_res_connect else out


class MobileNetV3(MobileNet):
    """MobileNetV3-large: stem, 15 inverted residual blocks, 1x1 convolution, average and two linear layers.

    ``width`` is that of the stem, 16 in the paper. Eight blocks have the paper's gate, made by ``own_gate(channels)``; if it
    is None, an identity with the same name, so that the other published weights fit. ``(B,
    in_channels, H, W)`` to logits ``(B, num_classes)``; 5,483,032 parameters with it at width 16 for 1,000 classes. Stages
    end where the map is downsampled.
    """

    def __init__(self, width: int, own_gate: type[nn.Module] | None, num_classes: int, in_channels: int = 3) -> None:
        channels = round_channels(width)
        layers: list[nn.Module] = [conv_norm(in_channels, channels, 3, 2, 1, 1e-3, nn.Hardswish)]
        for hidden, out, kernel_size, has_gate, hard_swish, stride in V3_ROWS:
            wide, out_channels = round_channels(hidden * width / 16), round_channels(out * width / 16)
            gate: nn.Module | None = None
            if has_gate:
                gate = own_gate(wide) if own_gate else nn.Identity()
            activation = nn.Hardswish if hard_swish else nn.ReLU
            layers.append(InvertedResidualV3(channels, wide, out_channels, kernel_size, stride, activation, gate))
            channels = out_channels
        layers.append(conv_norm(channels, 6 * channels, 1, 1, 1, 1e-3, nn.Hardswish))
        last = round_channels(1280 * width / 16)
        classifier = nn.Sequential(
            nn.Linear(6 * channels, last), nn.Hardswish(inplace=True), nn.Dropout(0.2), nn.Linear(last, num_classes)
        )
        super().__init__((1, 2, 3, 6, 3), layers, classifier)
