"""Everything: arm, cameras, controller, recorder, teleoperation, and a policy if ``checkpoint:=<folder>`` names one."""

from il_cli.ros.launch_graph import describe


def generate_launch_description():  # noqa: ANN201 - the name and form launch expects
    """Start graph ``all``; ``sim:=false`` for a real arm."""
    return describe("all")
