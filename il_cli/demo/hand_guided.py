"""The second half of the demo: learn a symbol from real hand guiding, and draw it on the table."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from il_cli.motions import straight_line
from il_cli.rollouts import READY_S
from il_core import topics
from il_core.config import Setup
from il_core.errors import GraphError
from il_core.geometry import matrix_from_quat_xyzw, pose
from il_core.metrics import path_error
from il_core.types import Outcome

if TYPE_CHECKING:
    from il_cli.process import Supervisor
    from il_cli.ros.session import Session
    from il_policy.train import Progress

HELD_OUT = 5  # the sixth recording is never learned from
PATH_SPEED_M_S = 0.03  # demonstrations differ in timing and contain pauses; the arm draws at this speed
ABOVE_M = 0.05  # height from which the pen goes down
STILL_M, STILL_S = 0.002, 2.0  # the drawing has ended when the pen moved less than this for so long
DRAW_LIMIT_S = 40.0


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What was learned from the hand-guided recordings.

    Attributes:
        checkpoint: Folder of the policy.
        recordings: Number of recordings imported.
        paths: Paths learned from, (N, 3) [m] in base each.
        held_out: Path never learned from, (N, 3) [m] in base.
        p_start: Mean start of the paths learned from, (3,) [m] in base.
    """

    checkpoint: Path
    recordings: int
    paths: list[NDArray[np.float64]]
    held_out: NDArray[np.float64]
    p_start: NDArray[np.float64]


def learn(
    mat: Path, setup: Setup, out: Path, advance: Callable[[float, str], None], overrides: Sequence[str] = ()
) -> Learned:
    """Import the recordings, learn from all but one.

    Args:
        mat: File with the hand-guided drawings.
        setup: Drawing task and robot.
        out: Folder for recordings, datasets and checkpoint.
        advance: Told the progress in [0, 1] and a note.
        overrides: Changes of the training recipe, ``key=value`` each.
    """
    from il_cli.train import run as run_training
    from il_teleop.dataset import BuildOptions, build
    from il_teleop.dataset.hand_guided import import_hand_guided

    recordings = import_hand_guided(mat, out / "recordings", setup)
    advance(0.1, f"{len(recordings)} recordings imported")
    # Imports carry no judgement of an operator: take them as they are.
    options = BuildOptions(include=tuple(Outcome), path_speed_m_s=PATH_SPEED_M_S)
    shown = [r for k, r in enumerate(recordings) if k != HELD_OUT]
    learned = build(shown, setup, out / "dataset", options)
    held_out = build([recordings[HELD_OUT]], setup, out / "held_out", options)
    advance(0.1, f"{len(learned.episodes)} episodes to learn from")
    seen = [0.0]

    def follow(progress: Progress) -> None:
        advance(0.8 * (progress.fraction - seen[0]), f"loss {progress.loss:.4f}")
        seen[0] = progress.fraction

    result = run_training(learned.path, "bc", out / "checkpoint", overrides=overrides, on_progress=follow)
    paths = tool_paths(learned.path, setup)
    return Learned(
        checkpoint=result.path,
        recordings=len(recordings),
        paths=paths,
        held_out=tool_paths(held_out.path, setup)[0],
        p_start=np.mean([path[0] for path in paths], axis=0),
    )


def compare(learned: Learned, drawn: NDArray[np.float64]) -> dict[str, Any]:
    """Distance between what was drawn and the held-out demonstration, as the report holds it."""
    rms_mm, max_mm = path_error(drawn, learned.held_out)
    return {
        "recordings": learned.recordings,
        "held_out": HELD_OUT + 1,
        "path_rms_mm": round(rms_mm, 3),
        "path_max_mm": round(max_mm, 3),
    }


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
    session.wait_status("policy", "ready", READY_S, supervisor.check)
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


def tool_paths(dataset: Path, setup: Setup) -> list[NDArray[np.float64]]:
    """Tool positions of every episode of a dataset, (N, 3) [m] in base each."""
    from il_core.store.episodes import EpisodeStore

    store = EpisodeStore.open(dataset, setup.digest)
    episodes = [store.episode(k) for k in range(len(store))]
    return [np.array([o.T_base_ee[:3, 3] for o in e.observations]) for e in episodes]
