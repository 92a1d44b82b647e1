"""What one page is sent, and when: the newest state and pictures, nothing queued. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from il_cli.console.config import ConsoleConfig

HEARTBEAT_NS = 1_000_000_000  # a page that hears nothing for 2.5 s says that it is cut off
LOST_NS = 6_000_000_000  # a page that confirms nothing for so long is gone
BURST_S = 0.5  # of the picture budget that may be saved up


@dataclass(frozen=True, slots=True)
class Picture:
    """One preview.

    Attributes:
        number: Counts up with every picture of a camera.
        jpeg: The picture.
        taken_ns: When it came in, on the steady clock [ns].
    """

    number: int
    jpeg: bytes
    taken_ns: int


class Feed:
    """Decides what goes to one page.

    A page confirms what it got. Until then it gets no second state and no second picture of that camera: on
    a slow network it sees fewer, and always the newest, where a buffer would show the past.
    """

    def __init__(self, config: ConsoleConfig, now_ns: int) -> None:
        """Begin with nothing sent; ``now_ns`` is on the steady clock, like all instants here."""
        self._state_gap_ns = int(1e9 / config.state_hz)
        self._picture_gap_ns = int(0.9e9 / config.preview_hz)  # the cameras keep the rate; timers tremble
        self._bytes_per_ns = config.preview_limit_kb_s * 1e3 / 1e9
        self._most_bytes = self._bytes_per_ns * BURST_S * 1e9
        self._bytes, self._filled_ns = self._most_bytes, now_ns
        self._number = 0
        self._open: dict[int, tuple[str, int]] = {}  # number -> what it was, when it went
        self._sent: dict[str, tuple[int, int]] = {}  # stream -> version or picture number, when
        self.cameras: tuple[str, ...] = ()

    def watch(self, cameras: tuple[str, ...]) -> None:
        """Take the cameras the page shows at present."""
        self.cameras = cameras

    def confirm(self, number: int) -> None:
        """The page has got what carries this number; unknown numbers mean nothing."""
        self._open.pop(number, None)

    def is_lost(self, now_ns: int) -> bool:
        """Whether the page has confirmed nothing for too long."""
        return any(now_ns - sent_ns > LOST_NS for _, sent_ns in self._open.values())

    def state_due(self, version: int, now_ns: int) -> int | None:
        """Number to send the state under, or None if it has to wait.

        Args:
            version: Of the state: changes when it does.
            now_ns: Present instant [ns].
        """
        last = self._sent.get("")
        if last is not None:
            since_ns = now_ns - last[1]
            wanted_ns = self._state_gap_ns if version != last[0] else HEARTBEAT_NS
            if since_ns < wanted_ns or self._is_open(""):
                return None
        return self._note("", version, now_ns)

    def picture_due(self, pictures: Mapping[str, Picture], now_ns: int) -> tuple[int, str] | None:
        """Number and camera of a picture to send now, or None; ask again until there is none."""
        filled = self._bytes + (now_ns - self._filled_ns) * self._bytes_per_ns
        self._bytes, self._filled_ns = min(self._most_bytes, filled), now_ns
        candidates = []
        for camera in self.cameras:
            picture, last = pictures.get(camera), self._sent.get(camera)
            if picture is None or self._is_open(camera):
                continue
            if last is not None and (picture.number == last[0] or now_ns - last[1] < self._picture_gap_ns):
                continue
            candidates.append((last[1] if last else 0, camera))
        if not candidates or self._bytes <= 0:
            return None
        camera = min(candidates)[1]
        self._bytes -= len(pictures[camera].jpeg)  # may fall below zero: the next one waits for it
        return self._note(camera, pictures[camera].number, now_ns), camera

    def _is_open(self, stream: str) -> bool:
        return any(name == stream for name, _ in self._open.values())

    def _note(self, stream: str, version: int, now_ns: int) -> int:
        self._number += 1
        self._open[self._number] = stream, now_ns
        self._sent[stream] = version, now_ns
        return self._number
