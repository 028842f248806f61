"""A small network of a user's own, as the tests search in it: three blocks of a class that no library has."""

from torch import nn

import attn_nas  # noqa: F401  as a file has it that searches as well


class Unit(nn.Module):
    """Two convolutions; the second mixes channels."""

    def __init__(self, before, channels, stride=1):
        super().__init__()
        self.conv1 = nn.Conv2d(before, channels, 3, stride, 1)
        self.norm = nn.BatchNorm2d(channels)
        self.mix = nn.Conv2d(channels, channels, 1)

    def forward(self, x):
        return self.mix(self.norm(self.conv1(x)).relu()).relu()


class Net(nn.Module):
    def __init__(self, width=8, num_classes=10):
        super().__init__()
        self.stem = nn.Conv2d(3, width, 3, 1, 1)
        self.body = nn.Sequential(Unit(width, width), Unit(width, 2 * width, 2), Unit(2 * width, 4 * width, 2))
        self.head = nn.Linear(4 * width, num_classes)

    def forward(self, x):
        return self.head(self.body(self.stem(x)).mean((2, 3)))


def make_net(width=8, num_classes=10):
    return Net(width, num_classes)
