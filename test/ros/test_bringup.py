"""The bring-up manager over real DDS: order, reasons, restarts, and the way down."""

from __future__ import annotations

import signal
from dataclasses import replace
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402 - needs ROS
from rclpy.node import Node  # noqa: E402
from sensor_msgs.msg import CameraInfo, Image  # noqa: E402
from std_msgs.msg import String  # noqa: E402

from il_cli.process import Supervisor  # noqa: E402
from il_cli.ros.session import Session  # noqa: E402
from il_core import topics  # noqa: E402
from il_core.graph import Graph, GraphOptions, NodeSpec, graph  # noqa: E402
from il_core.ros import qos  # noqa: E402

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

            # Two looks per second at the least, and yet every one of a thousand messages is counted.
            session.wait(lambda: 900 < rate_hz() < 1100, LIMIT_S, "a rate over two whole seconds")
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


def test_one_that_only_watches_tells_of_every_topic_its_graph_sends_or_hears(tmp_path: Path) -> None:
    """Nodes of this test stand where the graph's would: only who publishes, who listens and how often counts."""
    driver = {"color": "/front/zed_node/rgb/image_rect_color", "info": "/front/zed_node/rgb/camera_info"}
    options = GraphOptions(sim=False, cameras="zed", monitor=True, params=str(tmp_path / "no_pictures.yaml"))
    Path(options.params).write_text("bringup: {ros__parameters: {pictures: false}}")
    watcher = Graph("watcher", (graph("record", options).node("bringup"),))
    with Session("watch_test") as session, Supervisor(watcher, tmp_path / "log") as running:
        controller, recorder, zed = (Node(name) for name in ("controller", "recorder", "zed"))
        source = controller.create_publisher(String, topics.CONTROL_SOURCE, qos.STREAM)
        controller.create_publisher(String, topics.TARGET_POSE, qos.STREAM)  # carries nothing
        cameras = [zed.create_publisher(kind, driver[k], 1) for k, kind in (("color", Image), ("info", CameraInfo))]
        for camera, kind in zip(driver.values(), (Image, CameraInfo), strict=True):
            recorder.create_subscription(kind, camera, print, 1)
        orders = {name: zed.create_publisher(String, name, 1) for name in (topics.GO_TO_POSTURE, topics.RECORDER_NOTE)}
        for node, name in zip((controller, recorder), orders, strict=True):
            node.create_subscription(String, name, print, 1)
        rates: list[float] = []

        def is_told() -> bool:
            for publisher, message in ((source, String()), (cameras[0], Image()), (cameras[1], CameraInfo())):
                publisher.publish(message)  # a hundred times a second, as the session waits
            now = session.diagnostics.get("topic control/source", {}).get("rate_hz", "")
            rates.extend([float(now)] if now else [])
            return bool(rates) and rates[-1] > 40

        session.wait(is_told, LIMIT_S, "the rate of a topic no sign of life is looked for on", running.check)
        assert rates[-1] < 110
        told = session.diagnostics
        assert told["topic front/zed_node/rgb/camera_info"]["publishers"] == "zed"
        assert float(told["topic front/zed_node/rgb/camera_info"]["age_ms"]) < 1000
        picture = told["topic front/zed_node/rgb/image_rect_color"]
        assert "pictures are not received" in picture["message"] and picture["age_ms"] == ""
        assert told["topic control/target_pose"]["message"] == "never received, though controller publishes it"
        assert "bringup: teleop" in told and told["bringup: teleop"]["message"] == "teleop is not running"
        assert not {f"topic {name}" for name in orders} & set(told)
        heard = {name: order.get_subscription_count() for name, order in orders.items()}
        assert heard == dict.fromkeys(orders, 1), "who sends an order must not take the watcher for who obeys"
        for node in (controller, recorder, zed):
            node.destroy_node()
        assert running.stop_node("bringup") == 0
