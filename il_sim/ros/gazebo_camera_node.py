"""gazebo_camera_node: Gazebo's RGB-D pictures on our topics, in a process of its own."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from rclpy.clock import Clock, ClockType
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image

from il_core import topics
from il_core.config import load_setup
from il_core.errors import IlError
from il_core.ros import convert, qos
from il_core.ros.diagnostics import Diagnostics, Level
from il_core.ros.node import run
from il_core.ros.params import declare
from il_core.ros.pictures import PicturePublishers
from il_core.types import CameraFrame
from il_sim.gazebo.pictures import Pictures
from il_sim.gazebo.robot import optical_frame

DIAGNOSTICS_S = 0.5
IMAGES, LENS = "images", "lens"  # what a problem is about


@dataclass(frozen=True, slots=True)
class CameraParams:
    """ROS parameters: whose cameras.

    Attributes:
        task: Name in config/task/, or path.
        robot: Name in config/robot/ or path; empty means the task's own.
    """

    task: str = "pick_place"
    robot: str = ""


class GazeboCameraNode(Node):
    """One Pictures per camera of the task."""

    def __init__(self) -> None:
        """Listen to Gazebo's images of every camera."""
        super().__init__("gazebo_camera")
        params = declare(self, CameraParams)
        setup = load_setup(params.task, params.robot or None)
        self._frames, self._problems = Counter[str](), dict[tuple[str, str], str]()  # by camera, and IMAGES or LENS
        self._pictures = {name: Pictures(setup.robot.camera(name)) for name in setup.task.cameras}
        self._outputs = {}
        for name, pictures in self._pictures.items():
            messages = convert.CameraMessages(optical_frame(name), setup.robot.camera(name).intrinsics)
            self._outputs[name] = (messages, PicturePublishers(self, name))
            self._listen((name, IMAGES), Image, topics.gazebo_color(name), pictures.offer_color)
            self._listen((name, IMAGES), Image, topics.gazebo_depth(name), pictures.offer_depth)
            self._listen((name, LENS), CameraInfo, topics.gazebo_camera_info(name), pictures.check)
        self._diagnostics = Diagnostics(self, "gazebo_camera")
        self.create_timer(DIAGNOSTICS_S, self._on_diagnostics, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _listen(self, about: tuple[str, str], kind: type, topic: str, take: Callable[..., CameraFrame | None]) -> None:
        """Hand messages on; what was wrong is forgotten with the next whole picture, or the next good CameraInfo."""
        camera, part = about

        def on_message(msg: Image | CameraInfo) -> None:
            try:
                frame = take(msg)
            except IlError as error:
                self._problems[about] = str(error)
                return
            if frame is not None or part == LENS:
                self._problems.pop(about, None)
            if frame is not None:
                self._publish(camera, frame)

        self.create_subscription(kind, topic, on_message, qos.IMAGE)

    def _publish(self, camera: str, frame: CameraFrame) -> None:
        """One picture, unless the camera is not the robot's."""
        if (camera, LENS) in self._problems:
            return
        self._frames[camera] += 1
        messages, publisher = self._outputs[camera]
        publisher.publish(*messages.fill(frame))

    def _on_diagnostics(self) -> None:
        values: dict[str, object] = {f"frames_{name}": self._frames[name] for name in self._pictures}
        values |= {f"unpaired_{name}": pictures.unpaired for name, pictures in self._pictures.items()}
        if self._problems:
            self._diagnostics.publish(Level.ERROR, "; ".join(self._problems.values()), values)
            return
        silent = [name for name in self._pictures if not self._frames[name]]
        text = f"no picture of {', '.join(silent)} yet; are Gazebo and ros_gz_bridge up?" if silent else "converting"
        self._diagnostics.publish(Level.STALE if silent else Level.OK, text, values)


def main() -> None:
    """Entry point of the executable."""
    sys.exit(run(GazeboCameraNode))


if __name__ == "__main__":
    main()
