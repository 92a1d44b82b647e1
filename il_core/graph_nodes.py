"""Every node a graph can have: its module, its signs of life, and what its end means."""

from __future__ import annotations

from dataclasses import dataclass

from il_core import topics
from il_core.graph_spec import AtEnd


@dataclass(frozen=True, slots=True)
class Entry:
    """What is always true of a node.

    Attributes:
        module: Python module with its ``main``.
        topics: Topics that carry messages once it works; ``IMAGES`` stands for those of every camera of the task.
        services: Services it offers once it works.
        at_end: What becomes of a launched graph if it ends by itself.
        is_managed: Whether it is a managed node.
    """

    module: str
    topics: tuple[str, ...] = ()
    services: tuple[str, ...] = ()
    at_end: AtEnd = AtEnd.STOP
    is_managed: bool = False


IMAGES = "<images>"
MANAGER = "bringup"
CATALOGUE = {
    "sim": Entry("il_sim.ros.sim_node", (topics.JOINT_STATES,), (topics.SIM_RESET,)),
    "sim_viewer": Entry("il_sim.ros.sim_viewer_node", (), ("sim_viewer/get_parameters",), AtEnd.IGNORE),
    "sim_camera": Entry("il_sim.ros.sim_camera_node", (IMAGES,), (), AtEnd.RESPAWN),
    # Pictures that come back are as good as before, and whoever reads them judges their age.
    "camera": Entry("il_teleop.ros.camera_node", (IMAGES,), (), AtEnd.RESPAWN, True),
    "controller": Entry(
        "il_control.ros.controller_node",
        (topics.EE_POSE, topics.EFFORT_SETPOINT),
        (topics.CONTROLLER_HOLD,),
        AtEnd.STOP,
        True,
    ),
    "description": Entry("il_control.ros.description_node", (topics.LINK_POSES,), (), AtEnd.RESPAWN),
    # It comes back with an open clutch: the arm holds until the person closes it again.
    "teleop": Entry("il_teleop.ros.teleop_node", (), ("teleop/get_parameters",), AtEnd.RESPAWN, True),
    # Not started again: what it was recording is lost, and the person has to know.
    "recorder": Entry(
        "il_teleop.ros.recorder_node", (), (topics.RECORDER_START, topics.RECORDER_KEEP), AtEnd.STOP, True
    ),
    # It comes back silent: it plans only when enabled.
    "policy": Entry("il_policy.ros.policy_node", (), (topics.POLICY_ENABLE,), AtEnd.RESPAWN, True),
    "operator": Entry("il_sim.ros.operator_node", (), (topics.OPERATOR_PERFORM,)),
    # The page is not a safety device: the arm goes on without it.
    "console": Entry("il_cli.ros.console_node", (), ("console/get_parameters",), AtEnd.RESPAWN),
    MANAGER: Entry("il_cli.ros.bringup_node", (), ("bringup/get_parameters",), AtEnd.RESPAWN),
}
