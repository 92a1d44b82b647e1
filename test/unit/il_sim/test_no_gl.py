"""Without OpenGL the cameras say what to install, in one sentence."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[3]
RENDER = """
from il_core.config import load_setup
from il_core.errors import DeviceError
from il_sim.camera import Renderer
from il_sim.plant import Plant
setup = load_setup("pick_place")
try:
    Renderer(Plant(setup).model, setup.robot)
except DeviceError as error:
    print(error)
"""


def test_a_machine_that_cannot_render_is_told_what_to_install():
    """GLFW without a display is a renderer that cannot open: what a machine without GL looks like."""
    environment = {k: v for k, v in os.environ.items() if k not in ("DISPLAY", "WAYLAND_DISPLAY")}
    result = subprocess.run(
        [sys.executable, "-c", RENDER],
        cwd=ROOT,
        env={**environment, "MUJOCO_GL": "glfw", "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert "no OpenGL for rendering" in result.stdout
    assert "apt-get install libegl1 libgl1-mesa-dri" in result.stdout
