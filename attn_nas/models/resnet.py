"""ImageNet-style residual trunks with torchvision's parameter names.

He et al., "Deep Residual Learning", arXiv 1512.03385; Xie et al., "Aggregated Residual Transformations", arXiv 1611.05431. The
3x3 convolution of a bottleneck has the stride, as in torchvision ("v1.5").
"""

from collections.abc import Callable
from math import gcd

import torch.nn.functional as F
from torch import Tensor, nn

from attn_nas.models.slots import SlottedBlock, SlottedTrunk


class BasicBlock(SlottedBlock):
    """Two 3x3 convolutions and a shortcut."""

    def __init__(self, in_channels: int, width: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, width, H / stride, W / stride)``."""
        out = self.inner(F.relu(self.bn1(self.conv1(self.pre(x))), inplace=True))
        out = self.standard(self.bn2(self.pre_norm(self.conv2(out))))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.post(F.relu(out + self.identity(shortcut), inplace=True))


class Bottleneck(SlottedBlock):
    """1x1, 3x3 and 1x1 convolutions and a shortcut.

    ``inner`` is after the activation of the 3x3 convolution, as the "SE 3x3" variant of the SENet paper.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int,
        downsample: nn.Module | None,
        mid_ratio: int = 1,
        max_groups: int = 1,
    ) -> None:
        super().__init__()
        mid = mid_ratio * width
        groups = gcd(mid, max_groups) if max_groups > 1 else 1
        self.conv1 = nn.Conv2d(in_channels, mid, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(mid)
        self.conv2 = nn.Conv2d(mid, mid, 3, stride, 1, groups=groups, bias=False)
        self.bn2 = nn.BatchNorm2d(mid)
        self.conv3 = nn.Conv2d(mid, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, 4 * width, H / stride, W / stride)``."""
        out = F.relu(self.bn1(self.conv1(self.pre(x))), inplace=True)
        out = self.inner(F.relu(self.bn2(self.conv2(out)), inplace=True))
        out = self.standard(self.bn3(self.pre_norm(self.conv3(out))))
        shortcut = x if self.downsample is None else self.downsample(x)
        return self.post(F.relu(out + self.identity(shortcut), inplace=True))


class ResNeXtBottleneck(Bottleneck):
    """A bottleneck of twice the width whose 3x3 convolution has 32 groups (32x4d), or fewer if 32 does not divide it."""

    def __init__(self, in_channels: int, width: int, stride: int, downsample: nn.Module | None) -> None:
        super().__init__(in_channels, width, stride, downsample, mid_ratio=2, max_groups=32)


class ResNet(SlottedTrunk):
    """A 7x7 stem, four stages of residual blocks at widths ``w .. 8 w``, average and linear layer.

    ``block(in_channels, width, stride, downsample)`` makes a block with ``expansion * width`` output channels;
    ``stage_lengths`` is the number of blocks of each stage. ``(B, in_channels, H, W)`` to logits ``(B, num_classes)``;
    ResNet-50 of width 64 has 25,557,032 parameters for 1,000 classes.
    """

    def __init__(
        self,
        block: Callable[[int, int, int, nn.Module | None], nn.Module],
        expansion: int,
        stage_lengths: tuple[int, ...],
        width: int,
        num_classes: int,
        in_channels: int = 3,
    ) -> None:
        super().__init__(stage_lengths)
        self.conv1 = nn.Conv2d(in_channels, width, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels = width
        for stage, count in enumerate(stage_lengths):
            blocks = []
            for index in range(count):
                stride = 2 if stage and not index else 1
                out_channels = (width << stage) * expansion
                downsample = None
                if stride > 1 or channels != out_channels:
                    downsample = nn.Sequential(
                        nn.Conv2d(channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels)
                    )
                blocks.append(block(channels, width << stage, stride, downsample))
                channels = out_channels
            self.add_module(f"layer{stage + 1}", nn.Sequential(*blocks))
        self.num_stages = len(stage_lengths)
        self.fc = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    @property
    def blocks(self) -> list[nn.Module]:
        """The residual blocks from input to output."""
        return [block for stage in range(self.num_stages) for block in self.get_submodule(f"layer{stage + 1}").children()]

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, num_classes)``."""
        x = F.max_pool2d(F.relu(self.bn1(self.conv1(x)), inplace=True), 3, 2, 1)
        return self.fc(self.run_blocks(x, self.blocks).mean((2, 3)))
