"""A recorder killed at random instants; the order of writes of LeRobot datasets beside it; what durability costs."""

from __future__ import annotations

import json
import mmap
import os
import random
import shutil
import signal
import statistics
import struct
import tempfile
import time
import zlib
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from dataclasses import replace as changed
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from mcap.writer import CompressionType, Writer

from benchmark.figures import Figure, figure
from benchmark.record.feed import HEADER, Source, accounts, schedule, sources
from il_core.clock import ManualClock, SystemClock
from il_core.errors import IlError
from il_core.store.box_files import give_back, lend, prepare
from il_core.store.header import header_text
from il_core.store.msgdefs import definition
from il_core.store.recording import Recording, RecordingWriter
from il_core.store.repair import repair_recording
from il_core.store.writer import PARTIAL
from il_core.types import Outcome
from il_teleop.take import Take

KILLS, QUICK_KILLS = 300, 30
MOST_LOST_MS = 50.0
EPISODE_S = (0.3, 1.0)  # the shortest and longest episode; short ones are committed more often, the harder case
ALIVE_S = (0.05, 2.5)  # how long a recorder lives before it is killed
QUEUE_BYTES = 256_000_000
PRIORITY = 20  # RECORDING_PRIORITY of il_core/ros/node.py: the recorder runs under SCHED_FIFO where the kernel lets it


class Board:
    """What a process has acknowledged, in memory that outlives it."""

    _NUMBERS = 64

    def __init__(self) -> None:
        """All zero."""
        self._memory = mmap.mmap(-1, 8 * self._NUMBERS)

    def __getitem__(self, i: int) -> int:
        """A number."""
        return int(struct.unpack_from("<Q", self._memory, 8 * i)[0])

    def __setitem__(self, i: int, value: int) -> None:
        """Write a number; eight aligned bytes, so never half of it."""
        struct.pack_into("<Q", self._memory, 8 * i, value)


COMMITTED, STARTED, RECEIVED, FIRST_NS, LAST_NS, REAL_TIME, COUNT = range(
    7
)  # COUNT + k: messages of committed episode k


def try_realtime() -> bool:
    """As the recorder node does before it starts its threads."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(PRIORITY))
    except OSError:
        return False
    return True


def record_until_killed(root: Path, found: tuple[Source, ...], board: Board, seed: int) -> None:
    """Record one episode after another at real rates, through the recorder's own queue and writer thread."""
    board[REAL_TIME] = try_realtime()
    rng, clock, k = random.Random(seed), SystemClock(), 0
    while True:
        take = Take(RecordingWriter(root, HEADER, clock, f"episode_{k:03d}"), accounts(found), QUEUE_BYTES)
        board[RECEIVED] = board[FIRST_NS] = board[LAST_NS] = 0
        board[STARTED] = k + 1
        received = 0
        for due_ns, source in schedule(found, rng.uniform(*EPISODE_S), clock.now_ns()):
            behind_ns = clock.now_ns() - due_ns
            if behind_ns < 0:
                time.sleep(-behind_ns / 1e9)
            elif behind_ns > 50_000_000 and source.plan.is_image:
                continue  # a camera does not wait for a busy machine either
            now_ns = clock.now_ns()
            take.receive(source.plan.name, source.message(due_ns), now_ns)
            received += 1
            board[LAST_NS] = now_ns
            board[FIRST_NS] = board[FIRST_NS] or now_ns
            board[RECEIVED] = received
        take.commit(Outcome.SUCCESS).result()
        board[COUNT + k] = received
        board[COMMITTED] = k = k + 1


def killed(work: Callable[[], None], alive_s: float) -> None:
    """Run a function in a process of its own and kill that without warning."""
    pid = os.fork()
    if pid == 0:
        try:
            with open(os.devnull, "w") as silence, redirect_stdout(silence):
                work()
        finally:
            os._exit(1)  # it never ends by itself
    time.sleep(alive_s)
    os.kill(pid, signal.SIGKILL)
    status = os.waitpid(pid, 0)[1]
    if os.waitstatus_to_exitcode(status) != -signal.SIGKILL:
        raise RuntimeError(f"the writer ended before it was killed, with status {status}")


@dataclass(slots=True)
class Tally:
    """What many kills cost."""

    committed: int = 0
    committed_lost: int = 0
    unreadable: int = 0
    running: int = 0
    lost_ms: list[float] = field(default_factory=list)
    lost_messages: int = 0
    received: int = 0
    real_time: int = 0
    received_s: float = 0.0


def judge(root: Path, board: Board, tally: Tally) -> None:
    """Compare what is on disk with what was acknowledged."""
    folder = root / HEADER.task
    for k in range(board[COMMITTED]):
        tally.committed += 1
        try:
            recording = Recording.open(folder / f"episode_{k:03d}")
            n = sum(1 for _ in recording.raw_messages())
        except IlError:
            n = -1
        tally.committed_lost += n != board[COUNT + k]
    running = board[STARTED] - 1
    if running < board[COMMITTED] or not board[RECEIVED]:
        return
    tally.running += 1
    tally.real_time += board[REAL_TIME]
    tally.received += board[RECEIVED]
    tally.received_s += (board[LAST_NS] - board[FIRST_NS]) / 1e9
    path = folder / f"episode_{running:03d}"
    saved, last_ns = 0, board[FIRST_NS]
    try:
        if not path.exists():
            repair_recording(path.with_name(path.name + PARTIAL))
        logs = [log_ns for _, _, log_ns, _ in Recording.open(path).raw_messages()]
        saved, last_ns = len(logs), max(logs, default=last_ns)
    except IlError:
        # Killed before the first message was written: nothing to read, unless it had been received for long.
        tally.unreadable += board[LAST_NS] - board[FIRST_NS] > MOST_LOST_MS * 1e6
    tally.lost_messages += max(board[RECEIVED] - saved, 0)
    tally.lost_ms.append(max(board[LAST_NS] - last_ns, 0) / 1e6)


def recorder(kills: int) -> list[Figure]:
    """Our recorder, killed."""
    found, rng, tally = sources(), random.Random(0), Tally()
    for k in range(kills):
        root, board = Path(tempfile.mkdtemp(prefix="durability_", dir="outputs/bench")), Board()
        try:
            killed(lambda r=root, b=board, s=k: record_until_killed(r, found, b, s), rng.uniform(*ALIVE_S))
            judge(root, board, tally)
        finally:
            shutil.rmtree(root)
    name = f"{kills} SIGKILLs at random instants"
    note = f"{tally.committed} committed, {tally.running} running when killed"
    mean_hz = tally.received / tally.received_s if tally.received_s else 0.0
    return [
        figure(f"{name}: committed episodes lost", tally.committed_lost, "", "== 0", note),
        figure(f"{name}: unreadable files", tally.unreadable, "", "== 0"),
        figure(
            f"{name}: most lost of the running episode", max(tally.lost_ms), "ms", f"<= {MOST_LOST_MS:.0f}",
            f"{tally.lost_messages} of {tally.received} messages received; {tally.real_time} of {tally.running} "
            "with the real-time priority of the recorder node",
        ),
        figure(f"{name}: lost of the running episode, median", statistics.median(tally.lost_ms), "ms"),
        figure(f"{name}: messages received while recording", mean_hz, "Hz", "", "1120 Hz are sent; images yield first"),
    ]  # fmt: skip


def lerobot_until_killed(root: Path, board: Board, seed: int) -> None:
    """LeRobot v3's order of writes: one Parquet file for many episodes, its footer when all is over.

    As in lerobot 0.4 ``datasets/lerobot_dataset.py``: ``save_episode`` adds a row group to the open data file,
    buffers ten rows of episode metadata, and writes info.json; ``finalize`` closes the writers.
    """
    rng, k = random.Random(seed), 0
    vectors = [(name, pa.list_(pa.float32(), 7)) for name in ("action", "observation.state")]
    numbers = [("timestamp", pa.float32()), ("frame_index", pa.int64()), ("episode_index", pa.int64())]
    row = pa.schema([*vectors, *numbers])
    (root / "meta/episodes").mkdir(parents=True)
    data = pq.ParquetWriter(root / "data.parquet", row, compression="snappy")
    episodes = pq.ParquetWriter(root / "meta/episodes/file-000.parquet", pa.schema([("episode_index", pa.int64())]))
    buffered: list[int] = []
    while True:
        board[STARTED] = k + 1
        frames: list[dict[str, object]] = []
        end = time.monotonic() + rng.uniform(*EPISODE_S) / 3  # so that a second of life holds several
        while time.monotonic() < end:
            vector = [float(len(frames))] * 7
            frames.append({"action": vector, "observation.state": vector, "timestamp": len(frames) / 30,
                           "frame_index": len(frames), "episode_index": k})  # fmt: skip
            time.sleep(1 / 30)
        data.write_table(pa.Table.from_pylist(frames, row))
        buffered.append(k)
        if len(buffered) >= 10:
            episodes.write_table(pa.table({"episode_index": buffered}))
            buffered = []
        (root / "meta/info.json").write_text(json.dumps({"total_episodes": k + 1}))
        board[COMMITTED] = k = k + 1


def lerobot(kills: int) -> list[Figure]:
    """The same with LeRobot's order of writes."""
    rng, committed, lost, unreadable, sessions = random.Random(1), 0, 0, 0, 0
    for k in range(kills):
        root, board = Path(tempfile.mkdtemp(prefix="lerobot_", dir="outputs/bench")), Board()
        try:
            killed(lambda r=root, b=board, s=k: lerobot_until_killed(r, b, s), rng.uniform(0.05, 1.5))
            if not board[COMMITTED]:
                continue
            sessions += 1
            committed += board[COMMITTED]
            try:
                kept = set(pq.read_table(root / "data.parquet")["episode_index"].to_pylist())
            except (OSError, pa.ArrowException):
                kept, unreadable = set(), unreadable + 1
            lost += board[COMMITTED] - len(kept & set(range(board[COMMITTED])))
        finally:
            shutil.rmtree(root)
    name = f"LeRobot's order of writes, {kills} SIGKILLs"
    note = f"of {committed} saved in {sessions} sessions; states only, its video files are closed per episode"
    return [
        figure(f"{name}: saved episodes lost", lost, "", "", note),
        figure(f"{name}: unreadable files", unreadable),
    ]


def cost(seconds: float) -> list[Figure]:
    """CPU and bytes of our writer, and of plain MCAP with chunks of 1 MiB and no sums, on the same messages."""
    found = sources()
    messages = [(s, s.message(t), t) for t, s in schedule(found, seconds, 10**18)]
    root = Path(tempfile.mkdtemp(prefix="cost_", dir="outputs/bench"))
    try:
        prepare()  # once per process, not per take
        begin = time.process_time()
        writer = RecordingWriter(root, changed(HEADER, created_ns=10**18), ManualClock(10**18), "ours")
        for source in found:
            writer.add_topic(source.plan.name, source.plan.type)
        box = lend(writer.data_path, header_text(writer.header), {s.plan.name: s.plan.type for s in found})
        for source, data, t in messages:
            crc32 = zlib.crc32(data)
            if box is not None:
                box.put(source.plan.name, data, t, t, crc32)
            writer.append(source.plan.name, data, t, t, crc32)
        path = writer.commit()
        if box is not None:
            give_back(box)
        ours_s, ours_bytes = time.process_time() - begin, Recording.open(path).header.data_bytes
        begin = time.process_time()
        with (root / "plain.mcap").open("wb") as file:
            plain = Writer(file, compression=CompressionType.LZ4, enable_crcs=False)
            plain.start("ros2")
            ids = {}
            for source in found:
                schema = plain.register_schema(source.plan.type, "ros2msg", definition(source.plan.type).encode())
                ids[source.plan.name] = plain.register_channel(source.plan.name, "cdr", schema)
            for source, data, t in messages:
                plain.add_message(ids[source.plan.name], t, data, t)
            plain.finish()
        plain_s, plain_bytes = time.process_time() - begin, (root / "plain.mcap").stat().st_size
    finally:
        shutil.rmtree(root)
    joints = [m for m in messages if not m[0].plan.is_image]
    name = "writing 2 cameras with depth and 1 kHz joint states"
    return [
        figure(f"{name}: CPU", 100 * ours_s / seconds, "% of a core", "", f"{len(joints)} joint states among them"),
        figure(f"{name}: CPU of plain MCAP, 1 MiB chunks, no sums", 100 * plain_s / seconds, "% of a core"),
        figure(f"{name}: disk", ours_bytes / seconds / 1e6, "MB/s"),
        figure(f"{name}: bytes over plain MCAP", 100 * (ours_bytes / plain_bytes - 1), "%"),
    ]


def figures(*, quick: bool) -> list[Figure]:
    """All of it.

    Args:
        quick: A tenth of the kills.
    """
    Path("outputs/bench").mkdir(parents=True, exist_ok=True)
    kills = QUICK_KILLS if quick else KILLS
    return [*recorder(kills), *lerobot(kills), *cost(2.0)]
