"""The bring-up manager over real DDS: order, reasons, restarts, and the way down."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402 - needs ROS

from il_cli.process import Supervisor  # noqa: E402
from il_cli.ros.session import Session  # noqa: E402
from il_core.graph import Graph, GraphOptions, NodeSpec, graph  # noqa: E402

pytestmark = pytest.mark.ros
LIMIT_S = 30.0
OPTIONS = GraphOptions(task="draw_symbol")


def test_a_graph_comes_up_in_order_names_what_is_missing_and_goes_down_in_reverse(tmp_path: Path) -> None:
    described = graph("teleop", OPTIONS)
    waiting = tuple(
        replace(node, parameters={**node.parameters, "autostart": False})
        for node in described.nodes
        if node.name != "sim"
    )
    manager = NodeSpec("bringup", "il_cli.ros.bringup_node", {"graph": "teleop", "task": OPTIONS.task})
    arm = Graph("arm", (described.node("sim"),))
    with (
        Session("bringup_test") as session,
        Supervisor(Graph("managed", (*waiting, manager)), tmp_path / "managed") as managed,
    ):

        def said(name: str) -> str:
            return session.diagnostics.get(name, {}).get("message", "")

        def wait_said(name: str, words: str) -> None:
            session.wait(lambda: words in said(name), LIMIT_S, f"'{name}' says '{words}'", managed.check)

        def state(name: str) -> str:
            answer = session.call(GetState, f"{name}/get_state", GetState.Request(), LIMIT_S)
            return str(answer.current_state.label)

        def change(name: str, transition: str) -> None:
            request = ChangeState.Request()
            request.transition.label = transition
            assert session.call(ChangeState, f"{name}/change_state", request, LIMIT_S).success

        wait_said("bringup: controller", "is inactive: waits for 'joint_states', never received, nobody publishes it")
        wait_said("bringup: sim", "is not running")
        wait_said("bringup: teleop", "is inactive: waits for 'control/ee_pose', never received")
        assert state("controller") == "inactive"

        with Supervisor(arm, tmp_path / "arm"):
            wait_said("bringup", "all 3 nodes are ready")

            def rate_hz() -> float:
                return float(session.diagnostics["topic joint_states"]["rate_hz"])

            session.wait(
                lambda: rate_hz() > 300, LIMIT_S, "a rate over two whole seconds"
            )  # best effort: some are lost
            assert rate_hz() < 1100
            assert session.diagnostics["topic control/ee_pose"]["publishers"] == "controller"

            assert managed.stop_node("teleop") == 0
            wait_said("bringup: teleop", "is not running")
            with Supervisor(Graph("again", (waiting[-1],)), tmp_path / "again"):
                wait_said("bringup", "all 3 nodes are ready")
                managed.processes["bringup"].send_signal(signal.SIGINT)
                assert managed.stop_node("bringup") == 0
                assert (state("teleop"), state("controller")) == ("unconfigured", "unconfigured")
                log = managed.log_path("bringup").read_text()
                assert log.index("deactivate teleop") < log.index("deactivate controller")

                for transition in ("configure", "activate", "deactivate"):
                    change("controller", transition)
                with Supervisor(Graph("manager", (manager,)), tmp_path / "restarted"):
                    wait_said("bringup: controller", "is inactive: somebody took it down")
                    assert state("controller") == "inactive", "a person deactivated it before this manager came"
                    wait_said("bringup: teleop", "is inactive: waits for 'control/ee_pose'")
    assert managed.processes["controller"].returncode == 0
