"""Does anything leave the safety gate outside the limits? Random and hostile inputs by the million."""

from __future__ import annotations

import json
import time
from collections import Counter
from dataclasses import replace
from typing import Any

import numpy as np

from il_control.collision import CollisionMonitor
from il_control.config import ControlConfig, load_control_config
from il_control.inputs import Context
from il_control.model import ArmModel
from il_control.reasons import Behaviour, Reason
from il_control.safety import SafetyGate
from il_core.config import Setup, load_setup
from il_core.spec import Interface
from il_core.types import ArmState, Setpoint

T0 = 1_700_000_000_000_000_000  # an instant of today's clocks [ns]
TOLERANCE = 1e-9  # of sums and differences of doubles
POOL = 20_011  # states prepared; prime, so that pools of other lengths always meet anew
FORCE_MAX_N = 40.0  # of this experiment alone


class Judge:
    """Knows the limits from the robot's file, not from the gate, and what left last."""

    def __init__(self, setup: Setup, config: ControlConfig) -> None:
        robot = setup.robot
        self.dt = 1.0 / config.rate_hz
        self.q_min, self.q_max = np.array(robot.q_min_rad), np.array(robot.q_max_rad)
        self.v_max, self.tau_max = np.array(robot.v_max_rad_s), np.array(robot.tau_max_nm)
        self.a_max = np.array(robot.a_max_rad_s2 or [config.acceleration_max_rad_s2] * robot.nq)
        self.tau_step = np.array(robot.tau_rate_max_nm_s) * self.dt
        self.last: np.ndarray | None = None
        self.v_last: np.ndarray | None = None

    def is_outside(self, setpoint: Setpoint, kind: Interface) -> bool:
        """Whether a setpoint breaks a limit, alone or after the one before."""
        values = {
            Interface.EFFORT: setpoint.tau,
            Interface.POSITION: setpoint.q_des,
            Interface.VELOCITY: setpoint.v_des,
        }
        x = values[kind]
        if x is None or x.shape != self.q_min.shape or not np.isfinite(x).all() or not 0 <= setpoint.gripper <= 1:
            return True
        last, v_last = self.last, self.v_last
        self.last = x
        if kind is Interface.EFFORT:
            is_far = last is not None and bool((np.abs(x - last) > self.tau_step + TOLERANCE).any())
            return is_far or bool((np.abs(x) > self.tau_max).any())
        if kind is Interface.POSITION:
            is_out = bool((x < self.q_min).any() or (x > self.q_max).any())
            v = np.zeros_like(x) if last is None else (x - last) / self.dt
        else:
            is_out, v = False, x
        self.v_last = v
        is_fast = bool((np.abs(v) > self.v_max + TOLERANCE).any())
        # Differences of positions carry 1e-16 rad / dt² of rounding: 1e-6 rad/s covers it amply.
        step = self.a_max * self.dt + 1e-6
        return is_out or is_fast or (v_last is not None and bool((np.abs(v - v_last) > step).any()))


def _states(rng: np.random.Generator, judge: Judge, count: int) -> list[ArmState]:
    """A walk within the limits, broken by jumps, overspeed, absurd values, wrong sizes and impossible stamps."""
    n = len(judge.q_min)
    q, v = (judge.q_min + judge.q_max) / 2, np.zeros(n)
    states = []
    for k in range(count):
        v = 0.995 * v + judge.v_max * rng.normal(0.0, 0.001, n)
        q = np.clip(q + v * judge.dt, judge.q_min - 0.1, judge.q_max + 0.1)
        q_seen, v_seen, stamp_ns = q, v, T0 + k * 1_000_000
        what = rng.integers(400) if k else 400
        if what == 0:
            q = q_seen = rng.uniform(judge.q_min - 0.2, judge.q_max + 0.2)
        elif what == 1:
            v_seen = v * 10.0 ** rng.uniform(0, 4)
        elif what == 2:
            q_seen, v_seen = rng.choice([-1.0, 1.0], n) * 1e300, rng.choice([-1.0, 1.0], n) * 1e300
        elif what == 3:
            q_seen, v_seen = (np.ones(rng.choice([m for m in range(1, 10) if m != n])) for _ in range(2))
            v_seen = np.ones(len(q_seen))
        elif what == 4:
            stamp_ns = int(rng.choice([-1, 0, -(2**62), 2**62, T0 + (k - 500) * 1_000_000, T0 + (k + 90) * 1_000_000]))
        states.append(ArmState(stamp_ns, q_seen, v_seen, np.zeros(len(q_seen)), 0.5))
    return states


def _wishes(rng: np.random.Generator, scale: np.ndarray, count: int) -> list[Any]:
    """Wishes around the limits, smooth for a while, then a jump or something that is none."""
    n = len(scale)
    bad = [np.full(n, np.nan), np.full(n, np.inf), np.full(n, -np.inf), np.zeros(0), np.zeros(n - 1), np.zeros((1, n))]
    bad += [np.full(n, 1e308), np.array(1.0), np.zeros(n + 1), np.full(n, -1e308)]
    wishes: list[Any] = []
    wish = np.zeros(n)
    for _ in range(count):
        what = rng.integers(400)
        if what < 8:
            broken = scale * rng.normal(size=n)
            broken[rng.integers(n)] = rng.choice([np.nan, np.inf, -np.inf, 1e300])
            wishes.append(broken if what % 2 else bad[rng.integers(len(bad))])
            continue
        wish = scale * rng.normal(0.0, 1.0, n) if what == 9 else 0.99 * wish + scale * rng.normal(0.0, 0.001, n)
        wishes.append(wish)
    return wishes


def _context(rng: np.random.Generator, stamp_ns: int) -> Context:
    """Instants and forces, mostly sound."""
    what = rng.integers(400)
    now_ns = stamp_ns + 1_000_000
    wrench = np.array([5.0, 0.0, 0.0, 0.0, 0.0, 0.0])
    if what == 0:
        now_ns = int(rng.choice([-1, 0, -(2**62), 2**62, stamp_ns + 10**10, stamp_ns - 10**10, stamp_ns + 10**8]))
    elif what == 1:
        return Context(now_ns, now_ns - int(rng.integers(0, 10**8)), wrench)
    elif what == 2:
        wrench = [np.full(6, np.nan), np.full(6, 1e308), np.zeros(3), 50.0 * np.ones(6)][rng.integers(4)]
    elif what == 3:
        return Context(now_ns, None, None)
    return Context(now_ns, now_ns, wrench)


def _gate(setup: Setup, config: ControlConfig) -> tuple[SafetyGate, ArmModel]:
    """The gate with everything it can watch, stopping for good at the contact force and at collisions."""
    stops = {"collision_stop": Behaviour.LATCHED_STOP, "workspace_limit": Behaviour.HOLD}
    safety = replace(config.safety, contact_force_max_n=FORCE_MAX_N, behaviours=stops)
    config, model = replace(config, safety=safety), ArmModel(setup)
    return SafetyGate(setup.robot, config, model, CollisionMonitor(setup, safety)), model


def _run(setup: Setup, config: ControlConfig, kind: Interface, n: int, rng: np.random.Generator) -> Counter[str]:
    gate, model = _gate(setup, config)
    judge = Judge(setup, config)
    scale = {
        Interface.EFFORT: judge.tau_max,
        Interface.POSITION: judge.q_max - judge.q_min,
        Interface.VELOCITY: judge.v_max,
    }[kind]
    states, wishes = _states(rng, judge, min(n, POOL)), _wishes(rng, scale, min(n, 7919))
    contexts = [_context(rng, 0) for _ in range(min(n, 5003))]
    grippers = [*rng.uniform(-0.5, 1.5, 90).tolist(), float("nan"), float("inf"), -float("inf")]
    given = [r for r in Reason for _ in range(2)]
    counts: Counter[str] = Counter()
    for k in range(n):
        state, wish, context = states[k % len(states)], wishes[k % len(wishes)], contexts[k % len(contexts)]
        if context.now_ns is not None:
            target_ns = None if context.target_ns is None else context.target_ns + state.stamp_ns
            context = Context(context.now_ns + state.stamp_ns, target_ns, context.wrench)
        if len(state.q) == model.nq:
            model.update(state.q, state.v)
        reasons: set[Reason] = {given[k % len(given)]} if k % 97 == 0 else set()
        gripper = grippers[k % len(grippers)]
        if kind is Interface.EFFORT:
            bias = wishes[(3 * k) % len(wishes)] if k % 101 == 0 else model.bias
            setpoint = gate.setpoint(state, wish, gripper, bias, reasons, context)
        elif kind is Interface.POSITION:
            setpoint = gate.position_setpoint(state, wish, gripper, reasons, context)
        else:
            setpoint = gate.velocity_setpoint(state, wish, gripper, reasons, context)
        counts["outside"] += judge.is_outside(setpoint, kind)
        counts["intervened"] += bool(reasons)
        counts["stopped"] += gate.is_stopped
        if k % 10 == 0:
            counts["resumed"] += gate.is_stopped and gate.resume() == ""
        for reason in reasons:
            counts[reason.name] += 1
    return counts


def fuzz(n: int, seed: int) -> dict[str, Any]:
    """Feed ``n`` random and hostile cycles to the gate, a third each as torques, positions and velocities.

    Returns:
        ``setpoints`` made, how many of them were ``outside`` the limits (per interface too), how often the
        gate ``intervened``, was ``stopped`` and ``resumed``, the reasons it gave, and the time it took [s].
    """
    setup = load_setup("pick_place")
    config = load_control_config(setup)
    began = time.perf_counter()
    total: Counter[str] = Counter()
    result: dict[str, Any] = {"setpoints": n, "outside": 0}
    kinds = (Interface.EFFORT, Interface.POSITION, Interface.VELOCITY)
    with np.errstate(all="ignore"):  # absurd inputs overflow; what comes of it is judged
        for i, kind in enumerate(kinds):
            share = n // 3 + (i < n % 3)
            counts = _run(setup, config, kind, share, np.random.default_rng([seed, i]))
            result[f"outside_{kind.value}"] = counts["outside"]
            total += counts
    for key in ("outside", "intervened", "stopped", "resumed"):
        result[key] = total.pop(key, 0)
    return result | {"reasons": dict(total), "took_s": round(time.perf_counter() - began, 1)}


if __name__ == "__main__":
    print(json.dumps(fuzz(1_000_000, 0), indent=2))
