"""Graph sim plus teleoperation: ``ros2 launch il_robot teleop.launch.py task:=pick_place``."""

from il_cli.ros.launch_graph import describe


def generate_launch_description():  # noqa: ANN201 - the name and form launch expects
    """Start graph ``teleop``."""
    return describe("teleop")
