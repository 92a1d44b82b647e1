"""sim_viewer_node: a window on the simulated scene, in a process of its own: drawing would delay the physics."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState

from il_core import topics
from il_core.config import load_setup
from il_core.ros import qos
from il_core.ros.diagnostics import Diagnostics, Level
from il_core.ros.node import run
from il_core.ros.params import declare
from il_sim.scene import build_model, scene_state
from il_sim.tasks import make_task
from il_sim.viewer import Viewer

DIAGNOSTICS_S = 0.5
NICENESS = 10  # without a graphics card drawing takes a whole core; nobody should wait for a picture


@dataclass(frozen=True, slots=True)
class ViewerParams:
    """ROS parameters: whose scene to show.

    Attributes:
        task: Name in config/task/, or path.
        robot: Name in config/robot/ or path; empty means the task's own.
    """

    task: str = "pick_place"
    robot: str = ""


class SimViewerNode(Node):
    """Shows the newest state of the scene until the window is closed; the graph goes on without it."""

    def __init__(self) -> None:
        """Build the same scene as sim_node and open the window."""
        super().__init__("sim_viewer")
        params = declare(self, ViewerParams)
        setup = load_setup(params.task, params.robot or None)
        self._model = build_model(setup, make_task(setup.task.name))
        self._viewer = Viewer(self._model)
        self._diagnostics = Diagnostics(self, "sim_viewer")
        self.create_subscription(JointState, topics.WORLD_STATE, self._on_world, qos.LATEST)
        self.create_timer(DIAGNOSTICS_S, self._on_diagnostics)

    def _on_world(self, msg: JointState) -> None:
        qpos = scene_state(self._model, np.asarray(msg.position))
        if self._viewer.is_open:
            self._viewer.show(qpos)

    def _on_diagnostics(self) -> None:
        text = "showing" if self._viewer.is_open else "the window was closed"
        self._diagnostics.publish(Level.OK, text, {})

    def destroy_node(self) -> None:
        """Close the window first: its thread must not outlive the scene."""
        self._viewer.close()
        super().destroy_node()


def main() -> None:
    """Entry point of the executable."""
    os.nice(NICENESS)
    sys.exit(run(SimViewerNode))


if __name__ == "__main__":
    main()
