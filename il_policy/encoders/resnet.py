"""ResNet-18 with group norms, ending in points of interest: for pictures that a compact network cannot tell apart.

He et al., "Deep residual learning for image recognition", CVPR 2016 (the network of 18 layers); Wu and He, "Group
normalization", ECCV 2018 (norms of 16 channels a group, the last one of a block zero at first). Batch norms would be
spoilt by averaged weights, see :mod:`il_policy.encoders.cnn`.

Convolutions are called as torchvision calls them, so that its weights can be taken over. Only one thing differs from
the paper: the last stage keeps its resolution, because two by two pixels, all that 64 would leave, hold no place.

    picture --> 7x7 / 2, pool / 2 --> 64 --> 128 / 2 --> 256 / 2 --> 512 --> maps --> coordinates
"""

from __future__ import annotations

from torch import Tensor, nn

from il_policy.encoders.cnn import KeypointCnn

STAGES = ((64, 1), (128, 2), (256, 2), (512, 1))  # channels and stride; torchvision's last stride is 2
GROUP = 16  # channels per group, Wu and He's table 3


def group_norm(channels: int) -> nn.GroupNorm:
    """A norm over groups of 16 channels."""
    return nn.GroupNorm(channels // GROUP, channels)


class BasicBlock(nn.Module):
    """Two convolutions beside a skip."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        """The skip is a convolution where shapes differ."""
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.norm1 = group_norm(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.norm2 = group_norm(c_out)
        nn.init.zeros_(self.norm2.weight)
        self.relu = nn.ReLU()
        self.downsample: nn.Module = nn.Identity()
        if c_in != c_out or stride != 1:
            self.downsample = nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), group_norm(c_out))

    def forward(self, x: Tensor) -> Tensor:
        """(B, c_in, H, W) -> (B, c_out, H / stride, W / stride)."""
        y = self.relu(self.norm1(self.conv1(x)))
        return self.relu(self.downsample(x) + self.norm2(self.conv2(y)))


class ResNet18(nn.Module):
    """Picture -> coordinates of K points of interest."""

    def __init__(self, in_channels: int, keypoints: int) -> None:
        """Build the layers, with the first weights of He et al., "Delving deep into rectifiers", ICCV 2015."""
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, 64, 7, 2, 3, bias=False)
        self.enter = nn.Sequential(group_norm(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        stages, c_in = [], 64
        for c_out, stride in STAGES:
            stages.append(nn.Sequential(BasicBlock(c_in, c_out, stride), BasicBlock(c_out, c_out, 1)))
            c_in = c_out
        self.layer1, self.layer2, self.layer3, self.layer4 = stages
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        self.leave = KeypointCnn(c_in, (), keypoints)  # no layer but its last: a map per point
        self.dim = self.leave.dim

    def forward(self, picture: Tensor) -> Tensor:
        """Picture (B, C, H, W) of numbers about 1, at least 32 pixels a side -> (B, 2 K)."""
        x = self.enter(self.conv1(picture))
        return self.leave(self.layer4(self.layer3(self.layer2(self.layer1(x)))))
