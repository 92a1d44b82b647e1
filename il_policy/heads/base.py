"""What every head offers: it builds its network, trains it and draws chunks from it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from il_policy.models import NO_LAYOUT, Layout, make_network
from il_policy.network_config import NetworkConfig


@dataclass(frozen=True, slots=True)
class Sizes:
    """What task and observation dictate to a network.

    Attributes:
        horizon: Rows H of a chunk.
        action_dim: Numbers D per row.
        cond_dim: Length C of the condition.
        layout: Which part of the condition is history.
    """

    horizon: int
    action_dim: int
    cond_dim: int
    layout: Layout = NO_LAYOUT


class ChunkHead:
    """Turns a network into a distribution over chunks; all in normalised units.

    A head has no weights of its own: whatever is learned lies in the network it builds, so that averaging,
    saving and resuming have one thing to look at.
    """

    def build(self, config: NetworkConfig, sizes: Sizes) -> nn.Module:
        """Network for this head, untrained.

        Raises:
            ValueError: the network cannot be built for these sizes.
        """
        return make_network(config, sizes.horizon, sizes.action_dim, sizes.cond_dim, layout=sizes.layout)

    def fit(self, network: nn.Module, action: Tensor) -> None:
        """Take from all chunks of the data (N, H, D) what gradients do not learn; most heads need nothing."""

    def loss(
        self, network: nn.Module, action: Tensor, is_pad: Tensor, cond: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Scalar loss of actions (B, H, D) with padding marks (B, H), given conditions (B, C)."""
        raise NotImplementedError

    def sample(
        self, network: nn.Module, cond: Tensor, noise: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Chunks (B, H, D) for conditions (B, C).

        Args:
            network: What :meth:`build` made.
            cond: Normalised conditions.
            noise: Standard normal, (B, H, D): which of several ways is taken.
            generator: For the few samplers that need more chance than that; a fresh one, seeded, if None.
        """
        raise NotImplementedError
