"""Chunks drawn by removing noise step by step: keeps apart what demonstrations do differently.

Ho et al., "Denoising diffusion probabilistic models", 2020 (training); Nichol and Dhariwal, "Improved
DDPM", 2021, eq. 17 (schedule); Song et al., "Denoising diffusion implicit models", 2021, eq. 12
(sampling with few steps, deterministic given the first noise).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from il_policy.config import DiffusionConfig, Prediction
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


class DiffusionHead:
    """Squared-cosine noise schedule; trains the network as denoiser and samples with DDIM."""

    def __init__(self, config: DiffusionConfig) -> None:
        """Compute the schedule."""
        self._config = config
        self._signal = signal_levels(config.train_steps)
        stride = config.train_steps // config.inference_steps
        self._timesteps = [stride * i for i in reversed(range(config.inference_steps))]

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

    def sample(self, network: nn.Module, cond: Tensor, noise: Tensor) -> Tensor:
        r"""Normalised chunks (B, H, D) for conditions (B, C) from standard normal noise (B, H, D).

        Each step estimates the clean chunk :math:`\hat x`, keeps it in [-1, 1], and goes to the next lower
        level s with the noise :math:`\hat\epsilon` that the estimate implies:

        .. math:: x_s = \sqrt{\bar\alpha_s}\,\hat x + \sqrt{1 - \bar\alpha_s}\,\hat\epsilon, \qquad
                  \hat\epsilon = \frac{x_t - \sqrt{\bar\alpha_t}\,\hat x}{\sqrt{1 - \bar\alpha_t}}
        """
        x = noise
        for i, t in enumerate(self._timesteps):
            estimate = network(x, torch.full((len(x),), t, device=x.device), cond)
            signal = float(self._signal[t])
            if self._config.prediction is Prediction.EPSILON:
                estimate = (x - math.sqrt(1 - signal) * estimate) / math.sqrt(signal)
            clean = estimate.clamp(-1.0, 1.0)
            implied = (x - math.sqrt(signal) * clean) / math.sqrt(1 - signal)
            is_last = i + 1 == len(self._timesteps)
            lower = 1.0 if is_last else float(self._signal[self._timesteps[i + 1]])
            x = math.sqrt(lower) * clean + math.sqrt(1 - lower) * implied
        return x
