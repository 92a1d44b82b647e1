"""first_command_node: ends when the arm's first command comes; what must not run before then is started by its end."""

from __future__ import annotations

import sys

import rclpy
from rclpy.node import Node
from std_msgs.msg import Float64MultiArray

from il_core.ros import qos
from il_core.ros.node import spin
from il_sim.gazebo.names import CONTROLLER


class FirstCommandNode(Node):
    """Listens to what is sent to the controller of ros2_control.

    Attributes:
        has_heard: Whether a command came.
    """

    def __init__(self) -> None:
        """Listen."""
        super().__init__("first_command")
        self.has_heard = False
        self.create_subscription(Float64MultiArray, f"{CONTROLLER}/commands", self._on_command, qos.LATEST)

    def _on_command(self, msg: Float64MultiArray) -> None:
        self.has_heard = True


def main() -> None:
    """Entry point of the executable; exit status 0 once a command came, 1 if ended before."""
    rclpy.init(args=sys.argv)
    node = FirstCommandNode()
    spin(node, lambda: node.has_heard)
    has_heard = node.has_heard
    node.destroy_node()
    rclpy.try_shutdown()
    sys.exit(0 if has_heard else 1)


if __name__ == "__main__":
    main()
