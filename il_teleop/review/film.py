"""Small films of a recording's cameras for looking at: H.264 in MP4, in memory, frame times kept."""

from __future__ import annotations

import io
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.error import FFmpegError
from av.video.stream import VideoStream
from numpy.typing import NDArray

from il_core import wire
from il_core.errors import DeviceError

ENCODER, PIXELS = "libx264", "yuv420p"
# A film to judge a demonstration by, not to learn from: fastest settings, visible loss.
OPTIONS = {"preset": "ultrafast", "crf": "30", "g": "15", "bf": "0"}
DEPTH_MAX_MM = 65535


class Film:
    """Collects pictures of one topic."""

    def __init__(self, topic: str, fps: float = 10.0, width: int = 320) -> None:
        """Start empty.

        Args:
            topic: Name of the picture's topic.
            fps: Most pictures per second kept.
            width: Largest width [px]; larger pictures are scaled down.
        """
        self.topic, self._least_ns, self._width = topic, round(1e9 / fps), width
        self._file = io.BytesIO()
        self._container: Any = None
        self._stream: VideoStream | None = None
        self._range_mm: tuple[float, float] | None = None
        self._first_ns = self._last_ns = 0
        self.count = 0

    @property
    def start_ns(self) -> int:
        """Stamp of the first picture [ns]."""
        return self._first_ns

    @property
    def range_m(self) -> tuple[float, float] | None:
        """Distances shown white and black [m]; None of a colour film."""
        return None if self._range_mm is None else (self._range_mm[0] / 1e3, self._range_mm[1] / 1e3)

    def push(self, stamp_ns: int, decode: Callable[[], Any]) -> None:
        """Take a picture, unless the last was taken less than a period ago.

        Args:
            stamp_ns: Its stamp [ns]; one that goes backward is left out.
            decode: Gives the sensor_msgs/Image; called only if it is wanted.

        Raises:
            DeviceError: an encoding that is neither colour nor depth, or no H.264 encoder.
        """
        # A tenth of a period early counts: camera stamps jitter, and every second picture would be lost.
        if self.count and stamp_ns - self._last_ns < 0.9 * self._least_ns:
            return
        message = decode()
        try:
            image = self._pixels(message)
        except ValueError as error:  # sizes that contradict each other
            raise DeviceError(f"picture of '{self.topic}' is damaged ({error})") from error
        if image.shape[0] < 2 or image.shape[1] < 2:
            raise DeviceError(f"picture of '{self.topic}' has {image.shape[1]} x {image.shape[0]} pixels")
        frame = av.VideoFrame.from_ndarray(image, format="gray" if image.ndim == 2 else "rgb24")
        try:
            stream = self._stream or self._open(frame.width, frame.height)
            if not self.count:
                self._first_ns = stamp_ns
            frame = frame.reformat(stream.width, stream.height, PIXELS, interpolation="FAST_BILINEAR")
            frame.pts, frame.time_base = (stamp_ns - self._first_ns) // 1_000_000, Fraction(1, 1000)
            self._mux(stream.encode(frame))
        except FFmpegError as error:
            raise DeviceError(f"film of '{self.topic}' cannot be encoded ({error})") from error
        self._last_ns = stamp_ns
        self.count += 1

    def _open(self, width: int, height: int) -> VideoStream:
        if ENCODER not in av.codecs_available:
            raise DeviceError(f"this PyAV has no encoder {ENCODER}; install the wheel from PyPI: pip install av")
        scale = min(1.0, self._width / width)
        self._container = av.open(self._file, "w", format="mp4")
        stream: VideoStream = self._container.add_stream(ENCODER, rate=round(1e9 / self._least_ns), options=OPTIONS)
        stream.width, stream.height = (max(2, int(x * scale) // 2 * 2) for x in (width, height))
        stream.pix_fmt = PIXELS
        stream.codec_context.time_base = Fraction(1, 1000)
        stream.codec_context.thread_count = 1
        self._stream = stream
        return stream

    def _pixels(self, message: Any) -> NDArray[np.uint8]:  # noqa: ANN401 - message-shaped
        """Colour (H, W, 3), or depth as grey levels (H, W): near is bright, no measurement is black."""
        step = max(1, message.width // self._width)  # leaving pixels out is four times faster than averaging
        if message.encoding in ("rgb8", "bgr8"):
            return np.ascontiguousarray(wire.rgb_from(message)[::step, ::step])
        depth_mm = np.minimum(wire.depth_m_from(message)[::step, ::step] * np.float32(1000.0), DEPTH_MAX_MM)
        valid = depth_mm > 0
        if self._range_mm is None:
            near, far = np.percentile(depth_mm[valid], (1, 99)) if valid.any() else (0.0, 1000.0)
            self._range_mm = (float(near), max(float(far), float(near) + 1.0))
        near, far = self._range_mm
        shade = 255.0 - np.clip((depth_mm - near) * np.float32(215.0 / (far - near)), 0.0, 215.0)
        return np.where(valid, shade, 0.0).astype(np.uint8)

    def close(self) -> bytes:
        """The MP4 file; empty if there was no picture.

        Raises:
            DeviceError: it cannot be finished.
        """
        if self._stream is None:
            return b""
        try:
            self._mux(self._stream.encode())
            self._container.close()
        except FFmpegError as error:
            raise DeviceError(f"film of '{self.topic}' cannot be finished ({error})") from error
        return self._file.getvalue()

    def _mux(self, packets: Any) -> None:  # noqa: ANN401 - av's packets
        for packet in packets:
            self._container.mux(packet)


class Films:
    """One film per picture topic, fed by :func:`il_teleop.review.signals.read_signals`."""

    def __init__(self, fps: float = 10.0, width: int = 320, *, with_depth: bool = True) -> None:
        """Start empty; arguments as of :class:`Film`, without depth if not wanted."""
        self._fps, self._width, self._with_depth = fps, width, with_depth
        self.films: dict[str, Film] = {}
        self.left_out: dict[str, str] = {}

    def __call__(self, topic: str, stamp_ns: int, decode: Callable[[], Any]) -> None:
        """Take one picture; a topic that cannot be shown is noted in ``left_out``, once."""
        if topic in self.left_out or (not self._with_depth and "depth" in topic):
            return
        film = self.films.setdefault(topic, Film(topic, self._fps, self._width))
        try:
            film.push(stamp_ns, decode)
        except DeviceError as error:
            self.left_out[topic] = str(error)
            del self.films[topic]
