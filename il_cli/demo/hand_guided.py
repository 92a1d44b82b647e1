"""The second half of the demo: learn a symbol from real hand guiding, and draw it on the table."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from il_cli.motions import straight_line
from il_core import topics
from il_core.config import Setup
from il_core.errors import GraphError
from il_core.geometry import matrix_from_quat_xyzw, pose

if TYPE_CHECKING:
    from il_cli.process import Supervisor
    from il_cli.ros.session import Session

HELD_OUT = 5  # the sixth recording is never learned from
ABOVE_M = 0.05  # height from which the pen goes down
STILL_M, STILL_S = 0.002, 2.0  # the drawing has ended when the pen moved less than this for so long
DRAW_LIMIT_S = 40.0


def draw(session: Session, supervisor: Supervisor, setup: Setup, p_start: NDArray[np.float64]) -> NDArray[np.float64]:
    """Put the pen down at the start, let the policy draw, lift the pen.

    Args:
        session: Client of a running ``policy`` graph of the drawing task.
        supervisor: Told us when a node died.
        setup: Drawing task and robot.
        p_start: Where the symbol starts, (3,) [m] in base, z on the table.

    Returns:
        Tool positions measured while the policy drew, (N, 3) [m] in base.
    """
    R_tool = matrix_from_quat_xyzw(setup.task.quat_xyzw_tool)
    T_down = pose(p_start + np.array([0.0, 0.0, -setup.task.press_m]), R_tool)
    T_above = pose(p_start + np.array([0.0, 0.0, ABOVE_M]), R_tool)
    session.wait(lambda: len(session.path) > 0, 5.0, f"topic '{topics.EE_POSE}'", supervisor.check)
    _move(session, supervisor, T_above, 3.0)
    _move(session, supervisor, T_down, 2.0)
    session.path.clear()
    session.set_bool(topics.POLICY_ENABLE, True)
    try:
        _wait_until_still(session, supervisor)
    finally:
        session.set_bool(topics.POLICY_ENABLE, False)
    drawn = np.array([s.T_base_ee[:3, 3] for s in session.path])
    session.trigger(topics.CONTROLLER_HOLD)
    T_lifted = np.array(session.path[-1].T_base_ee)
    T_lifted[2, 3] += ABOVE_M
    _move(session, supervisor, T_lifted, 1.0)
    return drawn


def _move(session: Session, supervisor: Supervisor, T_to: NDArray[np.float64], seconds: float) -> None:
    """Move the tool along a straight line and wait until that is over."""
    T_from = session.path[-1].T_base_ee
    session.send_chunk(straight_line(T_from, T_to, seconds, session.now_ns(), gripper=0.0))
    end = time.monotonic() + seconds + 0.3
    session.wait(lambda: time.monotonic() > end, seconds + 1.0, "straight line", supervisor.check)


def _wait_until_still(session: Session, supervisor: Supervisor) -> None:
    """Wait until the pen has moved and then rested.

    Raises:
        GraphError: it never moved, or never came to rest.
    """
    ticks = int(STILL_S * 100)  # tool poses come at 100 Hz

    def is_still() -> bool:
        recent = np.array([s.T_base_ee[:2, 3] for s in session.path[-ticks:]])
        moved = float(np.ptp([s.T_base_ee[:2, 3] for s in session.path[::20]], axis=0).max(initial=0.0))
        return len(recent) == ticks and moved > 10 * STILL_M and float(np.ptp(recent, axis=0).max()) < STILL_M

    session.wait(is_still, DRAW_LIMIT_S, "the pen draws and comes to rest", supervisor.check)
    if not session.path:
        raise GraphError("no tool pose was received while drawing; see the controller's log")


def xy_path(dataset: Path, setup: Setup) -> list[NDArray[np.float64]]:
    """Tool positions of every episode of a dataset, (N, 3) [m] in base each."""
    from il_core.store.episodes import EpisodeStore

    store = EpisodeStore.open(dataset, setup.digest)
    episodes = [store.episode(k) for k in range(len(store))]
    return [np.array([o.T_base_ee[:3, 3] for o in e.observations]) for e in episodes]
