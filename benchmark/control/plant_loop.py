"""Physical experiments of the control cycle on the simulated arm: tracking and contact."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from benchmark.figures import Figure, figure
from il_control.config import load_control_config
from il_control.cycle import CycleReport, make_cycle
from il_control.model import ArmModel
from il_core.config import load_setup
from il_core.geometry import pose
from il_core.types import ActionChunk
from il_sim.plant import Plant

MS = 1_000_000
SPEED_M_S, RADIUS_M, TICK_MS = 0.25, 0.15, 20  # a circle of 0.3 m, planned at 50 Hz
LAPS, RAMP_S = 3, 1.0
ABOVE_M, PRESS_M = 0.03, 0.02
UNPOWERED_M = 0.001  # height at which the torques are taken away


class Loop:
    """Plant and control cycle in one process, a millisecond a step."""

    def __init__(self, task: str, **changes: object) -> None:
        """Start at home under the settings of a task, some of them changed."""
        setup = load_setup(task)
        config = replace(load_control_config(setup), **changes)
        self.plant, self.cycle = Plant(setup, seed=0), make_cycle(setup, config)
        self.model = ArmModel(setup)
        self.report = self.step()

    def follow(self, poses: list[np.ndarray], dt_ms: int) -> tuple[list[CycleReport], list[float]]:
        """Follow a plan to its end; report and vertical force on the fingers [N] of every millisecond."""
        now_ns = self.plant.now_ns
        rows = np.stack(poses)
        plan = ActionChunk(start_ns=now_ns + MS, dt_ns=dt_ms * MS, obs_ns=now_ns, T_base_ee_des=rows)
        self.cycle.offer_chunk(plan)
        reports, forces = [], []
        while self.plant.now_ns <= plan.end_ns:
            reports.append(self.step())
            forces.append(float(self.plant.finger_force()[2]))
        return reports, forces

    def step(self) -> CycleReport:
        """One millisecond."""
        self.report = self.cycle.step(self.plant.read(), self.plant.now_ns)
        self.finish()
        return self.report

    def finish(self) -> None:
        """Send what the cycle answered, and let a millisecond pass."""
        self.plant.write(self.report.setpoint)
        self.plant.step()


def circle_tracking(stiffness_n_m: float = 600.0) -> list[Figure]:
    """How far the tool is from a circle in the air that it was asked to be on, after the first lap."""
    loop = Loop("pick_place", stiffness_n_m=(stiffness_n_m,) * 3)
    T_start, lap_s = loop.report.T_base_ee, 2.0 * np.pi * RADIUS_M / SPEED_M_S

    def wanted(t_s: float) -> np.ndarray:
        """Horizontal circle that begins at the tool, gathering speed over the first second."""
        angle = (t_s - RAMP_S / 2 if t_s > RAMP_S else t_s**2 / (2 * RAMP_S)) * 2.0 * np.pi / lap_s
        p = T_start[:3, 3] + RADIUS_M * np.array([np.cos(angle) - 1.0, np.sin(angle), 0.0])
        return pose(p, T_start[:3, :3])

    begin_ns = loop.plant.now_ns + MS
    ticks_s = np.arange(0.0, LAPS * lap_s, TICK_MS * 1e-3)
    reports, _ = loop.follow([wanted(t) for t in ticks_s], TICK_MS)
    errors_mm = []
    for report in reports[int(1e3 * lap_s) :]:
        t_s = (report.setpoint.stamp_ns - begin_ns) * 1e-9
        errors_mm.append(1e3 * float(np.linalg.norm(report.T_base_ee[:3, 3] - wanted(t_s)[:3, 3])))
    name = f"circle of 0.3 m at 0.25 m/s, {stiffness_n_m:.0f} N/m: distance from the wish"
    rms_mm = float(np.sqrt(np.mean(np.square(errors_mm))))
    return [figure(f"{name}, RMS", rms_mm, "mm", "<= 2"), figure(f"{name}, maximum", max(errors_mm), "mm")]


def unpowered_impact() -> list[Figure]:
    """The same arm arriving at 0.1 m/s with nothing but its weight carried: what no controller can take away."""
    loop = Loop("draw_symbol")
    loop.plant.grip(0.0)
    R = loop.report.T_base_ee[:3, :3]
    start = pose([0.45, 0.0, ABOVE_M], R)
    loop.follow([loop.report.T_base_ee, start], 2500)
    now_ns = loop.plant.now_ns
    down = np.stack([start, pose([0.45, 0.0, -ABOVE_M], R)])
    loop.cycle.offer_chunk(
        ActionChunk(start_ns=now_ns + MS, dt_ns=round(20 * ABOVE_M * 1e9), obs_ns=now_ns, T_base_ee_des=down)
    )
    while loop.report.T_base_ee[2, 3] > UNPOWERED_M:
        loop.step()
    state = loop.plant.read()
    loop.model.update(state.q, state.v)
    arriving = (loop.model.J_ee_aligned @ state.v)[2]
    forces = []
    for _ in range(300):
        state = loop.plant.read()
        loop.model.update(state.q, state.v)
        loop.plant.apply(loop.model.bias)
        loop.plant.step()
        forces.append(float(loop.plant.finger_force()[2]))
    note = f"arrives at {-arriving:.3f} m/s with gravity carried and no spring"
    return [figure("impact of the arm without any controller", max(forces), "N", "", note)]


IMPACT_NOTE = "the first blow is the arm's mass at 0.1 m/s, whatever the law: see the arm without any controller"


def contact(stiffness_n_m: float) -> list[Figure]:
    """Press on the table: measured force against stiffness times deflection, chatter, and impact at 0.1 m/s.

    The target goes down at 0.1 m/s and stops ``PRESS_M`` below the table, so that the spring presses.
    """
    loop = Loop("draw_symbol", stiffness_n_m=(stiffness_n_m,) * 3)
    loop.plant.grip(0.0)
    R = loop.report.T_base_ee[:3, :3]
    start = pose([0.45, 0.0, ABOVE_M], R)
    loop.follow([loop.report.T_base_ee, start], 2500)
    loop.follow([start, start], 1500)
    way_m = np.append(np.arange(ABOVE_M, -PRESS_M, -0.1 * 0.02), [-PRESS_M] * 150)  # 0.1 m/s at 50 Hz, then 3 s
    reports, forces = loop.follow([pose([0.45, 0.0, z], R) for z in way_m], TICK_MS)
    deflection_m = np.array([r.T_base_ee[2, 3] - r.T_base_ee_des[2, 3] for r in reports if r.T_base_ee_des is not None])
    steady_n = np.array(forces[-1000:])
    force_n = float(steady_n.mean())
    expected_n = stiffness_n_m * float(deflection_m[-1000:].mean())
    name = f"contact, {stiffness_n_m:.0f} N/m"
    return [
        figure(f"{name}: force against stiffness times deflection", 100 * abs(force_n / expected_n - 1), "%", "<= 3"),
        figure(f"{name}: steady force", force_n, "N"),
        figure(f"{name}: impact at 0.1 m/s", max(forces), "N"),
        figure(f"{name}: chatter, standard deviation of the force", float(steady_n.std()), "N", "<= 0.1"),
        figure(
            f"{name}: impact at 0.1 m/s over steady force",
            max(forces) / force_n,
            "",
            "<= 2" if stiffness_n_m >= 1000 else "",
            IMPACT_NOTE if stiffness_n_m >= 1000 else "the bound is for 1000 N/m and more",
        ),
    ]
