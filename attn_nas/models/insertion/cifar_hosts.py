"""Blocks of the ResNets for CIFAR that most people have, with slots: ReLUs are functions, and the shortcut is ``shortcut``."""

import torch.nn.functional as F
from torch import Tensor

from attn_nas.models.insertion.torchvision_hosts import ResidualHost


class CifarBasicBlock(ResidualHost):
    """``BasicBlock`` of kuangliu's pytorch-cifar and of akamaster's pytorch_resnet_cifar10."""

    title = "a ResNet for CIFAR (BasicBlock with functional ReLU)"
    needed = ("conv1", "bn1", "conv2", "bn2")

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        out = self.inner(F.relu(self.bn1(self.conv1(self.pre(x)))))
        out = self.standard(self.bn2(self.pre_norm(self.conv2(out))))
        return self.stage_end(self.post(F.relu(out + self.past(x))))


class CifarBottleneck(ResidualHost):
    """``Bottleneck`` of kuangliu's pytorch-cifar."""

    title = "a ResNet for CIFAR (Bottleneck with functional ReLU)"
    needed = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3")

    def forward(self, x: Tensor) -> Tensor:
        """Maps ``(B, C_in, H, W)`` to ``(B, C_out, H / stride, W / stride)``."""
        out = F.relu(self.bn1(self.conv1(self.pre(x))))
        out = self.inner(F.relu(self.bn2(self.conv2(out))))
        out = self.standard(self.bn3(self.pre_norm(self.conv3(out))))
        return self.stage_end(self.post(F.relu(out + self.past(x))))
