"""What the recorder says about itself: the header of its recordings and its live status."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict

from il_core.config import Setup
from il_core.store.recording import RecordingHeader
from il_teleop.flow import Flow
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


def status_of(
    session: RecordingSession,
    now_ns: int,
    silence: str,
    warnings: Mapping[str, str] | None = None,
    flow: Flow | None = None,
) -> tuple[str, str, dict[str, object]]:
    """Level name, sentence and values for /diagnostics.

    The values of a topic are ``<field>:<topic>`` with fields received, lost, gaps, rate_hz, age_ms, and
    warning where something is wrong.

    Args:
        session: The recorder.
        now_ns: Present instant [ns].
        silence: Which required topic is silent; empty if none.
        warnings: What is wrong, by topic; see :class:`il_teleop.health.Health`.
        flow: Countdown and pause.
    """
    status, warnings = session.status, warnings or {}
    pending = flow.text(now_ns) if flow is not None else ""
    settings = asdict(flow.config) if flow is not None else {}
    values: dict[str, object] = {
        "state": status.state.value,
        "outcome": status.outcome.value,
        "quality": status.quality or "",
        "rejection": status.rejection,
        "saved": status.saved,
        "discarded": status.discarded,
        "backlog_kb": session.backlog_bytes // 1000,
        "path": session.path or "",
        "task": session.header.task,
        "robot": session.header.robot,
        "operator": session.header.operator,
        "task_text": session.header.instruction,
        "pending": pending,
        **{f"flow:{k}": str(v).lower() if isinstance(v, bool) else f"{v:g}" for k, v in settings.items()},
        **{f"note:{key}": text for key, text in session.header.notes.items()},
    }
    lost = 0
    for name, topic in session.stats.items():
        age_ns = topic.age_ns(now_ns)
        lost += topic.lost_total
        values[f"received:{name}"] = topic.received
        values[f"lost:{name}"] = topic.lost_total
        values[f"gaps:{name}"] = topic.gaps
        values[f"rate_hz:{name}"] = f"{topic.rate_hz:.1f}"
        values[f"age_ms:{name}"] = "" if age_ns is None else f"{age_ns / 1e6:.0f}"
        if name in warnings:
            values[f"warning:{name}"] = warnings[name]
    if status.state is State.FAULT:
        return "ERROR", status.reason, values
    if silence:
        return "WARN", silence, values
    if status.rejection:
        return "WARN", f"rejected: {status.rejection}", values
    if warnings:
        return "WARN", "; ".join(f"{name}: {text}" for name, text in warnings.items()), values
    if lost:
        return "WARN", f"{status.state.value}: {lost} messages lost", values
    return "OK", pending or status.state.value, values
