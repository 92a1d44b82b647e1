"""Where a camera driver's frames hang in the robot's: the driver names them, the robot's file says where it sits."""

from __future__ import annotations

from collections.abc import Collection, Mapping

import numpy as np

from il_control.description import Placed
from il_core.geometry import inverse


def joined(ours: str, theirs: str, fixed: Mapping[str, Placed], robot: Collection[str]) -> Placed | None:
    """The transform that puts a driver's frames where the robot's file has the camera.

    Both optical frames are one frame. A frame has one parent only: where the driver says in what its optical frame
    sits, the root of its tree is what gets ours as parent.

    Args:
        ours: Optical frame of the camera in the robot's file.
        theirs: Frame that the driver's pictures carry.
        fixed: Frames that never move in their parent, by name, as others publish them.
        robot: Frames of the robot.

    Returns:
        The root of the driver's frames in ours; None if there is nothing to do: the frames are the same, or somebody
        has put the driver's into the robot's already.
    """
    root, T_root_theirs = theirs, np.eye(4)
    passed = {theirs}
    while root in fixed:
        placed = fixed[root]
        root, T_root_theirs = placed.parent, placed.T_parent_child @ T_root_theirs
        if root in passed:  # a circle is no tree; whoever publishes it hears of it from tf2
            return None
        passed.add(root)
    return None if root == ours or root in robot else Placed(ours, root, inverse(T_root_theirs))
