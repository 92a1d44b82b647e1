"""The first half of the demo: a scripted operator shows pick_place, a policy learns and repeats it."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from il_cli import rollouts
from il_cli.demo import figures
from il_cli.demo.report import Measured
from il_core import topics
from il_core.config import Setup
from il_core.types import Outcome
from il_sim.experts.pick_place import begins_after_a_miss

if TYPE_CHECKING:
    from il_cli.process import Supervisor
    from il_cli.ros.session import Session
    from il_policy.train import Progress

log = logging.getLogger(__name__)

DEMONSTRATION_LIMIT_S = 25.0  # the operator needs 6 to 8 s, twice that when a grasp has to be repeated

Advance = Callable[[float, str], None]


def record(session: Session, supervisor: Supervisor, seeds: range, wanted: int, advance: Advance) -> list[Path]:
    """Let the operator show the task until ``wanted`` demonstrations succeeded.

    Every second one begins where a missed grasp leaves the arm: that teaches the way back. Failed demonstrations,
    and those that the recorder rejects because a topic was bad, are kept too, labelled as such; the dataset leaves
    them out, and they do not count.

    Returns:
        Folders of all recordings kept, in order.
    """
    session.watch_flag(topics.OPERATOR_DONE)
    kept, good = [], 0
    for seed in seeds:
        if good == wanted:
            break
        rollouts.reset(session, seed, supervisor.check)
        if begins_after_a_miss(seed):
            _operate(session, supervisor, topics.OPERATOR_PREPARE)
        session.trigger(topics.RECORDER_START)
        _operate(session, supervisor, topics.OPERATOR_PERFORM)
        session.trigger(topics.RECORDER_STOP)
        session.trigger(topics.RECORDER_SUCCESS if session.success else topics.RECORDER_FAILURE)
        answer = session.trigger(topics.RECORDER_KEEP)
        kept.append(Path(answer.split()[-1]))
        is_good = answer.startswith(f"kept as {Outcome.SUCCESS.value}")
        good += is_good
        advance(float(is_good), f"{len(kept)} recorded")
    return kept


def _operate(session: Session, supervisor: Supervisor, service: str) -> None:
    """Let the operator act until it is done, or has had long enough: then the scene tells failure."""
    session.trigger(service)
    session.wait(lambda: not session.flag(topics.OPERATOR_DONE), 5.0, "operator starts", supervisor.check)
    end = time.monotonic() + DEMONSTRATION_LIMIT_S
    while not session.flag(topics.OPERATOR_DONE) and time.monotonic() < end:
        supervisor.check()
        time.sleep(0.02)


def measure_recordings(measured: Measured, recordings: list[Path]) -> None:
    """Sum what was received and lost per topic over all recordings."""
    from il_core.store.recording import Recording

    total: dict[str, dict[str, Any]] = {}
    seconds: dict[str, float] = {}  # from the first message to the last
    periods: dict[str, int] = {}
    for path in recordings:
        header = Recording.open(path).header
        for name, topic in header.topics.items():
            row = total.setdefault(name, {"received": 0, "lost": 0, "rate_hz": 0.0})
            row["received"] += topic.received
            row["lost"] += sum(topic.lost.values())
            seconds[name] = seconds.get(name, 0.0) + topic.seconds
            periods[name] = periods.get(name, 0) + max(0, topic.received - 1)
    for name, row in total.items():
        row["rate_hz"] = periods[name] / seconds[name] if seconds[name] else 0.0
    measured.record = {"episodes": len(recordings), "topics": total}


def show_episodes(measured: Measured, dataset: Path, setup: Setup) -> None:
    """Pictures and paths of the demonstrations for the report."""
    from il_core.store.episodes import EpisodeStore

    store = EpisodeStore.open(dataset, setup.digest)
    for k in range(len(store)):
        episode = store.episode(k)
        measured.demo_paths.append(np.array([o.T_base_ee[:3, 3] for o in episode.observations]))
        if k == 0:
            middle = episode.observations[len(episode.observations) // 2]
            for name, frame in middle.images.items():
                measured.pictures[f"{name} camera, colour"] = frame.rgb
                measured.pictures[f"{name} camera, depth"] = figures.depth_picture(frame.depth_m)


def measure_control(measured: Measured, session: Session) -> None:
    """Take over what the controller, the simulator and the policy published about themselves."""
    controller, sim, policy = (session.diagnostics[name] for name in ("controller", "sim", "policy"))
    measured.control = {
        "rate_hz": float(controller["rate_hz"]),
        "cycle_us": {"p50": float(controller["cycle_us_p50"]), "p99": float(controller["cycle_us_p99"])},
        "tracking_rms_mm": float(controller["tracking_rms_mm"]),
        "command_age_over_1_cycle": float(sim["command_age_over_1_cycle"]),
    }
    measured.policy = {
        "inference_ms": {"p50": float(policy["inference_ms_p50"]), "p99": float(policy["inference_ms_p99"])}
    }


def build(recordings: list[Path], setup: Setup, out: Path, advance: Advance) -> Path:
    """Align the recordings to ticks.

    Returns:
        Folder of the dataset.
    """
    from il_teleop.dataset import build as build_dataset

    report = build_dataset(recordings, setup, out, progress=lambda done, total, name: advance(1, name))
    for name, reason in report.rejected.items():
        log.info("left out %s: %s", name, reason)
    return report.path


def train(measured: Measured, dataset: Path, out: Path, advance: Advance, overrides: Sequence[str] = ()) -> Path:
    """Train the diffusion policy.

    Returns:
        Folder of the checkpoint.
    """
    from il_cli.train import run as run_training

    seen = [0.0]

    def follow(progress: Progress) -> None:
        measured.loss.append((progress.step, progress.loss, progress.val_mm))
        advance(progress.fraction - seen[0], f"loss {progress.loss:.4f}, held out {progress.val_mm:.1f} mm")
        seen[0] = progress.fraction

    result = run_training(dataset, "diffusion", out, overrides=overrides, on_progress=follow)
    measured.train = {
        "policy": "diffusion",
        "parameters": result.parameters,
        "steps": result.steps,
        "seconds": round(result.seconds, 1),
    }
    return result.path
