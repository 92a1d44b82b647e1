"""Which topics a recording holds, and the account of each: pure, without files, clocks or ROS."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field

from il_core import topics
from il_core.config import Setup
from il_core.store.recording import TopicRecord


@dataclass(frozen=True, slots=True)
class TopicPlan:
    """A topic to record.

    Attributes:
        name: As in ``il_core/topics.py``.
        type: Message type.
        publisher: Node it is expected from, for messages.
        rate_hz: Rate its header stamps keep, or None if it keeps none.
        is_required: Whether a recording without it is useless.
        is_image: Whether its messages are images.
    """

    name: str
    type: str
    publisher: str
    rate_hz: float | None = None
    is_required: bool = True
    is_image: bool = False


_JOINT_STATE = "sensor_msgs/msg/JointState"
_POSE = "geometry_msgs/msg/PoseStamped"
_TRANSFORM = "geometry_msgs/msg/TransformStamped"
_WRENCH = "geometry_msgs/msg/WrenchStamped"
_DIAGNOSTICS = "diagnostic_msgs/msg/DiagnosticArray"


def plan_topics(setup: Setup, state_rate_hz: float) -> tuple[TopicPlan, ...]:
    """Topics a recording of a task holds.

    Who drives, how stiff the arm is and what the nodes say of themselves is recorded when somebody
    tells it, and never waited for; so is a force sensor's wrench that the task does not observe.

    Args:
        setup: Robot and task.
        state_rate_hz: Rate of JOINT_STATES [Hz].
    """
    arm = [
        TopicPlan(topics.JOINT_STATES, _JOINT_STATE, "sim", state_rate_hz),
        TopicPlan(topics.EFFORT_SETPOINT, _JOINT_STATE, "controller"),
        TopicPlan(topics.EE_POSE, _POSE, "controller"),
        TopicPlan(topics.TARGET_POSE, _POSE, "controller"),
        *([TopicPlan(topics.TARGET_GRIPPER, _JOINT_STATE, "controller")] if setup.robot.gripper_joint else []),
        TopicPlan(topics.TELEOP_POSE, _POSE, "teleop", is_required=False),
        TopicPlan(topics.TELEOP_GRIPPER, _JOINT_STATE, "teleop", is_required=False),
        TopicPlan(topics.CONTROL_SOURCE, _DIAGNOSTICS, "controller", is_required=False),
        TopicPlan(topics.STIFFNESS, _WRENCH, "controller", is_required=False),
        TopicPlan(topics.DIAGNOSTICS, _DIAGNOSTICS, "all nodes", is_required=False),
    ]
    if setup.task.wrench or setup.robot.wrench_sensor is not None:
        arm.append(TopicPlan(topics.WRIST_WRENCH, _WRENCH, "force_sensor", is_required=setup.task.wrench))
    return (*arm, *(plan for camera in setup.task.cameras for plan in _camera_topics(setup, camera)))


def _camera_topics(setup: Setup, camera: str) -> Iterator[TopicPlan]:
    rate_hz = float(setup.robot.camera(camera).rate_hz)
    for name in (topics.color(camera), topics.depth(camera)):
        yield TopicPlan(name, "sensor_msgs/msg/Image", "sim_camera", rate_hz, is_image=True)
    yield TopicPlan(topics.camera_info(camera), "sensor_msgs/msg/CameraInfo", "sim_camera", rate_hz)
    yield TopicPlan(topics.depth_to_color(camera), _TRANSFORM, "camera", is_required=False)  # real cameras only


# A missing message doubles the distance of two stamps; jitter of a healthy stream stays below half.
_GAP_PERIODS = 1.5


@dataclass(slots=True)
class TopicStats:
    """Account of one topic while recording, and its live rate at all times.

    Attributes:
        plan: The topic.
        seen: Messages received since start-up, recorded or not.
        alive_ns: Receive time of the newest message [ns], or None.
        received: Messages taken into the current recording.
        lost: Messages lost in it, by cause: transport, queue, write.
        gaps: Holes between its header stamps.
        gap_max_ns: Longest distance of two header stamps [ns].
        delay_max_ns: Longest way from header stamp to receipt [ns].
        rate_hz: Live rate, updated by :meth:`measure_rate` [Hz].
    """

    plan: TopicPlan
    seen: int = 0
    alive_ns: int | None = None
    received: int = 0
    lost: dict[str, int] = field(default_factory=lambda: {"transport": 0, "queue": 0, "write": 0})
    gaps: int = 0
    gap_max_ns: int = 0
    delay_max_ns: int = 0
    rate_hz: float = 0.0
    _first_ns: int = 0
    _last_ns: int = 0
    _last_stamp_ns: int | None = None
    _rate_mark: tuple[int, int] | None = None
    _delay_sum_ns: int = 0
    _delay_now_ns: int = 0
    _step_sum: int = 0
    _step_squares: int = 0
    _recent_ns: int = 0

    def begin(self) -> None:
        """Forget the last recording."""
        self.received, self.gaps, self._first_ns, self._last_stamp_ns = 0, 0, 0, None
        self.gap_max_ns = self.delay_max_ns = self._delay_sum_ns = self._delay_now_ns = 0
        self._step_sum = self._step_squares = self._recent_ns = 0
        self.lost = dict.fromkeys(self.lost, 0)

    def arrive(self, now_ns: int) -> None:
        """Note a message, recorded or not."""
        self.seen += 1
        self.alive_ns = now_ns

    def take(self, stamp_ns: int, log_ns: int) -> None:
        """Count a message into the recording, and a gap if its stamp is too far from the last."""
        if self.received == 0:
            self._first_ns = log_ns
        self.received += 1
        self._last_ns = log_ns
        delay_ns = self._delay_now_ns = log_ns - stamp_ns
        self._delay_sum_ns += delay_ns
        if delay_ns > self.delay_max_ns:
            self.delay_max_ns = delay_ns
        last, self._last_stamp_ns = self._last_stamp_ns, stamp_ns
        if last is None:
            return
        step_ns = stamp_ns - last
        self._step_sum += step_ns
        self._step_squares += step_ns * step_ns
        if step_ns > self._recent_ns:
            self._recent_ns = step_ns
            self.gap_max_ns = max(self.gap_max_ns, step_ns)
        rate_hz = self.plan.rate_hz
        if rate_hz and step_ns * rate_hz > _GAP_PERIODS * 1e9:
            self.gaps += 1

    def recent_gap_ns(self) -> int:
        """Longest distance of two stamps since this was asked last [ns]."""
        longest, self._recent_ns = self._recent_ns, 0
        return longest

    def lose(self, cause: str, count: int = 1) -> None:
        """Count messages that will be missing from the recording.

        Raises:
            KeyError: unknown cause.
        """
        self.lost[cause] += count

    @property
    def lost_total(self) -> int:
        """Messages lost, all causes."""
        return sum(self.lost.values())

    @property
    def published(self) -> int:
        """Messages that were meant for the current recording: taken and lost."""
        return self.received + self.lost_total

    def age_ns(self, now_ns: int) -> int | None:
        """Time since the newest message [ns]; None if none ever came."""
        return None if self.alive_ns is None else now_ns - self.alive_ns

    @property
    def delay_ns(self) -> int:
        """Way of the newest recorded message from its stamp to its receipt [ns]; negative if clocks disagree."""
        return self._delay_now_ns

    @property
    def seconds(self) -> float:
        """From first to last receive time of the current recording [s]."""
        return (self._last_ns - self._first_ns) / 1e9 if self.received > 1 else 0.0

    def measure_rate(self, now_ns: int) -> None:
        """Update ``rate_hz`` from the messages since the last call."""
        if self._rate_mark is not None and now_ns > self._rate_mark[0]:
            since_ns, seen = self._rate_mark
            self.rate_hz = (self.seen - seen) * 1e9 / (now_ns - since_ns)
        self._rate_mark = (now_ns, self.seen)

    def record(self, written: int) -> TopicRecord:
        """Account for the recording's header.

        Args:
            written: Messages on disk; what was taken but is not there counts as lost in writing.
        """
        lost = {**self.lost, "write": self.lost["write"] + self.received - written}
        return TopicRecord(self.plan.type, written, lost, self.gaps, self.seconds)

    def synchronisation(self) -> dict[str, float]:
        r"""How regular the topic was in the current recording.

        Jitter is the standard deviation of the :math:`n` distances :math:`s_i` of its stamps,
        :math:`\sqrt{\sum s_i^2 / n - (\sum s_i / n)^2}`.

        Returns:
            ``rate_hz``, ``jitter_ms``, ``gap_max_ms``, ``gaps``, ``delay_mean_ms`` and ``delay_max_ms``
            (stamp to receipt), ``lost``; only ``lost`` if nothing was received.
        """
        n = self.received - 1
        if n < 0:
            return {"lost": self.lost_total}
        report = {
            "gaps": self.gaps,
            "gap_max_ms": round(self.gap_max_ns / 1e6, 3),
            "delay_mean_ms": round(self._delay_sum_ns / self.received / 1e6, 3),
            "delay_max_ms": round(self.delay_max_ns / 1e6, 3),
            "lost": self.lost_total,
        }
        if n > 0 and self._step_sum > 0:
            # Whole numbers: a square of nanoseconds does not fit a double to the last digit.
            variance = (self._step_squares * n - self._step_sum**2) / n**2
            report["rate_hz"] = round(n * 1e9 / self._step_sum, 3)
            report["jitter_ms"] = round(math.sqrt(max(variance, 0.0)) / 1e6, 3)
        return report


def silent_topic(stats: list[TopicStats], now_ns: int, limit_ns: int) -> TopicStats | None:
    """First required topic without a message for longer than a limit, or None."""
    for topic in stats:
        age_ns = topic.age_ns(now_ns)
        if topic.plan.is_required and (age_ns is None or age_ns > limit_ns):
            return topic
    return None


def silence_text(topic: TopicStats, now_ns: int, publishers: list[str]) -> str:
    """Say which topic is silent, for how long, and whom to look at."""
    age_ns = topic.age_ns(now_ns)
    since = "no message yet" if age_ns is None else f"no message for {age_ns / 1e9:.1f} s"
    who = f"publishers: {', '.join(publishers)}" if publishers else "nobody publishes it"
    return (
        f"topic '{topic.plan.name}' is silent: {since}, {who}; "
        f"expected from node '{topic.plan.publisher}': start it or see its log"
    )
