"""CIFAR-style residual trunk. He et al., "Deep Residual Learning", arXiv 1512.03385, section 4.2."""

import torch.nn.functional as F
from torch import Tensor, nn

from attn_nas.models.slots import SlottedBlock, SlottedTrunk


class CifarBlock(SlottedBlock):
    """Two 3x3 convolutions and a parameter-free shortcut (option A)."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.stride = stride
        self.extra_channels = channels - in_channels

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C, H / stride, W / stride)``."""
        out = self.inner(F.relu(self.bn1(self.conv1(self.pre(x))), inplace=True))
        out = self.standard(self.bn2(self.pre_norm(self.conv2(out))))
        if self.stride > 1 or self.extra_channels:
            # Average pooling over one pixel is a stride; unlike a slice it keeps the memory format of the gradient.
            x = F.pad(F.avg_pool2d(x, 1, self.stride), (0, 0, 0, 0, 0, self.extra_channels))
        return self.post(F.relu(out + self.identity(x), inplace=True))


class CifarResNet(SlottedTrunk):
    """Depth ``6 n + 2``: a 3x3 stem, three stages of ``n`` blocks at widths ``w, 2 w, 4 w``, average and linear layer.

    Maps images ``(B, in_channels, H, W)`` to logits ``(B, num_classes)``; ResNet-20 of width 16 has 269,722 parameters.
    """

    def __init__(self, depth: int, width: int, num_classes: int, in_channels: int = 3) -> None:
        length = (depth - 2) // 6
        super().__init__((length, length, length))
        self.conv1 = nn.Conv2d(in_channels, width, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        channels = width
        blocks = []
        for stage in range(3):
            for index in range(length):
                blocks.append(CifarBlock(channels, width << stage, 2 if stage and not index else 1))
                channels = width << stage
        self.blocks = nn.Sequential(*blocks)
        self.fc = nn.Linear(channels, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, num_classes)``."""
        x = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return self.fc(self.run_blocks(x, self.blocks).mean((2, 3)))
