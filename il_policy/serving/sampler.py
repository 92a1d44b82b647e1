"""Chunks from noise, in numpy, over any runtime; the same steps as the training's own sampler.

A plan can be made to continue the one before (:mod:`il_policy.serving.rtc`), be made in fewer steps, and
begin from the plan before instead of from noise (warm start: Duan et al., "Real-time iteration scheme for
diffusion policy", 2025; the plan before, noised to level tau, replaces the levels below it).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from il_core.errors import ConfigError
from il_policy.serving.backend import GUIDED, STEP, WHOLE, Backend
from il_policy.serving.levels import Level, SamplerSpec, halfway, levels
from il_policy.serving.rtc import BETA, Prefix, guidance_weight

Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Request:
    """How one chunk is to be made.

    Attributes:
        noise: Standard normal, (H, A).
        steps: Evaluations; 0 = as many as the policy was made for.
        prefix: The plan to continue, or None.
        warm: Normalised rows to start from, (H, A), or None to start from noise.
        warm_tau: Level the warm start is noised to, in (0, 1).
        beta: Clip of the guidance weight.
    """

    noise: Floats
    steps: int = 0
    prefix: Prefix | None = None
    warm: Floats | None = None
    warm_tau: float = 0.0
    beta: float = BETA


def some_prefix(chunk_shape: tuple[int, ...]) -> Prefix:
    """A plan before that rests in the middle and settles one row: to warm up, to measure what continuing costs."""
    return Prefix(np.zeros(chunk_shape), 1, max(1, chunk_shape[0] // 2))


def sample(backend: Backend, spec: SamplerSpec, cond: Floats, request: Request) -> Floats:
    """Normalised chunk (H, A) for a condition (1, C).

    Rows a prefix freezes are its rows, to the bit. Where the runtime has no ``guided`` graph the other
    rows are drawn to the prefix by inpainting: see :func:`_inpaint`.

    Raises:
        ConfigError: steps out of range.
    """
    noise, prefix = request.noise.astype(np.float32), request.prefix
    if not spec.is_stepped:
        x = backend.run(WHOLE, {"cond": cond, "noise": noise[None]})[0][0]
        return _with_frozen(x, prefix)
    if request.warm is not None and not 0.0 < request.warm_tau < 1.0:
        raise ConfigError("sampler", f"warm_tau must be in (0, 1), got {request.warm_tau}")
    warm_tau = request.warm_tau if request.warm is not None else 0.0
    visited = levels(spec, request.steps, warm_tau)
    z = noise / np.float32(visited[0].scale)  # the noisiest level is taken for pure noise, as in training
    if request.warm is not None:
        tau = visited[0].tau
        z = np.float32(tau) * request.warm.astype(np.float32) + np.float32(1 - tau) * noise
    for i, level in enumerate(visited):
        following = visited[i + 1].tau if i + 1 < len(visited) else 1.0
        z = _step(backend, spec, cond, request, z, level, following)
    return _with_frozen(z, prefix)


def _step(
    backend: Backend, spec: SamplerSpec, cond: Floats, request: Request, z: Floats, level: Level, following: float
) -> Floats:
    """From one level to the next: along the (guided) velocity there or, where the spec says so, halfway."""

    def drawn(z: Floats, tau: float) -> Floats:
        prefix = request.prefix
        is_done = prefix is None or prefix.known == 0 or backend.has(GUIDED)
        return z if prefix is None or is_done else _inpaint(z, prefix, request.noise, tau)

    if not spec.is_midpoint:
        return drawn(_euler(backend, spec, cond, request, z, level, following), following)
    middle = halfway(spec, level, following)
    z_middle = drawn(_euler(backend, spec, cond, request, z, level, middle.tau), middle.tau)
    half_a_step = _euler(backend, spec, cond, request, z_middle, middle, following) - z_middle
    return drawn(z + np.float32(2) * half_a_step, following)


def _euler(
    backend: Backend, spec: SamplerSpec, cond: Floats, request: Request, z: Floats, level: Level, following: float
) -> Floats:
    """Euler's step along the velocity at a level, guided where the runtime can."""
    x = np.float32(level.scale) * z
    feeds = {"x": x[None], "t": np.array([level.t], np.float32), "cond": cond}
    prefix, pull = request.prefix, None
    if prefix is not None and prefix.known > 0 and backend.has(GUIDED):
        shape = x[None].shape
        feeds["target"] = prefix.rows.astype(np.float32)[None]
        feeds["weight"] = np.ascontiguousarray(np.broadcast_to(prefix.weights[None, :, None], shape), np.float32)
        feeds["gain"], feeds["skip"] = (np.array([v], np.float32) for v in (level.gain, level.skip))
        output, pull = (a[0] for a in backend.run(GUIDED, feeds))
    else:
        output = backend.run(STEP, feeds)[0][0]
    clean = np.float32(level.gain) * output + np.float32(level.skip) * x
    if spec.is_clipped:
        clean = np.clip(clean, -1.0, 1.0)
    noise = (z - np.float32(level.tau) * clean) / np.float32(1 - level.tau)
    z = np.float32(following) * clean + np.float32(1 - following) * noise
    if pull is None:
        return z
    strength = (following - level.tau) * guidance_weight(level.tau, request.beta) * level.scale
    return z + np.float32(strength) * pull


def _inpaint(z: Floats, prefix: Prefix, noise: Floats, tau: float) -> Floats:
    """Replace rows by the prefix at the same noise level, as far as its weights say.

    Lugmayr et al., "RePaint", CVPR 2022, eq. 8, without resampling and with soft weights.
    """
    weight = prefix.weights[:, None].astype(np.float32)
    wanted = np.float32(tau) * prefix.rows.astype(np.float32) + np.float32(1 - tau) * noise.astype(np.float32)
    return np.where(weight > 0, weight * wanted + (1 - weight) * z, z)


def _with_frozen(x: Floats, prefix: Prefix | None) -> Floats:
    if prefix is None or prefix.frozen == 0:
        return x
    kept = x.copy()
    kept[: prefix.frozen] = prefix.rows[: prefix.frozen]
    return kept
