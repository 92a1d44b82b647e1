"""Chunks drawn by removing noise step by step: keeps apart what demonstrations do differently.

Ho et al., "Denoising diffusion probabilistic models", 2020 (training); Nichol and Dhariwal, "Improved
DDPM", 2021, eq. 17 (schedule); Song et al., "Denoising diffusion implicit models", 2021, eq. 12
(sampling with few steps, deterministic given the first noise).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from il_policy.head_config import DiffusionConfig, Prediction, Sampler, visited_levels
from il_policy.heads.base import ChunkHead
from il_policy.heads.loss import masked_mean

COSINE_OFFSET = 0.008  # Nichol and Dhariwal: keeps the first noise level from vanishing
MAX_BETA = 0.999  # theirs too: the last level would otherwise divide by zero


def signal_levels(levels: int) -> Tensor:
    r"""Part of the signal's variance left at each noise level, (levels,), falling from 1 to 0.

    .. math:: \bar\alpha_t = \prod_{i \le t} (1 - \beta_i), \qquad
              \beta_i = \min\left(1 - \frac{f((i + 1) / T)}{f(i / T)},\ 0.999\right), \qquad
              f(u) = \cos^2\left(\frac{u + s}{1 + s}\,\frac{\pi}{2}\right)
    """
    u = torch.arange(levels + 1, dtype=torch.float64) / levels
    f = torch.cos((u + COSINE_OFFSET) / (1 + COSINE_OFFSET) * math.pi / 2) ** 2
    beta = torch.clamp(1 - f[1:] / f[:-1], max=MAX_BETA)
    return torch.cumprod(1 - beta, dim=0).float()


class DiffusionHead(ChunkHead):
    """Squared-cosine noise schedule; trains the network as denoiser, samples with DDIM or DDPM."""

    def __init__(self, config: DiffusionConfig) -> None:
        """Compute the schedule."""
        self._config = config
        self._signal = signal_levels(config.train_steps)
        is_noise = config.prediction is Prediction.EPSILON
        self._timesteps = visited_levels(config.train_steps, config.inference_steps, is_noise_estimated=is_noise)

    def add_noise(self, action: Tensor, noise: Tensor, t: Tensor) -> Tensor:
        r"""Noisy chunk at levels t (B,): :math:`\sqrt{\bar\alpha_t}\,x + \sqrt{1 - \bar\alpha_t}\,\epsilon`."""
        level = self._signal.to(action.device)[t][:, None, None]
        return level.sqrt() * action + (1 - level).sqrt() * noise

    def loss(
        self, network: nn.Module, action: Tensor, is_pad: Tensor, cond: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Mean squared error of the denoiser at random noise levels, padding left out."""
        action = action.masked_fill(is_pad[..., None], 0.0)  # else padding leaks in through the noisy chunk
        noise = torch.randn(action.shape, generator=generator).to(action.device)
        t = torch.randint(0, self._config.train_steps, (len(action),), generator=generator).to(action.device)
        target = noise if self._config.prediction is Prediction.EPSILON else action
        estimate = network(self.add_noise(action, noise, t), t, cond)
        return masked_mean((estimate - target).square(), is_pad)

    @property
    def steps(self) -> int:
        """Denoising steps per chunk."""
        return len(self._timesteps)

    def start(self, i: int) -> int:
        """Noise level at which denoising step i begins."""
        return self._timesteps[i]

    def clean(self, network: nn.Module, x: Tensor, i: int, cond: Tensor) -> Tensor:
        """Estimate of the clean chunk from x at the start of step i, kept in [-1, 1]."""
        t = self._timesteps[i]
        estimate = network(x, torch.full((len(x),), t, device=x.device), cond)
        if self._config.prediction is Prediction.EPSILON:
            signal = float(self._signal[t])
            estimate = (x - math.sqrt(1 - signal) * estimate) / math.sqrt(signal)
        return estimate.clamp(-1.0, 1.0)

    def step(self, network: nn.Module, x: Tensor, i: int, cond: Tensor) -> Tensor:
        r"""One DDIM step, i = 0 the first: to the next lower level s with the noise the estimate implies.

        .. math:: x_s = \sqrt{\bar\alpha_s}\,\hat x + \sqrt{1 - \bar\alpha_s}\,\hat\epsilon, \qquad
                  \hat\epsilon = \frac{x_t - \sqrt{\bar\alpha_t}\,\hat x}{\sqrt{1 - \bar\alpha_t}}
        """
        clean = self.clean(network, x, i, cond)
        signal, lower = self._levels(i)
        implied = (x - math.sqrt(signal) * clean) / math.sqrt(1 - signal)
        return math.sqrt(lower) * clean + math.sqrt(1 - lower) * implied

    def noisy_step(self, network: nn.Module, x: Tensor, i: int, cond: Tensor, generator: torch.Generator) -> Tensor:
        r"""One DDPM step: a draw from the posterior of the next level given the clean estimate.

        .. math:: x_s \sim \mathcal N\Big(
                  \tfrac{\sqrt{\bar\alpha_s}\,\beta}{1 - \bar\alpha_t} \hat x +
                  \tfrac{\sqrt{\alpha}\,(1 - \bar\alpha_s)}{1 - \bar\alpha_t} x_t,\
                  \tfrac{1 - \bar\alpha_s}{1 - \bar\alpha_t} \beta\Big), \qquad
                  \alpha = \bar\alpha_t / \bar\alpha_s,\ \beta = 1 - \alpha

        Ho et al. 2020, eq. 6 and 7, between the levels that are visited.
        """
        clean = self.clean(network, x, i, cond)
        signal, lower = self._levels(i)
        alpha = signal / lower
        mean = math.sqrt(lower) * (1 - alpha) * clean + math.sqrt(alpha) * (1 - lower) * x
        std = math.sqrt((1 - lower) / (1 - signal) * (1 - alpha))
        fresh = torch.randn(x.shape, generator=generator).to(x.device)
        return mean / (1 - signal) + std * fresh

    def _levels(self, i: int) -> tuple[float, float]:
        """Signal left where step i begins, and where it ends."""
        is_last = i + 1 == len(self._timesteps)
        lower = 1.0 if is_last else float(self._signal[self._timesteps[i + 1]])
        return float(self._signal[self._timesteps[i]]), lower

    def sample(
        self, network: nn.Module, cond: Tensor, noise: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Normalised chunks (B, H, D) for conditions (B, C) from standard normal noise (B, H, D)."""
        x = noise
        if self._config.sampler is Sampler.DDIM:
            for i in range(self.steps):
                x = self.step(network, x, i, cond)
            return x
        generator = generator or torch.Generator().manual_seed(0)
        for i in range(self.steps):
            x = self.noisy_step(network, x, i, cond, generator)
        return x
