"""Depth cameras of the simulated scene: colour and metric depth of one instant."""

from __future__ import annotations

import mujoco
import numpy as np

from il_core.errors import DeviceError
from il_core.spec import RobotSpec
from il_core.types import CameraFrame, Vector

RANGE_MAX_M = 3.0  # beyond it a D400-class camera gives no trustworthy depth

NO_GL = (
    "no OpenGL for rendering ({error}); install libegl1 and libgl1-mesa-dri "
    "(apt-get install libegl1 libgl1-mesa-dri) or set MUJOCO_GL=osmesa, then see `il doctor`"
)


class Renderer:
    """Renders any state of a scene from its cameras. One per process: GL contexts are per thread."""

    def __init__(self, model: mujoco.MjModel, robot: RobotSpec) -> None:
        """Open a GL context.

        Raises:
            DeviceError: there is none; says what to install.
        """
        self._model, self._robot = model, robot
        self._data = mujoco.MjData(model)
        self._options = mujoco.MjvOption()
        height, width = max(c.height for c in robot.cameras), max(c.width for c in robot.cameras)
        model.vis.quality.offsamples = 0  # no multisampling: four times faster on a processor
        model.vis.global_.offheight = max(height, model.vis.global_.offheight)
        model.vis.global_.offwidth = max(width, model.vis.global_.offwidth)
        self._renderers: dict[tuple[int, int], mujoco.Renderer] = {}
        for camera in robot.cameras:
            size = (camera.height, camera.width)
            if size not in self._renderers:
                self._renderers[size] = self._open(*size)

    def _open(self, height: int, width: int) -> mujoco.Renderer:
        try:
            renderer = mujoco.Renderer(self._model, height, width)
        except Exception as error:  # mujoco and PyOpenGL raise many kinds, down to AttributeError
            raise DeviceError(NO_GL.format(error=error)) from error
        flags = renderer.scene.flags
        flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False  # four times faster on a processor
        flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        return renderer

    def pose(self, qpos: Vector) -> None:
        """Put the scene into a state, (model.nq,), for the :meth:`render` calls that follow."""
        self._data.qpos[:] = qpos
        mujoco.mj_kinematics(self._model, self._data)
        mujoco.mj_camlight(self._model, self._data)

    def render(self, camera: str, stamp_ns: int) -> CameraFrame:
        """Picture of the state last given to :meth:`pose`.

        Args:
            camera: Name of the camera.
            stamp_ns: Instant of that state [ns].
        """
        spec = self._robot.camera(camera)
        renderer = self._renderers[spec.height, spec.width]
        renderer.update_scene(self._data, camera, self._options)
        renderer.disable_depth_rendering()
        rgb = renderer.render().copy()
        renderer.enable_depth_rendering()
        depth_m = renderer.render().astype(np.float32)
        depth_m[depth_m > RANGE_MAX_M] = 0.0
        return CameraFrame(stamp_ns, camera, rgb, depth_m, spec.intrinsics)

    def close(self) -> None:
        """Give the GL context back."""
        for renderer in self._renderers.values():
            renderer.close()
