"""Teleoperation plus the recorder: ``ros2 launch il_robot record.launch.py task:=pick_place``."""

from il_cli.ros.launch_graph import describe


def generate_launch_description():  # noqa: ANN201 - the name and form launch expects
    """Start graph ``record``."""
    return describe("record")
