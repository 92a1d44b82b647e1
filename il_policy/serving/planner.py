"""From observations of any kind to plans that continue one another, on any runtime."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic

import numpy as np
from numpy.typing import NDArray

from il_core.errors import NonFiniteError
from il_core.types import ActionChunk
from il_policy.data_config import EnsembleConfig
from il_policy.serving import handover
from il_policy.serving.acting import Acting, Report
from il_policy.serving.anytime import Latency, LatencyWindow, StepBudget
from il_policy.serving.backend import ENCODE, Backend, Feeds, place_of
from il_policy.serving.config import Doubt, Handover, ServeConfig
from il_policy.serving.doubt import Detector, Watch
from il_policy.serving.features import features
from il_policy.serving.levels import SamplerSpec
from il_policy.serving.rtc import Prefix
from il_policy.serving.sampler import Request, sample
from il_policy.translate import Pixels, Rhythm, Seen, Translator

Floats = NDArray[np.float32]
BRAKE_ROWS = 4  # rows until a doubting arm is at rest: 0.4 s at 10 Hz, gentle at every speed a plan may have
NO_ENSEMBLE = EnsembleConfig()


@dataclass(frozen=True, slots=True, eq=False)
class Machine:
    """What computes: everything of a served policy but the meaning of its numbers.

    Attributes:
        chunk_shape: Rows and numbers per row.
        sampler: How noise becomes a chunk.
        action_centre: Middle of each action dimension's range.
        action_half_range: Half of it.
        backend: Who computes.
        detector: Scores observations, or None if the checkpoint was never calibrated.
        ensemble: How the recipe wants successive plans averaged.
    """

    chunk_shape: tuple[int, ...]
    sampler: SamplerSpec
    action_centre: Floats
    action_half_range: Floats
    backend: Backend
    detector: Detector | None = None
    ensemble: EnsembleConfig = NO_ENSEMBLE


def feeds_of(inputs: NDArray[np.float64], pixels: Pixels) -> Feeds:
    """What the graph ``encode`` is fed with, a batch of one."""
    return {"inputs": inputs[None].astype(np.float32), **{name: picture[None] for name, picture in pixels.items()}}


class Planner(Acting[Seen], Generic[Seen]):
    """Makes plans knowing the one before and how late they will come into force."""

    latency: Latency

    def __init__(
        self, machine: Machine, translator: Translator[Seen], config: ServeConfig, seed: int = 0, lead_ns: int = 0
    ) -> None:
        """Take what computes and what its numbers mean; plans are to be sent ahead by ``lead_ns``."""
        self.config, self._machine, self._translator = config, machine, translator
        self.handover = chosen_handover(config, machine)
        recipe = machine.ensemble
        plans, decay = (
            (recipe.plans + 1, recipe.decay) if recipe.plans else (config.ensemble_plans, config.ensemble_decay)
        )
        self._ensemble = handover.Ensemble(plans, decay)
        rhythm = translator.rhythm
        deadline_ms = config.deadline_ms or 0.5 * rhythm.n_execute * rhythm.dt_ns / 1e6
        self._budget = StepBudget(machine.sampler.steps, config.min_steps, deadline_ms)
        self.lead_ns = lead_ns
        self.latency = LatencyWindow(int(config.latency_ms * 1e6), lead_ns)
        self.report = Report()
        self.reset(seed)

    @property
    def rhythm(self) -> Rhythm:
        """When it looks and plans."""
        return self._translator.rhythm

    @property
    def runtime(self) -> str:
        """Who computes, for reports."""
        return f"{self._machine.backend.name}, {place_of(self._machine.backend)}"

    def reset(self, seed: int = 0) -> None:
        """Begin a new rollout: forget plans and observations, draw the noise that its plans share."""
        self._noise = np.random.default_rng(seed).standard_normal(self._machine.chunk_shape).astype(np.float32)
        self._previous: ActionChunk | None = None
        self._ensemble.reset()
        self._watch = self._fresh_watch()
        self._forget_acting()

    def warm_up(self) -> None:
        """Plan a few times from nothing: first calls allocate and are many times slower."""
        feeds = feeds_of(np.zeros(self._translator.input_dim), self._translator.blank())
        for _ in range(3):
            sample(self._machine.backend, self._machine.sampler, self._cond(feeds), Request(self._noise))

    def predict(self, window: Sequence[Seen]) -> ActionChunk:
        """Plan from the last ``n_obs`` observations, oldest first.

        Row j is wanted j + 1 ticks after the newest observation. The plan continues the last one as the
        configuration says. In doubt it is slower, or comes to rest: see :class:`il_policy.serving.config.Doubt`.

        Raises:
            ShapeError: another number of observations.
            DeviceError, EpisodeError: something that the policy needs was not observed.
            NonFiniteError: the network gave NaN or infinity.
        """
        began = time.perf_counter()
        now = window[-1]
        start_ns = now.tick_ns + self.rhythm.dt_ns
        cond = self._cond(feeds_of(self._translator.inputs(window), self._translator.pixels(window)))
        score, is_in_doubt = self._doubt(cond, window)
        previous = self._previous if self._previous is None or self._previous.obs_ns < now.tick_ns else None
        if is_in_doubt and self.config.doubt in (Doubt.HOLD, Doubt.HELP):
            stop = handover.brake(previous, now.tick_ns, start_ns, BRAKE_ROWS) if previous is not None else None
            plan = stop or self._standstill(now, previous, start_ns)
            self.report = Report(0, 0, 0, score, True, 1e3 * (time.perf_counter() - began))
            self._previous = plan
            return plan
        prefix = self._prefix(previous, now, start_ns)
        steps = self._budget.steps() if self._machine.sampler.is_stepped else 0
        request = self._request(prefix, steps)
        before_steps = time.perf_counter()
        rows = sample(self._machine.backend, self._machine.sampler, cond, request)
        steps_ms = 1e3 * (time.perf_counter() - before_steps)
        plan = self._joined(self._decoded(rows, now), previous, prefix)
        if is_in_doubt and self.config.doubt is Doubt.SLOW:
            plan = handover.slowed(plan, self.config.slow_factor)
        total_ms = 1e3 * (time.perf_counter() - began)
        if steps:
            self._budget.add(steps, steps_ms, total_ms - steps_ms)
        frozen, known = (prefix.frozen, prefix.known) if prefix is not None else (0, 0)
        self.report = Report(max(1, steps), frozen, known, score, is_in_doubt, total_ms)
        self._previous = plan
        return plan

    def _fresh_watch(self) -> Watch:
        """A watch that has seen nothing yet."""
        detector = self._machine.detector
        ticks = 0.0 if detector is None else detector.memory_ticks
        return Watch(self.config.doubt_limit, ticks * self.rhythm.dt_ns)

    def _doubt(self, cond: Floats, window: Sequence[Seen]) -> tuple[float, bool]:
        """Score of what is seen, and whether that is doubt; NaN and False without calibration."""
        if self._machine.detector is None:
            return float("nan"), False
        score = self._machine.detector.score(features(cond, self._translator.signs(window)))
        score = self._watch.remember(score, window[-1].tick_ns)
        return score, self._watch.see(score)

    def _cond(self, feeds: Feeds) -> Floats:
        return self._machine.backend.run(ENCODE, feeds)[0]

    def _request(self, prefix: Prefix | None, steps: int) -> Request:
        """A request for a chunk, warm if there is something to start from."""
        tau = self.config.warm_tau
        warm = prefix.rows.astype(np.float32) if prefix is not None and prefix.known and tau > 0 else None
        guided = prefix if self.handover is Handover.RTC else None
        return Request(self._noise, steps, guided, warm, tau if warm is not None else 0.0, self.config.beta)

    def _prefix(self, previous: ActionChunk | None, now: Seen, start_ns: int) -> Prefix | None:
        """The plan before as normalised rows on the grid of the new one, seen from now."""
        dt_ns, horizon = self.rhythm.dt_ns, self._machine.chunk_shape[0]
        known = handover.known_rows(previous, start_ns, dt_ns, horizon)
        if previous is None or known == 0:
            return None
        rows = self._translator.rows(handover.resampled(previous, start_ns, dt_ns, horizon), now)
        rows = (rows - self._machine.action_centre) / self._machine.action_half_range
        frozen = min(known, handover.frozen_rows(self.latency.p95_ns(), dt_ns, horizon))
        return Prefix(rows, frozen, known)

    def _decoded(self, rows: Floats, now: Seen) -> ActionChunk:
        """Normalised rows as a plan."""
        if not np.isfinite(rows).all():
            raise NonFiniteError("plan of the network", int(np.flatnonzero(~np.isfinite(rows))[0]))
        values = rows.astype(np.float64) * self._machine.action_half_range + self._machine.action_centre
        return self._translator.plan(values, now)

    def _joined(self, plan: ActionChunk, previous: ActionChunk | None, prefix: Prefix | None) -> ActionChunk:
        """The plan joined to the one before."""
        if self.handover is Handover.ENSEMBLE:
            return self._ensemble.add(plan)
        latency_ns = self.latency.p95_ns()
        if self.handover is Handover.BLEND:
            return handover.blend(plan, previous, latency_ns)
        if self.handover is Handover.RTC and previous is not None and prefix is not None and prefix.frozen:
            return handover.with_frozen(plan, previous, prefix.frozen)  # without the rounding of float32
        return plan

    def _standstill(self, now: Seen, previous: ActionChunk | None, start_ns: int) -> ActionChunk:
        """Stay at the last target (the arm is pressed towards it), or where the arm is."""
        row = self._translator.rest(now) if previous is None else previous.rows[-1]
        rows = np.repeat(row[None], 2, axis=0)
        dt_ns = self.rhythm.dt_ns
        if rows.ndim == 2:
            return ActionChunk(start_ns, dt_ns, now.tick_ns, q_des=rows)
        k_p = None if previous is None or previous.k_p_des is None else np.repeat(previous.k_p_des[-1:], 2, axis=0)
        return ActionChunk(start_ns, dt_ns, now.tick_ns, T_base_ee_des=rows, k_p_des=k_p)


def chosen_handover(config: ServeConfig, machine: Machine) -> Handover:
    """How plans join: as configured; else averaged if the recipe says so, else as suits the sampler."""
    if config.handover is not Handover.AUTO:
        return config.handover
    if machine.ensemble.plans:
        return Handover.ENSEMBLE
    return Handover.RTC if machine.sampler.is_stepped else Handover.BLEND
