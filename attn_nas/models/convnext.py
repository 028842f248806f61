"""ConvNeXt with torchvision's parameter names. Liu et al., "A ConvNet for the 2020s", arXiv 2201.03545."""

import torch
from torch import Tensor, nn

from attn_nas.models.slots import SlottedBlock, SlottedTrunk


class LayerNorm2d(nn.LayerNorm):
    """Layer norm over the channels of ``(B, C, H, W)``."""

    def forward(self, x: Tensor) -> Tensor:
        """Normalised ``x`` ``(B, C, H, W)``."""
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


class Permute(nn.Module):
    """Permutes dimensions to a fixed ``order``."""

    def __init__(self, order: tuple[int, ...]) -> None:
        super().__init__()
        self.order = order

    def forward(self, x: Tensor) -> Tensor:
        """``x`` with permuted dimensions."""
        return x.permute(self.order)


class ConvNeXtBlock(SlottedBlock):
    """Depthwise 7x7 convolution, layer norm, two linear layers with GELU between, a scale per channel and a shortcut.

    ``inner`` is after the GELU, ``pre_norm`` after the depthwise convolution, and ``standard`` before the scale, which starts
    at 1e-6: after it, a mechanism would see values near zero. Stochastic depth is not included.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer_scale = nn.Parameter(torch.full((channels, 1, 1), 1e-6))
        self.block = nn.Sequential(
            nn.Conv2d(channels, channels, 7, padding=3, groups=channels),
            Permute((0, 2, 3, 1)),
            nn.LayerNorm(channels, eps=1e-6),
            nn.Linear(channels, 4 * channels),
            nn.GELU(),
            nn.Linear(4 * channels, channels),
            Permute((0, 3, 1, 2)),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C, H, W)`` to the same shape."""
        conv, to_last, norm, expand, activation, project, to_first = self.block
        out = activation(expand(norm(to_last(self.pre_norm(conv(self.pre(x)))))))
        out = to_last(self.inner(to_first(out)))
        out = self.layer_scale * self.standard(to_first(project(out)))
        return self.post(out + self.identity(x))


class ConvNeXt(SlottedTrunk):
    """A patch stem, four stages of blocks at widths ``w .. 8 w`` with a downsampling between, norm, average, linear layer.

    ``(B, in_channels, H, W)`` to logits ``(B, num_classes)``; 28,589,128 parameters at depths 3, 3, 9, 3 and width 96 for
    1,000 classes.
    """

    def __init__(self, stage_lengths: tuple[int, ...], width: int, num_classes: int, in_channels: int = 3) -> None:
        super().__init__(stage_lengths)
        layers: list[nn.Module] = [nn.Sequential(nn.Conv2d(in_channels, width, 4, 4), LayerNorm2d(width, eps=1e-6))]
        for stage, length in enumerate(stage_lengths):
            channels = width << stage
            if stage:
                down = nn.Conv2d(channels // 2, channels, 2, 2)
                layers.append(nn.Sequential(LayerNorm2d(channels // 2, eps=1e-6), down))
            layers.append(nn.Sequential(*(ConvNeXtBlock(channels) for _ in range(length))))
        self.features = nn.Sequential(*layers)
        self.classifier = nn.Sequential(LayerNorm2d(channels, eps=1e-6), nn.Flatten(1), nn.Linear(channels, num_classes))
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    @property
    def blocks(self) -> list[nn.Module]:
        """The blocks from input to output."""
        return [block for stage in list(self.features)[1::2] for block in stage.children()]

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(B, num_classes)``."""
        stem, *later = self.features
        x = self.run_blocks(stem(x), self.blocks, later[1::2])
        return self.classifier(x.mean((2, 3), keepdim=True))
