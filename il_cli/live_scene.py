"""The running robot as a Rerun stream: links, cameras with pictures and depth, targets, plans, forces, joints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from il_control.description import Description, LinkShape
from il_core.errors import DeviceError
from il_core.geometry import Array
from il_core.spec import RobotSpec
from il_core.types import ActionChunk, ArmState, Intrinsics

TIMELINE = "robot_time"
JPEG_QUALITY = 75
AXIS_M = 0.05
FORCE_M_PER_N = 0.01  # 10 N are an arrow of 10 cm
MEASURED, WANTED, PLANNED, FORCE = (42, 111, 151), (209, 73, 91), (237, 174, 73), (120, 60, 160)


def open_stream(save: Path | None, connect: str) -> Any:  # noqa: ANN401 - rerun has no types
    """A Rerun stream into a file, a viewer elsewhere, or a viewer started here.

    Args:
        save: File to write, or None.
        connect: Address of a running viewer, such as ``rerun+http://127.0.0.1:9876/proxy``; empty for none.

    Raises:
        DeviceError: rerun-sdk is not installed, or the viewer does not start.
    """
    rr = rerun()
    stream = rr.RecordingStream("il_robot_live")
    if save is not None:
        save.parent.mkdir(parents=True, exist_ok=True)
        stream.save(str(save))
    elif connect:
        stream.connect_grpc(connect)
    else:
        try:
            stream.spawn()
        except (RuntimeError, OSError) as error:
            raise DeviceError(
                f"the Rerun viewer did not start ({error}); write a file instead: --save live.rrd"
            ) from error
    return stream


def rerun() -> Any:  # noqa: ANN401 - a module without types
    """The module.

    Raises:
        DeviceError: it is not installed.
    """
    try:
        import rerun as module
    except ImportError as error:
        raise DeviceError(
            "Rerun is not installed: pip install rerun-sdk (170 MB); RViz and Foxglove show the same topics, "
            "see config/rviz and config/foxglove"
        ) from error
    return module


class LiveScene:
    """Logs what it is told, each at its own stamp; all poses are in base."""

    def __init__(self, stream: Any, robot: RobotSpec, description: Description) -> None:  # noqa: ANN401
        """Log what never changes: axes, shapes of the links, lenses as described.

        Args:
            stream: Of :func:`open_stream`.
            robot: The arm.
            description: Its links and cameras.
        """
        self._rr, self._stream, self._robot, self._description = rerun(), stream, robot, description
        self._lenses: dict[str, Intrinsics] = {}
        self._poses: dict[str, Array] = {}
        stream.log("world", self._rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
        for k, shape in enumerate(description.shapes):
            entity = f"world/arm/{shape.link}/shape_{k}"
            stream.log(entity, self._placed(shape.T_link_shape), static=True)
            stream.log(entity, self._primitive(shape), static=True)
        for camera in robot.cameras:
            self.lens(camera.name, camera.intrinsics)

    def _primitive(self, shape: LinkShape) -> Any:  # noqa: ANN401
        rr, colour, solid = self._rr, [int(255 * x) for x in shape.rgba], self._rr.components.FillMode.Solid
        if shape.kind == "box":
            return rr.Boxes3D(sizes=[shape.size_m], colors=[colour], fill_mode=solid)
        if shape.kind == "cylinder":
            radius, length = shape.size_m
            return rr.Cylinders3D(radii=[radius], lengths=[length], colors=[colour], fill_mode=solid)
        return rr.Ellipsoids3D(half_sizes=[[shape.size_m[0]] * 3], colors=[colour], fill_mode=solid)

    def _placed(self, T: Array) -> Any:  # noqa: ANN401
        return self._rr.Transform3D(translation=T[:3, 3], mat3x3=T[:3, :3])

    def _at(self, stamp_ns: int) -> None:
        self._stream.set_time(TIMELINE, timestamp=np.datetime64(stamp_ns, "ns"))

    def lens(self, camera: str, lens: Intrinsics) -> None:
        """Say through which lens a camera sees."""
        if self._lenses.get(camera) == lens:
            return
        self._lenses[camera] = lens
        pinhole = self._rr.Pinhole(
            resolution=[lens.width, lens.height],
            focal_length=[lens.fx, lens.fy],
            principal_point=[lens.cx, lens.cy],
            image_plane_distance=0.15,
        )
        self._stream.log(f"world/cameras/{camera}", pinhole, static=True)

    def arm(self, state: ArmState) -> None:
        """Links and cameras where the joints put them; positions, velocities and torques as curves."""
        self._at(state.stamp_ns)
        poses = self._poses = self._description.poses(state.q, state.gripper)
        for link, T in poses.items():
            self._stream.log(f"world/arm/{link}", self._placed(T))
        for camera, T in self._description.camera_poses(poses).items():
            self._stream.log(f"world/cameras/{camera}", self._placed(T))
        for what, row in (("position_rad", state.q), ("velocity_rad_s", state.v), ("torque_nm", state.tau)):
            for name, value in zip(self._robot.joint_names, row, strict=True):
                self._stream.log(f"joints/{what}/{name}", self._rr.Scalars(float(value)))
        self._stream.log("gripper/opening", self._rr.Scalars(state.gripper))

    def tool(self, stamp_ns: int, T_base_ee: Array) -> None:
        """Where the tool is."""
        self._axes("world/tool", stamp_ns, T_base_ee, MEASURED)

    def target(self, stamp_ns: int, T_base_ee: Array) -> None:
        """Where the tool is asked to be."""
        self._axes("world/target", stamp_ns, T_base_ee, WANTED)

    def _axes(self, entity: str, stamp_ns: int, T: Array, colour: tuple[int, int, int]) -> None:
        self._at(stamp_ns)
        arrows = self._rr.Arrows3D(
            origins=[T[:3, 3]] * 3, vectors=AXIS_M * T[:3, :3].T, colors=[[255, 0, 0], [0, 200, 0], [0, 0, 255]]
        )
        self._stream.log(f"{entity}/axes", arrows)
        self._stream.log(f"{entity}/point", self._rr.Points3D([T[:3, 3]], radii=[0.008], colors=[colour]))
        for name, value in zip("xyz", T[:3, 3], strict=True):
            self._stream.log(f"{entity.rsplit('/', maxsplit=1)[-1]}_m/{name}", self._rr.Scalars(float(value)))

    def plan(self, chunk: ActionChunk) -> None:
        """The path a policy or a replay wants, from the observation it was made of; joint plans as tool paths."""
        self._at(chunk.obs_ns)
        if chunk.T_base_ee_des is not None:
            path = chunk.T_base_ee_des[:, :3, 3]
        else:
            tool = self._robot.ee_frame
            path = np.array([self._description.poses(q, 1.0)[tool][:3, 3] for q in chunk.rows])
        self._stream.log("world/plan", self._rr.LineStrips3D([path], colors=[PLANNED], radii=[0.003]))

    def wrench(self, stamp_ns: int, frame: str, wrench_sensor: Array) -> None:
        """Force and torque on the tool, (6,) [N, N·m] in a link's frame: curves, and an arrow if the link is known."""
        self._at(stamp_ns)
        if (T_base_sensor := self._poses.get(frame)) is not None:
            force = T_base_sensor[:3, :3] @ wrench_sensor[:3]
            arrow = self._rr.Arrows3D(origins=[T_base_sensor[:3, 3]], vectors=[FORCE_M_PER_N * force], colors=[FORCE])
            self._stream.log("world/force", arrow)
        for name, value in zip(("fx", "fy", "fz", "tx", "ty", "tz"), wrench_sensor, strict=True):
            self._stream.log(f"wrench/{name}", self._rr.Scalars(float(value)))

    def colour(self, stamp_ns: int, camera: str, rgb: np.ndarray) -> None:
        """A picture, stored as JPEG."""
        self._at(stamp_ns)
        picture = self._rr.Image(rgb).compress(jpeg_quality=JPEG_QUALITY)
        self._stream.log(f"world/cameras/{camera}/rgb", picture)

    def depth(self, stamp_ns: int, camera: str, depth_m: np.ndarray) -> None:
        """Depth [m], 0 = none; the viewer shows it as points in space."""
        self._at(stamp_ns)
        self._stream.log(f"world/cameras/{camera}/depth", self._rr.DepthImage(depth_m, meter=1.0))

    def says(self, stamp_ns: int, who: str, level: str, text: str) -> None:
        """What a node tells."""
        self._at(stamp_ns)
        self._stream.log("log", self._rr.TextLog(f"{who}: {text}", level=level))

    def close(self) -> None:
        """Write out what is left."""
        self._stream.flush()
        self._stream.disconnect()
