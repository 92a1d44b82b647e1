"""operator_node: the scripted operator in a person's place, driving through a gamepad's topic."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from sensor_msgs.msg import Joy
from std_msgs.msg import Bool
from std_srvs.srv import Trigger

from il_core import topics, wire
from il_core.config import load_setup
from il_core.ros import qos
from il_core.ros.node import run
from il_core.ros.params import declare
from il_core.types import EePose
from il_sim.experts import Operator, make_operator
from il_sim.experts.clutch import ClutchHand
from il_sim.experts.pick_place import MissedGrasp
from il_sim.tasks import make_task

RATE_HZ = 50
STICK_M_S = 0.35  # tool speed of a stick pushed all the way: teleop's own scale
# A gamepad's dead zone swallows what is below 0.05: a person who sees that nothing moves pushes a little harder.
LEAST_PUSH, MEANT = 0.06, 0.01


@dataclass(frozen=True, slots=True)
class OperatorParams:
    """ROS parameters: whose hands they are, and how they vary.

    Attributes:
        task: Name in config/task/, or path.
        robot: Name in config/robot/ or path; empty means the task's own.
        first_seed: Seed of the first demonstration; each one after it takes the next.
    """

    task: str = "pick_place"
    robot: str = ""
    first_seed: int = 0


class OperatorNode(Node):
    """Shows the task once whenever it is asked to; before, if asked, takes the arm where things went wrong."""

    def __init__(self) -> None:
        """Watch the tool and the objects; wait to be asked."""
        super().__init__("operator")
        params = declare(self, OperatorParams)
        self._task = load_setup(params.task, params.robot or None).task.name
        make_operator(self._task, params.first_seed)  # says at once if nobody can show it
        self._seed = params.first_seed
        self._operator: Operator | None = None
        self._clutch = ClutchHand()
        self._tool: EePose | None = None
        self._objects: dict[str, np.ndarray] = {}
        self._joy = self.create_publisher(Joy, topics.JOY, qos.COMMAND)
        self._done = self.create_publisher(Bool, topics.OPERATOR_DONE, qos.LATCHED)
        self.create_subscription(PoseStamped, topics.EE_POSE, self._on_tool, qos.LATEST)
        self._names = make_task(self._task).objects
        for name in self._names:
            take = self._taker(name)
            self.create_subscription(PoseStamped, topics.object_pose(name), take, qos.LATEST)
        self._has_service = False
        self.create_timer(1.0 / RATE_HZ, self._on_tick)

    def _taker(self, name: str) -> Callable[[PoseStamped], None]:
        def take(msg: PoseStamped) -> None:
            self._objects[name] = wire.pose_from(msg.pose)

        return take

    def _on_tool(self, msg: PoseStamped) -> None:
        self._tool = wire.ee_pose_from(msg)

    def _on_prepare(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._begin(MissedGrasp(self._seed))
        response.success, response.message = True, f"going where a missed grasp of seed {self._seed} leaves the arm"
        return response

    def _on_perform(self, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        self._begin(make_operator(self._task, self._seed))
        response.success, response.message = True, f"showing the task with habits of seed {self._seed}"
        self._seed += 1
        return response

    def _begin(self, operator: Operator) -> None:
        self._operator, self._clutch = operator, ClutchHand()
        self._done.publish(Bool(data=False))

    def _on_tick(self) -> None:
        """One moment of the demonstration."""
        if not self._has_service and self._tool is not None and len(self._objects) == len(self._names):
            self._has_service = True  # the services appear when the operator sees all it needs
            self.create_service(Trigger, topics.OPERATOR_PREPARE, self._on_prepare)
            self.create_service(Trigger, topics.OPERATOR_PERFORM, self._on_perform)
        if self._operator is None or self._tool is None:
            return
        p_ee = self._tool.T_base_ee[:3, 3]
        velocity, is_closed = self._operator.command(p_ee, self._objects, 1.0 / RATE_HZ)
        is_done = self._operator.is_done
        is_held = self._clutch.is_held(p_ee, velocity) and not is_done
        push = np.clip(velocity / STICK_M_S, -1.0, 1.0)
        push = np.where(np.abs(push) > MEANT, np.sign(push) * np.maximum(np.abs(push), LEAST_PUSH), 0.0)
        axes = [*push, 0.0, 0.0, 0.0]
        joy = Joy(axes=[float(a) for a in axes], buttons=[int(is_held), int(is_closed)])
        joy.header.stamp = self.get_clock().now().to_msg()
        self._joy.publish(joy)
        if is_done:
            self._operator = None
            self._done.publish(Bool(data=True))


def main() -> None:
    """Entry point of the executable."""
    sys.exit(run(OperatorNode))


if __name__ == "__main__":
    main()
