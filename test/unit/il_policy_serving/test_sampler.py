"""Sampling from a distribution whose best denoiser is known exactly: smooth Gaussian chunks."""

from __future__ import annotations

import numpy as np
import pytest

from il_core.errors import ConfigError, ShapeError
from il_policy.serving.levels import Output, SamplerSpec, levels, signal_level
from il_policy.serving.rtc import Prefix
from il_policy.serving.sampler import Request, sample

H, A = 16, 2
ROWS = np.arange(H)
COVARIANCE = 0.09 * np.exp(-0.5 * ((ROWS[:, None] - ROWS) / 4.0) ** 2) + 1e-6 * np.eye(H)  # smooth over 4 rows
SPECS = {
    "sample": SamplerSpec(Output.SAMPLE, 100, 10, is_clipped=True),
    "epsilon": SamplerSpec(Output.EPSILON, 100, 50, is_clipped=True),
    "velocity": SamplerSpec(Output.VELOCITY, 0, 10, t_scale=100.0),
}
COND = np.zeros((1, 1), np.float32)


class Gaussian:
    """The exact denoiser of N(0, COVARIANCE): E[x | z] = tau S (tau^2 S + (1 - tau)^2 I)^-1 z, and its gradient."""

    name, threads = "exact", 1

    def __init__(self, spec: SamplerSpec, has_guided: bool = True) -> None:
        self._level = {round(level.t, 6): level for level in levels(spec)}
        self._spec, self._has_guided = spec, has_guided

    def has(self, graph):
        return graph == "step" or self._has_guided

    def run(self, graph, feeds):
        level = self._level[round(float(feeds["t"][0]), 6)]
        x = feeds["x"][0].astype(np.float64)
        z, tau = x / level.scale, level.tau
        matrix = tau * COVARIANCE @ np.linalg.inv(tau**2 * COVARIANCE + (1 - tau) ** 2 * np.eye(H))
        clean = matrix @ z
        noise = (z - tau * clean) / (1 - tau)
        output = {Output.SAMPLE: clean, Output.EPSILON: noise, Output.VELOCITY: clean - noise}[self._spec.output]
        if graph == "step":
            return (output[None].astype(np.float32),)
        error = feeds["weight"][0] * (feeds["target"][0] - clean)
        pull = matrix.T @ error / level.scale
        return output[None].astype(np.float32), pull[None].astype(np.float32)


def draw(seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.linalg.cholesky(COVARIANCE) @ rng.normal(size=(H, A))


def noises(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(1)
    return [rng.normal(size=(H, A)).astype(np.float32) for _ in range(count)]


@pytest.mark.parametrize("name", list(SPECS))
def test_noise_becomes_draws_of_the_right_spread_and_smoothness(name):
    spec = SPECS[name]
    backend = Gaussian(spec)
    drawn = np.array([sample(backend, spec, COND, Request(n)) for n in noises(200)])
    assert drawn.std() == pytest.approx(0.3, rel=0.15)  # Euler in ten steps loses some
    steps = np.diff(drawn, axis=1).std()
    assert steps == pytest.approx(np.sqrt(2 * (COVARIANCE[0, 0] - COVARIANCE[0, 1])), rel=0.2)


@pytest.mark.parametrize("name", list(SPECS))
@pytest.mark.parametrize("has_guided", [True, False], ids=["gradient", "inpainting"])
def test_a_new_chunk_continues_the_frozen_prefix_instead_of_jumping_behind_it(name, has_guided):
    spec, frozen = SPECS[name], 4
    backend = Gaussian(spec, has_guided)
    breaks: dict[bool, list[float]] = {True: [], False: []}
    for k, noise in enumerate(noises(30)):
        old = draw(k)
        prefix = Prefix(old, frozen, 10)
        joined = sample(backend, spec, COND, Request(noise, prefix=prefix))
        assert np.array_equal(joined[:frozen], old[:frozen].astype(np.float32))
        naive = sample(backend, spec, COND, Request(noise))
        breaks[True].append(np.abs(joined[frozen] - old[frozen]).mean())
        breaks[False].append(np.abs(naive[frozen] - old[frozen]).mean())
    assert np.mean(breaks[True]) < 0.35 * np.mean(breaks[False])


@pytest.mark.parametrize("name", list(SPECS))
def test_rows_beyond_the_plan_before_stay_free(name):
    spec = SPECS[name]
    backend = Gaussian(spec)
    last = [
        [sample(backend, spec, COND, Request(n, prefix=p))[-1] for n in noises(60)]
        for p in (None, Prefix(draw(0), 2, 5))
    ]
    assert np.std(last[1]) == pytest.approx(np.std(last[0]), rel=0.2)


@pytest.mark.parametrize("name", list(SPECS))
def test_a_warm_start_stays_nearer_to_the_plan_before_in_fewer_evaluations(name):
    spec, old = SPECS[name], draw(3).astype(np.float32)
    backend = Gaussian(spec)

    def distance(**options):
        made = [sample(backend, spec, COND, Request(n, **options)) for n in noises(20)]
        return np.mean([np.abs(m - old).mean() for m in made])

    assert len(levels(spec, 0, 0.6)) < len(levels(spec))
    assert distance(warm=old, warm_tau=0.6) < 0.8 * distance()


def test_levels_fall_in_noise_and_count_as_asked():
    for spec in SPECS.values():
        for steps in (1, 2, spec.steps):
            taus = [level.tau for level in levels(spec, steps)]
            assert len(taus) == steps and taus == sorted(taus) and 0 <= taus[0] and taus[-1] < 1
        assert len(levels(spec, 0, 0.9999)) == 1


def test_the_schedule_falls_from_nearly_one_to_nearly_zero():
    values = [signal_level(t, 100) for t in range(100)]
    assert values == sorted(values, reverse=True) and values[0] > 0.99 and values[-1] < 1e-4


@pytest.mark.parametrize("steps", [-1, 11])
def test_more_steps_than_trained_for_are_refused(steps):
    with pytest.raises(ConfigError, match=f"steps must be in 1..10, got {steps}"):
        levels(SPECS["sample"], steps)


def test_impossible_prefixes_and_warm_starts_are_refused():
    with pytest.raises(ShapeError, match="0 <= frozen <= known <= H"):
        Prefix(draw(0), 5, 4)
    with pytest.raises(ConfigError, match="warm_tau must be in"):
        sample(Gaussian(SPECS["sample"]), SPECS["sample"], COND, Request(noises(1)[0], warm=noises(1)[0]))
