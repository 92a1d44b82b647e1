"""A policy at work, without ROS: observations in, plans or single actions out, on any runtime."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from il_core.config import Setup
from il_core.errors import NonFiniteError
from il_core.types import ActionChunk, Observation
from il_policy.config import ActionEncoding
from il_policy.serving import handover
from il_policy.serving.acting import Report, WorkingPolicy
from il_policy.serving.anytime import LatencyWindow, StepBudget
from il_policy.serving.backend import ENCODE, Backend
from il_policy.serving.config import Doubt, Handover, ServeConfig
from il_policy.serving.doubt import Detector, Watch
from il_policy.serving.features import features
from il_policy.serving.levels import SamplerSpec
from il_policy.serving.rtc import Prefix
from il_policy.serving.sampler import Request, sample
from il_policy.transforms import ActionCodec, ObservationEncoder

log = logging.getLogger(__name__)
Floats = NDArray[np.float32]
BRAKE_ROWS = 4  # rows until a doubting arm is at rest: 0.4 s at 10 Hz, gentle at every speed a plan may have


@dataclass(frozen=True, slots=True, eq=False)
class Parts:
    """What a served policy is made of.

    Attributes:
        setup: Robot and task.
        action_encoding: What the numbers of a row mean.
        observed_ticks: Ticks of proprioception used.
        chunk_shape: Rows and numbers per row.
        sampler: How noise becomes a chunk.
        action_centre: Middle of each action dimension's range.
        action_half_range: Half of it.
        backend: Who computes.
        detector: Scores observations, or None if the checkpoint was never calibrated.
    """

    setup: Setup
    action_encoding: ActionEncoding
    observed_ticks: int
    chunk_shape: tuple[int, ...]
    sampler: SamplerSpec
    action_centre: Floats
    action_half_range: Floats
    backend: Backend
    detector: Detector | None = None


class ServedPolicy(WorkingPolicy):
    """Implements ``il_core.ports.Policy``, and executes its own plans for callers that want single actions.

    Plans continue one another: each is made knowing the one before and how late it will come into force.
    Used by one thread at a time.
    """

    def __init__(self, parts: Parts, config: ServeConfig, seed: int = 0) -> None:
        """Take the parts; see :func:`il_policy.load`."""
        self.setup, self.config, self.parts = parts.setup, config, parts
        self._encoder = ObservationEncoder(parts.setup, parts.observed_ticks)
        self._codec = ActionCodec(parts.setup.task, parts.action_encoding)
        joins = Handover.RTC if parts.sampler.is_stepped else Handover.BLEND
        self.handover = joins if config.handover is Handover.AUTO else config.handover
        self._ensemble = handover.Ensemble(config.ensemble_plans, config.ensemble_decay)
        task = parts.setup.task
        deadline_ms = config.deadline_ms or 0.5 * task.n_execute * task.dt_ns / 1e6
        self._budget = StepBudget(parts.sampler.steps, config.min_steps, deadline_ms)
        self.latency = LatencyWindow(int(config.latency_ms * 1e6))
        self._watch = Watch(config.doubt_limit)
        self.report = Report()
        self.reset(seed)

    @property
    def runtime(self) -> str:
        """Who computes, for reports."""
        return f"{self.parts.backend.name}, {self.parts.backend.threads} thread(s)"

    def reset(self, seed: int = 0) -> None:
        """Begin a new rollout: forget plans and observations, draw the noise that its plans share."""
        self._noise = np.random.default_rng(seed).standard_normal(self.parts.chunk_shape).astype(np.float32)
        self._previous: ActionChunk | None = None
        self._ensemble.reset()
        self._watch = Watch(self.config.doubt_limit)
        self._forget_acting()

    def warm_up(self) -> None:
        """Plan a few times from nothing: first calls allocate and are many times slower."""
        inputs = np.zeros((1, self._encoder.dim), np.float32)
        for _ in range(3):
            sample(self.parts.backend, self.parts.sampler, self._cond(inputs), Request(self._noise))

    def predict(self, window: Sequence[Observation]) -> ActionChunk:
        """Plan from the last ``n_obs`` observations, oldest first.

        Row j is wanted j + 1 ticks after the newest observation. The plan continues the last one as the
        configuration says. In doubt it is slower, or comes to rest: see :class:`il_policy.serving.config.Doubt`.

        Raises:
            ShapeError: another number of observations.
            NonFiniteError: the network gave NaN or infinity.
        """
        began = time.perf_counter()
        now, dt_ns = window[-1], self.setup.task.dt_ns
        start_ns = now.tick_ns + dt_ns
        cond = self._cond(self._encoder.encode(window)[None].astype(np.float32))
        score, is_in_doubt = self._doubt(cond, window)
        previous = self._previous if self._previous is None or self._previous.obs_ns < now.tick_ns else None
        if is_in_doubt and self.config.doubt in (Doubt.HOLD, Doubt.HELP):
            stop = handover.brake(previous, now.tick_ns, start_ns, BRAKE_ROWS) if previous is not None else None
            plan = stop or self._standstill(now, previous, start_ns)
            self.report = Report(0, 0, 0, score, True, 1e3 * (time.perf_counter() - began))
            self._previous = plan
            return plan
        prefix = self._prefix(previous, now, start_ns)
        steps = self._budget.steps() if self.parts.sampler.is_stepped else 0
        request = self._request(prefix, steps)
        before_steps = time.perf_counter()
        rows = sample(self.parts.backend, self.parts.sampler, cond, request)
        steps_ms = 1e3 * (time.perf_counter() - before_steps)
        plan = self._joined(self._decoded(rows, now, start_ns), previous, prefix)
        if is_in_doubt and self.config.doubt is Doubt.SLOW:
            plan = handover.slowed(plan, self.config.slow_factor)
        total_ms = 1e3 * (time.perf_counter() - began)
        if steps:
            self._budget.add(steps, steps_ms, total_ms - steps_ms)
        frozen, known = (prefix.frozen, prefix.known) if prefix is not None else (0, 0)
        self.report = Report(max(1, steps), frozen, known, score, is_in_doubt, total_ms)
        self._previous = plan
        return plan

    def _doubt(self, cond: Floats, window: Sequence[Observation]) -> tuple[float, bool]:
        """Score of what is seen, and whether that is doubt; NaN and False without calibration."""
        if self.parts.detector is None:
            return float("nan"), False
        score = self.parts.detector.score(features(cond, self.setup, window))
        return score, self._watch.see(score)

    def _cond(self, inputs: Floats) -> Floats:
        return self.parts.backend.run(ENCODE, {"inputs": inputs})[0]

    def _request(self, prefix: Prefix | None, steps: int) -> Request:
        """A request for a chunk, warm if there is something to start from."""
        tau = self.config.warm_tau
        warm = prefix.rows.astype(np.float32) if prefix is not None and prefix.known and tau > 0 else None
        guided = prefix if self.handover is Handover.RTC else None
        return Request(self._noise, steps, guided, warm, tau if warm is not None else 0.0, self.config.beta)

    def _prefix(self, previous: ActionChunk | None, now: Observation, start_ns: int) -> Prefix | None:
        """The plan before as normalised rows on the grid of the new one, seen from where the tool is now."""
        dt_ns, horizon = self.setup.task.dt_ns, self.parts.chunk_shape[0]
        known = handover.known_rows(previous, start_ns, dt_ns, horizon)
        if previous is None or known == 0:
            return None
        T, gripper = handover.resampled(previous, start_ns, dt_ns, horizon)
        T = T.copy()
        T[:, :3, 3] -= self.setup.task.press_m * T[:, :3, 2]
        opening = np.zeros(horizon) if gripper is None else gripper
        rows = self._codec.encode(T, opening, now.T_base_ee[:3, 3])
        rows = (rows - self.parts.action_centre) / self.parts.action_half_range
        frozen = min(known, handover.frozen_rows(self.latency.p95_ns(), dt_ns, horizon))
        return Prefix(rows, frozen, known)

    def _decoded(self, rows: Floats, now: Observation, start_ns: int) -> ActionChunk:
        """Normalised rows as a plan."""
        if not np.isfinite(rows).all():
            raise NonFiniteError("plan of the network", int(np.flatnonzero(~np.isfinite(rows))[0]))
        values = rows.astype(np.float64) * self.parts.action_half_range + self.parts.action_centre
        T, gripper = self._codec.decode(values, now.T_base_ee[:3, 3])
        T[:, :3, 3] += self.setup.task.press_m * T[:, :3, 2]  # along the tool's z: stiffness makes a force of it
        dt_ns = self.setup.task.dt_ns
        return ActionChunk(start_ns, dt_ns, now.tick_ns, T_base_ee_des=T, gripper_des=gripper)

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

    def _standstill(self, now: Observation, previous: ActionChunk | None, start_ns: int) -> ActionChunk:
        """Stay at the last target (the arm is pressed towards it), or where the arm is."""
        T = np.repeat((now.T_base_ee if previous is None else previous.rows[-1])[None], 2, axis=0)
        return ActionChunk(start_ns, self.setup.task.dt_ns, now.tick_ns, T_base_ee_des=T)
