"""Does the recorder keep up? Two cameras of 640x480 with depth at 30 Hz and joint states at 1 kHz, on two cores."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from benchmark.figures import Figure, figure, not_taken
from benchmark.record import pictures, transport
from il_core import topics
from il_core.store.recording import Recording

SECONDS, STOCK_SECONDS = 300.0, 60.0
QUICK_SECONDS, QUICK_STOCK_SECONDS = 30.0, 10.0
CORES = {0, 1}
RAW_MB_S = 95.0  # of both cameras, uncompressed: what the disk must have room for
IMAGES = tuple(t for c in pictures.CAMERAS for t in (topics.color(c), topics.depth(c)))
STOCK = transport.Cure("stock")
START_S = 30.0


@dataclass(slots=True)
class Outcome:
    """What one recording gave.

    Attributes:
        seconds: Its length [s].
        published: Messages published from the first recorded one on, per topic.
        recorded: Messages on disk, per topic.
        told: Losses the recorder itself accounts for, per topic.
        data_bytes: Size of the data file.
        busy_percent: Processor time per process, in percent of one core.
        memory_mb: Largest resident memory of the recorder [MB].
    """

    seconds: float
    published: dict[str, int] = field(default_factory=dict)
    recorded: dict[str, int] = field(default_factory=dict)
    told: dict[str, int] = field(default_factory=dict)
    data_bytes: int = 0
    busy_percent: dict[str, float] = field(default_factory=dict)
    memory_mb: float = 0.0

    def lost(self, names: tuple[str, ...]) -> int:
        """Messages published and not on disk."""
        return sum(self.published[t] - self.recorded[t] for t in names)


def record(cure: transport.Cure, folder: Path, file: Path, seconds: float) -> Outcome:
    """Record for a while over one transport, with the recorder as every user runs it.

    Raises:
        RuntimeError: a process failed, or the recorder refused; with its words.
    """
    environment = transport.environment(cure, folder)
    os.environ.update(environment)  # for the client in this process
    if not cure.builtin:
        os.environ.pop("FASTDDS_BUILTIN_TRANSPORTS", None)
    root = folder / "recordings"
    sources = {
        "cameras": ["benchmark.record.streams", "cameras", "--pictures", str(file), "--stamps", str(folder / "c.npz")],
        "states": ["benchmark.record.streams", "states", "--stamps", str(folder / "s.npz")],
        "recorder": ["il_teleop.ros.recorder_node", "--ros-args", "-p", f"root:={root}", "-p", "queue_mb:=512.0"],
    }
    with _running(sources, environment, folder) as processes:
        outcome = _take(processes, seconds, folder)
    path = next(p for p in (root / "pick_place").iterdir() if not p.name.endswith(".partial"))
    _account(outcome, path, folder)
    shutil.rmtree(root)
    return outcome


@contextmanager
def _running(
    sources: dict[str, list[str]], environment: dict[str, str], folder: Path
) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """The processes, on two cores, ended in any case."""
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, arguments in sources.items():
            with (folder / f"{name}.log").open("wb") as log:
                processes[name] = subprocess.Popen(
                    [sys.executable, "-m", *arguments], env=environment, stdout=log, stderr=subprocess.STDOUT
                )
            os.sched_setaffinity(processes[name].pid, CORES & os.sched_getaffinity(0) or os.sched_getaffinity(0))
        yield processes
    finally:
        for process in processes.values():
            process.terminate()
        for process in processes.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _take(processes: dict[str, subprocess.Popen[bytes]], seconds: float, folder: Path) -> Outcome:
    """Start, wait, stop and keep one recording; processor time is that between start and stop."""
    from il_cli.ros.session import Session
    from il_core.errors import GraphError

    watched = {name: psutil.Process(p.pid) for name, p in processes.items()}

    def check() -> None:
        for name, process in processes.items():
            if process.poll() is not None:
                raise RuntimeError(f"{name} ended: {(folder / f'{name}.log').read_text()[-500:]}")

    with Session("bench_record") as ros:
        end = time.monotonic() + START_S
        while True:
            check()
            try:
                ros.trigger(topics.RECORDER_START, START_S)
                break
            except GraphError as error:
                if time.monotonic() > end:
                    raise RuntimeError(str(error)) from error
                time.sleep(1.0)
        began, before, memory_mb = time.monotonic(), _busy(watched), 0.0
        while time.monotonic() - began < seconds:
            check()
            time.sleep(0.2)
            memory_mb = max(memory_mb, watched["recorder"].memory_info().rss / 1e6)
        taken_s, after = time.monotonic() - began, _busy(watched)
        for name in ("cameras", "states"):  # the last message published is the last to be recorded
            processes[name].send_signal(signal.SIGTERM)
        time.sleep(0.5)
        ros.trigger(topics.RECORDER_STOP, START_S)
        ros.trigger(topics.RECORDER_KEEP, 120.0)
        busy = {n: 100.0 * (after[n] - before[n]) / taken_s for n in watched}
    for name in ("cameras", "states"):
        processes[name].wait(20)
    return Outcome(taken_s, busy_percent=busy, memory_mb=memory_mb)


def _busy(processes: dict[str, psutil.Process]) -> dict[str, float]:
    """Processor time of each so far [s]."""
    return {name: sum(p.cpu_times()[:2]) for name, p in processes.items()}


def _account(outcome: Outcome, path: Path, folder: Path) -> None:
    """Compare what was published, told by the publishers, with what is on disk."""
    import numpy as np

    recording = Recording.open(path)
    outcome.data_bytes = recording.header.data_bytes
    stamps = {key: array for file in ("c.npz", "s.npz") for key, array in np.load(folder / file).items()}
    for topic, there in stamps.items():
        first_ns = next(stamp_ns for _, _, _, stamp_ns in recording.raw_messages([topic]))
        outcome.published[topic] = int(np.sum(there >= first_ns))
        outcome.recorded[topic] = recording.counts[topic]
        outcome.told[topic] = sum(recording.header.topics[topic].lost.values())


def figures(*, quick: bool) -> list[Figure]:
    """The figures of the project's transport, and the stock transport's beside them."""
    found: list[Figure] = []
    runs = (
        (transport.OURS, "", QUICK_SECONDS if quick else SECONDS),
        (STOCK, "stock transport: ", QUICK_STOCK_SECONDS if quick else STOCK_SECONDS),
    )
    for cure, prefix, seconds in runs:
        with tempfile.TemporaryDirectory(dir=_scratch()) as name:
            folder, file = Path(name), Path(name) / "pictures.npz"
            pictures.make(file)
            found += _figures(cure, prefix, folder, file, seconds)
    return found


def _scratch() -> str:
    """Folder on the disk that recordings go to: outputs/, not a /tmp that may lie in memory."""
    folder = Path("outputs/bench")
    folder.mkdir(parents=True, exist_ok=True)
    return str(folder)


def _figures(cure: transport.Cure, prefix: str, folder: Path, file: Path, seconds: float) -> list[Figure]:
    name = f"{prefix}recording {seconds:.0f} s of 2 cameras 640x480 and 1 kHz states"
    is_ours = cure is transport.OURS
    room_mb = shutil.disk_usage(folder).free / 1e6
    if room_mb < 1.2 * RAW_MB_S * seconds:
        reason = f"needs {1.2e-3 * RAW_MB_S * seconds:.0f} GB of disk, {room_mb / 1e3:.0f} GB are free"
        return [not_taken(f"{name}: frames lost", reason, "", "== 0" if is_ours else "")]
    try:
        got = record(cure, folder, file, seconds)
    except (RuntimeError, OSError) as error:
        return [not_taken(f"{name}: frames lost", repr(error), "", "== 0" if is_ours else "")]
    images, states = got.published, [t for t in got.published if t not in IMAGES]
    note = f"{sum(images[t] for t in IMAGES)} published; the recorder tells of {sum(got.told[t] for t in IMAGES)}"
    found = [
        figure(f"{name}: frames lost", got.lost(IMAGES), "", "== 0" if is_ours else "", note),
        figure(
            f"{name}: other messages lost",
            got.lost(tuple(states)),
            "",
            "== 0" if is_ours else "",
            f"{sum(images[t] for t in states)} published",
        ),
        figure(f"{name}: recorder, of one core", got.busy_percent["recorder"], "%", "<= 60" if is_ours else ""),
    ]
    for process in ("cameras", "states"):
        found.append(figure(f"{name}: publisher of {process}, of one core", got.busy_percent[process], "%"))
    mb = got.data_bytes / 1e6
    return [
        *found,
        figure(f"{name}: on disk", mb, "MB", "", f"{mb / got.seconds:.1f} MB/s"),
        figure(f"{name}: largest memory of the recorder", got.memory_mb, "MB"),
    ]


if __name__ == "__main__":
    from benchmark.figures import Bench

    bench = Bench(Path("outputs/bench/record_throughput.json"))
    bench.attempt("throughput", lambda: figures(quick=bool(os.environ.get("QUICK"))))
    sys.exit(bench.finish())
