"""Blocks of timm's trunks with slots; modules are applied in timm's order."""

from torch import Tensor

from attn_nas.models.insertion.hosts import HostBlock


class TimmResidualHost(HostBlock):
    """Base of the blocks of timm's ResNets, in which these modules are optional."""

    options = ("drop_block", "aa", "drop_path", "downsample")

    def blurred(self, x: Tensor) -> Tensor:
        """``x`` after the anti-aliasing that has the stride of the block, if there is any."""
        return x if self.aa is None else self.aa(x)

    def dropped(self, x: Tensor) -> Tensor:
        """``x`` after DropBlock, if there is any."""
        return x if self.drop_block is None else self.drop_block(x)

    def branched(self, x: Tensor) -> Tensor:
        """The end of the branch: the slot ``standard``, and stochastic depth."""
        x = self.standard(x)
        return x if self.drop_path is None else self.drop_path(x)

    def past(self, x: Tensor) -> Tensor:
        """The shortcut of ``x`` ``(B, C_in, H, W)``, ``(B, C_out, H / stride, W / stride)``."""
        return self.identity(x if self.downsample is None else self.downsample(x))


class TimmBasicBlock(TimmResidualHost):
    """``BasicBlock`` of timm's ResNet-18 and -34."""

    title = "timm's ResNet (BasicBlock)"
    needed = ("conv1", "bn1", "act1", "conv2", "bn2", "act2")

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        out = self.act1(self.dropped(self.bn1(self.conv1(self.pre(x)))))
        out = self.conv2(self.inner(self.blurred(out)))
        out = self.branched(self.bn2(self.pre_norm(out)))
        return self.stage_end(self.post(self.act2(out + self.past(x))))


class TimmBottleneck(TimmResidualHost):
    """``Bottleneck`` of timm's ResNet-50 and larger, ResNeXt and Wide ResNet."""

    title = "timm's ResNet (Bottleneck)"
    needed = ("conv1", "bn1", "act1", "conv2", "bn2", "act2", "conv3", "bn3", "act3")

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        out = self.act1(self.bn1(self.conv1(self.pre(x))))
        out = self.act2(self.dropped(self.bn2(self.conv2(out))))
        out = self.conv3(self.inner(self.blurred(out)))
        out = self.branched(self.bn3(self.pre_norm(out)))
        return self.stage_end(self.post(self.act3(out + self.past(x))))


class TimmMobileBlock(HostBlock):
    """Base of the blocks of timm's mobile trunks: a shortcut if ``has_skip``, activations inside the norms."""

    attributes = ("has_skip",)
    options = ("aa", "se", "drop_path")

    @property
    def replaced(self) -> str:
        """The depthwise convolution."""
        return "conv_dw"

    def gated(self, x: Tensor) -> Tensor:
        """``x`` after the depthwise convolution: anti-aliasing, the slot ``inner``, and the gate of the block."""
        if self.aa is not None:
            x = self.aa(x)
        x = self.inner(x)
        return x if self.se is None else self.se(x)

    def add_shortcut(self, x: Tensor, out: Tensor) -> Tensor:
        """The output of the block from its input ``x`` and the output ``out`` of its branch."""
        if self.has_skip:
            if self.drop_path is not None:
                out = self.drop_path(out)
            out = self.post(out + self.identity(x))
        return self.stage_end(out)


class TimmSeparableBlock(TimmMobileBlock):
    """``DepthwiseSeparableConv``, the first block of timm's MobileNetV2 and V3."""

    title = "timm's MobileNet (DepthwiseSeparableConv)"
    needed = ("conv_dw", "bn1", "conv_pw", "bn2")

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        out = self.gated(self.bn1(self.conv_dw(self.pre(x))))
        return self.add_shortcut(x, self.standard(self.bn2(self.pre_norm(self.conv_pw(out)))))


class TimmInvertedResidual(TimmMobileBlock):
    """``InvertedResidual`` of timm's MobileNetV2 and V3."""

    title = "timm's MobileNet (InvertedResidual)"
    needed = ("conv_pw", "bn1", "conv_dw", "bn2", "conv_pwl", "bn3")

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        out = self.bn2(self.conv_dw(self.bn1(self.conv_pw(self.pre(x)))))
        return self.add_shortcut(x, self.standard(self.bn3(self.pre_norm(self.conv_pwl(self.gated(out))))))


class TimmConvNeXtBlock(HostBlock):
    """``ConvNeXtBlock`` of timm, of both versions: channels come last in ``norm`` and ``mlp``, unless it is convolutional."""

    title = "timm's ConvNeXt"
    needed = ("conv_dw", "norm", "mlp")
    options = ("shortcut", "drop_path")
    attributes = ("gamma", "use_conv_mlp")

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
        mlp = self.mlp
        out = self.norm(self.to_last(self.pre_norm(self.conv_dw(self.pre(x)))))
        out = self.inner(self.to_first(mlp.act(mlp.fc1(out))))
        out = mlp.drop1(self.to_last(out))
        out = mlp.grn(out) if hasattr(mlp, "grn") else mlp.norm(out)
        out = self.standard(self.to_first(mlp.drop2(mlp.fc2(out))))
        if self.gamma is not None:
            out = out * self.gamma.reshape(1, -1, 1, 1)
        if self.drop_path is not None:
            out = self.drop_path(out)
        if self.shortcut is not None:
            x = self.shortcut(x)
        return self.stage_end(self.post(out + self.identity(x)))
