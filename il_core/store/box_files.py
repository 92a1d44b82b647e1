"""Where black boxes are: one file of /dev/shm per recorder, so that a killed one loses nothing it had received.

A write to disk may block for tens of milliseconds while the file system commits its journal; what is received
meanwhile waits in memory of the process and would end with it. The receiving thread puts every message into a black
box as well, which no disk holds up, and the repair of the recording takes from it what the data file lacks.

A box survives the end of the process by any signal, not a crash of the machine or a power loss: these empty /dev/shm.
Without /dev/shm, or room in it, takes are recorded without a box.
"""

from __future__ import annotations

import atexit
import errno
import fcntl
import mmap
import os
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from il_core.store.black_box import TABLE_BYTES, BlackBox, Contents, contents_of, table_of

FOLDER = Path("/dev/shm")  # noqa: S108 - shared memory is what is wanted; ours is a folder of mode 0700 in it
# 0.35 s of two cameras of 640x480 with depth at 30 Hz (92 MB/s); writes blocked for up to 0.1 s were measured.
RING_BYTES = 32 << 20
SPARE = 4  # /dev/shm must have room for so many boxes: Fast DDS needs it as well

_free: list[BlackBox] = []  # boxes of this process without a take


def prepare() -> str:
    """Reserve the memory of the next take now, where it delays nothing.

    Returns:
        Why there is none, for a person; empty if there is.
    """
    try:
        _free.append(_free.pop() if _free else _made())
    except OSError as error:
        return (
            f"no black box in {FOLDER} ({error.strerror or error}): recording works, "
            "but what waits for the disk is lost if the recorder is killed"
        )
    return ""


def lend(data_path: Path, header: str, types: Mapping[str, str]) -> BlackBox | None:
    """A box that keeps the messages of a take, until :func:`give_back`; None if none can be had.

    Args:
        data_path: Data file of the take.
        header: Text of its header.
        types: Message type by topic.
    """
    try:
        box = _free.pop() if _free else _made()
    except OSError:
        return None
    try:
        box.begin(data_path, header, types)
    except OSError:
        give_back(box)
        return None
    return box


def give_back(box: BlackBox) -> None:
    """The take is on disk or removed: its messages are forgotten, its memory is for the next one."""
    box.end()
    _free.append(box)


def _forget_free() -> None:
    _free.clear()  # they are the parent's


os.register_at_fork(after_in_child=_forget_free)


@atexit.register
def _remove_free() -> None:
    for box in _free:
        box.path.unlink(missing_ok=True)


def read_box(data_path: Path) -> Contents | None:
    """What the dead writer of a data file had in its black box; None if there is none. Never raises.

    A box is that of a data file if it names its device, inode and name, and belongs to the same user.

    Args:
        data_path: Data file of an unfinished recording.
    """
    for path in sorted(FOLDER.glob("il_robot_*/box_*")):
        with suppress(OSError, ValueError, LookupError, TypeError), _of_the_dead(path) as fd:
            table = table_of(os.pread(fd, TABLE_BYTES, 0))
            if os.fstat(fd).st_uid == data_path.stat().st_uid and _names(table, data_path):
                return contents_of(os.pread(fd, os.fstat(fd).st_size, 0), table)
    return None


def _made() -> BlackBox:
    """Reserve memory, and give that of dead processes back.

    Raises:
        OSError: there is no shared memory, or no room in it.
    """
    folder = _own_folder()
    _sweep(folder)
    size = TABLE_BYTES + RING_BYTES
    room = os.statvfs(folder)
    if room.f_blocks and room.f_bavail * room.f_frsize < SPARE * size:
        raise OSError(errno.ENOSPC, f"less than {SPARE * size >> 20} MB free", str(FOLDER))
    name = os.urandom(16).hex()
    new, path = folder / f"new_{name}", folder / f"box_{name}"
    fd = os.open(new, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)  # says that we live, as long as the mapping keeps the file open
        os.posix_fallocate(fd, 0, size)  # else a full /dev/shm would end the process at some later write
        memory = mmap.mmap(fd, size, flags=mmap.MAP_SHARED | mmap.MAP_POPULATE)
        os.rename(new, path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    finally:
        os.close(fd)
    return BlackBox(path, memory)


def _names(table: Mapping[str, Any], data_path: Path) -> bool:
    found = data_path.stat()
    return (table["device"], table["inode"], Path(table["data"]).name) == (found.st_dev, found.st_ino, data_path.name)


@contextmanager
def _of_the_dead(path: Path) -> Iterator[int]:
    """A box whose process is gone, opened.

    Raises:
        OSError: its process lives, or it is not ours to read, or no plain file.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    try:
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise OSError(errno.EINVAL, "no plain file", str(path))
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        yield fd
    finally:
        os.close(fd)


def _own_folder() -> Path:
    folder = FOLDER / f"il_robot_{os.getuid()}"
    with suppress(FileExistsError):
        folder.mkdir(0o700)
    found = folder.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid() or found.st_mode & 0o077:
        raise OSError(errno.EPERM, f"{folder} is not a folder of ours alone", str(folder))
    return folder


def _sweep(folder: Path) -> None:
    """Remove boxes of dead processes that belong to no recording, or to one that is not there any more."""
    for path in folder.glob("box_*"):
        with suppress(OSError), _of_the_dead(path) as fd:
            try:
                is_wanted = _names((table := table_of(os.pread(fd, TABLE_BYTES, 0))), Path(table["data"]))
            except (FileNotFoundError, NotADirectoryError, ValueError, LookupError, TypeError):
                is_wanted = False
            if not is_wanted:
                path.unlink()
