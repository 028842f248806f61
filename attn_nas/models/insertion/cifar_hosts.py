"""Blocks of the ResNets for CIFAR that most people have, with slots: ReLUs are functions, and the shortcut is ``shortcut``."""

import torch.nn.functional as F
from torch import Tensor

from attn_nas.models.insertion.torchvision_hosts import TorchvisionBasicBlock, TorchvisionBottleneck


class CifarBasicBlock(TorchvisionBasicBlock):
    """``BasicBlock`` of kuangliu's pytorch-cifar and of akamaster's pytorch_resnet_cifar10."""

    title = "a ResNet for CIFAR (BasicBlock with functional ReLU)"
    needed = ("conv1", "bn1", "conv2", "bn2")

    def relu(self, x: Tensor) -> Tensor:
        """``x`` without its negative values."""
        return F.relu(x)


class CifarBottleneck(TorchvisionBottleneck):
    """``Bottleneck`` of kuangliu's pytorch-cifar."""

    title = "a ResNet for CIFAR (Bottleneck with functional ReLU)"
    needed = ("conv1", "bn1", "conv2", "bn2", "conv3", "bn3")

    def relu(self, x: Tensor) -> Tensor:
        """``x`` without its negative values."""
        return F.relu(x)
