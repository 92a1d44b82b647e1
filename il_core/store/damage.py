"""What is wrong with a recording, in numbers and in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from il_core.store.header import RecordingHeader


@dataclass(frozen=True, slots=True)
class Loss:
    """A damaged stretch of a data file.

    Attributes:
        first_byte: Where it begins.
        last_byte: Where it ends.
        reason: What is wrong there.
        has_messages: Whether messages were lost with it.
        from_ns: First receive time in it [ns], if the file still tells.
        to_ns: Last receive time in it [ns], if the file still tells.
        counts: Messages lost per topic; empty if the file does not tell.
    """

    first_byte: int
    last_byte: int
    reason: str
    has_messages: bool
    from_ns: int | None = None
    to_ns: int | None = None
    counts: dict[str, int] = field(default_factory=dict)

    def __str__(self) -> str:
        """One line for a person."""
        text = f"bytes {self.first_byte} to {self.last_byte}: {self.reason}"
        if not self.has_messages:
            return text
        if self.from_ns is not None and self.to_ns is not None:
            text += f"; received {self.from_ns / 1e9:.3f} to {self.to_ns / 1e9:.3f} s"
        elif self.from_ns is not None:
            text += f"; received after {self.from_ns / 1e9:.3f} s"
        lost = ", ".join(f"{n} of '{topic}'" for topic, n in sorted(self.counts.items()))
        return f"{text}; messages lost: {lost or 'the file does not tell which'}"


@dataclass(slots=True)
class Inspection:
    """What a recording holds and what is wrong with it.

    Attributes:
        path: Its folder.
        data_path: Its MCAP file; None if there is none.
        header: The best copy of its header that proves itself; None if there is none.
        header_from: Where that copy comes from.
        is_running: Whether a recorder is writing it right now.
        is_closed: Whether the recorder finished it.
        problems: What is damaged, in words; empty for a whole recording.
        warnings: What is odd but harmless.
        losses: Damaged stretches of the data file.
        channels: Topic, absolute, and message type by channel number.
        texts: Definition of each message type, where the file still tells.
        found: Readable messages per topic.
        span: First and last receive time of a readable message [ns].
        is_data_exact: Whether the data file is byte for byte what was written.
    """

    path: Path
    data_path: Path | None = None
    header: RecordingHeader | None = None
    header_from: str = ""
    is_running: bool = False
    is_closed: bool = False
    problems: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    losses: list[Loss] = field(default_factory=list)
    channels: dict[int, tuple[str, str]] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    found: dict[str, int] = field(default_factory=dict)
    span: tuple[int, int] = (0, 0)
    is_data_exact: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether every byte is as it was written."""
        return not self.problems

    @property
    def lost(self) -> dict[str, int]:
        """Messages that were written and cannot be read any more, per topic, as far as the header tells."""
        if self.header is None:
            return {}
        counts = {t: r.received - self.found.get(t, 0) for t, r in self.header.topics.items()}
        return {t: n for t, n in counts.items() if n > 0}

    def topic(self, absolute: str) -> str:
        """Name as in ``il_core/topics.py`` of a topic in the data file."""
        prefix = (self.header.namespace.rstrip("/") if self.header else "") + "/"
        return absolute.removeprefix(prefix)
