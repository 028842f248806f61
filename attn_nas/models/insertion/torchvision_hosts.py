"""Blocks of torchvision's trunks with slots; modules are applied in torchvision's order."""

from typing import ClassVar

from torch import Tensor, nn

from attn_nas.models.insertion.hosts import HostBlock


class ResidualHost(HostBlock):
    """Base of residual blocks whose shortcut is ``downsample`` or ``shortcut``, or the input where both are missing."""

    options = ("downsample", "shortcut")

    def past(self, x: Tensor) -> Tensor:
        """The shortcut of ``x`` ``(B, C_in, H, W)``, ``(B, C_out, H / stride, W / stride)``."""
        if self.downsample is not None:
            x = self.downsample(x)
        elif self.shortcut is not None:
            x = self.shortcut(x)
        return self.identity(x)


class TorchvisionBasicBlock(ResidualHost):
    """``BasicBlock`` of torchvision's ResNet-18 and -34, and of the many small ResNets copied from it."""

    title = "torchvision's ResNet (BasicBlock)"
    needed: ClassVar[tuple[str, ...]] = ("conv1", "bn1", "relu", "conv2", "bn2")

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        out = self.inner(self.relu(self.bn1(self.conv1(self.pre(x)))))
        out = self.standard(self.bn2(self.pre_norm(self.conv2(out))))
        return self.stage_end(self.post(self.relu(out + self.past(x))))


class TorchvisionBottleneck(ResidualHost):
    """``Bottleneck`` of torchvision's ResNet-50 and larger, ResNeXt and Wide ResNet."""

    title = "torchvision's ResNet (Bottleneck)"
    needed: ClassVar[tuple[str, ...]] = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "relu")

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        out = self.relu(self.bn1(self.conv1(self.pre(x))))
        out = self.inner(self.relu(self.bn2(self.conv2(out))))
        out = self.standard(self.bn3(self.pre_norm(self.conv3(out))))
        return self.stage_end(self.post(self.relu(out + self.past(x))))


class TorchvisionInvertedResidualV2(HostBlock):
    """``InvertedResidual`` of torchvision's MobileNetV2: ``conv`` holds expansion, depthwise convolution, projection, norm."""

    title = "torchvision's MobileNetV2"
    needed = ("conv",)
    attributes = ("use_res_connect",)

    @property
    def replaced(self) -> str:
        """The depthwise convolution."""
        return f"conv.{len(self.conv) - 3}.0"

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        out = self.pre(x)
        for index, layer in enumerate(self.conv):
            if index == len(self.conv) - 2:
                out = self.inner(out)
            if index == len(self.conv) - 1:
                out = self.pre_norm(out)
            out = layer(out)
        out = self.standard(out)
        if self.use_res_connect:
            out = self.post(self.identity(x) + out)
        return self.stage_end(out)


class TorchvisionInvertedResidualV3(HostBlock):
    """``InvertedResidual`` of torchvision's MobileNetV3: ``block`` holds units and, before the last of them, its own gate."""

    title = "torchvision's MobileNetV3"
    needed = ("block",)
    attributes = ("use_res_connect",)
    num_units: int

    @classmethod
    def take(cls, block: nn.Module) -> nn.Module:
        """See `HostBlock.take`."""
        host = super().take(block)
        assert isinstance(host, cls)
        host.num_units = sum(isinstance(module, nn.Sequential) for module in host.block)
        return host

    @property
    def replaced(self) -> str:
        """The depthwise convolution."""
        return f"block.{self.num_units - 2}.0"

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        out = self.pre(x)
        for index, layer in enumerate(self.block):
            if index == self.num_units - 1:
                out = self.inner(out)
            if index < len(self.block) - 1:
                out = layer(out)
        out = self.block[-1][0](out)
        out = self.standard(self.block[-1][1](self.pre_norm(out)))
        if self.use_res_connect:
            out = self.post(out + self.identity(x))
        return self.stage_end(out)


class TorchvisionConvNeXtBlock(HostBlock):
    """``CNBlock`` of torchvision's ConvNeXt: between two permutations in ``block`` the channels come last."""

    title = "torchvision's ConvNeXt"
    needed = ("block", "stochastic_depth")
    attributes = ("layer_scale",)

    @property
    def replaced(self) -> str:
        """The depthwise convolution."""
        return "block.0"

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C, H, W)`` to the same shape."""
        out = self.block[1](self.pre_norm(self.block[0](self.pre(x))))
        out = self.inner(self.block[6](self.block[4](self.block[3](self.block[2](out)))))
        out = self.standard(self.block[6](self.block[5](self.block[1](out))))
        out = self.stochastic_depth(self.layer_scale * out) + self.identity(x)
        return self.stage_end(self.post(out))
