"""Who drives the arm, over ROS: services that claim and release it, the topic that tells, and motions to order."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64, String
from std_srvs.srv import SetBool, Trigger
from trajectory_msgs.msg import MultiDOFJointTrajectory

from il_control.arbiter import Change, Source
from il_control.cycle import ControlCycle, CycleReport
from il_control.laws.hand_guiding import GuidingMode
from il_core import topics, wire
from il_core.errors import ConfigError, nearest
from il_core.ros import convert, qos
from il_core.ros.diagnostics import Diagnostics, Level
from il_core.types import Vector

CLAIMS = {
    "teleop": Source.TELEOP,
    "guiding": Source.GUIDING,
    "policy": Source.PLAN,
    "replay": Source.REPLAY,
}
"""Name of each source in :func:`il_core.topics.claim`."""
REPEATED_NS = 1_000_000_000
STIFFNESS_EVERY = 10  # cycles: 100 Hz at 1 kHz

Subscribe = Callable[..., None]


class Seat:
    """Services and topics about who drives, of one controller."""

    def __init__(self, node: Node, cycle: ControlCycle, joints: wire.JointMap, subscribe: Subscribe) -> None:
        """Create them.

        Args:
            node: The controller.
            cycle: Its control cycle.
            joints: Names of the arm's joints.
            subscribe: ``subscribe(kind, topic, act, profile)`` that refuses messages it cannot use.
        """
        self._node, self._cycle, self._joints = node, cycle, joints
        self._told: Change | None = None
        self._told_ns = 0
        self._cycles = 0
        self._zeta: float | None = None
        self._source = Diagnostics(node, "control source", topics.CONTROL_SOURCE)
        self._stiffness = node.create_publisher(WrenchStamped, topics.STIFFNESS, qos.STREAM)
        for name, source in CLAIMS.items():
            node.create_service(SetBool, topics.claim(name), self._claimer(source))
        node.create_service(Trigger, topics.CONTROLLER_HOLD, self._on_hold)
        node.create_service(Trigger, topics.CONTROLLER_STOP, self._on_stop)
        node.create_service(Trigger, topics.CONTROLLER_RESUME, self._on_resume)
        node.create_service(SetBool, topics.CONTROLLER_TOUCH, self._on_touch)
        subscribe(PoseStamped, topics.GO_TO_POSE, self._on_go_to_pose, qos.COMMAND)
        subscribe(JointState, topics.GO_TO_POSTURE, self._on_go_to_posture, qos.COMMAND)
        subscribe(WrenchStamped, topics.WANTED_STIFFNESS, self._on_stiffness, qos.COMMAND)
        subscribe(WrenchStamped, topics.EXPECTED_WRENCH, self._on_expected_wrench, qos.COMMAND)
        subscribe(Float64, topics.DAMPING_RATIO, self._on_damping, qos.COMMAND)
        if cycle.config.wrist is not None:  # without it somebody else may feel the wrench, but nobody here
            subscribe(WrenchStamped, topics.WRIST_WRENCH, self._on_wrench, qos.LATEST)
        subscribe(String, topics.GUIDING_MODE, self._on_guiding_mode, qos.COMMAND)
        subscribe(MultiDOFJointTrajectory, topics.REPLAY_CHUNK, self._on_replay, qos.COMMAND)

    def report(self, report: CycleReport) -> None:
        """Tell what changed in a cycle."""
        self._zeta = report.zeta
        if report.change is not None and report.change is not self._told:
            self._tell_change(report.change, report.setpoint.stamp_ns)
        self._cycles += 1
        if self._cycles % STIFFNESS_EVERY == 0 and report.k_p is not None:
            self._stiffness.publish(convert.wrench_msg(report.setpoint.stamp_ns, report.k_p, convert.BASE_FRAME))

    def _tell_change(self, change: Change, now_ns: int) -> None:
        """Publish and log a hand-over; one that repeats, such as of a plan refused every cycle, once a second."""
        last, self._told = self._told, change
        is_same = last is not None and (change.after, change.cause) == (last.after, last.cause)
        if is_same and 0 <= now_ns - self._told_ns < REPEATED_NS:
            return
        self._told_ns = now_ns
        self.tell()
        self._node.get_logger().info(f"{change.before.value} -> {change.after.value}: {change.cause}")

    def tell(self) -> None:
        """Say who drives, and why, and the damping ratio in force."""
        change = self._told
        source = change.after if change else Source.HOLD
        claim = self._cycle.claim
        values = {
            "source": source.value,
            "before": change.before.value if change else "",
            "claim": claim.value if claim else "",
        } | ({} if self._zeta is None else {"damping_ratio": f"{self._zeta:.3f}"})
        self._source.publish(Level.OK, change.cause if change else "nobody drove yet", values)

    def _claimer(self, source: Source) -> Callable[[SetBool.Request, SetBool.Response], SetBool.Response]:
        def answer(request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
            if request.data:
                refusal = _refusal(lambda: self._cycle.request(source, f"{source.value} asked for by service"))
                response.success, response.message = not refusal, refusal or f"{source.value} may drive"
            else:
                had_part = self._cycle.release(source, f"{source.value} released by service")
                nothing = f"{source.value} neither drove nor had claimed the arm"
                response.success, response.message = had_part, "released" if had_part else nothing
            return response

        return answer

    def _on_hold(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._cycle.hold()
        response.success, response.message = True, "holding; plans, targets and claims forgotten"
        return response

    def _on_stop(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._cycle.stop()
        response.success, response.message = True, f"stopped until '{topics.CONTROLLER_RESUME}' is called"
        return response

    def _on_resume(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        refusal = self._cycle.resume()
        response.success, response.message = not refusal, refusal or "the arm may move"
        return response

    def _on_touch(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        refusal = _refusal(lambda: self._cycle.watch_touch(request.data))
        done = "a push takes the arm over" if request.data else "pushes are resisted"
        response.success, response.message = not refusal, refusal or done
        return response

    def _on_go_to_pose(self, msg: PoseStamped) -> None:
        self._cycle.go_to_pose(wire.ee_pose_from(msg).T_base_ee)

    def _on_go_to_posture(self, msg: JointState) -> None:
        self._cycle.go_to_posture(wire.posture_from(msg, self._joints))

    def _on_wrench(self, msg: WrenchStamped) -> bool:
        wrist, frame = self._cycle.config.wrist, msg.header.frame_id
        if wrist is not None and frame not in ("", wrist.frame):
            raise ConfigError("wrist wrench", f"is in frame '{frame}', setting 'wrist.frame' says '{wrist.frame}'")
        return self._cycle.offer_wrench(wire.stamp_ns(msg.header.stamp), wire.wrench_values(msg))

    def _on_replay(self, msg: MultiDOFJointTrajectory) -> bool:
        return self._cycle.offer_chunk(wire.pose_chunk_from(msg), Source.REPLAY)

    def _on_guiding_mode(self, msg: String) -> None:
        words = msg.data.split()
        modes = [mode.value for mode in GuidingMode]
        if not words or words[0] not in modes:
            raise ConfigError("guiding mode", f"unknown mode '{msg.data}'; {nearest(msg.data, modes)}")
        direction = np.array([float(word) for word in words[1:]]) if words[1:] else None
        self._cycle.set_guiding(GuidingMode(words[0]), direction)

    def _on_expected_wrench(self, msg: WrenchStamped) -> None:
        self._cycle.expect_wrench(wire.stamp_ns(msg.header.stamp), _base_wrench(msg))

    def _on_damping(self, msg: Float64) -> None:
        self._cycle.set_stiffness(None, msg.data)

    def _on_stiffness(self, msg: WrenchStamped) -> None:
        self._cycle.set_stiffness(_base_wrench(msg))


def _base_wrench(msg: WrenchStamped) -> Vector:
    """Six numbers of a message that must be in base, or name no frame, force first, (6,)."""
    if msg.header.frame_id not in ("", convert.BASE_FRAME):
        raise ConfigError("wrench", f"expected frame '{convert.BASE_FRAME}', got '{msg.header.frame_id}'")
    return wire.wrench_values(msg)


def _refusal(ask: Callable[[], str]) -> str:
    """Why not, in words, be it returned or raised; empty if it was granted."""
    try:
        return ask()
    except ConfigError as error:
        return str(error)
