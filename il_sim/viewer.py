"""A window on the simulated scene, where there is a display."""

from __future__ import annotations

import os

from il_core.errors import DeviceError
from il_sim.plant import Plant


class Viewer:
    """MuJoCo's passive viewer of a plant."""

    def __init__(self, plant: Plant) -> None:
        """Open the window.

        Raises:
            DeviceError: there is no display.
        """
        if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
            raise DeviceError("the viewer needs a display and DISPLAY is not set; leave --view out, or use a desktop")
        from mujoco import viewer

        self._handle = viewer.launch_passive(plant.model, plant.data)

    def sync(self) -> None:
        """Show the present state."""
        self._handle.sync()
