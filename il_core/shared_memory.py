"""Fast DDS's shared-memory segments on this machine: those killed processes left, and those too small for images.

Fast DDS never removes a segment whose process was killed, and each keeps its RAM. A living process whose segment
is small does not use this project's transport (config/dds/fastdds.xml), so images it publishes get lost.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path("/dev/shm")
_SEGMENT = re.compile(r"fastdds_[0-9a-f]{16}")
_LOCK = "_el"  # its owner holds a lock on this file as long as it lives
# A process creates the lock file a moment before it locks it.
_YOUNG_S = 30.0


# The profile's segment is 16 MiB and a few pages; the default's is 0.5 MiB.
ROOMY_BYTES = 16 << 20


@dataclass(frozen=True, slots=True)
class Peer:
    """A process that takes part in some ROS graph of this machine.

    Attributes:
        pid: Its number.
        command: Its command line, shortened.
        segment_bytes: Size of the memory it publishes through.
    """

    pid: int
    command: str
    segment_bytes: int


def _segments(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in sorted(folder.iterdir()) if _SEGMENT.fullmatch(path.name))


def cramped_peers(folder: Path = FOLDER, locks: Path = Path("/proc/locks")) -> list[Peer]:
    """Living processes whose shared memory is too small to publish images through, whatever their domain.

    Args:
        folder: Where the system keeps shared memory.
        locks: The kernel's list of locks, which names the owner of every segment.
    """
    if not locks.is_file():
        return []
    # such as `1: FLOCK  ADVISORY  WRITE 4711 00:1b:93 0 EOF`: owner, then device and inode of the file
    rows = (line.split() for line in locks.read_text().splitlines())
    owners = {row[5]: int(row[4]) for row in rows if len(row) > 5 and row[1] == "FLOCK"}
    largest: dict[int, int] = {}  # a process may have small segments beside the one it publishes through
    for path in _segments(folder):
        with contextlib.suppress(OSError):  # gone meanwhile
            size, lock = path.stat().st_size, path.with_name(path.name + _LOCK).stat()
            where = f"{os.major(lock.st_dev):02x}:{os.minor(lock.st_dev):02x}:{lock.st_ino}"
            if where in owners:
                largest[owners[where]] = max(size, largest.get(owners[where], 0))
    return [Peer(pid, _command(pid), size) for pid, size in sorted(largest.items()) if size < ROOMY_BYTES]


def _command(pid: int) -> str:
    """What a process was started with; its number alone where that is hidden."""
    with contextlib.suppress(OSError):
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        return " ".join(word.decode(errors="replace") for word in words if word)[:120]
    return f"process {pid}"


def dead_segments(now_s: float, folder: Path = FOLDER) -> list[Path]:
    """Segments whose process is gone.

    Args:
        now_s: Current time since the Unix epoch [s].
        folder: Where the system keeps shared memory.
    """
    found = []
    for path in _segments(folder):
        with contextlib.suppress(OSError):  # gone meanwhile, or somebody else's
            if now_s - path.stat().st_mtime > _YOUNG_S and _is_unlocked(path.with_name(path.name + _LOCK)):
                found.append(path)
    return found


def _is_unlocked(lock: Path) -> bool:
    """Whether nobody holds a lock file.

    Raises:
        OSError: it is not there, or not ours.
    """
    fd = os.open(lock, os.O_RDWR)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    finally:
        os.close(fd)  # gives the lock back too
    return True


def remove_dead_segments(now_s: float, folder: Path = FOLDER) -> int:
    """Give the memory of killed processes back.

    Returns:
        Bytes given back.
    """
    freed = 0
    for path in dead_segments(now_s, folder):
        with contextlib.suppress(OSError):
            size = path.stat().st_blocks * 512
            path.unlink()
            path.with_name(path.name + _LOCK).unlink()
            freed += size
    return freed
