"""A copy of a recording in which faces cannot be recognised; the original is left as it is.

Fails closed: a topic that may show people and that cannot be searched stops the copy, unless the topic is
left out by name.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from il_core.clock import SystemClock
from il_core.errors import RecordingError
from il_core.store.recording import Recording, RecordingWriter
from il_teleop.review.faces import FaceDetector, blurred, without_depth

IMAGE = "sensor_msgs/msg/Image"
COLOURS, DEPTHS = {"rgb8": 3, "bgr8": 3, "mono8": 1}, {"16UC1": np.uint16, "32FC1": np.float32}
UNSEARCHABLE = ("sensor_msgs/msg/CompressedImage", "sensor_msgs/msg/PointCloud2", "sensor_msgs/msg/PointCloud")
HOLD_NS = 500_000_000  # a face seen at any time is hidden this long before and after, where it was seen
SUFFIX = "_blurred"


@dataclass(slots=True)
class Found:
    """What the detector saw.

    Attributes:
        pictures: Pictures searched, by topic.
        with_faces: Those in which a face was detected, by topic.
        changed: Pictures that were changed, neighbours in time included, by topic.
    """

    pictures: dict[str, int] = field(default_factory=dict)
    with_faces: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """For the operator; says what it does not mean, too."""
        seen, all_ = sum(self.with_faces.values()), sum(self.pictures.values())
        text = f"faces detected in {seen} of {all_} pictures, {sum(self.changed.values())} pictures changed"
        hint = "no face was detected, which does not prove that there is none" if not seen else ""
        return f"{text}; {hint or 'a detector misses some'}: look before you share"


def blur_recording(path: Path, out: Path, detector: FaceDetector, leave_out: Sequence[str] = ()) -> tuple[Path, Found]:
    """Write a copy with faces hidden.

    Every colour picture is searched. A box is hidden in all pictures of its camera up to half a second
    before and after, and in the depth of the same camera. All other messages are copied byte for byte.

    Args:
        path: Folder of the recording.
        out: Folder of all recordings to write below; the copy is ``<out>/<task>/<name>_blurred``.
        detector: Finds the faces.
        leave_out: Topics that are not copied at all.

    Returns:
        Folder of the copy, and what was found.

    Raises:
        RecordingError: damaged, a topic cannot be searched, or the copy cannot be written; nothing is left behind.
    """
    source = Recording.open(path)
    kept = [topic for topic in source.topics if topic not in leave_out]
    for topic in kept:
        if source.topics[topic] in UNSEARCHABLE:
            why = f"topic '{topic}' ({source.topics[topic]}) may show people and cannot be searched"
            raise RecordingError(path, f"{why}; leave it out or blur it before it is recorded. Nothing was written")
    pictures = [topic for topic in kept if source.topics[topic] == IMAGE]
    found = Found()
    hidden = _search(source, pictures, detector, found)
    header = replace(source.header, name="", topics={}, data_bytes=0, data_crc32=0)
    writer = RecordingWriter(out, header, SystemClock(), f"{source.header.name}{SUFFIX}")
    try:
        for topic in kept:
            writer.add_topic(topic, source.topics[topic])
        for topic, data, log_ns, stamp_ns in source.raw_messages(kept):
            made = _hide(source, topic, data, stamp_ns, hidden[topic], found) if topic in hidden else data
            writer.append(topic, made, log_ns, stamp_ns)
        account = {topic: source.header.topics[topic] for topic in kept}
        return writer.commit(source.header.outcome, _provenance(source, detector, found), account), found
    except BaseException:
        writer.discard()
        raise


def _provenance(source: Recording, detector: FaceDetector, found: Found) -> dict[str, str]:
    """Notes of the copy: what was done with what, and to what."""
    how = f"CenterFace sha256 {detector.sha256}, threshold {detector.threshold:g}, held {HOLD_NS / 1e9:g} s"
    return {
        "privacy": f"{found.sentence}; {how}; mosaic in colour, no measurement in depth",
        "blurred_from": f"{source.header.name}, data crc32 {source.header.data_crc32:08x}",
    }


class _Hidden:
    """Where faces were, by stamp, of one camera."""

    def __init__(self) -> None:
        self._stamps: list[int] = []
        self._boxes: list[NDArray[np.int64]] = []
        self.size: tuple[int, int] = (0, 0)

    def add(self, stamp_ns: int, boxes: NDArray[np.int64]) -> None:
        at = bisect_left(self._stamps, stamp_ns)
        self._stamps.insert(at, stamp_ns)
        self._boxes.insert(at, boxes)

    def near(self, stamp_ns: int) -> NDArray[np.int64]:
        """Boxes of all pictures up to ``HOLD_NS`` away, (N, 4)."""
        a, b = bisect_left(self._stamps, stamp_ns - HOLD_NS), bisect_right(self._stamps, stamp_ns + HOLD_NS)
        return np.concatenate([np.zeros((0, 4), dtype=np.int64), *self._boxes[a:b]])


def _camera(topic: str) -> str:
    """Topics of one camera share their first two parts: ``camera/front/...``."""
    return "/".join(topic.strip("/").split("/")[:2])


def _search(source: Recording, pictures: list[str], detector: FaceDetector, found: Found) -> Mapping[str, _Hidden]:
    """Search every colour picture; returns where faces were, for each picture topic.

    Raises:
        RecordingError: an encoding that is neither colour nor depth, or depth without a colour picture.
    """
    cameras: dict[str, _Hidden] = {}
    depths: dict[str, tuple[int, int]] = {}
    for topic, data, _, stamp_ns in source.raw_messages(pictures) if pictures else ():
        message = source.decode(topic, data)
        size = (int(message.height), int(message.width))
        if message.encoding in DEPTHS:
            depths[topic] = size
            continue
        if message.encoding not in COLOURS:
            raise RecordingError(
                source.path,
                f"topic '{topic}' has encoding '{message.encoding}', which cannot be searched for faces "
                f"(known: {', '.join([*COLOURS, *DEPTHS])}); nothing was written",
            )
        hidden = cameras.setdefault(_camera(topic), _Hidden())
        hidden.size = size
        boxes = detector.find(_rgb(message))
        found.pictures[topic] = found.pictures.get(topic, 0) + 1
        found.with_faces[topic] = found.with_faces.get(topic, 0) + bool(len(boxes))
        if len(boxes):
            hidden.add(stamp_ns, boxes)
    for topic, size in depths.items():
        colour = cameras.get(_camera(topic))
        if colour is None or colour.size != size:
            raise RecordingError(
                source.path,
                f"depth '{topic}' is not aligned with a colour picture of its camera, so faces in it cannot be "
                "found; leave it out. Nothing was written",
            )
    return {topic: cameras[_camera(topic)] for topic in pictures if _camera(topic) in cameras}


def _rows(message: Any, dtype: Any, channels: int) -> NDArray[Any]:  # noqa: ANN401 - message-shaped, a dtype
    """Pixels without the padding of the rows, (H, W) or (H, W, C)."""
    item = np.dtype(dtype).itemsize
    rows = np.frombuffer(message.data, dtype=dtype).reshape(message.height, message.step // item)
    pixels = rows[:, : message.width * channels]
    return pixels.reshape(message.height, message.width, channels) if channels > 1 else pixels


def _rgb(message: Any) -> NDArray[np.uint8]:  # noqa: ANN401 - message-shaped
    """(H, W, 3) uint8 RGB of a searchable picture."""
    channels = COLOURS[message.encoding]
    pixels = _rows(message, np.uint8, channels)
    if channels == 1:
        return np.repeat(pixels[:, :, None], 3, axis=2)
    return np.ascontiguousarray(pixels[..., ::-1] if message.encoding == "bgr8" else pixels)


def _hide(source: Recording, topic: str, data: bytes, stamp_ns: int, hidden: _Hidden, found: Found) -> bytes:
    """The message with the boxes near its stamp made unrecognisable; all its other bytes stay.

    ``data`` is the last field of an Image, an array of bytes, so its pixels are the end of the message.
    """
    boxes = hidden.near(stamp_ns)
    if len(boxes) == 0:
        return data
    message = source.decode(topic, data)
    channels = COLOURS.get(message.encoding, 1)
    dtype = DEPTHS.get(message.encoding, np.uint8)
    pixels = _rows(message, dtype, channels)
    made = without_depth(pixels, boxes) if message.encoding in DEPTHS else blurred(np.asarray(pixels), boxes)
    size = message.height * message.step
    rows = np.frombuffer(data[-size:], dtype=dtype).reshape(message.height, -1).copy()
    rows[:, : message.width * channels] = made.reshape(message.height, -1)
    found.changed[topic] = found.changed.get(topic, 0) + 1
    return data[:-size] + rows.tobytes()
