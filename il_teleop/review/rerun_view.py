"""A recording as a Rerun file: pictures, depth, path in space, joints and warnings on one time line.

Rerun is optional: its wheel has 170 MB. The HTML page needs nothing of it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from il_core import topics, wire
from il_core.errors import DeviceError
from il_core.store.recording import Recording
from il_teleop.review.decisions import trim_of

if TYPE_CHECKING:
    from il_teleop.review.take import Reviewed

TIMELINE = "robot_time"
JPEG_QUALITY = 75
PICTURES = ("/color/image_raw", "/aligned_depth_to_color/image_raw", "/color/camera_info")


def write_rrd(take: Reviewed, path: Path) -> None:
    """Write a recording as ``.rrd``, to be opened with ``rerun FILE``; no display is needed.

    Colour pictures are stored as JPEG, depth as it was measured.

    Raises:
        DeviceError: rerun-sdk is not installed.
        RecordingError: the data are damaged.
    """
    rr = _rerun()
    path.parent.mkdir(parents=True, exist_ok=True)
    stream = rr.RecordingStream("il_robot_review", recording_id=take.header.name)
    stream.save(str(path))
    stream.log("description", rr.TextDocument(_description(take)), static=True)
    stream.log("world", rr.ViewCoordinates.RIGHT_HAND_Z_UP, static=True)
    _log_numbers(rr, stream, take)
    _log_pictures(rr, stream, Recording.open(take.path))
    stream.flush()
    stream.disconnect()


def _rerun() -> Any:  # noqa: ANN401 - a module without types
    try:
        import rerun
    except ImportError as error:
        raise DeviceError(
            "Rerun is not installed: pip install rerun-sdk (170 MB), or look at the page: il review ... --html FILE"
        ) from error
    return rerun


def _description(take: Reviewed) -> str:
    score = "not measured" if take.quality.score is None else f"{take.quality.score:.0f}"
    lines = [f"{take.header.name}: {take.header.instruction}", f"outcome {take.header.outcome.value}, score {score}"]
    trim = trim_of(take.header)
    if trim is not None:
        start_s, end_s = ((t - take.signals.start_ns) / 1e9 for t in trim)
        lines.append(f"trimmed to {start_s:.2f} to {end_s:.2f} s")
    lines += [
        f"{p.name}: {'not measured' if p.score is None else f'{100 * p.score:.0f}'}: {p.why}"
        for p in take.quality.parts
    ]
    return "\n".join([*lines, *take.quality.sync.problems])


def _log_numbers(rr: Any, stream: Any, take: Reviewed) -> None:  # noqa: ANN401 - rerun has no types
    """Path, target and joints, whole columns at a time."""
    s = take.signals

    def columns(entity: str, stamps_ns: Any, values: Any) -> None:  # noqa: ANN401 - arrays
        index = rr.TimeColumn(TIMELINE, timestamp=np.asarray(stamps_ns, dtype="datetime64[ns]"))
        stream.send_columns(entity, indexes=[index], columns=rr.Scalars.columns(scalars=values))

    if len(s.pose_ns):
        stream.log("world/path", rr.LineStrips3D([s.p_base.astype(np.float32)], colors=[(42, 111, 151)]), static=True)
        index = rr.TimeColumn(TIMELINE, timestamp=s.pose_ns.astype("datetime64[ns]"))
        points = rr.Points3D.columns(positions=s.p_base.astype(np.float32), radii=np.full(len(s.p_base), 0.008))
        stream.send_columns("world/tool", indexes=[index], columns=points)
        for name, column in zip("xyz", s.p_base.T, strict=True):
            columns(f"tool/{name}", s.pose_ns, column)
    if len(s.target_ns):
        strip = rr.LineStrips3D([s.p_base_des.astype(np.float32)], colors=[(209, 73, 91)])
        stream.log("world/target_path", strip, static=True)
    for what, rows in (("position", s.q), ("velocity", s.v), ("torque", s.tau)):
        for name, column in zip(s.joint_names, rows.T, strict=True):
            columns(f"joints/{what}/{name}", s.arm_ns, column)
    for warned in s.warned:
        stream.set_time(TIMELINE, timestamp=np.datetime64(warned.stamp_ns, "ns"))
        stream.log("warnings", rr.TextLog(f"{warned.node}: {warned.reason}", level=warned.level))


def _log_pictures(rr: Any, stream: Any, recording: Recording) -> None:  # noqa: ANN401 - rerun has no types
    """Every colour and depth picture, with the camera they were taken by."""
    wanted = [t for t in recording.topics if t.startswith("camera/") and t.endswith(PICTURES)]
    known: set[str] = set()
    for topic, data, _, stamp_ns in recording.raw_messages(wanted) if wanted else ():
        camera = topic.split("/")[1]
        if topic == topics.camera_info(camera):
            if camera in known:
                continue
            known.add(camera)
            k = wire.intrinsics_from(recording.decode(topic, data))
            lens = rr.Pinhole(resolution=[k.width, k.height], focal_length=[k.fx, k.fy], principal_point=[k.cx, k.cy])
            stream.log(f"cameras/{camera}", lens, static=True)
            continue
        message = recording.decode(topic, data)
        stream.set_time(TIMELINE, timestamp=np.datetime64(stamp_ns, "ns"))
        if topic == topics.color(camera):
            stream.log(f"cameras/{camera}/rgb", rr.Image(wire.rgb_from(message)).compress(jpeg_quality=JPEG_QUALITY))
        else:
            stream.log(f"cameras/{camera}/depth", rr.DepthImage(wire.depth_m_from(message), meter=1.0))
