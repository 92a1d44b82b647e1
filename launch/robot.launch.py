"""Controller of a real arm whose driver you start; ``robot:=fr3 cameras:=camera_node`` adds our cameras."""

from il_cli.ros.launch_graph import describe


def generate_launch_description():  # noqa: ANN201 - the name and form launch expects
    """Start graph ``robot``."""
    return describe("robot")
