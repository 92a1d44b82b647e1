"""A policy at work on the simulated arm, in one process and in simulated time: what it does does not depend on load.

Plant, control cycle, cameras, alignment and policy are the code the nodes run; only the loop is here. Pictures reach
the policy as late as a camera's do, plans reach the controller as late as inference is said to take.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from il_cli.interventions import Interventions
from il_cli.wrist import offer_wrench
from il_control.config import ControlConfig
from il_control.cycle import CycleReport, make_cycle
from il_core.align import ARM, WRENCH
from il_core.clock import tick_ns
from il_core.config import Setup
from il_core.types import ActionChunk, EePose, Observation
from il_core.wrench import ToolWrench
from il_policy.session import PolicySession
from il_sim.camera import Renderer
from il_sim.plant import Plant
from il_sim.randomise import Randomisation

MS = 1_000_000
SETTLE_STEPS = 300
PICTURE_AGE_NS = 33 * MS  # a picture at 30 Hz is this old when it has been exposed and sent
POSE_EVERY = 10  # steps of 1 ms between two tool poses, as the controller node publishes them

Planner = Callable[[Sequence[Observation]], ActionChunk]


@dataclass(frozen=True, slots=True, eq=False)
class Attempt:
    """One attempt of a policy.

    Attributes:
        seed: Seed of the scene.
        success: The task's own test on the true state.
        seconds: Time until success, loss or the limit [s].
        path: Measured tool positions in base at the ticks, (N, 3) [m].
        plans: Plans made.
        is_lost: It ended early, as a failure: the task could no longer be done.
        interventions: What took the arm from the policy, where somebody listened.
        score: What a person thought of it, 1 (poor) to 5 (perfect), where one said so.
    """

    seed: int
    success: bool
    seconds: float
    path: NDArray[np.float64]
    plans: int
    is_lost: bool = False
    interventions: Interventions | None = None
    score: int | None = None


class Rehearsal:
    """Attempts of one task; use as a context manager.

    Attributes:
        plant: The simulated arm; a test may push it.
    """

    def __init__(
        self,
        setup: Setup,
        latency_ns: int = 100 * MS,
        control: ControlConfig | None = None,
        randomise: Randomisation | None = None,
    ) -> None:
        """Build the scene.

        Args:
            setup: Robot and task.
            latency_ns: Time from an observation's tick until the plan made from it reaches the controller [ns].
            control: Settings of the controller; None = those in config/control/.
            randomise: What else than the places of objects the seed varies; None = nothing.

        Raises:
            ConfigError: the task cannot be simulated.
            DeviceError: no GL to render with.
        """
        self._setup, self._latency_ns, self._control = setup, latency_ns, control
        self.plant = Plant(setup, randomise=randomise)
        self._renderer = Renderer(self.plant.model, setup.robot) if setup.task.cameras else None

    def __enter__(self) -> Rehearsal:
        """Nothing more to open."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close the renderer."""
        if self._renderer is not None:
            self._renderer.close()

    def attempt(self, plan: Planner, seed: int, limit_s: float) -> Attempt:
        """Set the scene of a seed, let the planner drive until success, loss or the limit.

        Args:
            plan: Called with the last ``n_obs`` observations whenever a plan is due.
            seed: Of the scene.
            limit_s: Longest attempt [s].
        """
        plant, task = self.plant, self._setup.task
        plant.reset(seed)
        cycle, session = make_cycle(self._setup, self._control), PolicySession(task)
        for _ in range(SETTLE_STEPS):
            offer_wrench(cycle, plant)
            plant.write(cycle.step(plant.read(), plant.now_ns).setpoint)
            plant.step()
        start_ns = plant.now_ns + 2 * PICTURE_AGE_NS
        session.start(start_ns)
        path, pending, ticks, plans, picture = [], None, 0, 0, 0
        success = is_lost = False
        while plant.now_ns - start_ns < limit_s * 1e9 and not (success or is_lost):
            now_ns = plant.now_ns
            if pending is not None and now_ns >= pending.obs_ns + self._latency_ns:
                cycle.offer_chunk(pending)
                pending = None
            offer_wrench(cycle, plant)
            report = cycle.step(plant.read(), now_ns)
            if now_ns >= tick_ns(start_ns, picture, task.rate_hz) - PICTURE_AGE_NS:
                self._take_pictures(session, now_ns)
                picture += 1
            self._feel(session, report, now_ns)
            if now_ns >= tick_ns(start_ns, ticks, task.rate_hz):
                ticks += 1
                path.append(report.T_base_ee[:3, 3].copy())
                window = session.poll(now_ns)
                if window is not None:
                    pending, plans = plan(window), plans + 1
                success = plant.is_done()
                is_lost = not success and plant.is_lost()
            plant.write(report.setpoint)
            plant.step()
        seconds = (plant.now_ns - start_ns) * 1e-9
        return Attempt(seed, success, seconds, np.array(path).reshape(-1, 3), plans, is_lost)

    def _take_pictures(self, session: PolicySession, now_ns: int) -> None:
        if self._renderer is None:
            return
        self._renderer.pose(self.plant.world_state())
        for name in self._setup.task.cameras:
            session.aligner.push_frame(self._renderer.render(name, now_ns))

    def _feel(self, session: PolicySession, report: CycleReport, now_ns: int) -> None:
        if WRENCH in session.aligner.streams:  # moved to the tool only where a tick uses it
            sensor, wrench = self._setup.robot.force_sensor(), self.plant.wrench()
            session.aligner.push_wrench_later(now_ns, partial(ToolWrench.measured, now_ns, wrench, sensor))
        if self.plant.steps % POSE_EVERY == 0:
            session.aligner.push_ee_pose(EePose(now_ns, report.T_base_ee.copy()))
            if ARM in session.aligner.streams:
                session.aligner.push_arm(self.plant.read())
