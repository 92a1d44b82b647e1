"""What the recorder says about itself: the header of its recordings and its live status."""

from __future__ import annotations

import hashlib

from il_core.config import Setup
from il_core.store.recording import RecordingHeader
from il_teleop.recorder import State
from il_teleop.session import RecordingSession


def header_of(setup: Setup, *, operator: str, notes: str, namespace: str, is_sim_time: bool) -> RecordingHeader:
    """What all recordings of a session share."""
    task, robot = setup.task, setup.robot
    return RecordingHeader(
        task=task.name,
        robot=robot.name,
        spec_digest=setup.digest,
        operator=operator,
        instruction=task.instruction,
        notes={"notes": notes} if notes else {},
        clock="sim" if is_sim_time else "system",
        namespace=namespace,
        urdf_sha256=hashlib.sha256(setup.urdf_path.read_bytes()).hexdigest(),
        cameras=tuple(robot.camera(name) for name in task.cameras),
    )


def status_of(session: RecordingSession, now_ns: int, silence: str) -> tuple[str, str, dict[str, object]]:
    """Level name, sentence and values for /diagnostics.

    The values of a topic are ``<field>:<topic>`` with fields received, lost, gaps, rate_hz, age_ms.
    """
    status = session.status
    values: dict[str, object] = {
        "state": status.state.value,
        "outcome": status.outcome.value,
        "saved": status.saved,
        "discarded": status.discarded,
        "backlog_kb": session.backlog_bytes // 1000,
        "path": session.path or "",
    }
    lost = 0
    for name, topic in session.stats.items():
        topic.measure_rate(now_ns)
        age_ns = topic.age_ns(now_ns)
        lost += topic.lost_total
        values[f"received:{name}"] = topic.received
        values[f"lost:{name}"] = topic.lost_total
        values[f"gaps:{name}"] = topic.gaps
        values[f"rate_hz:{name}"] = f"{topic.rate_hz:.1f}"
        values[f"age_ms:{name}"] = "" if age_ns is None else f"{age_ns / 1e6:.0f}"
    if status.state is State.FAULT:
        return "ERROR", status.reason, values
    if silence:
        return "WARN", silence, values
    if lost:
        return "WARN", f"{status.state.value}: {lost} messages lost", values
    return "OK", status.state.value, values
