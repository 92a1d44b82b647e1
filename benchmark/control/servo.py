"""Arms that take positions: how long a whole cycle takes, how exactly they get to a pose, and how jerky the way is."""

from __future__ import annotations

import time

import numpy as np

from benchmark.figures import Figure, figure
from il_control.cycle import make_cycle
from il_control.model import ArmModel
from il_core.config import load_setup
from il_core.types import ArmState

ARMS = ("xarm7", "so101")
GOALS, SPREAD_RAD, LAG_S = 5, 0.4, 0.02


class Servo:
    """An arm whose joints follow what its control cycle sends with a lag of first order."""

    def __init__(self, name: str) -> None:
        """Begin at home, at rest."""
        self.setup = load_setup("draw_symbol", name)
        self.cycle, self.model = make_cycle(self.setup), ArmModel(self.setup)
        self.dt = self.cycle.config.dt
        self.home = np.array(self.setup.robot.q_home_rad)
        self.still = np.zeros(len(self.home))
        self.q, self.v, self.now_ns = self.home, self.still, 0
        self.took_us: list[float] = []
        self.sent: list[np.ndarray] = []

    def pose(self, q: np.ndarray) -> np.ndarray:
        """Tool pose of a posture."""
        self.model.update(q, self.still)
        return self.model.T_base_ee.copy()

    def run(self, seconds: float) -> None:
        """Let time pass."""
        for _ in range(round(seconds / self.dt)):
            state = ArmState(self.now_ns, self.q, self.v, self.still, 1.0)
            begin = time.perf_counter_ns()
            setpoint = self.cycle.step(state, self.now_ns).setpoint
            self.took_us.append((time.perf_counter_ns() - begin) / 1000)
            wanted = self.q if setpoint.q_des is None else setpoint.q_des
            q = self.q + (1.0 - np.exp(-self.dt / LAG_S)) * (wanted - self.q)
            self.sent.append(wanted)
            self.q, self.v = q, (q - self.q) / self.dt
            self.now_ns += round(1e9 * self.dt)


def servo() -> list[Figure]:
    """Each arm goes to random poses in turn."""
    figures = []
    for name in ARMS:
        arm, rng, off_mm = Servo(name), np.random.default_rng(0), []
        arm.run(0.2)
        for _ in range(GOALS):
            T_des = arm.pose(arm.home + rng.uniform(-SPREAD_RAD, SPREAD_RAD, len(arm.home)))
            arm.run(arm.cycle.go_to_pose(T_des) + 1.0)
            off_mm.append(1e3 * float(np.linalg.norm(arm.pose(arm.q)[:3, 3] - T_des[:3, 3])))
        jerk = float(np.abs(np.diff(np.array(arm.sent), 3, axis=0)).max()) / arm.dt**3
        config = arm.cycle.config
        bound = 2.0 * config.acceleration_max_rad_s2 / config.servo.jerk_time_s
        what = f"{name}, positions at {config.rate_hz} Hz"
        figures += [
            figure(f"{what}: whole control cycle, median", float(np.median(arm.took_us)), "us"),
            figure(f"{what}: distance from the pose in the end", max(off_mm), "mm", "<= 1"),
            figure(f"{what}: largest jerk of a joint", jerk, "rad/s3", f"<= {bound:.0f}"),
        ]
    return figures
