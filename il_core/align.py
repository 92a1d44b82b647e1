"""The newest sample of every stream at a tick, the same live and offline; stale data is an error.

A stream's sample at tick t is the one with the largest stamp <= t. Arrival order plays no part, so
that messages that were late or overtook each other give the same result. Nothing is interpolated,
zero-filled, or used beyond its age limit.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar, cast

from il_core.errors import ConfigError, StaleStreamError, nearest
from il_core.spec import TaskSpec
from il_core.types import ArmState, CameraFrame, EePose, Observation
from il_core.wrench import ToolWrench

ARM, EE_POSE, WRENCH = "arm", "ee_pose", "wrench"
KEEP_NS = 2_000_000_000  # ten times the largest age limit in use, and seconds of images still fit in memory
S = TypeVar("S")


def camera_stream(camera: str) -> str:
    """Name of a camera's stream in ages and messages: ``camera/<name>``."""
    return f"camera/{camera}"


def streams_of(task: TaskSpec) -> tuple[str, ...]:
    """Streams that every observation of a task needs: tool pose, arm and wrench if they are used, cameras."""
    arm = (ARM,) if {"gripper", "q"} & set(task.state) else ()
    wrench = (WRENCH,) if task.wrench else ()
    return (EE_POSE, *arm, *wrench, *(camera_stream(c) for c in task.cameras))


def limits_of(task: TaskSpec) -> dict[str, int]:
    """Age limit of every stream of a task [ns].

    Raises:
        ConfigError: the task file gives no limit for one of them.
    """
    return {s: task.max_age_ns(s.split("/")[0]) for s in streams_of(task)}


class Buffer(Generic[S]):
    """Samples of one stream in order of their stamps, those of the last ``keep_ns`` only."""

    def __init__(self, keep_ns: int = KEEP_NS) -> None:
        """Start empty."""
        self._keep_ns = keep_ns
        self._stamps: list[int] = []
        self._samples: dict[int, S] = {}

    def __len__(self) -> int:
        """Number of samples held."""
        return len(self._stamps)

    def push(self, stamp_ns: int, sample: S) -> None:
        """Insert a sample; one whose stamp is known, or that is too old to matter, changes nothing."""
        if stamp_ns in self._samples or (self._stamps and stamp_ns < self._stamps[-1] - self._keep_ns):
            return
        insort(self._stamps, stamp_ns)
        self._samples[stamp_ns] = sample
        self._drop(0, bisect_left(self._stamps, self._stamps[-1] - self._keep_ns))

    def at(self, tick_ns: int) -> tuple[int, S] | None:
        """Stamp and sample of the newest at or before a tick; None if there is none.

        What is stamped more than ``keep_ns`` after the tick is forgotten: the clock was set back, and
        such samples would keep new ones out.
        """
        self._drop(bisect_right(self._stamps, tick_ns + self._keep_ns), len(self._stamps))
        i = bisect_right(self._stamps, tick_ns)
        return (self._stamps[i - 1], self._samples[self._stamps[i - 1]]) if i else None

    def remove(self, stamp_ns: int) -> None:
        """Forget the sample of a stamp, if there is one."""
        i = bisect_left(self._stamps, stamp_ns)
        if stamp_ns in self._samples:
            self._drop(i, i + 1)

    def _drop(self, start: int, stop: int) -> None:
        for stamp_ns in self._stamps[start:stop]:
            del self._samples[stamp_ns]
        del self._stamps[start:stop]


class Alignment(Generic[S]):
    """Chooses one sample per stream and tick; the samples may be anything.

    The dataset builder aligns message numbers with it and decodes only what was chosen.
    """

    def __init__(self, limits_ns: Mapping[str, int], keep_ns: int = KEEP_NS) -> None:
        """Prepare a buffer per stream.

        Args:
            limits_ns: Age limit of every required stream [ns].
            keep_ns: How far back samples are kept; ticks may be asked for that late [ns].
        """
        self._limits_ns = dict(limits_ns)
        self._buffers = {stream: Buffer[S](keep_ns) for stream in limits_ns}

    @property
    def streams(self) -> tuple[str, ...]:
        """Required streams."""
        return tuple(self._limits_ns)

    def push(self, stream: str, stamp_ns: int, sample: S) -> None:
        """Take a sample of a stream; a stream that is not required is ignored."""
        buffer = self._buffers.get(stream)
        if buffer is not None:
            buffer.push(stamp_ns, sample)

    def choose(self, tick_ns: int) -> dict[str, tuple[int, S]]:
        """Stamp [ns] and sample of every stream at a tick.

        Raises:
            StaleStreamError: a stream has nothing fresh enough; names stream and age.
        """
        chosen = {}
        for stream, limit_ns in self._limits_ns.items():
            entry = self._buffers[stream].at(tick_ns)
            age_ns = None if entry is None else tick_ns - entry[0]
            if entry is None or tick_ns - entry[0] > limit_ns:
                raise StaleStreamError(stream, age_ns=age_ns, max_age_ns=limit_ns)
            chosen[stream] = entry
        return chosen

    def drop(self, stream: str, stamp_ns: int) -> None:
        """Forget one sample of a stream."""
        self._buffers[stream].remove(stamp_ns)

    def clear(self) -> None:
        """Forget all samples, as after a reset of the world."""
        for stream, buffer in self._buffers.items():
            self._buffers[stream] = Buffer(buffer._keep_ns)


class Aligner:
    """Samples in, observations out; one per task and process."""

    def __init__(self, task: TaskSpec, keep_ns: int = KEEP_NS) -> None:
        """Prepare the streams a task needs.

        Raises:
            ConfigError: the task file gives no age limit for one of them.
        """
        self._alignment: Alignment[object] = Alignment(limits_of(task), keep_ns)
        self._cameras = list(task.cameras)

    @property
    def streams(self) -> tuple[str, ...]:
        """Required streams."""
        return self._alignment.streams

    def push_arm(self, state: ArmState) -> None:
        """Take a joint state."""
        self._alignment.push(ARM, state.stamp_ns, state)

    def push_arm_later(self, stamp_ns: int, decode: Callable[[], ArmState | None]) -> None:
        """Take a joint state that is decoded only if a tick uses it; at 1 kHz most are not.

        Args:
            stamp_ns: Its stamp [ns].
            decode: Gives the state, or None if the message turns out unusable; the one before counts then.
        """
        self._alignment.push(ARM, stamp_ns, decode)

    def push_ee_pose(self, sample: EePose) -> None:
        """Take a measured tool pose."""
        self._alignment.push(EE_POSE, sample.stamp_ns, sample)

    def push_wrench(self, sample: ToolWrench) -> None:
        """Take what a force sensor measured."""
        self._alignment.push(WRENCH, sample.stamp_ns, sample)

    def push_wrench_later(self, stamp_ns: int, decode: Callable[[], ToolWrench | None]) -> None:
        """Take a wrench that is decoded only if a tick uses it; see :meth:`push_arm_later`."""
        self._alignment.push(WRENCH, stamp_ns, decode)

    def push_frame(self, frame: CameraFrame) -> None:
        """Take a picture.

        Raises:
            ConfigError: the task has no such camera.
        """
        if frame.camera not in self._cameras:
            raise ConfigError("aligner", f"no camera '{frame.camera}'; {nearest(frame.camera, self._cameras)}")
        self._alignment.push(camera_stream(frame.camera), frame.stamp_ns, frame)

    def observe(self, tick_ns: int) -> Observation:
        """Observation at a tick, from all samples pushed so far.

        Raises:
            StaleStreamError: a stream has nothing fresh enough; names stream and age.
        """
        while True:
            chosen = self._alignment.choose(tick_ns)
            if self._decode(chosen):
                return assemble(tick_ns, chosen)

    def _decode(self, chosen: dict[str, tuple[int, object]]) -> bool:
        """Decode what was pushed for later; drop what turns out unusable, and say whether all could be used."""
        for stream in (ARM, WRENCH):
            stamp_ns, sample = chosen.get(stream, (0, None))
            if callable(sample):
                chosen[stream] = (stamp_ns, sample := sample())
                if sample is None:
                    self._alignment.drop(stream, stamp_ns)
                    return False
        return True

    def clear(self) -> None:
        """Forget all samples, as after a reset of the world."""
        self._alignment.clear()


def assemble(tick_ns: int, chosen: Mapping[str, tuple[int, object]]) -> Observation:
    """Observation of the samples chosen at a tick.

    Args:
        tick_ns: The tick [ns].
        chosen: Stamp [ns] and sample per stream, from :meth:`Alignment.choose`.
    """
    arm, wrench = chosen.get(ARM), chosen.get(WRENCH)
    frames = [cast("CameraFrame", s) for stream, (_, s) in chosen.items() if stream not in (ARM, EE_POSE, WRENCH)]
    T_base_ee = cast("EePose", chosen[EE_POSE][1]).T_base_ee
    return Observation(
        tick_ns=tick_ns,
        T_base_ee=T_base_ee,
        arm=None if arm is None else cast("ArmState", arm[1]),
        images={frame.camera: frame for frame in frames},
        age_ns={stream: tick_ns - stamp_ns for stream, (stamp_ns, _) in chosen.items()},
        wrench=None if wrench is None else cast("ToolWrench", wrench[1]).in_base(T_base_ee),
    )


class FramePairs(Generic[S]):
    """Brings colour and depth pictures of one camera together by their stamp."""

    def __init__(self, keep: int = 64) -> None:
        """Wait for the partner of at most ``keep`` pictures; the oldest gives way."""
        self._keep = keep
        self._waiting: dict[tuple[int, bool], S] = {}

    def push(self, stamp_ns: int, picture: S, *, is_depth: bool) -> tuple[S, S] | None:
        """Take one picture.

        Returns:
            Colour and depth if this one completes the pair, else None.
        """
        partner = self._waiting.pop((stamp_ns, not is_depth), None)
        if partner is not None:
            return (partner, picture) if is_depth else (picture, partner)
        self._waiting[(stamp_ns, is_depth)] = picture
        if len(self._waiting) > self._keep:
            del self._waiting[min(self._waiting)]
        return None
