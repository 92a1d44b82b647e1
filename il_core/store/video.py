"""Pictures into MP4 files and back, frame k at exactly k / fps."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from il_core.errors import ConfigError, EpisodeError

try:
    import av
    from av.error import FFmpegError
except ImportError:
    raise ConfigError("videos", "need PyAV; install it with `pip install av`") from None

MAX_PIXELS = 64_000_000  # a header that claims more would have us fill the memory
RGB_ENCODERS: dict[str, tuple[str, str, dict[str, str]]] = {  # name: encoder, pixel format, options
    "av1": ("libsvtav1", "yuv420p", {"g": "2", "crf": "30", "preset": "12"}),
    "h264": ("libx264", "yuv420p", {"g": "2", "crf": "18", "preset": "veryfast", "bf": "0"}),
}
# Key frames only: with any other spacing x265 4.1 is not lossless on all pictures, whatever its switch says.
DEPTH_ENCODER = ("libx265", "gray12le", {"x265-params": "lossless=1:keyint=1:log-level=error"})


def write_rgb(path: Path, frames: Iterable[NDArray[np.uint8]], fps: int, codec: str) -> int:
    """Encode colour pictures (H, W, 3) uint8, with loss.

    Args:
        path: File to write.
        frames: The pictures, all of one size with even width and height.
        fps: Pictures per second.
        codec: A key of :data:`RGB_ENCODERS`.

    Returns:
        Number of pictures in the file.

    Raises:
        EpisodeError: the encoder is missing or refuses the pictures.
    """
    encoder, pixels, options = RGB_ENCODERS[codec]
    return _write(path, (av.VideoFrame.from_ndarray(f, format="rgb24") for f in frames), fps, encoder, pixels, options)


def write_depth_codes(path: Path, frames: Iterable[NDArray[np.uint16]], fps: int) -> int:
    """Encode 12-bit pictures (H, W) uint16 in [0, 4095]; the file is read back and compared.

    Raises:
        EpisodeError: the encoder is missing, refuses the pictures, or changed one.
    """
    encoder, pixels, options = DEPTH_ENCODER
    wanted: list[bytes] = []

    def marked() -> Iterator[av.VideoFrame]:
        for codes in frames:
            wanted.append(hashlib.sha256(codes.astype("<u2").tobytes()).digest())
            yield _gray12(codes)

    count = _write(path, marked(), fps, encoder, pixels, options)
    got = [hashlib.sha256(codes.tobytes()).digest() for _, codes in read_frames(path, depth=True)]
    if got != wanted:
        raise EpisodeError(path, f"{encoder} changed pictures it should keep; store depth as PNG instead")
    return count


def _gray12(codes: NDArray[np.uint16]) -> av.VideoFrame:
    frame = av.VideoFrame(codes.shape[1], codes.shape[0], "gray12le")
    plane = frame.planes[0]
    rows = np.zeros((codes.shape[0], plane.line_size // 2), dtype="<u2")
    rows[:, : codes.shape[1]] = codes
    plane.update(rows.tobytes())
    return frame


def _write(
    path: Path, frames: Iterable[av.VideoFrame], fps: int, encoder: str, pixels: str, options: Mapping[str, str]
) -> int:
    count = 0
    try:
        with av.open(str(path), "w", format="mp4") as container:
            stream: Any = None
            for frame in frames:
                if stream is None:
                    stream = container.add_stream(encoder, rate=fps, options=dict(options))
                    stream.width, stream.height, stream.pix_fmt = frame.width, frame.height, pixels
                frame.pts, frame.time_base = count, Fraction(1, fps)
                container.mux(stream.encode(frame))
                count += 1
            if stream is not None:
                container.mux(stream.encode(None))
    except (FFmpegError, ValueError) as error:
        raise EpisodeError(path, f"{encoder} cannot encode these pictures ({error}); choose another codec") from error
    found = sum(1 for _ in _packets(path))
    if found != count:
        raise EpisodeError(path, f"{encoder} kept {found} of {count} pictures; choose another codec")
    return count


def _packets(path: Path) -> Iterator[Any]:
    try:
        with av.open(str(path)) as container:
            yield from (p for p in container.demux(container.streams.video[0]) if p.size)
    except (FFmpegError, IndexError) as error:
        raise EpisodeError(path, f"is no readable video ({error})") from error


def read_frames(path: Path, *, depth: bool = False, start_s: float = 0.0) -> Iterator[tuple[float, NDArray[Any]]]:
    """Decode a video from its start, or from the key frame at or before an instant.

    Args:
        path: The file.
        depth: Whether its pictures are single-channel codes rather than colour.
        start_s: The instant [s].

    Yields:
        Instant in the file [s], and the picture: (H, W, 3) uint8 or (H, W) uint16.

    Raises:
        EpisodeError: missing, damaged, without pictures, or absurdly large.
    """
    try:
        with av.open(str(path)) as container:
            if not container.streams.video or container.streams.video[0].codec_context is None:
                raise EpisodeError(path, "holds no video stream that can be decoded; copy the dataset again")
            stream = container.streams.video[0]
            if stream.codec_context.width * stream.codec_context.height > MAX_PIXELS:
                raise EpisodeError(path, f"claims more than {MAX_PIXELS} pixels a picture; it is damaged or hostile")
            if start_s > 0.0 and stream.time_base:
                container.seek(int(start_s / stream.time_base), stream=stream, backward=True)
            for frame in container.decode(stream):
                yield float(frame.time or 0.0), _picture(frame, depth)
    except FileNotFoundError:
        raise EpisodeError(path, "no such video; copy the dataset again") from None
    except (FFmpegError, ValueError) as error:
        raise EpisodeError(path, f"is no readable video ({error}); copy the dataset again") from error


def _picture(frame: av.VideoFrame, depth: bool) -> NDArray[Any]:
    if not depth:
        return np.asarray(frame.to_ndarray(format="rgb24"))
    if frame.format.name not in ("gray12le", "gray16le", "yuv420p12le", "gray10le"):
        raise ValueError(f"depth video has pixel format {frame.format.name}, expected gray12le")
    plane = frame.planes[0]
    rows = np.frombuffer(bytes(plane), dtype="<u2").reshape(-1, plane.line_size // 2)
    return np.array(rows[: frame.height, : frame.width])
