"""Which network, how large; each field says which kinds read it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MAX_WIDTH = 4096  # wider is a typing error, and a checkpoint must not make a server allocate gigabytes


class NetworkKind(str, Enum):
    """Networks of ``il_policy.models``."""

    MLP = "mlp"  # the whole chunk at once
    ROW_MLP = "row_mlp"  # one small MLP shared by all rows
    UNET1D = "unet1d"
    TRANSFORMER = "transformer"
    RNN = "rnn"


@dataclass(frozen=True, slots=True)
class NetworkConfig:
    """Size of the network.

    Attributes:
        kind: Which network.
        width: Hidden width (all but unet1d).
        depth: Residual blocks (mlp, row_mlp, transformer) or stacked layers (rnn).
        channels: Channels per resolution (unet1d); each step down halves the horizon.
        kernel: Kernel length, odd (unet1d).
        groups: Groups of the group norms (unet1d).
        heads: Attention heads, a divisor of the width (transformer).
    """

    kind: NetworkKind = NetworkKind.MLP
    width: int = 512
    depth: int = 3
    channels: tuple[int, ...] = (64, 128, 256)
    kernel: int = 5
    groups: int = 8
    heads: int = 4

    def __post_init__(self) -> None:
        """Reject sizes that cannot be built."""
        if not 0 < self.width <= MAX_WIDTH or not 0 < self.depth <= 64:
            raise ValueError(f"width must be in 1..{MAX_WIDTH} and depth in 1..64")
        if not 0 < len(self.channels) <= 6 or not all(0 < c <= MAX_WIDTH for c in self.channels):
            raise ValueError(f"channels must be one to six numbers in 1..{MAX_WIDTH}, got {self.channels}")
        if not (0 < self.kernel < 32 and self.kernel % 2 == 1):
            raise ValueError(f"kernel must be odd and below 32, got {self.kernel}")
        if self.groups <= 0 or any(c % self.groups for c in self.channels):
            raise ValueError(f"groups {self.groups} must divide every one of channels {self.channels}")
        if self.kind is NetworkKind.TRANSFORMER and (self.heads <= 0 or self.width % self.heads):
            raise ValueError(f"heads {self.heads} must divide width {self.width}")
