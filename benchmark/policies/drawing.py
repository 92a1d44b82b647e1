"""Drawing under contact: the pen is put down near the symbol's start, the policy draws, the line is judged."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from il_cli.demo.hand_guided import ABOVE_M, HELD_OUT, PATH_SPEED_M_S, STILL_M, STILL_S, tool_paths
from il_cli.motions import straight_line
from il_cli.rehearsal import MS, POSE_EVERY, SETTLE_STEPS, Attempt, Planner, Rehearsal
from il_control.cycle import ControlCycle, make_cycle
from il_core.clock import tick_ns
from il_core.config import Setup
from il_core.geometry import matrix_from_quat_xyzw, pose
from il_core.metrics import path_error
from il_core.types import EePose, Outcome
from il_policy.session import PolicySession

MAT = Path("data/panda_hand_guided/symbol_17.mat")
TASK = "draw_symbol"
OFF_M = 0.004  # the pen is put down this far off at most: a person does not hit the point either
TOUCH_N, TOUCH_SHARE = 0.3, 0.95  # mean of a tick; the pen presses at least so much for so much of the way


def drawings(folder: Path, setup: Setup) -> tuple[Path, Path]:
    """Data sets of the drawings to learn from and of the one to be compared with.

    Raises:
        EpisodeError: the file of drawings is missing.
    """
    from il_teleop.dataset import BuildOptions, build
    from il_teleop.dataset.hand_guided import import_hand_guided

    learned, held_out = folder / "learned", folder / "held_out"
    if not (held_out / "done").exists():
        shutil.rmtree(folder, ignore_errors=True)
        recordings = import_hand_guided(MAT, folder / "recordings", setup)
        options = BuildOptions(include=tuple(Outcome), path_speed_m_s=PATH_SPEED_M_S)
        build([r for k, r in enumerate(recordings) if k != HELD_OUT], setup, learned, options)
        build([recordings[HELD_OUT]], setup, held_out, options)
        (held_out / "done").touch()
    return learned, held_out


@dataclass(frozen=True, slots=True, eq=False)
class Model:
    """What a drawing is compared with.

    Attributes:
        p_start: Where the symbol starts, (3,) [m] in base.
        path: The drawing never learned from, (N, 3) [m] in base.
        rms_mm: Median distance of the person's other drawings from it [mm]: a good drawing is no farther.
        max_mm: The same of their largest distances [mm].
    """

    p_start: NDArray[np.float64]
    path: NDArray[np.float64]
    rms_mm: float
    max_mm: float


def model_of(folder: Path, setup: Setup) -> Model:
    """What the person drew."""
    learned, held_out = drawings(folder, setup)
    paths, wanted = tool_paths(learned, setup), tool_paths(held_out, setup)[0]
    rms_mm, max_mm = np.median([path_error(path, wanted) for path in paths], axis=0)
    return Model(np.mean([path[0] for path in paths], axis=0), wanted, float(rms_mm), float(max_mm))


class DrawRehearsal(Rehearsal):
    """Attempts at drawing. Success: the whole line, near enough to a drawing never shown, pressed all the way."""

    def __init__(self, setup: Setup, latency_ns: int, model: Model) -> None:
        """Build the scene; ``model`` is what a drawing is compared with."""
        super().__init__(setup, latency_ns)
        self.model = model
        self.judged: list[tuple[float, float, float]] = []

    def attempt(self, plan: Planner, seed: int, limit_s: float) -> Attempt:
        """Put the pen down at a place of the seed, let the planner draw until the pen rests or the limit."""
        plant, task = self.plant, self._setup.task
        plant.reset(seed)
        cycle = make_cycle(self._setup)
        self._put_down(cycle, np.random.default_rng(seed))
        session = PolicySession(task)
        start_ns = plant.now_ns
        session.start(start_ns)
        path, force, felt, pending, ticks, plans = [], [], [], None, 0, 0
        while plant.now_ns - start_ns < limit_s * 1e9 and not rests(path, task.rate_hz):
            now_ns = plant.now_ns
            if pending is not None and now_ns >= pending.obs_ns + self._latency_ns:
                cycle.offer_chunk(pending)
                pending = None
            report = cycle.step(plant.read(), now_ns)
            if plant.steps % POSE_EVERY == 0 or now_ns == start_ns:
                session.aligner.push_ee_pose(EePose(now_ns, report.T_base_ee.copy()))
            if now_ns >= tick_ns(start_ns, ticks, task.rate_hz):
                ticks += 1
                path.append(report.T_base_ee[:3, 3].copy())
                force.append(float(np.mean(felt)) if felt else 0.0)
                felt.clear()
                window = session.poll(now_ns)
                if window is not None:
                    pending, plans = plan(window), plans + 1
            plant.write(report.setpoint)
            plant.step()
            if plant.steps % POSE_EVERY == 0:
                felt.append(float(plant.finger_force()[2]))
        drawn = np.array(path).reshape(-1, 3)
        seconds = (plant.now_ns - start_ns) * 1e-9
        return Attempt(seed, self._is_good(drawn, np.array(force[1:])), seconds, drawn, plans)

    def _put_down(self, cycle: ControlCycle, rng: np.random.Generator) -> None:
        """Above the start, then down onto it and pressing, as the demo does."""
        task = self._setup.task
        R_tool = matrix_from_quat_xyzw(task.quat_xyzw_tool)
        off = np.array([*rng.uniform(-OFF_M, OFF_M, 2), 0.0])
        for _ in range(SETTLE_STEPS):
            self._step(cycle)
        for height_m, seconds in ((ABOVE_M, 3.0), (-task.press_m, 2.0)):
            T_from = cycle.step(self.plant.read(), self.plant.now_ns).T_base_ee
            T_to = pose(self.model.p_start + off + [0.0, 0.0, height_m], R_tool)
            cycle.offer_chunk(straight_line(T_from, T_to, seconds, self.plant.now_ns, gripper=0.0))
            for _ in range(round((seconds + 0.3) * 1e9 / MS)):
                self._step(cycle)

    def _step(self, cycle: ControlCycle) -> None:
        self.plant.write(cycle.step(self.plant.read(), self.plant.now_ns).setpoint)
        self.plant.step()

    def _is_good(self, drawn: NDArray[np.float64], force: NDArray[np.float64]) -> bool:
        rms_mm, max_mm = path_error(drawn, self.model.path)
        pressed = float(np.mean(force > TOUCH_N)) if len(force) else 0.0
        self.judged.append((rms_mm, max_mm, pressed))
        return bool(rms_mm <= self.model.rms_mm and max_mm <= self.model.max_mm and pressed >= TOUCH_SHARE)


def rests(path: list[NDArray[np.float64]], rate_hz: int) -> bool:
    """Whether the pen has moved and then rested."""
    ticks = round(STILL_S * rate_hz)
    if len(path) < 2 * ticks:
        return False
    recent, whole = np.array(path[-ticks:])[:, :2], np.array(path)[:, :2]
    return bool(np.ptp(whole, axis=0).max() > 10 * STILL_M and np.ptp(recent, axis=0).max() < STILL_M)
