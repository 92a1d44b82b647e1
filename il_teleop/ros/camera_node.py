"""Depth cameras on their topics: one thread per camera reads, fills two messages and publishes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from geometry_msgs.msg import TransformStamped
from rclpy.node import Node

from il_core import topics
from il_core.config import config_dir, load_setup, load_yaml
from il_core.geometry import quat_xyzw_from_matrix
from il_core.ros import convert, qos
from il_core.ros.clock import RosClock
from il_core.ros.diagnostics import Diagnostics, Level
from il_core.ros.lifecycle import ManagedNode
from il_core.ros.node import run
from il_core.ros.pictures import PicturePublishers
from il_core.spec import CameraSpec
from il_core.types import Intrinsics
from il_teleop.cameras.config import RealsenseConfig
from il_teleop.cameras.port import Calibration, DepthCamera

READ_S = 0.1  # a thread looks this often whether it should end
CLOSED_S = 0.05  # and this often whether a camera is to be opened again
DIAGNOSTICS_S = 1.0
JOIN_S = 3.0  # librealsense takes up to 2 s to stop a stream
RATE_OK = 0.9  # below this share of its rate a camera is told as slow: it drops, or the exposure is long


@dataclass(frozen=True, slots=True)
class CameraNodeConfig:
    """ROS parameters.

    Attributes:
        task: Name in config/task/, or path; its cameras are served.
        robot: Name in config/robot/ or path; empty means the task's own.
        devices: Name in config/camera/, or path: which device is which camera.
    """

    task: str = "pick_place"
    robot: str = ""
    devices: str = "realsense"


MakeCamera = Callable[[CameraSpec, RealsenseConfig, RosClock], DepthCamera]


def make_realsense(spec: CameraSpec, config: RealsenseConfig, clock: RosClock) -> DepthCamera:
    """Open a RealSense, or say why that cannot be."""
    from il_teleop.cameras.realsense import RealsenseCamera

    camera = RealsenseCamera(spec, config, clock)
    if config.must_be_there:
        camera.open()
    return camera


class Output:
    """One camera: its thread, publishers and the figures of the last second."""

    def __init__(self, node: Node, spec: CameraSpec, camera: DepthCamera, clock: RosClock) -> None:
        """Create the publishers and start to read."""
        self._spec, self._camera, self._clock = spec, camera, clock
        self._publisher = PicturePublishers(node, spec.name)
        self._geometry = node.create_publisher(TransformStamped, topics.depth_to_color(spec.name), qos.LATCHED)
        self._diagnostics = Diagnostics(node, f"camera {spec.name}")
        self._known: Calibration | None = None
        self._messages: convert.CameraMessages | None = None
        self._count, self._age_ns, self._error_ns = 0, 0, 0
        self._told = (0, clock.now_ns())
        self._stop = threading.Event()
        self._failure = ""
        self._thread = threading.Thread(target=self._run, name=f"camera-{spec.name}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while not self._stop.is_set():
                self._step()
        except Exception as error:  # thread entry: the diagnostics tell it, with the traceback in the log
            self._failure = repr(error)
            raise

    def _step(self) -> None:
        """Read one picture and publish it."""
        picture = self._camera.read(READ_S)
        calibration = self._camera.calibration
        if picture is None or calibration is None:
            if not self._camera.condition().is_streaming:
                self._stop.wait(CLOSED_S)
            return
        if calibration is not self._known or self._messages is None:
            self._known = calibration
            self._messages = convert.CameraMessages(self._frame_id, calibration.intrinsics, calibration.distortion)
        self._publisher.publish(*self._messages.fill_mm(picture.stamp_ns, picture.rgb, picture.depth_mm))
        self._age_ns, self._error_ns = self._clock.now_ns() - picture.stamp_ns, picture.stamp_error_ns
        self._count += 1

    @property
    def _frame_id(self) -> str:
        return f"camera_{self._spec.name}_optical"

    def tell(self) -> None:
        """Publish how the camera is doing, and its geometry."""
        now_ns, count = self._clock.now_ns(), self._count
        before, since_ns = self._told
        self._told = (count, now_ns)
        rate_hz = (count - before) * 1e9 / max(1, now_ns - since_ns)
        condition = self._camera.condition()
        values = {
            "rate_hz": f"{rate_hz:.1f}",
            "age_ms": f"{self._age_ns / 1e6:.1f}",
            "stamp_error_ms": f"{self._error_ns / 1e6:.3f}",
            **condition.values,
        }
        level, text = Level.OK, condition.text
        if self._failure:
            level, text = Level.ERROR, f"reading stopped: {self._failure}; restart the node and report its log"
        elif not condition.is_streaming:
            level = Level.ERROR
        elif rate_hz < RATE_OK * self._spec.rate_hz:
            level, text = Level.WARN, f"{rate_hz:.1f} Hz of {self._spec.rate_hz}; {text}"
        elif self._known is not None and (problem := mismatch(self._spec, self._known.intrinsics)):
            level, text = Level.WARN, problem
        self._diagnostics.publish(level, text, values)
        if self._known is not None:
            self._geometry.publish(self._transform(self._known, now_ns))

    def _transform(self, calibration: Calibration, now_ns: int) -> TransformStamped:
        msg = TransformStamped(child_frame_id=f"camera_{self._spec.name}_depth_optical")
        msg.header.stamp, msg.header.frame_id = convert.time_msg(now_ns), self._frame_id
        t, r, T = msg.transform.translation, msg.transform.rotation, calibration.T_color_depth
        t.x, t.y, t.z = map(float, T[:3, 3])
        r.x, r.y, r.z, r.w = map(float, quat_xyzw_from_matrix(T[:3, :3]))
        return msg

    def stop(self) -> None:
        """End the thread."""
        self._stop.set()
        self._thread.join(JOIN_S)


def mismatch(spec: CameraSpec, found: Intrinsics) -> str:
    """What to say where the device's lens is not the one the robot's file describes, else nothing."""
    wanted = spec.intrinsics
    share = abs(found.fy / wanted.fy - 1.0)
    if share <= 0.05:  # units of one model differ by 1 to 2 %
        return ""
    return (
        f"focal length is {found.fy:.0f} px, config/robot says {wanted.fy:.0f} px (fov_v_deg {spec.fov_v_deg:.0f}): "
        "correct fov_v_deg, or simulation and reality differ"
    )


class CameraNode(ManagedNode):
    """Serves the task's cameras from RealSense devices."""

    def __init__(self, make_camera: MakeCamera = make_realsense) -> None:
        """Declare parameters; ``make_camera`` opens one device."""
        super().__init__("camera")
        self._params = self.parameters(CameraNodeConfig)
        self._make_camera, self._ros_clock = make_camera, RosClock(self)
        self._open: list[tuple[CameraSpec, DepthCamera]] = []
        self._outputs: list[Output] = []

    def configure(self) -> None:
        """Read the files, and open every camera of the task: all, before any is read.

        Raises:
            ConfigError: a file is missing or wrong.
            DeviceError: a camera is not there and ``must_be_there`` is set; lists what was found.
        """
        params = self._params.value
        setup = load_setup(params.task, params.robot or None)
        is_path = params.devices.endswith((".yaml", ".yml"))
        path = Path(params.devices) if is_path else config_dir() / "camera" / f"{params.devices}.yaml"
        self._config = load_yaml(path, RealsenseConfig)
        self._specs = [setup.robot.camera(name) for name in setup.task.cameras]
        self._open_all()

    def _open_all(self) -> None:
        for spec in self._specs[len(self._open) :]:
            self._open.append((spec, self._make_camera(spec, self._config, self._ros_clock)))

    def activate(self) -> None:
        """Read and publish.

        Raises:
            DeviceError: as in :meth:`configure`, if the streams were off meanwhile.
        """
        self._open_all()
        for spec, camera in self._open:
            self._outputs.append(Output(self, spec, camera, self._ros_clock))
        self.create_timer(DIAGNOSTICS_S, self._status)

    def deactivate(self) -> None:
        """Streams off; the devices can be opened by another process."""
        while self._outputs:
            self._outputs.pop().stop()
        self.release()

    def release(self) -> None:
        """Give the devices back."""
        while self._open:
            self._open.pop()[1].close()

    def _status(self) -> None:
        for output in self._outputs:
            output.tell()


def main() -> None:
    """Entry point of the executable."""
    sys.exit(run(CameraNode))


if __name__ == "__main__":
    main()
