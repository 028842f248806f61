"""The kinds of blocks that are known with all their insertion points."""

from torch import nn

from attn_nas.models.cifar_resnet import CifarBlock
from attn_nas.models.convnext import ConvNeXtBlock
from attn_nas.models.insertion.cifar_hosts import CifarBasicBlock, CifarBottleneck
from attn_nas.models.insertion.hosts import HostBlock
from attn_nas.models.insertion.timm_hosts import (
    TimmBasicBlock,
    TimmBottleneck,
    TimmConvNeXtBlock,
    TimmInvertedResidual,
    TimmSeparableBlock,
)
from attn_nas.models.insertion.torchvision_hosts import (
    TorchvisionBasicBlock,
    TorchvisionBottleneck,
    TorchvisionConvNeXtBlock,
    TorchvisionInvertedResidualV2,
    TorchvisionInvertedResidualV3,
)
from attn_nas.models.mobilenet import InvertedResidualV2, InvertedResidualV3
from attn_nas.models.resnet import BasicBlock, Bottleneck

HOSTS: dict[type[nn.Module], tuple[type[HostBlock], ...]] = {
    CifarBlock: (TorchvisionBasicBlock, TimmBasicBlock, CifarBasicBlock),
    BasicBlock: (TorchvisionBasicBlock, TimmBasicBlock, CifarBasicBlock),
    Bottleneck: (TorchvisionBottleneck, TimmBottleneck, CifarBottleneck),
    InvertedResidualV2: (TorchvisionInvertedResidualV2, TimmSeparableBlock, TimmInvertedResidual),
    InvertedResidualV3: (TorchvisionInvertedResidualV3, TimmSeparableBlock, TimmInvertedResidual),
    ConvNeXtBlock: (TorchvisionConvNeXtBlock, TimmConvNeXtBlock),
}
"""For each kind of block, the equivalent blocks of other libraries."""
KNOWN_BLOCKS: tuple[type[HostBlock], ...] = tuple(dict.fromkeys(host for hosts in HOSTS.values() for host in hosts))
"""All of them, each once."""
