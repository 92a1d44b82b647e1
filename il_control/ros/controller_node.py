"""controller_node: joint states in, checked setpoints out, once per state."""

from __future__ import annotations

import contextlib
import sys
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.qos import QoSProfile
from rclpy.serialization import deserialize_message
from rclpy.subscription import Subscription
from sensor_msgs.msg import JointState
from trajectory_msgs.msg import JointTrajectory, MultiDOFJointTrajectory

from il_control.arbiter import Source
from il_control.config import control_file, load_control_config
from il_control.cycle import CycleReport, make_cycle
from il_control.model import ArmModel
from il_control.pace import Pace
from il_control.reasons import Reason
from il_control.report import CycleStatistics, stop_values
from il_control.ros.arm_output import ArmOutputParams
from il_control.ros.seat import Seat
from il_control.ros.telemetry import Telemetry
from il_control.ros.warm_up import keep_garbage_out, warm_up
from il_core import topics, wire
from il_core.arm_state_reader import ArmStateReader
from il_core.clock import SteadyClock
from il_core.config import load_setup
from il_core.errors import DeviceError, IlError
from il_core.ros import qos
from il_core.ros.clock import RosClock
from il_core.ros.diagnostics import Level
from il_core.ros.lifecycle import ManagedNode
from il_core.ros.node import CONTROL_PRIORITY, run
from il_core.spec import Interface
from il_core.types import ArmState

STATE_SILENCE_NS = 200_000_000  # without joint states for so long the operator is told
LEAVING_NS = 300_000_000  # the joint damping brings the arm to rest in this time
LEAVING_POLL_S, CYCLE_S = 0.0002, 0.001
FRESH_NS = 50_000_000  # damping that answers a state older than this would push instead of brake


@dataclass(frozen=True, slots=True)
class ControllerParams:
    """ROS parameters: which task and robot, and the file with gains and limits.

    Attributes:
        task: Name in config/task/, or path.
        robot: Name in config/robot/ or path; empty means the task's own.
        control: Name in config/control/ or path; empty means that of the task or robot.
    """

    task: str = "pick_place"
    robot: str = ""
    control: str = ""


class ControllerNode(ManagedNode):
    """Turns messages into offers to the control cycle, and its reports into messages.

    Every activation begins with a new cycle, which holds the arm where it first sees it. Nothing but the joint
    states is listened to before, so that no order from before takes effect then. Only a latched stop stays.
    """

    def __init__(self) -> None:
        """Declare parameters; files are read when the node is configured."""
        super().__init__("controller")
        self._params, self._output = self.parameters(ControllerParams), self.parameters(ArmOutputParams)
        self._clock_ns, self._steady_ns = RosClock(self).now_ns, SteadyClock().now_ns
        self._refused, self._ignored = Counter[str](), Counter[str]()
        self._is_driving = False
        self._stopped_by: tuple[Reason, ...] = ()  # latched stop of the last activation
        self._last: tuple[ArmState, CycleReport] | None = None

    def configure(self) -> None:
        """Load robot and gains, warm up, and listen to the arm; nothing is sent.

        Raises:
            ConfigError: a file or parameter is wrong.
        """
        params = self._params.value
        self._setup = setup = load_setup(params.task, params.robot or None)
        self._joints = wire.JointMap(setup.robot)
        self._config = load_control_config(setup, control_file(params.control))
        warm_up(setup, self._config)
        self._telemetry = Telemetry(self, self._joints, ArmModel(setup), self._output.value)
        self._heard_ns = self._steady_ns()
        self._reader = ArmStateReader(self._joints, _decode)
        self._states = self._subscribe(JointState, topics.JOINT_STATES, self._on_state, qos.LATEST, raw=True)

    def activate(self) -> None:
        """Hold the arm where it is from its next state on, and listen to those who want to move it."""
        self._cycle = make_cycle(self._setup, self._config)
        if self._stopped_by:
            self._cycle.stop(self._stopped_by)
        # Torques answer every state; positions and velocities are as fast as their answers are many.
        is_torque = self._setup.robot.interface is Interface.EFFORT
        self._pace = None if is_torque else Pace(self._cycle.config.dt)
        self._statistics = CycleStatistics()
        self._last, self._teleop_gripper = None, 1.0
        self._refused.clear()
        self._ignored.clear()
        self._subscribe(PoseStamped, topics.TELEOP_POSE, self._on_teleop_pose, qos.COMMAND)
        self._subscribe(JointState, topics.TELEOP_GRIPPER, self._on_teleop_gripper, qos.COMMAND)
        self._subscribe(JointTrajectory, topics.JOINT_CHUNK, self._on_joint_chunk, qos.COMMAND)
        self._subscribe(MultiDOFJointTrajectory, topics.POSE_CHUNK, self._on_pose_chunk, qos.COMMAND)
        self._seat = Seat(self, self._cycle, self._joints, self._subscribe)
        keep_garbage_out()
        self._is_driving = True

    def _subscribe(
        self,
        kind: type,
        topic: str,
        act: Callable[[Any], bool | None],
        profile: QoSProfile,
        *,
        raw: bool = False,
    ) -> Subscription[Any]:
        """Subscribe; a message that cannot be used is refused, one that is late ignored, and both are counted."""

        def guarded(msg: Any) -> None:  # noqa: ANN401 - message class varies
            try:
                self._ignored[topic] += act(msg) is False
            except (IlError, ValueError) as error:
                self._refused[topic] += 1
                text = f"'{topic}' refused ({self._refused[topic]} so far): {error}"
                self.get_logger().warning(text, throttle_duration_sec=1.0)

        return self.create_subscription(kind, topic, guarded, profile, raw=raw)

    def _on_state(self, data: bytes) -> None:
        """One control cycle."""
        if not self._is_driving:
            self._heard_ns = self._steady_ns()
            return
        began_ns = time.perf_counter_ns()
        state = self._reader.read(data)
        if self._pace is not None and not self._pace.is_due(state.stamp_ns):
            return
        report = self._cycle.step(state, self._clock_ns())
        self._telemetry.command(report.setpoint)
        self._statistics.add(report, time.perf_counter_ns() - began_ns)
        self._telemetry.report(report)
        self._seat.report(report)
        self._last, self._heard_ns = (state, report), self._steady_ns()

    def _on_teleop_gripper(self, msg: JointState) -> None:
        _, self._teleop_gripper = wire.opening_from(msg, self._joints)
        if self._cycle.claim is Source.GUIDING:  # no target pose comes with it then
            self._cycle.grip(self._teleop_gripper)

    def _on_teleop_pose(self, msg: PoseStamped) -> bool:
        return self._cycle.offer_command(wire.arm_command_from(msg, self._teleop_gripper))

    def _on_joint_chunk(self, msg: JointTrajectory) -> bool:
        return self._cycle.offer_chunk(wire.joint_chunk_from(msg, self._joints))

    def _on_pose_chunk(self, msg: MultiDOFJointTrajectory) -> bool:
        return self._cycle.offer_chunk(wire.pose_chunk_from(msg))

    def report(self) -> None:
        """Say how it goes; the steady clock decides whether the arm has fallen silent."""
        self._seat.tell()
        values: dict[str, object] = {**self._statistics.values()}
        values |= {f"refused_{topic}": count for topic, count in self._refused.items()}
        values |= {f"ignored_{topic}": count for topic, count in self._ignored.items() if count}
        silence_ns = self._steady_ns() - self._heard_ns
        if self._last is None or silence_ns > STATE_SILENCE_NS:
            text = f"no message on '{topics.JOINT_STATES}' for {silence_ns / 1e9:.1f} s; is the arm's driver up?"
            self.diagnostics.publish(Level.ERROR, text, values)
            return
        report = self._last[1]
        values |= {"source": report.source.value, "plan": report.mode.value}
        values |= stop_values(self._cycle)
        reasons = "; ".join(sorted(r.value for r in report.reasons))
        stopped = values.get("stopped_why")
        level = Level.WARN if reasons or stopped else Level.OK
        self.diagnostics.publish(level, reasons or str(stopped or report.source.value), values)

    def deactivate(self) -> None:
        """Bring the arm to rest, and leave it to gravity compensation or to its own servo; then send nothing more."""
        if not self._is_driving:
            return
        self._is_driving, self._stopped_by = False, self._cycle.stop_causes
        end_ns = self._steady_ns() + LEAVING_NS
        while self._steady_ns() < end_ns:  # the executor waits for this transition, so states are taken here
            taken = self._states.handle.take_message(JointState, True)  # raw
            if taken is not None:
                self._leave(taken[0])
            elif self._steady_ns() - self._heard_ns > FRESH_NS:
                self._carry()
                time.sleep(CYCLE_S)
            else:
                time.sleep(LEAVING_POLL_S)
        self._carry()
        self._last = None

    def _carry(self) -> None:
        """The last word, which stays in force. How an arm moves that no longer talks is not known: it is not damped."""
        if self._last is None:
            return
        state = self._last[0]
        if self._steady_ns() - self._heard_ns > FRESH_NS:
            state = replace(state, v=np.zeros_like(state.v))
        self._telemetry.command(self._cycle.rest(state))

    def _leave(self, data: bytes) -> None:
        """Answer a state without following anything; one that cannot be used is left out."""
        with contextlib.suppress(IlError, ValueError):
            state = self._reader.read(data)
            if self._pace is not None and not self._pace.is_due(state.stamp_ns):
                return
            self._telemetry.command(self._cycle.rest(state))
            if self._last is not None:
                self._last, self._heard_ns = (state, self._last[1]), self._steady_ns()


def _decode(data: bytes) -> JointState:
    try:
        return deserialize_message(data, JointState)
    except RuntimeError as error:
        raise DeviceError(f"joint states: {len(data)} bytes that are no message: {error}") from error


def main() -> None:
    """Entry point of the executable."""
    sys.exit(run(ControllerNode, priority=CONTROL_PRIORITY))


if __name__ == "__main__":
    main()
