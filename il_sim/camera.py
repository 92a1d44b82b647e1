"""Depth cameras of the simulated scene: colour and metric depth of one instant."""

from __future__ import annotations

import mujoco
import numpy as np
from numpy.typing import NDArray

from il_core.errors import DeviceError
from il_core.spec import RobotSpec
from il_core.types import CameraFrame, Vector

RANGE_MAX_M = 3.0  # beyond it a D400-class camera gives no trustworthy depth

NO_GL = (
    "no OpenGL for rendering ({error}); install libegl1 and libgl1-mesa-dri "
    "(apt-get install libegl1 libgl1-mesa-dri) or set MUJOCO_GL=osmesa, then see `il doctor`"
)


class Renderer:
    """Renders any state of a scene from its cameras. One per process: GL contexts are per thread.

    ``mujoco.Renderer`` draws a scene once for its colour and once more for its depth; both are read here
    from one drawing, which halves the work on a processor without a GPU.
    """

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
        model.vis.global_.offheight, model.vis.global_.offwidth = height, width
        self._scene = mujoco.MjvScene(model, maxgeom=1000)
        self._scene.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = False  # four times faster on a processor
        self._scene.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = False
        self._gl, self._context = _open(model, width, height)

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
        view = mujoco.MjvCamera()
        view.type, view.fixedcamid = mujoco.mjtCamera.mjCAMERA_FIXED, self._model.camera(camera).id
        category = mujoco.mjtCatBit.mjCAT_ALL
        mujoco.mjv_updateScene(self._model, self._data, self._options, None, view, category, self._scene)
        rect = mujoco.MjrRect(0, 0, spec.width, spec.height)
        rgb = np.empty((spec.height, spec.width, 3), np.uint8)
        depth = np.empty((spec.height, spec.width), np.float32)
        self._gl.make_current()
        mujoco.mjr_render(rect, self._scene, self._context)
        mujoco.mjr_readPixels(rgb, depth, rect, self._context)
        # OpenGL's first row is the lowest
        return CameraFrame(stamp_ns, camera, rgb[::-1].copy(), self._metric(depth[::-1]), spec.intrinsics)

    def _metric(self, buffer: NDArray[np.float32]) -> NDArray[np.float32]:
        """Depth along the optical axis [m] from a reversed-Z buffer b in 0..1: z = n f / (n + b (f - n)).

        The inverse of OpenGL's perspective projection, n and f being the clipping distances, with b = 1 at n
        and b = 0 at f.
        """
        near_m = self._model.vis.map.znear * self._model.stat.extent
        far_m = self._model.vis.map.zfar * self._model.stat.extent
        depth_m = np.float32(near_m * far_m) / (np.float32(near_m) + buffer * np.float32(far_m - near_m))
        depth_m[depth_m > RANGE_MAX_M] = 0.0
        return depth_m

    def close(self) -> None:
        """Give the GL context back."""
        self._gl.make_current()
        self._context.free()
        self._gl.free()


def _open(model: mujoco.MjModel, width: int, height: int) -> tuple[mujoco.GLContext, mujoco.MjrContext]:
    try:
        gl = mujoco.GLContext(width, height)
        gl.make_current()
        context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100)
    except Exception as error:  # mujoco and PyOpenGL raise many kinds, down to AttributeError
        raise DeviceError(NO_GL.format(error=error)) from error
    mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, context)
    context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
    return gl, context
