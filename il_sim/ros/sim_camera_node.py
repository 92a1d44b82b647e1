"""sim_camera_node: what the simulated depth cameras see, in a process of its own."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import JointState

from il_core import topics, wire
from il_core.config import load_setup
from il_core.ros import convert, qos
from il_core.ros.diagnostics import Diagnostics, Level
from il_core.ros.node import run
from il_core.ros.params import declare
from il_core.ros.pictures import PicturePublishers
from il_sim.camera import Renderer
from il_sim.scene import build_model, scene_state
from il_sim.tasks import make_task

DIAGNOSTICS_S = 0.5


@dataclass(frozen=True, slots=True)
class CameraParams:
    """ROS parameters: whose scene to render.

    Attributes:
        task: Name in config/task/, or path.
        robot: Name in config/robot/ or path; empty means the task's own.
    """

    task: str = "pick_place"
    robot: str = ""


class SimCameraNode(Node):
    """Renders the newest state of the scene from every camera of the task."""

    def __init__(self) -> None:
        """Build the same scene as sim_node and open a GL context."""
        super().__init__("sim_camera")
        params = declare(self, CameraParams)
        setup = load_setup(params.task, params.robot or None)
        self._model = build_model(setup, make_task(setup.task.name))
        self._renderer = Renderer(self._model, setup.robot)
        self._frames, self._render_s = 0, 0.0
        self._outputs = {}
        for name in setup.task.cameras:
            messages = convert.CameraMessages(f"camera_{name}_optical", setup.robot.camera(name).intrinsics)
            self._outputs[name] = (messages, PicturePublishers(self, name))
        self._diagnostics = Diagnostics(self, "sim_camera")
        self.create_subscription(JointState, topics.WORLD_STATE, self._on_world, qos.LATEST)
        self.create_timer(DIAGNOSTICS_S, self._on_diagnostics)

    def _on_world(self, msg: JointState) -> None:
        """One picture of every camera, stamped with the state it shows."""
        qpos = scene_state(self._model, np.asarray(msg.position))
        began_s = time.perf_counter()
        self._renderer.pose(qpos)
        for name, (messages, publisher) in self._outputs.items():
            frame = self._renderer.render(name, wire.stamp_ns(msg.header.stamp))
            publisher.publish(*messages.fill(frame))
        self._frames += 1
        self._render_s += time.perf_counter() - began_s

    def _on_diagnostics(self) -> None:
        mean_ms = 1e3 * self._render_s / self._frames if self._frames else 0.0
        values = {"frames": self._frames, "render_ms_mean": f"{mean_ms:.2f}"}
        waiting = f"no message on '{topics.WORLD_STATE}' yet; is sim_node up?"
        level, text = (Level.OK, "rendering") if self._frames else (Level.STALE, waiting)
        self._diagnostics.publish(level, text, values)


def main() -> None:
    """Entry point of the executable."""
    sys.exit(run(SimCameraNode))


if __name__ == "__main__":
    main()
