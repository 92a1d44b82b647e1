"""What the operator hears: a word, a tone, or the terminal's bell, whichever this machine can do."""

from __future__ import annotations

import contextlib
import io
import math
import shutil
import struct
import subprocess
import sys
import wave
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from il_core.errors import ConfigError, nearest

RATE_HZ = 16_000


class Kind(str, Enum):
    """What a cue tells."""

    COUNT = "count"
    STARTED = "started"
    STOPPED = "stopped"
    KEPT = "kept"
    DISCARDED = "discarded"
    REJECTED = "rejected"
    READY = "ready"
    WARNING = "warning"
    FAULT = "fault"


@dataclass(frozen=True, slots=True)
class Cue:
    """One thing to tell the operator.

    Attributes:
        kind: Decides the tone.
        words: What a voice says.
    """

    kind: Kind
    words: str

    @property
    def text(self) -> str:
        """As sent on RECORDER_CUE."""
        return f"{self.kind.value}: {self.words}"


def cue_from(text: str) -> Cue:
    """Read what :attr:`Cue.text` wrote.

    Raises:
        ConfigError: of no known kind.
    """
    kind, _, words = text.partition(": ")
    try:
        return Cue(Kind(kind), words)
    except ValueError:
        kinds = [k.value for k in Kind]
        raise ConfigError("recorder cue", f"unknown kind '{kind}'; {nearest(kind, kinds)}") from None


# Rising is a beginning, falling an end; what needs attention is low and repeats. Notes [Hz], length [s].
_TONES: dict[Kind, tuple[tuple[int, float], ...]] = {
    Kind.COUNT: ((660, 0.08),),
    Kind.STARTED: ((660, 0.09), (990, 0.16)),
    Kind.STOPPED: ((990, 0.09), (660, 0.16)),
    Kind.KEPT: ((660, 0.07), (880, 0.07), (1320, 0.14)),
    Kind.DISCARDED: ((440, 0.16),),
    Kind.REJECTED: ((330, 0.14), (330, 0.14)),
    Kind.READY: ((880, 0.12),),
    Kind.WARNING: ((300, 0.1), (300, 0.1)),
    Kind.FAULT: ((220, 0.2), (220, 0.2), (220, 0.2)),
}
_FADE_S, _REST_S, _LOUDNESS = 0.008, 0.04, 0.5


def tone(kind: Kind) -> bytes:
    """The sound of a cue: a WAV file, mono, 16 bit, 16 kHz."""
    samples: list[int] = []
    for hz, seconds in _TONES[kind]:
        n = int(seconds * RATE_HZ)
        for k in range(n):
            fade = min(1.0, k / (_FADE_S * RATE_HZ), (n - 1 - k) / (_FADE_S * RATE_HZ))
            samples.append(int(32767 * _LOUDNESS * fade * math.sin(2 * math.pi * hz * k / RATE_HZ)))
        samples += [0] * int(_REST_S * RATE_HZ)
    out = io.BytesIO()
    with wave.open(out, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE_HZ)
        file.writeframes(struct.pack(f"<{len(samples)}h", *samples))
    return out.getvalue()


MODES = ("auto", "speech", "sound", "bell", "off")
_SPEAKERS = (["spd-say", "--wait"], ["espeak-ng"], ["espeak"])
_PLAYERS = (["aplay", "-q", "-"], ["paplay", "/dev/stdin"])


class Player:
    """Plays cues without ever waiting; a programme that fails is not asked again, the bell takes its place."""

    def __init__(
        self,
        mode: str = "auto",
        which: Callable[[str], str | None] = shutil.which,
        ring: Callable[[], None] | None = None,
    ) -> None:
        """Choose how to play.

        Args:
            mode: ``speech``, ``sound``, ``bell`` or ``off``; ``auto`` is the first of sound and bell that
                this machine can do.
            which: Finds programmes.
            ring: Rings the terminal's bell; by default through sys.stdout.

        Raises:
            ConfigError: unknown mode, or speech was asked for and no speaking programme is installed.
        """
        if mode not in MODES:
            raise ConfigError("cue", f"unknown mode '{mode}'; {nearest(mode, list(MODES))}")
        speaker = next((c for c in _SPEAKERS if which(c[0])), None)
        player = next((c for c in _PLAYERS if which(c[0])), None)
        if mode == "speech" and speaker is None:
            raise ConfigError("cue", "no programme speaks here; `apt install espeak-ng`, or take sound or bell")
        self._speaker = speaker if mode == "speech" else None
        self._player = player if mode in ("auto", "sound", "speech") else None
        self._is_silent = mode == "off"
        self._ring = ring or _ring
        self._running: list[subprocess.Popen[bytes]] = []

    def play(self, cue: Cue) -> None:
        """Begin to play a cue."""
        if self._is_silent:
            return
        self._reap()
        if self._speaker is not None and cue.kind is not Kind.WARNING:
            if self._start([*self._speaker, cue.words[:80].lstrip("-")], b""):
                return
            self._speaker = None
        if self._player is not None:
            if self._start(self._player, tone(cue.kind)):
                return
            self._player = None
        self._ring()

    def _start(self, command: list[str], data: bytes) -> bool:
        """Start a programme; what it reads fits into a pipe."""
        null = subprocess.DEVNULL
        try:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=null, stderr=null)
        except OSError:
            return False
        self._running.append(process)
        with contextlib.suppress(BrokenPipeError), process.stdin or io.BytesIO() as pipe:
            pipe.write(data)
        return True

    def _reap(self) -> None:
        """Collect what has ended; one that failed at once plays no more."""
        for process in [p for p in self._running if p.poll() is not None]:
            self._running.remove(process)
            if process.returncode != 0:
                self._speaker = self._player = None

    def close(self, timeout_s: float = 2.0) -> None:
        """Wait for what still plays, and end what does not."""
        for process in self._running:
            try:
                process.wait(timeout_s)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self._running = []


def _ring() -> None:
    sys.stdout.write("\a")
    sys.stdout.flush()
