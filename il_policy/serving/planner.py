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
from il_policy.serving import handover, joining
from il_policy.serving.acting import Acting, Report
from il_policy.serving.anytime import Latency, LatencyWindow, StepBudget
from il_policy.serving.backend import ENCODE, Backend, Feeds, place_of
from il_policy.serving.config import Doubt, Handover, ServeConfig
from il_policy.serving.doubt import Detector, Watch
from il_policy.serving.features import features
from il_policy.serving.levels import SamplerSpec
from il_policy.serving.rtc import Prefix
from il_policy.serving.sampler import Request, sample, some_prefix
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
        """Take what computes and what its numbers mean; plans are to be sent ahead by ``lead_ns``.

        Raises:
            ConfigError: a hand-over that the sampler cannot do, or doubt shall lead to something without calibration.
        """
        self.config, self._machine, self._translator = config, machine, translator
        self.handover = joining.chosen(config, machine.sampler, machine.ensemble)
        self.check_doubt(config.doubt)
        self._ensemble = handover.Ensemble(*joining.averaged(config, machine.ensemble))
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

    @property
    def why_sure(self) -> str:
        """Why it never doubts; empty if it was calibrated."""
        step = "run `il calibrate CHECKPOINT DATASET`, or serve it with doubt: report"
        return "" if self._machine.detector is not None else f"this checkpoint was never calibrated; {step}"

    def doubt_as(self, config: ServeConfig) -> None:
        """Let doubt lead to what ``config`` says, from the next plan on; its limit counts then, too.

        Raises:
            ConfigError: to more than a report, and the checkpoint was never calibrated; nothing is changed.
        """
        super().doubt_as(config)
        self.config, self._watch.limit = config, config.doubt_limit

    def reset(self, seed: int = 0) -> None:
        """Begin a new rollout: forget plans and observations, draw the noise that its plans share."""
        self._noise = np.random.default_rng(seed).standard_normal(self._machine.chunk_shape).astype(np.float32)
        self._previous: ActionChunk | None = None
        self._slowness = 1.0  # of the plan before
        self._ensemble.reset()
        self._watch = self._fresh_watch()
        self._forget_acting()

    def warm_up(self) -> None:
        """Plan a few times from nothing, and as if there were a plan to continue, which another graph does.

        First calls allocate and are many times slower.
        """
        feeds = feeds_of(np.zeros(self._translator.input_dim), self._translator.blank())
        requests = [Request(self._noise)]
        if self.handover is Handover.RTC:
            requests.append(Request(self._noise, prefix=some_prefix(self._machine.chunk_shape)))
        for request in 3 * requests:
            sample(self._machine.backend, self._machine.sampler, self._cond(feeds), request)

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
        config, doubt = self.config, (score, is_in_doubt)
        previous = self._previous if self._previous is None or self._previous.obs_ns < now.tick_ns else None
        if is_in_doubt and config.doubt in (Doubt.HOLD, Doubt.HELP):
            plan = self._stopping(now, previous, start_ns)
            self._remember(plan, 1.0, Report(0, 0, 0, *doubt, _ms_since(began), config.doubt, config.doubt_limit))
            return plan
        is_slow = is_in_doubt and config.doubt is Doubt.SLOW
        frozen, previous = self._settled(previous, start_ns)
        prefix = self._prefix(previous, now, start_ns, frozen)
        steps = self._budget.steps() if self._machine.sampler.is_stepped else 0
        request = self._request(prefix, steps)
        before_steps = time.perf_counter()
        rows = sample(self._machine.backend, self._machine.sampler, cond, request)
        steps_ms = _ms_since(before_steps)
        plan = self._joined(self._decoded(rows, now), previous, frozen, is_slow=is_slow)
        if is_slow:
            kept = 1 if self.handover is Handover.NONE else max(1, frozen)
            plan = handover.slowed(plan, config.slow_factor, kept)
        total_ms = _ms_since(began)
        if steps:
            self._budget.add(steps, steps_ms, total_ms - steps_ms)
        known = prefix.known if prefix is not None else 0
        report = Report(max(1, steps), frozen, known, *doubt, total_ms, config.doubt, config.doubt_limit)
        self._remember(plan, config.slow_factor if is_slow else 1.0, report)
        return plan

    def _remember(self, plan: ActionChunk, slowness: float, report: Report) -> None:
        """What the next plan will continue."""
        self._previous, self._slowness, self.report = plan, slowness, report

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

    def _settled(self, previous: ActionChunk | None, start_ns: int) -> tuple[int, ActionChunk | None]:
        """Rows of the new plan that the one before settles, and what it would be beyond them at the policy's speed."""
        dt_ns, horizon = self.rhythm.dt_ns, self._machine.chunk_shape[0]
        known = handover.known_rows(previous, start_ns, dt_ns, horizon)
        if previous is None or known == 0:
            return 0, None
        frozen = min(known, handover.frozen_rows(self.latency.p95_ns(), dt_ns, horizon))
        return frozen, handover.quickened(previous, self._slowness, start_ns + (frozen - 1) * dt_ns)

    def _prefix(self, previous: ActionChunk | None, now: Seen, start_ns: int, frozen: int) -> Prefix | None:
        """The plan before as normalised rows on the grid of the new one, seen from now."""
        if previous is None:
            return None
        dt_ns, horizon = self.rhythm.dt_ns, self._machine.chunk_shape[0]
        rows = self._translator.rows(handover.resampled(previous, start_ns, dt_ns, horizon), now)
        rows = (rows - self._machine.action_centre) / self._machine.action_half_range
        return Prefix(rows, frozen, max(frozen, handover.known_rows(previous, start_ns, dt_ns, horizon)))

    def _decoded(self, rows: Floats, now: Seen) -> ActionChunk:
        """Normalised rows as a plan."""
        if not np.isfinite(rows).all():
            raise NonFiniteError("plan of the network", int(np.flatnonzero(~np.isfinite(rows))[0]))
        values = rows.astype(np.float64) * self._machine.action_half_range + self._machine.action_centre
        return self._translator.plan(values, now)

    def _joined(self, plan: ActionChunk, previous: ActionChunk | None, frozen: int, *, is_slow: bool) -> ActionChunk:
        """The plan joined to the one before."""
        if self.handover is Handover.ENSEMBLE:
            if not is_slow and self._slowness == 1.0:
                return self._ensemble.add(plan)
            self._ensemble.reset()  # plans of another speed speak of other instants
        if previous is None or self.handover is Handover.NONE:
            return plan
        if self.handover is Handover.RTC:
            return handover.with_frozen(plan, previous, frozen)  # without the rounding of float32
        behind = handover.delayed(plan, frozen * (1 - 1 / self._slowness))
        plan = handover.blend(behind, previous, self.latency.p95_ns())
        return self._ensemble.add(plan) if self.handover is Handover.ENSEMBLE else plan

    def _stopping(self, now: Seen, previous: ActionChunk | None, start_ns: int) -> ActionChunk:
        """Come to rest along the plan before once that is settled, or stay."""
        frozen, _ = self._settled(previous, start_ns)
        if previous is None or frozen == 0:
            return self._standstill(now, previous, start_ns)
        stop = handover.brake(previous, now.tick_ns, start_ns, BRAKE_ROWS, frozen)
        return stop or self._standstill(now, previous, start_ns)

    def _standstill(self, now: Seen, previous: ActionChunk | None, start_ns: int) -> ActionChunk:
        """Stay at the last target (the arm is pressed towards it), or where the arm is."""
        row = self._translator.rest(now) if previous is None else previous.rows[-1]
        rows = np.repeat(row[None], 2, axis=0)
        dt_ns = self.rhythm.dt_ns
        if rows.ndim == 2:
            return ActionChunk(start_ns, dt_ns, now.tick_ns, q_des=rows)
        k_p = None if previous is None or previous.k_p_des is None else np.repeat(previous.k_p_des[-1:], 2, axis=0)
        return ActionChunk(start_ns, dt_ns, now.tick_ns, T_base_ee_des=rows, k_p_des=k_p)


def _ms_since(began: float) -> float:
    """Time since an instant of ``perf_counter`` [ms]."""
    return 1e3 * (time.perf_counter() - began)
