"""How often, and for how long, somebody or something else drove while a policy was being tried."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from il_teleop.dataset.interventions import PEOPLE, POLICY


@dataclass(frozen=True, slots=True)
class Interventions:
    """What took the arm from a policy during one attempt.

    Attributes:
        count: Times that control left the policy: a person took over, a plan ended without another, a safety check
            held the arm.
        seconds: How long others drove, or nobody [s].
        by_people: Of these times, those with a person behind the teleoperation or the hand on the arm.
        seconds_by_people: How long people drove [s].
    """

    count: int
    seconds: float
    by_people: int
    seconds_by_people: float


def interventions(told: Sequence[tuple[int, str]], begin_ns: int, end_ns: int) -> Interventions | None:
    """Count from the instant at which the policy begins to drive until the end of the attempt.

    Args:
        told: Who drives, as ``control/source`` says it: instant [ns] and source, in any order; each holds until the
            next.
        begin_ns: When the policy was allowed to drive.
        end_ns: End of the attempt, before the policy was stopped.

    Returns:
        None if nobody told that the policy drove: then nothing is known.
    """
    heard = sorted(told)
    before = [source for stamp_ns, source in heard if stamp_ns <= begin_ns]
    spans = [(begin_ns, before[-1])] if before else []
    spans += [(stamp_ns, source) for stamp_ns, source in heard if begin_ns < stamp_ns < end_ns]
    first = next((k for k, (_, source) in enumerate(spans) if source == POLICY), None)
    if first is None:
        return None
    count = by_people = others_ns = people_ns = 0
    is_away = is_by_person = False
    for (since_ns, source), (until_ns, _) in pairwise([*spans[first:], (end_ns, "")]):
        if source == POLICY:
            is_away = is_by_person = False
            continue
        others_ns += until_ns - since_ns
        count += not is_away
        is_away = True
        if source in PEOPLE:
            people_ns += until_ns - since_ns
            by_people += not is_by_person
            is_by_person = True
    return Interventions(count, others_ns * 1e-9, by_people, people_ns * 1e-9)
