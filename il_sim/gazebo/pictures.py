"""Gazebo's pictures as ours: colour and depth of one instant, millimetres, nothing where nothing was measured."""

from __future__ import annotations

from typing import Any

from il_core import wire
from il_core.errors import DeviceError, ShapeError
from il_core.spec import CameraSpec
from il_core.types import CameraFrame
from il_sim.camera import RANGE_MAX_M

Message = Any  # message-shaped
FOCAL_TOLERANCE = 0.005  # of the focal length; Gazebo rounds the field of view


class Pictures:
    """Joins the two images of a camera that show the same instant.

    Attributes:
        unpaired: Images dropped because the other one of their instant never came.
    """

    def __init__(self, spec: CameraSpec) -> None:
        """Wait for the camera's first images."""
        self._spec = spec
        self._color: Message | None = None
        self._depth: Message | None = None
        self.unpaired = 0

    def check(self, info: Message) -> None:
        """Compare Gazebo's CameraInfo with the robot's description, by which the picture will be read.

        Raises:
            DeviceError: the camera in Gazebo is another one.
        """
        got, ours = wire.intrinsics_from(info), self._spec.intrinsics
        is_size = (got.width, got.height) == (ours.width, ours.height)
        if not is_size or max(abs(got.fx - ours.fx), abs(got.fy - ours.fy)) > FOCAL_TOLERANCE * ours.fx:
            raise DeviceError(
                f"camera '{self._spec.name}' of Gazebo has {got.width}x{got.height} pixels and a focal length of "
                f"{got.fx:.1f}, the robot's {ours.width}x{ours.height} and {ours.fx:.1f}; write the world anew "
                "with `il gazebo write`"
            )

    def offer_color(self, msg: Message) -> CameraFrame | None:
        """Take a colour image; the frame, if that completes one."""
        self.unpaired += self._color is not None
        self._color = msg
        return self._pair()

    def offer_depth(self, msg: Message) -> CameraFrame | None:
        """Take a depth image; the frame, if that completes one."""
        self.unpaired += self._depth is not None
        self._depth = msg
        return self._pair()

    def _pair(self) -> CameraFrame | None:
        """Colour and depth of one instant; the older of two instants is given up.

        Raises:
            DeviceError: an encoding is unknown.
            ShapeError: an image is not of the size the robot's description says.
        """
        color, depth = self._color, self._depth
        if color is None or depth is None:
            return None
        t_color, t_depth = wire.stamp_ns(color.header.stamp), wire.stamp_ns(depth.header.stamp)
        if t_color != t_depth:
            self.unpaired += 1
            if t_color < t_depth:
                self._color = None
            else:
                self._depth = None
            return None
        self._color = self._depth = None
        size = (self._spec.height, self._spec.width)
        for name, msg in (("colour", color), ("depth", depth)):
            if (msg.height, msg.width) != size:
                raise ShapeError(f"{self._spec.name}.{name}", expected=str(size), got=(msg.height, msg.width))
        depth_m = wire.depth_m_from(depth)
        depth_m[depth_m > RANGE_MAX_M] = 0.0
        return CameraFrame(t_color, self._spec.name, wire.rgb_from(color), depth_m, self._spec.intrinsics)
