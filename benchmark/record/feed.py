"""What two cameras with depth and an arm at 1 kHz send, as serialised messages; made once, stamped when sent."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from il_core import topics
from il_core.store.header import RecordingHeader
from il_core.store.msgdefs import encoder
from il_teleop.topic_stats import TopicPlan, TopicStats

JOINT_HZ, CAMERA_HZ = 1000, 30
CAMERAS = ("front", "wrist")
HEADER = RecordingHeader("bench", "fr3", "d" * 64, operator="bench", instruction="survive")
_JOINT_STATE, _IMAGE = "sensor_msgs/msg/JointState", "sensor_msgs/msg/Image"


@dataclass(frozen=True, slots=True)
class Source:
    """One topic.

    Attributes:
        plan: Name, type and rate.
        data: Serialised message without its stamp.
    """

    plan: TopicPlan
    data: bytes

    def message(self, stamp_ns: int) -> bytes:
        """The message with a stamp in its header: CDR has it after four bytes of encapsulation."""
        made = bytearray(self.data)
        struct.pack_into("<iI", made, 4, *divmod(stamp_ns, 10**9))
        return bytes(made)


def sources(width: int = 640, height: int = 480) -> tuple[Source, ...]:
    """Joint states at 1 kHz; colour and depth of two cameras at 30 Hz, with the noise of real pictures."""
    names = [f"joint{i}" for i in range(1, 8)]
    q = list(np.linspace(-1.0, 1.0, 7))
    joints = encoder(_JOINT_STATE)({"name": names, "position": q, "velocity": q, "effort": q})
    found = [Source(TopicPlan(topics.JOINT_STATES, _JOINT_STATE, "arm", float(JOINT_HZ)), joints)]
    rng = np.random.default_rng(0)
    slope = np.linspace(0, 200, width)[None, :] + np.linspace(0, 40, height)[:, None]
    for camera in CAMERAS:
        rgb = (slope[..., None] + rng.normal(0.0, 2.0, (height, width, 3))).clip(0, 255).astype(np.uint8)
        depth = (600 + 4 * slope + rng.normal(0.0, 1.5, (height, width))).astype("<u2")
        for topic, encoding, pixels in ((topics.color(camera), "rgb8", rgb), (topics.depth(camera), "16UC1", depth)):
            values = {"height": height, "width": width, "encoding": encoding, "step": pixels[0].nbytes}
            data = encoder(_IMAGE)({**values, "data": pixels.tobytes()})
            found.append(Source(TopicPlan(topic, _IMAGE, "camera", float(CAMERA_HZ), is_image=True), data))
    return tuple(found)


def schedule(found: tuple[Source, ...], seconds: float, start_ns: int) -> Iterator[tuple[int, Source]]:
    """Instant [ns] and source of every message, in order of time."""
    due = [(start_ns + round(k * 1e9 / s.plan.rate_hz), i) for i, s in enumerate(found) if s.plan.rate_hz
           for k in range(int(seconds * s.plan.rate_hz))]  # fmt: skip
    for stamp_ns, i in sorted(due):
        yield stamp_ns, found[i]


def accounts(found: tuple[Source, ...]) -> dict[str, TopicStats]:
    """Fresh accounts, by topic."""
    return {s.plan.name: TopicStats(s.plan) for s in found}
