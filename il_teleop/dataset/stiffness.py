"""How stiff the tool was while an action was in force, from what the controller said."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from il_core import topics, wire
from il_core.errors import EpisodeError
from il_core.store.recording import Recording

MAX_AGE_NS = 200_000_000  # it is told at 100 Hz, and changes by a ramp of the controller


def stiffness(recording: Recording, instants: Sequence[int]) -> NDArray[np.float64]:
    """Stiffness in force at each instant, along and about the axes of base, (N, 6) [N/m, N·m/rad].

    Args:
        recording: The recording.
        instants: When each action ends [ns]; ascending.

    Raises:
        EpisodeError: the recording does not say, or said it too long before an instant.
        RecordingError: the data are damaged.
    """
    name = recording.header.name
    if not recording.counts.get(topics.STIFFNESS):
        problem = f"recorded nothing on {topics.STIFFNESS}, but the task's action has a stiffness"
        raise EpisodeError(name, f"{problem}; record an arm under Cartesian impedance")
    told = sorted(
        ((wire.stamp_ns(msg.header.stamp), msg.wrench) for _, msg, _, _ in recording.messages([topics.STIFFNESS])),
        key=lambda entry: entry[0],
    )
    stamps = [stamp_ns for stamp_ns, _ in told]
    rows = []
    for instant in instants:
        i = bisect_right(stamps, instant) - 1
        if i < 0 or instant - stamps[i] > MAX_AGE_NS:
            age = f"{(instant - stamps[i]) / 1e6:.0f} ms old" if i >= 0 else "not yet known"
            problem = f"stiffness is {age} at {instant} ns, limit {MAX_AGE_NS / 1e6:.0f} ms"
            raise EpisodeError(name, f"{problem}; check the controller")
        f, t = told[i][1].force, told[i][1].torque
        rows.append([f.x, f.y, f.z, t.x, t.y, t.z])
    return np.array(rows, dtype=np.float64).reshape(-1, 6)
