"""Let a served policy try the task from given seeds, over ROS, and keep what happened."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from il_core import topics
from il_core.errors import GraphError
from il_core.stats import wilson95

if TYPE_CHECKING:
    from il_cli.ros.session import Session

READY_S = 30.0  # for every stream of the policy to have begun
SETTLE_S = 0.3  # after a reset: the cameras show the new scene and the arm has come to rest


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """One attempt of a policy.

    Attributes:
        seed: Seed of the scene.
        success: The task's own test on the true state, at the end.
        seconds: Duration until success or the limit [s].
        path: Measured tool positions in base, (N, 3) [m].
    """

    seed: int
    success: bool
    seconds: float
    path: NDArray[np.float64]


def reset(session: Session, seed: int, check: Callable[[], None]) -> None:
    """Put the simulated scene into the state of a seed, the arm holding at home."""
    session.set_parameter("sim", "seed", seed)
    session.trigger(topics.SIM_RESET)
    session.trigger(topics.CONTROLLER_HOLD)
    settled = time.monotonic() + SETTLE_S
    session.wait(lambda: time.monotonic() > settled and not session.success, 5.0, "reset scene", check)
    session.path.clear()


def attempt(session: Session, seed: int, limit_s: float, check: Callable[[], None]) -> Rollout:
    """One rollout: reset, enable the policy, wait for success or the limit, hold."""
    reset(session, seed, check)
    start = time.monotonic()
    session.set_bool(topics.POLICY_ENABLE, True)
    try:
        while not session.success and time.monotonic() - start < limit_s:
            check()
            time.sleep(0.02)
        seconds = time.monotonic() - start
    except BaseException:
        with contextlib.suppress(GraphError):  # what went wrong matters more than a policy that does not answer
            session.set_bool(topics.POLICY_ENABLE, False, timeout_s=1.0)
        raise
    session.set_bool(topics.POLICY_ENABLE, False)
    session.trigger(topics.CONTROLLER_HOLD)
    path = np.array([pose.T_base_ee[:3, 3] for pose in session.path]).reshape(-1, 3)
    return Rollout(seed, session.success, seconds, path)


def roll_out(
    session: Session,
    seeds: Iterable[int],
    limit_s: float,
    check: Callable[[], None],
    on_result: Callable[[Rollout], None],
) -> list[Rollout]:
    """Attempt every seed in turn.

    Args:
        session: Client of a running ``policy`` graph.
        seeds: Scenes to try.
        limit_s: Longest attempt [s].
        check: Raises when a node has died.
        on_result: Told of every result as it comes.
    """
    results = []
    session.wait_status("policy", "ready", READY_S, check)
    for seed in seeds:
        result = attempt(session, seed, limit_s, check)
        on_result(result)
        results.append(result)
    return results


def summary(results: list[Rollout]) -> dict[str, Any]:
    """Episodes, successes and the Wilson interval, as the reports hold them."""
    successes = sum(r.success for r in results)
    return {
        "episodes": len(results),
        "successes": successes,
        "wilson95": list(wilson95(successes, len(results))),
    }
