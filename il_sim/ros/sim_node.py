"""sim_node: the simulated arm on the wire, a thousand times a second."""

from __future__ import annotations

import sys
import time
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.node import Node
from rclpy.subscription import Subscription
from rclpy.task import Future
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import JointState
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from il_core import topics, wire
from il_core.clock import SystemClock
from il_core.config import load_setup
from il_core.ros import convert, qos
from il_core.ros.diagnostics import Diagnostics, Level
from il_core.ros.node import CONTROL_PRIORITY, Executor, run
from il_core.ros.params import declare
from il_sim.pacing import Pacer
from il_sim.plant import STEP_NS, Plant

WORLD_EVERY = 33  # steps between two states for cameras and objects: 30 Hz
CALLBACKS_EVERY = 5  # ticks between two looks for services and timers
DIAGNOSTICS_S = 0.5
LEAVING_NS, SILENCE_NS = 1_000_000_000, 50_000_000  # longest wait for the controller's last word; what tells it


@dataclass(frozen=True, slots=True)
class SimParams:
    """ROS parameters; ``seed`` is one too, and may change between resets.

    Attributes:
        task: Name in config/task/, or path.
        robot: Name in config/robot/ or path; empty means the task's own.
        publish_clock: Whether simulated time is published on /clock.
    """

    task: str = "pick_place"
    robot: str = ""
    publish_clock: bool = False


class SimNode(Node):
    """Owns one Plant; every millisecond: newest torques in, one step, state out."""

    _taken: tuple[Subscription[JointState], ...] = ()

    def __init__(self) -> None:
        """Build the plant and start its clock."""
        super().__init__("sim")
        self._params = declare(self, SimParams)
        self.declare_parameter("seed", 0)
        setup = load_setup(self._params.task, self._params.robot or None)
        self._joints = wire.JointMap(setup.robot)
        self._wall_ns = SystemClock().now_ns
        start_ns = self._wall_ns() // STEP_NS * STEP_NS
        self._plant = Plant(setup, self._seed(), start_ns=start_ns)
        self._pacer = Pacer()
        self._answered_ns = 0
        self._answers = self._late = self._since_world = 0
        self._make_publishers()
        self._taken = (
            self.create_subscription(JointState, topics.EFFORT_SETPOINT, self._on_effort, qos.LATEST),
            self.create_subscription(JointState, topics.GRIPPER_SETPOINT, self._on_gripper, qos.COMMAND),
        )
        self.create_service(Trigger, topics.SIM_RESET, self._on_reset)
        self.create_timer(DIAGNOSTICS_S, self._on_diagnostics)

    def _seed(self) -> int:
        return int(self.get_parameter("seed").value)

    def _make_publishers(self) -> None:
        """Publishers and the messages they reuse: filling a view costs a microsecond, a list ten."""
        self._states = self.create_publisher(JointState, topics.JOINT_STATES, qos.STREAM)
        self._world = self.create_publisher(JointState, topics.WORLD_STATE, qos.COMMAND)
        self._success = self.create_publisher(Bool, topics.SIM_SUCCESS, qos.COMMAND)
        self._objects = {
            name: self.create_publisher(PoseStamped, topics.object_pose(name), qos.COMMAND)
            for name in self._plant.task.objects
        }
        sensor = self._plant.robot.wrench_sensor
        self._wrench_frame = "" if sensor is None else sensor.frame
        self._wrenches = (
            None if sensor is None else self.create_publisher(WrenchStamped, topics.WRIST_WRENCH, qos.STREAM)
        )
        self._clock_out = self.create_publisher(Clock, "/clock", qos.COMMAND) if self._params.publish_clock else None
        self._diagnostics = Diagnostics(self, "sim")
        state = convert.joint_state_msg(self._plant.read(), self._joints)
        self._state_msg = state
        self._views = [np.frombuffer(a) for a in (state.position, state.velocity, state.effort)]
        n = self._plant.model.nq
        self._world_msg = JointState(name=[f"qpos_{k}" for k in range(n)], position=array("d", [0.0] * n))

    def _on_effort(self, msg: JointState) -> None:
        answered_ns, tau = wire.effort_from(msg, self._joints)
        if answered_ns > self._answered_ns:
            self._answered_ns = answered_ns
            self._plant.apply(tau)

    def _on_gripper(self, msg: JointState) -> None:
        self._plant.grip(wire.opening_from(msg, self._joints)[1])

    @property
    def subscriptions(self) -> Iterator[Subscription[JointState]]:
        """Those an executor waits for; :meth:`spin` takes the newest command of the others when a step is due."""
        return (s for s in super().subscriptions if s not in self._taken)

    def spin(self, should_stop: Callable[[], bool]) -> None:
        """Tick every millisecond of the wall's clock, and run the callbacks of services and timers between two ticks.

        An executor would wait for a timer's thread and for every message instead, and wake this thread for each.
        """
        executor, never, ticks = Executor(), Future(), 0
        executor.add_node(self)
        try:
            while rclpy.ok() and not should_stop():
                for subscription in self._taken:
                    taken = subscription.handle.take_message(JointState, False)  # noqa: FBT003 - not raw; C++ has no name
                    if taken is not None:
                        subscription.callback(taken[0])
                self._tick()
                ticks += 1
                if ticks % CALLBACKS_EVERY == 0:
                    executor.spin_until_future_complete(never, timeout_sec=0.0)
                left_ns = self._plant.now_ns + STEP_NS - self._wall_ns()
                time.sleep(1e-9 * min(max(left_ns, 0), STEP_NS))
        finally:
            executor.remove_node(self)

    def _tick(self) -> None:
        """Take the steps that are due, and publish each state."""
        steps, present_ns = self._pacer.due(self._plant.now_ns, self._wall_ns())
        if present_ns != self._plant.now_ns:
            self._plant.reanchor(present_ns)
            self._answered_ns = min(self._answered_ns, present_ns)  # a clock set back must not deafen the arm
        for _ in range(steps):
            if self._answered_ns:
                # Best possible: the command answers the state of this very step.
                self._answers += 1
                self._late += self._plant.now_ns - self._answered_ns > STEP_NS
            self._plant.step()
            self._publish_state()
            self._since_world += 1
        if self._since_world >= WORLD_EVERY:
            self._since_world = 0
            self._publish_world()

    def _publish_state(self) -> None:
        position, velocity, effort = self._views
        gripper = self._plant.read_into(position[:-1], velocity[:-1], effort[:-1])
        position[-1] = self._joints.m_from_opening(gripper)
        self._state_msg.header.stamp = convert.time_msg(self._plant.now_ns)
        self._states.publish(self._state_msg)
        if self._wrenches is not None:
            wrench = self._plant.wrench()
            self._wrenches.publish(convert.wrench_msg(self._plant.now_ns, wrench, self._wrench_frame))
        if self._clock_out is not None:
            self._clock_out.publish(Clock(clock=self._state_msg.header.stamp))

    def _publish_world(self) -> None:
        """Whole scene for the cameras, true object poses and success for operators and scores."""
        plant = self._plant
        self._world_msg.header.stamp = convert.time_msg(plant.now_ns)
        np.frombuffer(self._world_msg.position)[:] = plant.world_state()
        self._world.publish(self._world_msg)
        for name, publisher in self._objects.items():
            publisher.publish(convert.pose_stamped_msg(plant.now_ns, plant.object_pose(name)))
        self._success.publish(Bool(data=plant.is_done()))

    def _on_reset(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        seed = self._seed()
        self._plant.reset(seed)
        self._answered_ns = self._plant.now_ns
        response.success, response.message = True, f"scene of seed {seed}"
        return response

    def _on_diagnostics(self) -> None:
        share = self._late / self._answers if self._answers else 0.0
        values = {
            "steps": self._plant.steps,
            "answered_steps": self._answers,
            "late_steps": self._late,
            "command_age_over_1_cycle": f"{share:.6f}",
            "command_timeouts": self._plant.timeouts,
            "slip_ms": f"{self._pacer.slip_ns * 1e-6:.1f}",
            "lost": self._plant.is_lost(),
        }
        self._diagnostics.publish(Level.OK, "running", values)

    def on_shutdown_safe(self) -> None:
        """Outlive the controller, as an arm does: go on until its commands stop."""
        end_ns = self._wall_ns() + LEAVING_NS

        def is_alone() -> bool:
            now_ns = self._wall_ns()
            return now_ns > end_ns or now_ns - self._answered_ns > SILENCE_NS

        self.spin(is_alone)


def main() -> None:
    """Entry point of the executable."""
    sys.exit(run(SimNode, priority=CONTROL_PRIORITY))


if __name__ == "__main__":
    main()
