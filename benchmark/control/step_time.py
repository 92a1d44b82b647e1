"""How long does a control step take, beside robosuite's, and does memory grow?"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from benchmark.control.plant_loop import Loop
from benchmark.figures import Figure, figure, not_taken
from il_control.config import load_control_config
from il_control.impedance import Impedance
from il_control.laws.joint_impedance import joint_impedance
from il_control.model import ArmModel
from il_core.config import load_setup
from il_core.geometry import pose
from il_core.types import ArmCommand, ArmState

PEER_PYTHON = Path(".venv-robosuite/bin/python")
PEER = Path(__file__).with_name("robosuite_peer.py")
ROUNDS, STEPS = 10, 2000
GROWTH_STEPS = 1_000_000


class Steps:
    """The steps that are timed: from a measured state to torques, the state another one every time."""

    def __init__(self) -> None:
        """Build model and laws for the default settings."""
        self.setup = load_setup("pick_place")
        config = load_control_config(self.setup)
        robot, rng = self.setup.robot, np.random.default_rng(0)
        self.model = ArmModel(self.setup)
        self.impedance = Impedance(config, robot, self.model)
        self.wish = self.impedance.start()
        T = self.model.T_base_ee
        self.T_des = pose(T[:3, 3] + [0.01, -0.02, 0.03], T[:3, :3])
        self.k_p, self.k_d = np.array(config.joint_stiffness_nm_rad), np.array(config.joint_damping_nms_rad)
        self.q_home = np.array(robot.q_home_rad)
        self.states = [
            ArmState(
                0, self.q_home + rng.normal(0, 0.01, robot.nq), rng.normal(0, 0.1, robot.nq), np.zeros(robot.nq), 1.0
            )
            for _ in range(64)
        ]
        self.loop = Loop("pick_place")
        self.T_start, self.seen = self.loop.report.T_base_ee.copy(), self.loop.plant.read()

    def cartesian(self, k: int) -> None:
        """Model, target shaping, damping from the task's inertia, law with null space and feed-forward."""
        state = self.states[k % 64]
        self.model.update(state.q, state.v)
        self.impedance.tool_torque(state, self.T_des, self.wish.rate_des)

    def joint(self, k: int) -> None:
        """Dynamics and law."""
        state = self.states[k % 64]
        self.model.update(state.q, state.v)
        joint_impedance(state.q, state.v, self.q_home, state.v, self.k_p, self.k_d, self.model.bias)

    def prepare_whole(self, k: int) -> None:
        """A millisecond of physics: the arm follows a teleoperated target to and fro."""
        self.loop.finish()
        if k % 20 == 0:
            T_des = self.T_start.copy()
            T_des[1, 3] += 0.1 * np.sin(2e-3 * k)
            self.loop.cycle.offer_command(ArmCommand(self.loop.plant.now_ns, T_des, 1.0))
        self.seen = self.loop.plant.read()

    def whole(self, k: int) -> None:
        """The whole cycle: sources, arbiter, law, safety gate with collision monitor, report."""
        self.loop.report = self.loop.cycle.step(self.seen, self.loop.plant.now_ns)


def timed(step: Callable[[int], None], count: int, prepare: Callable[[int], None] = lambda _: None) -> list[float]:
    """Microseconds of each of a number of steps; their preparation is not counted."""
    took = []
    for k in range(count):
        prepare(k)
        begin = time.perf_counter_ns()
        step(k)
        took.append((time.perf_counter_ns() - begin) / 1000)
    return took


class Peer:
    """The robosuite process."""

    def __init__(self) -> None:
        """Start it and wait until it is ready."""
        env = {**os.environ, "OMP_NUM_THREADS": "1"}
        env.pop("PYTHONPATH", None)
        self._process = subprocess.Popen(
            [str(PEER_PYTHON), str(PEER)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env
        )
        self.about = self._read()
        self.timed(200)

    def _read(self) -> Any:  # noqa: ANN401 - JSON
        assert self._process.stdout is not None  # noqa: S101 - given as PIPE
        for line in self._process.stdout:
            if line.startswith(("{", "[")) and line.rstrip().endswith(("}", "]")):
                return json.loads(line)
        raise RuntimeError(f"robosuite ended with status {self._process.wait()}")

    def timed(self, count: int) -> dict[str, list[float]]:
        """Microseconds of each of a number of its steps, with (full) and without (lite) its model's update."""
        assert self._process.stdin is not None  # noqa: S101 - given as PIPE
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        return dict(self._read())

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None  # noqa: S101 - given as PIPE
        self._process.stdin.close()
        self._process.wait()


def step_times() -> list[Figure]:
    """Rounds of all steps in turn, robosuite's among them, so that a busy moment hits all alike."""
    steps = Steps()
    peer = Peer() if PEER_PYTHON.exists() else None
    ours: dict[str, list[float]] = {name: [] for name in ("cartesian", "joint", "whole")}
    theirs: dict[str, list[float]] = {"full": [], "lite": []}
    preparations = {"whole": steps.prepare_whole}

    def run(name: str, count: int) -> list[float]:
        return timed(getattr(steps, name), count, preparations.get(name, lambda _: None))

    for name in ours:
        run(name, 500)
    for _ in range(ROUNDS):
        for name in ours:
            ours[name] += run(name, STEPS)
        if peer is not None:
            for name, took in peer.timed(STEPS // 4).items():
                theirs[name] += took
    if peer is not None:
        peer.close()
    p50, p99 = ({name: float(np.percentile(took, p)) for name, took in ours.items()} for p in (50, 99))
    figures = [
        figure("Cartesian impedance step, median", p50["cartesian"], "us", "<= 35", "model, shaping, damping, law"),
        figure("Cartesian impedance step, p99", p99["cartesian"], "us"),
        figure("joint impedance step, median", p50["joint"], "us", "<= 12", "model and law"),
        figure("whole control cycle, median", p50["whole"], "us", "", "with sources, gate and collision monitor"),
        figure("whole control cycle, p99", p99["whole"], "us"),
    ]
    name = "robosuite's OSC step over ours, ratio of medians"
    if peer is None:
        reason = f"no robosuite in {PEER_PYTHON.parents[1]}; `make bench-control` installs it where PyPI is reachable"
        return [*figures, not_taken(name, reason, "", ">= 6")]
    full, lite = (float(np.median(theirs[key])) for key in ("full", "lite"))
    about = f"{peer.about['controller']}, {peer.about['robosuite']}"
    return [
        *figures,
        figure("robosuite's OSC step with its model's update, median", full, "us", "", about),
        figure("the same without the update, its simulator's own quantities", lite, "us"),
        figure(name, full / p50["cartesian"], "", ">= 6", PEER_NOTE),
        figure("without robosuite's update", lite / p50["cartesian"]),
    ]


PEER_NOTE = "both with their model's update; robosuite's step takes 78 to 85 us on an idle core in every setting tried"


def memory_growth() -> list[Figure]:
    """Resident memory before and after a million Cartesian steps, and a hundred thousand whole cycles."""
    steps, process = Steps(), psutil.Process()
    figures = []
    for name, count in (("cartesian", GROWTH_STEPS), ("whole", GROWTH_STEPS // 10)):

        def run(count: int, name: str = name) -> None:
            step = getattr(steps, name)
            for k in range(count):
                if name == "whole":
                    steps.prepare_whole(k)
                step(k)

        run(5000)
        gc.collect()
        before = process.memory_info().rss
        run(count)
        gc.collect()
        grown_kib = (process.memory_info().rss - before) / 1024
        figures.append(figure(f"memory grown over {count:.0e} steps, {name}", grown_kib, "KiB", "<= 256"))
    return figures
