"""Is a recording going well? Warnings while it runs, and the rule that rejects it afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from il_core.errors import ConfigError
from il_teleop.topic_stats import TopicStats


@dataclass(frozen=True, slots=True)
class WarnRule:
    """When the operator is warned; see config/teleop/recorder.yaml.

    Attributes:
        rate_share_min: Lowest live rate, as a share of the topic's own.
        age_max_ms: Longest silence of a required topic.
        gap_max_ms: Longest hole between its stamps.
        delay_max_ms: Longest way from stamp to receipt, either sign: beyond, clocks disagree.
    """

    rate_share_min: float
    age_max_ms: float
    gap_max_ms: float
    delay_max_ms: float

    def __post_init__(self) -> None:
        """Reject limits that would always or never warn."""
        if not 0.0 < self.rate_share_min < 1.0 or min(self.age_max_ms, self.gap_max_ms, self.delay_max_ms) <= 0:
            raise ConfigError("recorder warn", "need 0 < rate_share_min < 1, and positive age_, gap_, delay_max_ms")


@dataclass(frozen=True, slots=True)
class RejectRule:
    """What makes a take useless; see config/teleop/recorder.yaml.

    Attributes:
        lost_share_max: Largest share of a topic's messages that may be lost.
        gap_max_ms: Longest hole between the stamps of a required topic.
        rate_share_min: Lowest mean rate over the take, as a share of the topic's own.
        seconds_min: Shortest take.
    """

    lost_share_max: float
    gap_max_ms: float
    rate_share_min: float
    seconds_min: float

    def __post_init__(self) -> None:
        """Reject rules that nothing could pass."""
        if not 0.0 <= self.lost_share_max < 1.0 or not 0.0 <= self.rate_share_min < 1.0:
            raise ConfigError("recorder reject", "need 0 <= lost_share_max < 1 and 0 <= rate_share_min < 1")
        if self.gap_max_ms <= 0 or self.seconds_min < 0:
            raise ConfigError("recorder reject", "need gap_max_ms > 0 and seconds_min >= 0")


class Health:
    """Warns of topics that go bad; remembers what it counted last, to see what is new."""

    def __init__(self, rule: WarnRule) -> None:
        """Start with nothing counted."""
        self._rule = rule
        self._counted: dict[str, int] = {}

    def warnings(self, stats: Iterable[TopicStats], now_ns: int, *, is_recording: bool) -> dict[str, str]:
        """What is wrong now, in words, by topic; call it after ``measure_rate``.

        Args:
            stats: Accounts of all topics.
            now_ns: Present instant [ns].
            is_recording: Whether gaps, losses and delays count: they belong to a recording.
        """
        found = {}
        for topic in stats:
            name = topic.plan.name
            lost = self._counted.get(name, 0)
            lost = topic.lost_total - (lost if lost <= topic.lost_total else 0)  # a new take counts from zero
            self._counted[name], gap_ns = topic.lost_total, topic.recent_gap_ns()
            problem = self._stream(topic, now_ns)
            if not problem and is_recording:
                problem = self._taken(topic, lost, gap_ns)
            if problem:
                found[name] = problem
        return found

    def _stream(self, topic: TopicStats, now_ns: int) -> str:
        """Silence and slowness, recording or not."""
        age_ns, plan, rule = topic.age_ns(now_ns), topic.plan, self._rule
        if not plan.is_required:
            return ""
        if age_ns is None:
            return "no message yet"
        if age_ns > rule.age_max_ms * 1e6:
            return f"silent for {age_ns / 1e6:.0f} ms, limit {rule.age_max_ms:.0f} ms"
        if plan.rate_hz and topic.rate_hz and topic.rate_hz < rule.rate_share_min * plan.rate_hz:
            return f"{topic.rate_hz:.1f} Hz of {plan.rate_hz:.0f} Hz"
        return ""

    def _taken(self, topic: TopicStats, lost: int, gap_ns: int) -> str:
        """What happened to the messages of the recording since the last look."""
        if lost:
            return f"{lost} messages lost"
        if gap_ns > self._rule.gap_max_ms * 1e6 and topic.plan.is_required:
            return f"hole of {gap_ns / 1e6:.0f} ms, limit {self._rule.gap_max_ms:.0f} ms"
        if topic.received and abs(topic.delay_ns) > self._rule.delay_max_ms * 1e6:
            return f"stamps are {topic.delay_ns / 1e6:.0f} ms before their receipt; set both machines' clocks"
        return ""


def rejection(stats: Iterable[TopicStats], rule: RejectRule) -> str:
    """Why a take is useless, in words, one clause per topic; empty if it is good."""
    found = []
    for topic in stats:
        plan = topic.plan
        problem = ""
        if topic.published and topic.lost_total > rule.lost_share_max * topic.published:
            problem = f"{topic.lost_total} of {topic.published} messages lost"
        elif plan.is_required:
            problem = _unsteady(topic, rule)
        if problem:
            found.append(f"{plan.name}: {problem}")
    return "; ".join(found)


def _unsteady(topic: TopicStats, rule: RejectRule) -> str:
    plan = topic.plan
    if not topic.received:
        return "no message"
    if topic.gap_max_ns > rule.gap_max_ms * 1e6:
        return f"hole of {topic.gap_max_ns / 1e6:.0f} ms, limit {rule.gap_max_ms:.0f} ms"
    if topic.seconds < rule.seconds_min:
        return f"{topic.seconds:.1f} s long, at least {rule.seconds_min:g} s are asked for"
    rate_hz = topic.synchronisation().get("rate_hz")
    if plan.rate_hz and rate_hz is not None and rate_hz < rule.rate_share_min * plan.rate_hz:
        return f"{rate_hz:.1f} Hz of {plan.rate_hz:.0f} Hz"
    return ""
