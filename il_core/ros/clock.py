"""The clock of a node: wall time, or simulated time with ``use_sim_time``."""

from rclpy.node import Node


class RosClock:
    """Fills ``il_core.ports.Clock`` from a node."""

    def __init__(self, node: Node) -> None:
        """Read the clock of ``node``."""
        self._now = node.get_clock().now

    def now_ns(self) -> int:
        """Return the current instant [ns]."""
        return int(self._now().nanoseconds)
