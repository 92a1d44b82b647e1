"""A window on the simulated scene, where there is a display."""

from __future__ import annotations

import os
import threading

import mujoco
import numpy as np

from il_core.errors import DeviceError
from il_core.types import Vector

CLOSING_S = 5.0


class Viewer:
    """MuJoCo's passive viewer of a scene; it draws in a thread of its own."""

    def __init__(self, model: mujoco.MjModel) -> None:
        """Open the window.

        Raises:
            DeviceError: there is no display, or it cannot draw.
        """
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise DeviceError("the viewer needs a display and DISPLAY is not set; leave --view out, or use a desktop")
        from mujoco import viewer

        self._model, self._data = model, mujoco.MjData(model)
        before = set(threading.enumerate())
        self._handle = viewer.launch_passive(model, self._data, show_left_ui=False, show_right_ui=False)
        self._threads = set(threading.enumerate()) - before

    @property
    def is_open(self) -> bool:
        """Whether the person has not closed the window."""
        return bool(self._handle.is_running())

    def show(self, qpos: Vector) -> None:
        """Show a state of the scene, (nq,)."""
        with self._handle.lock():
            np.copyto(self._data.qpos, qpos)
            mujoco.mj_kinematics(self._model, self._data)
        self._handle.sync()

    def close(self) -> None:
        """Close the window, and wait until nothing draws any more: GLFW ends under a drawing thread with a crash."""
        self._handle.close()
        for thread in self._threads:
            thread.join(CLOSING_S)
