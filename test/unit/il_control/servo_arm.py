"""Arms the tests make of a real model: they take positions or velocities and lag behind them as servos do."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from il_control.config import load_control_config
from il_control.cycle import make_cycle
from il_control.model import ArmModel
from il_core.config import load_setup
from il_core.geometry import rotvec_from_matrix
from il_core.spec import Interface
from il_core.types import ActionChunk, ArmCommand, ArmState

START_NS = 5_000_000_000
LAG_S = 0.02


class ServoArm:
    """A robot of config/robot/ and its control cycle, one control period a step.

    The joints follow a position with a lag of first order, and a velocity likewise.
    """

    def __init__(self, name, interface=Interface.POSITION, rate_hz=None, q=None, **changes):
        setup = load_setup("draw_symbol", name)  # it names no cameras
        self.setup = replace(setup, robot=replace(setup.robot, interface=interface))
        config = load_control_config(self.setup)
        self.config = replace(config, rate_hz=rate_hz or config.rate_hz, **changes)
        self.cycle = make_cycle(self.setup, self.config)
        self.model = ArmModel(self.setup)
        self.robot, self.dt = self.setup.robot, self.config.dt
        self.q = np.array(self.robot.q_home_rad if q is None else q)
        self.v, self.now_ns = np.zeros(self.robot.nq), START_NS
        self.is_stuck, self.reports, self.sent, self._track = False, [], [], []

    @property
    def last(self):
        return self.reports[-1]

    @property
    def track(self):
        """Where the joints were in every cycle, (n, nq)."""
        return np.array(self._track)

    @property
    def T(self):
        """Where the tool is."""
        self.model.update(self.q, self.v)
        return self.model.T_base_ee.copy()

    def pose_of(self, q):
        self.model.update(np.asarray(q, dtype=float), np.zeros(self.robot.nq))
        return self.model.T_base_ee.copy()

    def step(self):
        state = ArmState(self.now_ns, self.q, self.v, np.zeros(self.robot.nq), 1.0)
        report = self.cycle.step(state, self.now_ns)
        self._track.append(self.q)
        self.obey(report.setpoint)
        self.reports.append(report)
        return report

    def obey(self, setpoint):
        self.now_ns += round(1e9 * self.dt)
        share = 1.0 - np.exp(-self.dt / LAG_S)
        self.sent.append(setpoint.q_des if setpoint.v_des is None else setpoint.v_des)
        if self.is_stuck:
            self.v = np.zeros(self.robot.nq)
            return
        if setpoint.v_des is None:
            q = self.q + share * (setpoint.q_des - self.q)
            self.v, self.q = (q - self.q) / self.dt, q
        else:
            self.v = self.v + share * (setpoint.v_des - self.v)
            self.q = self.q + self.v * self.dt

    def run(self, seconds, each=None):
        first = len(self.reports)
        for _ in range(round(seconds / self.dt)):
            if each is not None:
                each()
            self.step()
        return self.reports[first:]

    def follow(self, rows, row_s, settle_s=0.0, **more):
        """Follow a plan of tool poses, or of postures, from the next cycle on."""
        rows = np.stack(rows)
        kind = "q_des" if rows.ndim == 2 else "T_base_ee_des"
        start_ns = self.now_ns + round(1e9 * self.dt)
        plan = ActionChunk(start_ns, round(1e9 * row_s), self.now_ns, **{kind: rows}, **more)
        assert self.cycle.offer_chunk(plan)
        return self.run((len(rows) - 1) * row_s + settle_s)

    def talk(self, T_des):
        """A teleoperated target of this instant."""
        self.cycle.offer_command(ArmCommand(self.now_ns, T_des, 1.0))


def off(T, T_des):
    """Distance [mm] and angle [deg] between two poses."""
    angle = np.linalg.norm(rotvec_from_matrix(T_des[:3, :3] @ T[:3, :3].T))
    return 1e3 * np.linalg.norm(T_des[:3, 3] - T[:3, 3]), np.degrees(angle)
