"""Arm, controller and a served policy: ``ros2 launch il_robot policy.launch.py checkpoint:=<folder>``."""

from il_cli.ros.launch_graph import describe


def generate_launch_description():  # noqa: ANN201 - the name and form launch expects
    """Start graph ``policy``."""
    return describe("policy")
