"""An arm, cameras and tasks without hardware: the robot's own URDF in MuJoCo."""

import os

# MuJoCo reads this when it is first imported: without a display only EGL can render.
if not os.environ.get("DISPLAY"):
    os.environ.setdefault("MUJOCO_GL", "egl")
