"""Chunks drawn by removing noise step by step: keeps apart what demonstrations do differently.

Ho et al., "Denoising diffusion probabilistic models", 2020 (training); Song et al., "Denoising
diffusion implicit models", 2021 (sampling with few steps, deterministic given the first noise).
"""

from __future__ import annotations

import torch
from diffusers import DDIMScheduler, DDPMScheduler
from torch import Tensor, nn

from il_policy.config import DiffusionConfig, Prediction
from il_policy.heads.loss import masked_mean


class DiffusionHead:
    """Squared-cosine noise schedule; trains the network as denoiser and samples with DDIM."""

    def __init__(self, config: DiffusionConfig) -> None:
        """Build both schedules."""
        shared = {
            "num_train_timesteps": config.train_steps,
            "beta_schedule": "squaredcos_cap_v2",
            "clip_sample": True,  # normalised actions lie in [-1, 1]
            "prediction_type": config.prediction.value,
        }
        self._config = config
        self._forward = DDPMScheduler(**shared)
        self._reverse = DDIMScheduler(**shared, set_alpha_to_one=True, steps_offset=0)
        self._reverse.set_timesteps(config.inference_steps)

    def loss(
        self, network: nn.Module, action: Tensor, is_pad: Tensor, cond: Tensor, generator: torch.Generator
    ) -> Tensor:
        """Mean squared error of the denoiser at random noise levels, padding left out."""
        action = action.masked_fill(is_pad[..., None], 0.0)  # else padding leaks in through the noisy chunk
        noise = torch.randn(action.shape, generator=generator).to(action.device)
        t = torch.randint(0, self._config.train_steps, (len(action),), generator=generator).to(action.device)
        noisy = self._forward.add_noise(action, noise, t)
        target = noise if self._config.prediction is Prediction.EPSILON else action
        return masked_mean((network(noisy, t, cond) - target).square(), is_pad)

    def sample(self, network: nn.Module, cond: Tensor, noise: Tensor) -> Tensor:
        """Normalised chunks (B, H, D) for conditions (B, C) from standard normal noise (B, H, D)."""
        x = noise
        for t in self._reverse.timesteps:
            estimate = network(x, t.expand(len(x)).to(x.device), cond)
            x = self._reverse.step(estimate, t, x).prev_sample
        return x
