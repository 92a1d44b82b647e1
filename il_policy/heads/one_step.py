r"""A student that removes all noise at once, taught by a trained diffusion or flow policy.

Trajectory (Luhman and Luhman, "Knowledge distillation in iterative generative models", 2021): the teacher
takes a noise to one chunk without further chance, and the student learns that map,

.. math:: \mathcal L = \| \hat a_\theta(\epsilon, o) - \mathrm{sample}_{teacher}(\epsilon, o) \|^2 .

Consistency (Song et al., "Consistency models", 2023; for robots Prasad et al., "Consistency policy", 2024):
from any level the student must say what it says itself one teacher step further on,

.. math:: \mathcal L = \| \hat a_\theta(x_t, o) - \mathrm{sg}\,\hat a_\theta(x_s, o) \|^2, \qquad
          x_s = \mathrm{step}_{teacher}(x_t, o), \quad \hat a(x_0) = x_0 .

The student is a network like the teacher's and starts from its weights.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn

from il_policy.head_config import Distillation, OneStepConfig
from il_policy.heads.base import ChunkHead
from il_policy.heads.diffusion import DiffusionHead
from il_policy.heads.flow import FlowHead
from il_policy.heads.loss import masked_mean


class OneStepHead(ChunkHead):
    """One network evaluation per plan."""

    def __init__(self, config: OneStepConfig, base: DiffusionHead | FlowHead, teacher: nn.Module | None) -> None:
        """Take the settings.

        Args:
            config: How to learn.
            base: The teacher's head: levels, noise and steps.
            teacher: Its trained network, or None if nothing is to be trained.
        """
        self._config, self._base = config, base
        self._teacher = teacher.eval().requires_grad_(False) if teacher is not None else None

    def loss(
        self, network: nn.Module, action: Tensor, is_pad: Tensor, cond: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Mean squared distance from the teacher, padding left out.

        Raises:
            ValueError: there is no teacher.
        """
        if self._teacher is None:
            raise ValueError("head one_step learns from a teacher; use `il train --distill CHECKPOINT`")
        action = action.masked_fill(is_pad[..., None], 0.0)
        noise = torch.randn(action.shape, generator=generator).to(action.device)
        if self._config.method is Distillation.TRAJECTORY:
            with torch.no_grad():
                target = self._end(self._teacher, cond, noise)
            return masked_mean((self.sample(network, cond, noise) - target).square(), is_pad)
        i = int(torch.randint(0, self._base.steps, (), generator=generator))
        start = torch.full((len(action),), self._base.start(i), device=action.device)
        # Both heads add noise at their own levels: integers for diffusion, times for flow.
        x = noise if i == 0 else cast(DiffusionHead, self._base).add_noise(action, noise, start)
        with torch.no_grad():
            target = self._base.step(self._teacher, x, i, cond)
            if i + 1 < self._base.steps:
                target = self._base.clean(network, target, i + 1, cond)
        return masked_mean((self._base.clean(network, x, i, cond) - target).square(), is_pad)

    def _end(self, teacher: nn.Module, cond: Tensor, noise: Tensor) -> Tensor:
        """Where the teacher takes a noise, whatever its sampler: with fresh noise on the way there is no such map."""
        x = noise
        for i in range(self._base.steps):
            x = self._base.step(teacher, x, i, cond)
        return x

    def sample(
        self, network: nn.Module, cond: Tensor, noise: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Normalised chunks (B, H, D): the clean estimate at the highest level."""
        return self._base.clean(network, noise, 0, cond)
