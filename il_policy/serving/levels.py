r"""Noise levels of diffusion and flow in one set of coordinates, so that one sampler serves both.

A diffusion chunk is :math:`x_t = \sqrt{\bar\alpha_t}\,x + \sqrt{1 - \bar\alpha_t}\,\epsilon`. Divided by
:math:`s = \sqrt{\bar\alpha_t} + \sqrt{1 - \bar\alpha_t}` it is

.. math:: z = \tau\,x + (1 - \tau)\,\epsilon, \qquad \tau = \sqrt{\bar\alpha_t}\,/\,s,

the straight path of flow matching (Lipman et al., 2023): :math:`\tau` rises from 0, noise, to 1, the
chunk. In these coordinates a DDIM step (Song et al., 2021, eq. 12) is a step of Euler's method.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from il_core.errors import ConfigError
from il_policy.head_config import visited_levels

COSINE_OFFSET, MAX_BETA = 0.008, 0.999  # of the squared-cosine schedule, as in heads/diffusion.py


class Output(str, Enum):
    """What a network's output means."""

    WHOLE = "whole"  # one graph makes the chunk; there are no steps of ours
    SAMPLE = "sample"  # the clean chunk
    EPSILON = "epsilon"  # the noise in it
    VELOCITY = "velocity"  # clean chunk minus noise


@dataclass(frozen=True, slots=True)
class SamplerSpec:
    """How noise becomes a chunk.

    Attributes:
        output: What the network estimates.
        train_steps: Noise levels of a diffusion policy's training; 0 for a flow.
        steps: Steps used in training's own evaluation; fewer may be taken, never more.
        is_clipped: Whether estimates are kept in [-1, 1].
        t_scale: A flow's network is told ``t_scale * tau``.
        is_midpoint: Whether a flow's step takes the velocity in its middle: two evaluations each.
    """

    output: Output
    train_steps: int = 0
    steps: int = 1
    is_clipped: bool = False
    t_scale: float = 1.0
    is_midpoint: bool = False

    def __post_init__(self) -> None:
        """Check the counts."""
        if not 1 <= self.steps <= 10_000 or not 0 <= self.train_steps <= 10_000:
            raise ValueError("need 1 <= steps <= 10000 and 0 <= train_steps <= 10000")
        if self.train_steps and self.steps > self.train_steps:
            raise ValueError(f"steps {self.steps} exceed train_steps {self.train_steps}")
        if self.output in (Output.SAMPLE, Output.EPSILON) and not self.train_steps:
            raise ValueError(f"output '{self.output.value}' needs train_steps")
        if self.is_midpoint and self.output is not Output.VELOCITY:
            raise ValueError(f"is_midpoint goes with output 'velocity', got '{self.output.value}'")

    @property
    def is_stepped(self) -> bool:
        """Whether the number of steps can be chosen."""
        return self.output is not Output.WHOLE


@dataclass(frozen=True, slots=True)
class Level:
    r"""One evaluation of the network.

    Attributes:
        t: What the network is told.
        tau: Share of the chunk in z, in [0, 1).
        scale: The network sees ``scale * z``.
        gain: Clean estimate = ``gain * output + skip * (scale * z)``.
        skip: See ``gain``.
    """

    t: float
    tau: float
    scale: float
    gain: float
    skip: float


def signal_level(t: int, train_steps: int) -> float:
    r"""Variance share :math:`\bar\alpha_t` of the squared-cosine schedule (Nichol and Dhariwal, 2021, eq. 17)."""

    def f(u: float) -> float:
        return math.cos((u + COSINE_OFFSET) / (1 + COSINE_OFFSET) * math.pi / 2) ** 2

    product = 1.0
    for i in range(t + 1):
        beta = min(1 - f((i + 1) / train_steps) / f(i / train_steps), MAX_BETA)
        product *= 1 - beta
    return product


@lru_cache(maxsize=256)
def levels(spec: SamplerSpec, steps: int = 0, from_tau: float = 0.0) -> tuple[Level, ...]:
    """Levels to visit, noisiest first.

    Args:
        spec: The policy's sampler.
        steps: How many; 0 = the spec's own.
        from_tau: Leave out what is noisier than this; a warm start begins there. At least one level remains.

    Raises:
        ConfigError: not in 1..spec.steps, or a sampler without steps.
    """
    steps = steps or spec.steps
    if not spec.is_stepped or not 1 <= steps <= spec.steps:
        raise ConfigError("sampler", f"steps must be in 1..{spec.steps if spec.is_stepped else 0}, got {steps}")
    made = [_flow_level(spec, i / steps) for i in range(steps)]
    if spec.train_steps:
        visited = visited_levels(spec.train_steps, steps, is_noise_estimated=spec.output is Output.EPSILON)
        made = [_diffusion_level(spec, t) for t in visited]
    kept = [level for level in made if level.tau >= from_tau]
    return tuple(kept or made[-1:])


def halfway(spec: SamplerSpec, level: Level, following: float) -> Level:
    """The level in the middle of a flow's step, where the midpoint method looks."""
    return _flow_level(spec, 0.5 * (level.tau + following))


def _flow_level(spec: SamplerSpec, tau: float) -> Level:
    return Level(spec.t_scale * tau, tau, 1.0, 1.0 - tau, 1.0)


def _diffusion_level(spec: SamplerSpec, t: int) -> Level:
    signal = signal_level(t, spec.train_steps)
    a, b = math.sqrt(signal), math.sqrt(1 - signal)
    gain, skip = (1.0, 0.0) if spec.output is Output.SAMPLE else (-b / a, 1 / a)
    if spec.output is Output.VELOCITY:
        raise ConfigError("sampler", "output 'velocity' is of a flow, but train_steps says diffusion")
    return Level(float(t), a / (a + b), a + b, gain, skip)
