"""At which ticks a person corrected a running policy, from what the controller said about who drives."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from il_core import topics, wire
from il_core.store.recording import Recording

POLICY = "policy"
PEOPLE = ("teleop", "hand guiding")  # sources with a person behind them, in the controller's words


def interventions(recording: Recording, ticks: Sequence[int]) -> NDArray[np.bool_] | None:
    """Whether a person drove at each tick after a policy had driven, (N,).

    In a plain demonstration nobody intervenes: a person drives, but corrects nothing.

    Args:
        recording: The recording.
        ticks: Instants [ns].

    Returns:
        None if the recording does not say who drove, or only begins to say so after the first tick.

    Raises:
        RecordingError: the data are damaged.
    """
    if not recording.counts.get(topics.CONTROL_SOURCE) or not len(ticks):
        return None
    told = sorted(
        (wire.stamp_ns(msg.header.stamp), value.value)
        for _, msg, _, _ in recording.messages([topics.CONTROL_SOURCE])
        for status in msg.status
        for value in status.values
        if value.key == "source"
    )
    stamps = [stamp_ns for stamp_ns, _ in told]
    if not stamps or stamps[0] > ticks[0]:
        return None
    since_ns = next((stamp_ns for stamp_ns, source in told if source == POLICY), None)
    drivers = [told[bisect_right(stamps, tick) - 1][1] for tick in ticks]
    return np.array(
        [since_ns is not None and tick >= since_ns and who in PEOPLE for tick, who in zip(ticks, drivers, strict=True)]
    )
