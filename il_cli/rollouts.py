"""Let a served policy try the task from given seeds, over ROS, and keep what happened."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from il_cli.interventions import Interventions
from il_core import topics
from il_core.errors import GraphError
from il_core.metrics import in_time
from il_core.stats import wilson95

if TYPE_CHECKING:
    from il_cli.compare import Candidate
    from il_cli.ros.attempt_log import AttemptLog
    from il_cli.ros.session import Session
    from il_core.types import EePose

READY_S = 30.0  # for every stream of the policy to have begun
SETTLE_S = 0.3  # after a reset: the cameras show the new scene and the arm has come to rest


@dataclass(frozen=True, slots=True, eq=False)
class Rollout:
    """One attempt of a policy.

    Attributes:
        seed: Seed of the scene.
        success: The task's own test on the true state, at the end.
        seconds: Duration until success, loss or the limit [s].
        path: Measured tool positions in base, (N, 3) [m].
        t_s: Their instants since the first, increasing, (N,) [s].
        plans: Plans made, where somebody listened.
        interventions: What took the arm from the policy, where somebody listened.
        is_lost: It ended early, as a failure: the simulator said that the task can no longer be done.
    """

    seed: int
    success: bool
    seconds: float
    path: NDArray[np.float64]
    t_s: NDArray[np.float64]
    plans: int = 0
    interventions: Interventions | None = None
    is_lost: bool = False


def reset(session: Session, seed: int, check: Callable[[], None]) -> None:
    """Put the simulated scene into the state of a seed, the arm holding at home."""
    session.set_parameter("sim", "seed", seed)
    session.trigger(topics.SIM_RESET)
    session.trigger(topics.CONTROLLER_HOLD)
    settled = time.monotonic() + SETTLE_S

    def is_new() -> bool:
        return time.monotonic() > settled and not session.success and not _is_lost(session)

    session.wait(is_new, 5.0, "reset scene", check)
    session.path.clear()


def _is_lost(session: Session) -> bool:
    """What the simulator said last, twice a second; others, such as Gazebo, never say it."""
    return session.diagnostics.get("sim", {}).get("lost") == str(True)


def attempt(
    session: Session, seed: int, limit_s: float, check: Callable[[], None], log: AttemptLog | None = None
) -> Rollout:
    """One rollout: reset, enable the policy, wait for success, loss or the limit, hold."""
    reset(session, seed, check)
    if log is not None:
        log.begin()
    start = time.monotonic()
    session.set_bool(topics.POLICY_ENABLE, True)
    try:
        is_lost = False
        while not (session.success or is_lost) and time.monotonic() - start < limit_s:
            check()
            time.sleep(0.02)
            is_lost = _is_lost(session)
        seconds = time.monotonic() - start
        told = None if log is None else log.interventions()
    except BaseException:
        with contextlib.suppress(GraphError):  # what went wrong matters more than a policy that does not answer
            session.set_bool(topics.POLICY_ENABLE, False, timeout_s=1.0)
        raise
    session.set_bool(topics.POLICY_ENABLE, False)
    session.trigger(topics.CONTROLLER_HOLD)
    t_s, path = timed_path(list(session.path))
    plans = 0 if log is None else log.plans
    return Rollout(seed, session.success, seconds, path, t_s, plans, told, is_lost and not session.success)


def timed_path(poses: Sequence[EePose]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Instants since the first [s], (N,), and positions, (N, 3) [m]; what came late or twice is left out."""
    stamps, kept = -1, []
    for pose in poses:
        if pose.stamp_ns > stamps:
            stamps = pose.stamp_ns
            kept.append(pose)
    t_s = np.array([(pose.stamp_ns - kept[0].stamp_ns) * 1e-9 for pose in kept])
    return t_s, np.array([pose.T_base_ee[:3, 3] for pose in kept]).reshape(-1, 3)


def roll_out(
    session: Session,
    seeds: Iterable[int],
    limit_s: float,
    check: Callable[[], None],
    on_result: Callable[[Rollout], None],
    log: AttemptLog | None = None,
) -> list[Rollout]:
    """Attempt every seed in turn.

    Args:
        session: Client of a running ``policy`` graph.
        seeds: Scenes to try.
        limit_s: Longest attempt [s].
        check: Raises when a node has died.
        on_result: Told of every result as it comes.
        log: Listens to who drives and to plans; None = nobody does.
    """
    results = []
    session.wait_status("policy", "ready", READY_S, check)
    for seed in seeds:
        result = attempt(session, seed, limit_s, check, log)
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


def candidate(name: str, results: Iterable[Rollout], rate_hz: float) -> Candidate:
    """Rollouts of one policy as reports take them, paths at the ticks of the task [Hz]."""
    from il_cli.compare import Candidate
    from il_cli.rehearsal import Attempt

    made = Candidate(name)
    for r in results:
        path = in_time(r.t_s, r.path, 1.0 / rate_hz)
        made.attempts[r.seed] = Attempt(r.seed, r.success, r.seconds, path, r.plans, r.is_lost, r.interventions)
    return made
