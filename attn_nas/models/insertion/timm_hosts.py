"""Blocks of timm's trunks with slots; modules are applied in timm's order."""

from torch import Tensor, nn

from attn_nas.models.insertion.hosts import HostBlock


class TimmBasicBlock(HostBlock):
    """``BasicBlock`` of timm's ResNet-18 and -34."""

    title = "timm's ResNet (BasicBlock)"
    needed = ("conv1", "bn1", "act1", "conv2", "bn2", "act2")
    options = ("drop_block", "aa", "se", "drop_path", "downsample")

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        out = self.run(x, "pre", "conv1", "bn1", "drop_block", "act1", "aa", "inner")
        out = self.run(out, "conv2", "pre_norm", "bn2", "se", "standard", "drop_path")
        return self.run(out + self.run(x, "downsample", "identity"), "act2", "post", "stage_end")


class TimmBottleneck(HostBlock):
    """``Bottleneck`` of timm's ResNet-50 and larger, ResNeXt and Wide ResNet."""

    title = "timm's ResNet (Bottleneck)"
    needed = ("conv1", "bn1", "act1", "conv2", "bn2", "act2", "conv3", "bn3", "act3")
    options = ("drop_block", "aa", "se", "drop_path", "downsample")

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        out = self.run(x, "pre", "conv1", "bn1", "act1", "conv2", "bn2", "drop_block", "act2", "aa", "inner")
        out = self.run(out, "conv3", "pre_norm", "bn3", "se", "standard", "drop_path")
        return self.run(out + self.run(x, "downsample", "identity"), "act3", "post", "stage_end")


class TimmMobileBlock(HostBlock):
    """Base of the blocks of timm's mobile trunks: a shortcut if ``has_skip``, activations inside the norms."""

    attributes = ("has_skip",)
    options = ("aa", "se", "drop_path")

    @property
    def replaced(self) -> str:
        """The depthwise convolution."""
        return "conv_dw"

    def add_shortcut(self, x: Tensor, out: Tensor) -> Tensor:
        """The output of the block from its input ``x`` and the output ``out`` of its branch."""
        if self.has_skip:
            out = self.post(self.run(out, "drop_path") + self.identity(x))
        return self.stage_end(out)


class TimmSeparableBlock(TimmMobileBlock):
    """``DepthwiseSeparableConv``, the first block of timm's MobileNetV2 and V3."""

    title = "timm's MobileNet (DepthwiseSeparableConv)"
    needed = ("conv_dw", "bn1", "conv_pw", "bn2")

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        out = self.run(x, "pre", "conv_dw", "bn1", "aa", "inner", "se", "conv_pw", "pre_norm", "bn2", "standard")
        return self.add_shortcut(x, out)


class TimmInvertedResidual(TimmMobileBlock):
    """``InvertedResidual`` of timm's MobileNetV2 and V3."""

    title = "timm's MobileNet (InvertedResidual)"
    needed = ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3")

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        out = self.run(x, "pre", "conv_pw", "bn1", "conv_dw", "bn2", "aa", "inner")
        out = self.run(out, "se", "conv_pwl", "pre_norm", "bn3", "standard")
        return self.add_shortcut(x, out)


class TimmConvNeXtBlock(HostBlock):
    """``ConvNeXtBlock`` of timm, of both versions: channels come last in ``norm`` and ``mlp``, unless it is convolutional."""

    title = "timm's ConvNeXt"
    needed = ("conv_dw", "norm", "mlp")
    options = ("shortcut", "drop_path")
    attributes = ("gamma", "use_conv_mlp")
    norm: nn.Module
    mlp: nn.Module
    gamma: nn.Parameter | None

    @property
    def replaced(self) -> str:
        """The depthwise convolution."""
        return "conv_dw"

    def to_last(self, x: Tensor) -> Tensor:
        """``x`` ``(B, C, H, W)`` with channels last, unless the MLP is convolutional."""
        return x if self.use_conv_mlp else x.permute(0, 2, 3, 1)

    def to_first(self, x: Tensor) -> Tensor:
        """The inverse of `to_last`."""
        return x if self.use_conv_mlp else x.permute(0, 3, 1, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C, H, W)`` to the same shape."""
        expand, activation, drop1, norm, project, drop2 = self.mlp.children()
        out = self.norm(self.to_last(self.run(x, "pre", "conv_dw", "pre_norm")))
        out = self.inner(self.to_first(activation(expand(out))))
        out = drop2(project(norm(drop1(self.to_last(out)))))
        out = self.standard(self.to_first(out))
        if self.gamma is not None:
            out = out * self.gamma.reshape(1, -1, 1, 1)
        return self.run(self.run(out, "drop_path") + self.run(x, "shortcut", "identity"), "post", "stage_end")
