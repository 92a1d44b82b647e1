r"""Chunks carried from noise to data along straight lines.

.. math:: x_t = (1 - t)\,\epsilon + t\,a, \qquad \mathcal L = \| v_\theta(x_t, t, o) - (a - \epsilon) \|^2,
          \qquad \dot x = v_\theta(x, t, o)

Lipman et al., "Flow matching for generative modeling", ICLR 2023; Liu et al., "Flow straight and fast",
ICLR 2023.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from il_policy.head_config import FlowConfig, Solver
from il_policy.heads.base import ChunkHead
from il_policy.heads.loss import masked_mean

TIME_SCALE = 100.0  # networks embed noise levels of about this range


class FlowHead(ChunkHead):
    """Trains the network as a velocity field and integrates it."""

    def __init__(self, config: FlowConfig) -> None:
        """Take the settings."""
        self._config = config

    @property
    def steps(self) -> int:
        """Integration steps per chunk."""
        return self._config.steps

    def velocity(self, network: nn.Module, x: Tensor, t: Tensor | float, cond: Tensor) -> Tensor:
        """Velocity at chunks x (B, H, D) and times t (B,) or one for all, in [0, 1]."""
        time = torch.as_tensor(t, dtype=x.dtype, device=x.device).expand(len(x))
        return network(x, TIME_SCALE * time, cond)

    def loss(
        self, network: nn.Module, action: Tensor, is_pad: Tensor, cond: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Mean squared error of the velocity at random times, padding left out."""
        action = action.masked_fill(is_pad[..., None], 0.0)  # else padding leaks in through the noisy chunk
        noise = torch.randn(action.shape, generator=generator).to(action.device)
        t = torch.rand(len(action), generator=generator).to(action.device)
        x = self.add_noise(action, noise, t)
        return masked_mean((self.velocity(network, x, t, cond) - (action - noise)).square(), is_pad)

    @staticmethod
    def add_noise(action: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        """Points on the line from noise (t = 0) to data (t = 1), t (B,)."""
        t = t[:, None, None]
        return (1.0 - t) * noise + t * action

    def start(self, i: int) -> float:
        """Time at which integration step i begins."""
        return i / self._config.steps

    def clean(self, network: nn.Module, x: Tensor, i: int, cond: Tensor) -> Tensor:
        r"""Where x at the start of step i ends if its velocity stays: :math:`x + (1 - t)\,v`."""
        t = self.start(i)
        return x + (1.0 - t) * self.velocity(network, x, t, cond)

    def step(self, network: nn.Module, x: Tensor, i: int, cond: Tensor) -> Tensor:
        """One integration step, i = 0 the first."""
        t, dt = self.start(i), 1.0 / self._config.steps
        v = self.velocity(network, x, t, cond)
        if self._config.solver is Solver.MIDPOINT:
            v = self.velocity(network, x + 0.5 * dt * v, t + 0.5 * dt, cond)
        return x + dt * v

    def sample(
        self, network: nn.Module, cond: Tensor, noise: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Normalised chunks (B, H, D), a smooth function of the noise."""
        x = noise
        for i in range(self._config.steps):
            x = self.step(network, x, i, cond)
        return x
