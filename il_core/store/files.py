"""Files that are on disk when they say so."""

from __future__ import annotations

import fcntl
import os
import zlib
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

MOST_PARTS = 1024  # of one call: what Linux takes (IOV_MAX)


class Sink:
    """Unbuffered file that counts and checks what passes, so that each chunk reaches the kernel."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        with suppress(OSError):  # not every file system knows locks
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the kernel lets go of it when we die
        self.bytes = 0
        self.crc32 = 0
        self._failure: OSError | None = None

    def write(self, *parts: bytes, crc32: int | None = None) -> None:
        """Write all of them, one after another.

        Args:
            parts: What to write.
            crc32: CRC of the whole file with them, if it is known.

        Raises:
            OSError: the disk refuses, or has refused before: nothing may follow what is half written.
        """
        if self._failure is not None:
            raise OSError(self._failure.errno, self._failure.strerror)
        if crc32 is None:
            crc32 = self.crc32
            for part in parts:
                crc32 = zlib.crc32(part, crc32)
        try:
            for at in range(0, len(parts), MOST_PARTS):
                self._write(parts[at : at + MOST_PARTS])
        except OSError as error:
            self._failure = error
            raise
        self.crc32 = crc32

    def _write(self, parts: Sequence[bytes]) -> None:
        n = os.writev(self._fd, parts)
        self.bytes += n
        if n == sum(map(len, parts)):
            return
        rest = memoryview(b"".join(parts))[n:]  # cut short: the disk is full, or a signal came
        while rest:
            n = os.write(self._fd, rest)
            self.bytes += n
            rest = rest[n:]

    def close(self, *, durable: bool) -> None:
        """Close, after fsync if ``durable``; a second call does nothing."""
        if self._fd < 0:
            return
        fd, self._fd = self._fd, -1
        try:
            if durable:
                os.fsync(fd)
        finally:
            os.close(fd)


def is_being_written(path: Path) -> bool:
    """Whether a living process is writing a file through a :class:`Sink`."""
    fd = os.open(path, os.O_RDONLY)
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    finally:
        os.close(fd)
    return False


def write_durably(path: Path, text: str) -> None:
    """Write a small file and wait until it is on disk."""
    with path.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())


def sync_folder(folder: Path) -> None:
    """Wait until a folder's entries are on disk."""
    fd = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)
