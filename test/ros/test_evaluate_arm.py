"""A person's attempt on a running arm: the policy's node starts, drives until Enter, and the arm holds again."""

from __future__ import annotations

import os
import threading
import time
from dataclasses import replace

import pytest

pytest.importorskip("rclpy")
import numpy as np  # noqa: E402

from il_cli.evaluate_arm import Seat  # noqa: E402
from il_cli.person import Person  # noqa: E402
from il_cli.process import Supervisor  # noqa: E402
from il_cli.ros.attempt_log import AttemptLog  # noqa: E402
from il_cli.ros.homing import Homing  # noqa: E402
from il_cli.ros.session import Session  # noqa: E402
from il_core.config import load_setup  # noqa: E402
from il_core.graph import GraphOptions, graph  # noqa: E402
from il_core.graph_spec import Place  # noqa: E402

pytestmark = pytest.mark.ros
TASK, LEFT = "draw_symbol", Place("left")  # in a namespace: the arm is one of several


def test_an_attempt_runs_from_enter_to_enter_and_leaves_the_arm_holding(tmp_path, untrained):
    policy = untrained(tmp_path / "secret_name", TASK)
    reads, writes = os.pipe()
    said: list[str] = []

    def type_enter(after: str) -> None:
        """Once something was said send the arm home, and begin when it is there."""
        end = time.monotonic() + 30
        while not any(after in line for line in said) and time.monotonic() < end:
            time.sleep(0.05)
        os.write(writes, b"h\n")
        while seat.homing.distance_rad > 0.03 and time.monotonic() < end:
            time.sleep(0.05)
        os.write(writes, b"\n")

    sim_graph = graph("sim", GraphOptions(task=TASK, namespace=LEFT.namespace))
    with Supervisor(sim_graph, tmp_path / "sim") as sim, Session(place=LEFT) as session:
        sim.wait_ready(30.0)
        robot = load_setup(TASK).robot
        person, homing, log = Person(said.append, reads), Homing(session, robot), AttemptLog(session.node)
        seat = Seat(session, person, TASK, 1.5, tmp_path, LEFT, homing, log, load_setup(TASK).task.rate_hz)
        away = replace(robot, q_home_rad=tuple(q + 0.1 for q in robot.q_home_rad))
        Homing(session, away).go()
        assert seat.homing.distance_rad > 0.05
        typist = threading.Thread(target=type_enter, args=("Enter begin",))
        typist.start()
        made = seat.attempt(policy, "attempt 1 of 2: put the scene back as scene 0", lambda: None)
        typist.join()
        assert made is not None and 1.4 < made.seconds < 5.0
        assert made.plans >= 1 and len(made.path) > 5 and np.isfinite(made.path).all()
        assert made.interventions is not None, "the controller said that the policy drove"
        assert made.interventions.by_people == 0
        assert "left/controller" not in session.diagnostics, "names of nodes are those inside the namespace"
        assert not any("secret_name" in line for line in said)
        session.wait(lambda: session.diagnostics.get("controller", {}).get("source") != "policy", 5.0, "hold")
    os.close(writes)
