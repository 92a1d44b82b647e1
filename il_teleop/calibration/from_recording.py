"""Views of the board out of recordings, by the rules of a live calibration."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from il_core import topics
from il_core.store.recording import Recording
from il_core.wire import ee_pose_from, header_stamp_ns_from_cdr, intrinsics_from, rgb_from
from il_teleop.calibration.collect import Collector, Picture

PENDING = 64  # pictures that may wait for the tool poses of their time: two seconds at 30 Hz


def picture_from(color: Any, info: Any) -> Picture:  # noqa: ANN401 - message-shaped
    """Picture of a sensor_msgs/Image and its CameraInfo, live or decoded.

    Raises:
        DeviceError: unknown encoding.
    """
    return Picture(rgb_from(color), intrinsics_from(info))


def collect(path: Path, camera: str, collector: Collector) -> None:
    """Offer every picture of a camera to a collector.

    Args:
        path: Folder of a recording.
        camera: Name of the camera.
        collector: Takes what counts.

    Raises:
        RecordingError: it lacks the camera's or the tool's topics, or is damaged.
    """
    recording = Recording.open(path)
    color, info = topics.color(camera), topics.camera_info(camera)
    lens: Any = None
    waiting: list[tuple[int, bytes]] = []

    def read(data: bytes) -> Picture:
        return picture_from(recording.decode(color, data), lens)

    for topic, data, _, _ in recording.raw_messages([topics.EE_POSE, color, info]):
        if topic == topics.EE_POSE:
            collector.pose(ee_pose_from(recording.decode(topic, data)))
        elif topic == info:
            lens = lens or recording.decode(topic, data)
        else:
            waiting = [*waiting, (header_stamp_ns_from_cdr(data), data)][-PENDING:]
        while waiting and lens is not None and collector.knows(waiting[0][0]) and not collector.is_full:
            stamp_ns, image = waiting.pop(0)
            collector.offer(stamp_ns, partial(read, image))
