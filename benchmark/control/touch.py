"""How soon is a push noticed, and how often is one imagined? On the simulated arm, its model 10 % wrong."""

from __future__ import annotations

import json
import sys

import numpy as np

from il_control.go_to import JointMotion, MotionLimits
from il_control.laws.joint_impedance import joint_impedance
from il_control.model import ArmModel
from il_control.touch import Touch, TouchConfig, TouchDetector
from il_core.config import load_setup
from il_sim.plant import STEP_NS, Plant

DT = STEP_NS * 1e-9
MASS_ERROR_SHARE, PUSH_N, SPEED_SHARE = 0.1, 20.0, 0.5
THRESHOLD_NM = (3.0, 3.0, 3.0, 3.0, 1.0, 1.0, 1.0)
ACCELERATION, JERK = 10.0, 200.0  # [rad/s², rad/s³]: as brisk as the maker of the arm recommends
STIFFNESS = np.array([300.0, 300.0, 300.0, 300.0, 80.0, 80.0, 80.0])  # N·m/rad
DAMPING = np.array([35.0, 35.0, 35.0, 35.0, 8.0, 8.0, 8.0])  # N·m·s/rad
PUSHES, WARM_UP_S, PUSH_S, PAUSE_S = 60, 2.0, 0.2, 0.5
ERA_S = 20.0  # free motion with one set of masses
MISSED_MS = PUSH_S * 1e3


class Arm:
    """An arm in empty space that wanders between random postures, steered by a model of other masses."""

    def __init__(self, seed: int, noise_rad_s: float = 0.0, friction_nm: float = 0.0) -> None:
        """At home, with masses as described.

        Args:
            seed: Of everything random.
            noise_rad_s: Standard deviation of the measured velocities [rad/s].
            friction_nm: Dry friction of joints 1 to 4, a third of it beyond; no model knows it [N·m].
        """
        setup = load_setup("pick_place")
        self.rng, self.robot = np.random.default_rng(seed), setup.robot
        self.plant, self.model = Plant(setup, seed=seed), ArmModel(setup)
        self.plant.model.geom_contype[:] = self.plant.model.geom_conaffinity[:] = 0  # nothing to bump into
        joints = [self.plant.model.joint(n).dofadr[0] for n in self.robot.joint_names]
        shares = np.where(np.arange(len(joints)) < 4, 1.0, 1.0 / 3.0)
        self.plant.model.dof_frictionloss[joints] = friction_nm * shares
        self._noise_rad_s = noise_rad_s
        config = TouchConfig(THRESHOLD_NM, MASS_ERROR_SHARE)
        self.detector = TouchDetector(self.model, config)
        self.q = self.plant.read().q
        self.motion, self.fastest = self._new_motion(), 0.0

    def make_wrong(self) -> None:
        """Other true masses, up to 10 % off link by link or all alike; the detector starts from nothing."""
        links = self.plant.link_names
        errors = self.rng.uniform(-MASS_ERROR_SHARE, MASS_ERROR_SHARE, len(links))
        if self.rng.random() < 0.5:  # all links as wrong as can be
            errors = np.full(len(links), self.rng.choice([-MASS_ERROR_SHARE, MASS_ERROR_SHARE]))
        self.plant.scale_masses(dict(zip(links, 1.0 + errors, strict=True)))
        self.detector.reset()

    def _new_motion(self) -> JointMotion:
        """To a random posture, at up to half the joints' speed."""
        target = self.rng.uniform(self.robot.q_min_rad, self.robot.q_max_rad)
        if self.rng.random() < 0.3:  # a short way: more acceleration than speed
            target = self.q + 0.2 * (target - self.q)
        speed = self.rng.uniform(0.2, 1.0) * SPEED_SHARE * np.array(self.robot.v_max_rad_s)
        limits = MotionLimits(speed, np.full(len(target), ACCELERATION), np.full(len(target), JERK))
        return JointMotion(self.plant.now_ns, self.q, target, limits)

    def step(self, *, is_moving: bool = True) -> Touch | None:
        """One millisecond, and what the detector says of it."""
        state = self.plant.read()
        if is_moving and self.plant.now_ns > self.motion.end_ns + self.rng.integers(0, 2) * 300 * STEP_NS:
            self.motion = self._new_motion()
        wish = self.motion.wish(self.plant.now_ns)
        self.q = wish.q_des
        self.model.update(state.q, state.v)
        v = state.v if self._noise_rad_s == 0.0 else state.v + self.rng.normal(0.0, self._noise_rad_s, len(state.v))
        touch = self.detector.update(state.q, v, state.tau, self.model.J_ee_aligned, DT)
        tau = joint_impedance(state.q, state.v, wish.q_des, wish.rate_des, STIFFNESS, DAMPING, self.model.bias)
        self.plant.apply(tau)
        self.plant.step()
        self.fastest = max(self.fastest, float(np.max(np.abs(state.v) / self.robot.v_max_rad_s)))
        return touch

    def run(self, seconds: float, *, is_moving: bool = True) -> int:
        """Touches noticed in a time."""
        return sum(self.step(is_moving=is_moving) is not None for _ in range(round(seconds / DT)))


def delay_ms(arm: Arm) -> tuple[float, int]:
    """Time from a push in a random direction until it is noticed [ms], and alarms before it.

    The arm has other masses than before, has moved for a while, and is then pushed in motion or at rest.
    """
    arm.make_wrong()
    alarms = arm.run(arm.rng.uniform(1.0, 2.0) * WARM_UP_S)
    is_moving = bool(arm.rng.random() < 0.5)
    if not is_moving:
        while arm.plant.now_ns < arm.motion.end_ns + 300 * STEP_NS:
            alarms += arm.step(is_moving=False) is not None
    if arm.detector.is_touched:
        return MISSED_MS, alarms
    direction = arm.rng.normal(size=3)
    arm.plant.push(PUSH_N * direction / np.linalg.norm(direction))
    delay = MISSED_MS
    for k in range(round(PUSH_S / DT)):
        # The first step of the push ends at the reading after it.
        if arm.step(is_moving=is_moving) is not None:
            delay = k * DT * 1e3
            break
    arm.plant.push(np.zeros(3))
    arm.run(PAUSE_S)
    return delay, alarms


def false_alarms(arm: Arm, minutes: float) -> int:
    """Touches noticed in free motion that nobody disturbs."""
    alarms = 0
    for _ in range(max(1, round(minutes * 60.0 / ERA_S))):
        arm.make_wrong()
        alarms += arm.run(ERA_S)
    return alarms


def touch(
    minutes: float, seed: int, pushes: int = PUSHES, noise_rad_s: float = 0.0, friction_nm: float = 0.0
) -> dict[str, float]:
    """Detection delays of 20 N pushes and false alarms of free motion, the model's masses up to 10 % off.

    Args:
        minutes: Simulated minutes of free motion.
        seed: Of everything random.
        pushes: How many pushes.
        noise_rad_s: Of the measured velocities; the bound of the issue is without.
        friction_nm: Of the joints, unknown to the model; likewise.
    """
    arm = Arm(seed, noise_rad_s, friction_nm)
    results = [delay_ms(arm) for _ in range(pushes)]
    delays = np.array([d for d, _ in results])
    arm.fastest = 0.0
    return {
        "pushes": float(pushes),
        "delay_median_ms": float(np.median(delays)),
        "delay_p95_ms": float(np.percentile(delays, 95)),
        "delay_max_ms": float(delays.max()),
        "later_than_20_ms": float(np.sum(delays > 20.0)),
        "missed": float(np.sum(delays >= MISSED_MS)),
        "false_alarms_before_pushes": float(sum(a for _, a in results)),
        "minutes": minutes,
        "false_alarms": float(false_alarms(arm, minutes)),
        "fastest_joint_share": arm.fastest,
    }


if __name__ == "__main__":
    wanted_minutes = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    print(json.dumps(touch(wanted_minutes, seed=0), indent=2))
    print("with 0.001 rad/s of velocity noise and 0.5 N·m of unknown joint friction:")
    print(json.dumps(touch(wanted_minutes, seed=1, noise_rad_s=0.001, friction_nm=0.5), indent=2))
