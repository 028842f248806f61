"""Blocks of torchvision's trunks with slots; modules are applied in torchvision's order."""

from torch import Tensor, nn

from attn_nas.models.insertion.hosts import HostBlock, through


class TorchvisionBasicBlock(HostBlock):
    """``BasicBlock`` of torchvision's ResNet-18 and -34, and of the many small ResNets copied from it."""

    title = "torchvision's ResNet (BasicBlock)"
    needed = ("conv1", "bn1", "relu", "conv2", "bn2")
    options = ("downsample",)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        out = self.run(x, "pre", "conv1", "bn1", "relu", "inner", "conv2", "pre_norm", "bn2", "standard")
        return self.run(out + self.run(x, "downsample", "identity"), "relu", "post", "stage_end")


class TorchvisionBottleneck(HostBlock):
    """``Bottleneck`` of torchvision's ResNet-50 and larger, ResNeXt and Wide ResNet."""

    title = "torchvision's ResNet (Bottleneck)"
    needed = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3", "relu")
    options = ("downsample",)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        out = self.run(x, "pre", "conv1", "bn1", "relu", "conv2", "bn2", "relu", "inner")
        out = self.run(out, "conv3", "pre_norm", "bn3", "standard")
        return self.run(out + self.run(x, "downsample", "identity"), "relu", "post", "stage_end")


class TorchvisionInvertedResidualV2(HostBlock):
    """``InvertedResidual`` of torchvision's MobileNetV2: ``conv`` holds expansion, depthwise convolution, projection, norm."""

    title = "torchvision's MobileNetV2"
    needed = ("conv",)
    attributes = ("use_res_connect",)
    conv: nn.Sequential

    @property
    def replaced(self) -> str:
        """The depthwise convolution."""
        return f"conv.{len(self.conv) - 3}.0"

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        *units, project, norm = self.conv
        out = through(x, self.pre, *units, self.inner, project, self.pre_norm, norm, self.standard)
        if self.use_res_connect:
            out = self.post(self.identity(x) + out)
        return self.stage_end(out)


class TorchvisionInvertedResidualV3(HostBlock):
    """``InvertedResidual`` of torchvision's MobileNetV3: ``block`` holds units and, before the last of them, its own gate."""

    title = "torchvision's MobileNetV3"
    needed = ("block",)
    attributes = ("use_res_connect",)
    block: nn.Sequential

    @property
    def replaced(self) -> str:
        """The depthwise convolution."""
        num_units = sum(isinstance(module, nn.Sequential) for module in self.block)
        return f"block.{num_units - 2}.0"

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        *units, (project, norm) = (module for module in self.block if isinstance(module, nn.Sequential))
        gates = (module for module in self.block if not isinstance(module, nn.Sequential))
        out = through(x, self.pre, *units, self.inner, *gates, project, self.pre_norm, norm, self.standard)
        if self.use_res_connect:
            out = self.post(out + self.identity(x))
        return self.stage_end(out)


class TorchvisionConvNeXtBlock(HostBlock):
    """``CNBlock`` of torchvision's ConvNeXt: between two permutations in ``block`` the channels come last."""

    title = "torchvision's ConvNeXt"
    needed = ("block", "stochastic_depth")
    attributes = ("layer_scale",)
    block: nn.Sequential
    layer_scale: nn.Parameter

    @property
    def replaced(self) -> str:
        """The depthwise convolution."""
        return "block.0"

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C, H, W)`` to the same shape."""
        conv, to_last, norm, expand, activation, project, to_first = self.block
        out = through(x, self.pre, conv, self.pre_norm, to_last, norm, expand, activation, to_first, self.inner)
        out = self.layer_scale * through(out, to_last, project, to_first, self.standard)
        return through(self.run(out, "stochastic_depth") + self.identity(x), self.post, self.stage_end)
