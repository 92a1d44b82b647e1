"""A client of the running graph for scripts: call services, set parameters, watch topics."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Any

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped
from rcl_interfaces.srv import SetParameters
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions
from std_msgs.msg import Bool
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import MultiDOFJointTrajectory

from il_core import topics
from il_core.errors import GraphError
from il_core.graph_spec import Place
from il_core.ros import qos
from il_core.ros.convert import pose_chunk_msg
from il_core.ros.diagnostics import own_statuses
from il_core.ros.node import spin
from il_core.types import ActionChunk, EePose
from il_core.wire import ee_pose_from

POLL_S = 0.01
# A service can be called before its server has found our reply channel, and then the answer is lost:
# wait a moment after finding it, and ask again if nothing comes.
MATCH_S, ATTEMPTS = 0.2, 2
HERE = Place()
MAX_PATH = 60_000  # ten minutes of tool poses at 100 Hz


class Session:
    """Watches a graph from a thread of its own; every wait has a limit and names what was missing."""

    def __init__(self, name: str = "il_session", place: Place = HERE) -> None:
        """Join the ROS graph at ``place`` as node ``name``; use as a context manager."""
        self._name, self._place = name, place
        self._stop = threading.Event()
        self._clients: dict[str, Any] = {}
        self.diagnostics: dict[str, dict[str, str]] = {}
        self.success = False
        self.path: list[EePose] = []
        self._flags: dict[str, bool] = {}

    def __enter__(self) -> Session:
        """Start the node and its thread."""
        rclpy.init(args=self._place.ros_arguments, signal_handler_options=SignalHandlerOptions.NO)
        self.node = Node(self._name)
        self._watch(DiagnosticArray, topics.DIAGNOSTICS, self._on_diagnostics, qos.STREAM)
        self._watch(PoseStamped, topics.EE_POSE, self._on_ee_pose, qos.STREAM)
        self._watch(Bool, topics.SIM_SUCCESS, self._on_success, qos.LATEST)
        self._chunks = self.node.create_publisher(MultiDOFJointTrajectory, topics.POSE_CHUNK, qos.COMMAND)
        self._thread = threading.Thread(target=spin, args=(self.node, self._stop.is_set), daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Leave the graph."""
        self._stop.set()
        self._thread.join()
        self.node.destroy_node()
        rclpy.try_shutdown()

    def _watch(self, kind: type, topic: str, callback: Callable[[Any], None], profile: Any) -> None:  # noqa: ANN401
        self.node.create_subscription(kind, topic, callback, profile)

    def now_ns(self) -> int:
        """Current instant on the graph's clock [ns]."""
        return int(self.node.get_clock().now().nanoseconds)

    def send_chunk(self, chunk: ActionChunk) -> None:
        """Ask the controller to follow a pose chunk."""
        self._chunks.publish(pose_chunk_msg(chunk))

    def watch_flag(self, topic: str) -> None:
        """Follow a latched std_msgs/Bool; read it with :meth:`flag`."""
        self._flags[topic] = False
        self._watch(Bool, topic, lambda msg: self._flags.__setitem__(topic, msg.data), qos.LATCHED)

    def flag(self, topic: str) -> bool:
        """Newest value of a watched flag."""
        return self._flags[topic]

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for name, status in own_statuses(self.node, msg):
            values = {kv.key: kv.value for kv in status.values}
            self.diagnostics[name] = {**values, "message": status.message}

    def _on_ee_pose(self, msg: PoseStamped) -> None:
        if len(self.path) < MAX_PATH:
            self.path.append(ee_pose_from(msg))

    def _on_success(self, msg: Bool) -> None:
        self.success = bool(msg.data)

    def wait(
        self, condition: Callable[[], bool], timeout_s: float, what: str, check: Callable[[], None] | None = None
    ) -> None:
        """Wait until a condition holds.

        Args:
            condition: Polled until true.
            timeout_s: Longest wait [s].
            what: What is awaited, for the message.
            check: Called at every poll; raises when waiting makes no sense any more.

        Raises:
            GraphError: the limit passed.
        """
        end = time.monotonic() + timeout_s
        while not condition():
            if check is not None:
                check()
            if time.monotonic() > end:
                raise GraphError(f"{what}: not within {timeout_s:.0f} s; see the node's log, or `il doctor`")
            time.sleep(POLL_S)

    def wait_status(self, node: str, message: str, timeout_s: float, check: Callable[[], None]) -> None:
        """Wait until a node's status on /diagnostics says ``message``.

        Raises:
            GraphError: the limit passed; carries what the node says instead.
        """

        def status() -> str:
            return self.diagnostics.get(node, {}).get("message", "nothing yet")

        try:
            self.wait(lambda: status() == message, timeout_s, f"node '{node}'", check)
        except GraphError as error:
            raise GraphError(f"node '{node}' is not {message} after {timeout_s:.0f} s: {status()}") from error

    def call(self, kind: type, name: str, request: object, timeout_s: float) -> Any:  # noqa: ANN401
        """Call a service of any type and wait for its answer.

        Raises:
            GraphError: no answer.
        """
        if name not in self._clients:
            self._clients[name] = client = self.node.create_client(kind, name)
            self.wait(client.service_is_ready, timeout_s, f"service '{name}'")
            time.sleep(MATCH_S)
        client = self._clients[name]
        self.wait(client.service_is_ready, timeout_s, f"service '{name}'")
        done, futures = threading.Event(), []
        for _ in range(ATTEMPTS):
            futures.append(client.call_async(request))
            futures[-1].add_done_callback(lambda _: done.set())
            if done.wait(timeout_s / ATTEMPTS):  # any attempt's answer will do, the first is the true one
                return next(future for future in futures if future.done()).result()
        raise GraphError(f"service '{name}' gave no answer within {timeout_s:.0f} s; its node may hang")

    def trigger(self, name: str, timeout_s: float = 10.0) -> str:
        """Call a std_srvs/Trigger.

        Returns:
            The service's message.

        Raises:
            GraphError: no answer, or the service refused; carries its words.
        """
        answer = self.call(Trigger, name, Trigger.Request(), timeout_s)
        if not answer.success:
            raise GraphError(f"service '{name}' refused: {answer.message}")
        return str(answer.message)

    def set_bool(self, name: str, value: bool, timeout_s: float = 10.0) -> str:
        """Call a std_srvs/SetBool; like :meth:`trigger`."""
        answer = self.call(SetBool, name, SetBool.Request(data=value), timeout_s)
        if not answer.success:
            raise GraphError(f"service '{name}' refused: {answer.message}")
        return str(answer.message)

    def set_parameter(self, node: str, name: str, value: object, timeout_s: float = 10.0) -> None:
        """Set a parameter of another node.

        Raises:
            GraphError: no answer, or the node refused the value.
        """
        request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
        answer = self.call(SetParameters, f"{node}/set_parameters", request, timeout_s)
        for result in answer.results:
            if not result.successful:
                raise GraphError(f"parameter '{name}' of node '{node}' refused: {result.reason}")
