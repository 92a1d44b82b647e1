"""Which transport loses no image? Two cameras of 640x480, colour and depth, 30 Hz, from one process to another."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from benchmark.figures import Figure, figure, not_taken
from benchmark.record import pictures
from il_core.graph import node_environment, transport_environment, transport_profile

SECONDS, QUICK_SECONDS = 20.0, 6.0
START_S = 2.0  # both processes run and know each other by then
STALL_S = 0.5  # the receiver is not run for so long: what a busy machine may do to it

LARGE_DATA = "LARGE_DATA?max_msg_size=2MB&sockets_size=2MB&non_blocking=true&tcp_negotiation_timeout=50"
STOCK_PROFILE = """<?xml version="1.0" encoding="UTF-8" ?><dds xmlns="http://www.eprosima.com"><profiles>
  <participant profile_name="stock" is_default_profile="true"><rtps><name>stock</name></rtps></participant>
</profiles></dds>"""
QUICK_HEARTBEAT = """<data_writer profile_name="quick" is_default_profile="true"><times>
    <heartbeat_period><sec>0</sec><nanosec>100000000</nanosec></heartbeat_period></times></data_writer>"""


@dataclass(frozen=True, slots=True)
class Cure:
    """One way of sending images.

    Attributes:
        name: In words.
        builtin: Value of FASTDDS_BUILTIN_TRANSPORTS, or "" for Fast DDS's own default.
        profile: Fast DDS XML profile, or "".
        best_effort: Whether publisher and receiver are best effort with depth 1; else as il_core/ros/qos.py.
    """

    name: str
    builtin: str = ""
    profile: str = ""
    best_effort: bool = False


def _shared_memory(mb: int, *, quick_heartbeat: bool = False) -> Cure:
    """The project's profile with another size, and with a lost message noticed within 0.1 s instead of 3 s."""
    text = transport_profile().read_text().replace("<segment_size>16777216<", f"<segment_size>{mb << 20}<")
    if quick_heartbeat:
        text = text.replace("</profiles>", QUICK_HEARTBEAT + "</profiles>")
    return Cure(f"shared memory of {mb} MB{', heartbeat 0.1 s' * quick_heartbeat}", profile=text)


CURES = (
    Cure("stock transport, best effort", best_effort=True),
    Cure("stock transport, reliable"),
    Cure("UDP with 8 MB sockets", builtin="UDPv4?sockets_size=8MB"),
    *(_shared_memory(mb) for mb in (8, 64)),
    _shared_memory(16, quick_heartbeat=True),
    Cure("LARGE_DATA", builtin="LARGE_DATA"),
    Cure("LARGE_DATA of 2 MB", builtin=LARGE_DATA),
    Cure("config/dds/fastdds.xml: shared memory of 16 MB", profile=transport_profile().read_text()),
)
OURS = CURES[-1]


@dataclass(frozen=True, slots=True)
class Found:
    """What one run gave: losses in percent of all messages, the worst topic, silence, and processor time."""

    lost_percent: float
    worst_percent: float
    lost: int
    gap_s: float
    age_s: float
    publisher_percent: float
    receiver_percent: float


def environment(cure: Cure, folder: Path) -> dict[str, str]:
    """This process's environment with the cure in place of any other transport setting."""
    base = {k: v for k, v in os.environ.items() if not k.startswith(("FASTDDS", "FASTRTPS", "RMW_FASTRTPS"))}
    ours = node_environment(base)
    values = {k: v for k, v in ours.items() if not k.startswith(("FASTDDS", "FASTRTPS"))}
    values["PYTHONPATH"] = str(Path.cwd())
    if cure.builtin:
        values["FASTDDS_BUILTIN_TRANSPORTS"] = cure.builtin
    file = folder / "profile.xml"
    file.write_text(cure.profile or STOCK_PROFILE)  # our nodes would read their own where no file is named
    return values | dict.fromkeys(transport_environment(base), str(file))


def run(cure: Cure, folder: Path, file: Path, seconds: float, stall_s: float) -> Found:
    """Send and count.

    Raises:
        RuntimeError: the two processes did not find each other, or one failed.
    """
    effort = ["--best-effort"] if cure.best_effort else []
    common: dict[str, Any] = {"env": environment(cure, folder), "stdout": subprocess.PIPE, "text": True}
    module = [sys.executable, "-m"]
    sink = subprocess.Popen([*module, "benchmark.record.sink", *effort], **common)
    arguments = ["cameras", "--pictures", str(file), "--seconds", str(seconds), "--wait", *effort]
    source = subprocess.Popen([*module, "benchmark.record.streams", *arguments], **common)
    watched = [psutil.Process(p.pid) for p in (source, sink)]
    try:
        before, used = _busy_s(watched), [0.0, 0.0]
        stall_at_s = time.monotonic() + START_S + seconds / 2 if stall_s else math.inf
        while source.poll() is None:
            if time.monotonic() > stall_at_s:
                stall_at_s = math.inf
                sink.send_signal(signal.SIGSTOP)
                time.sleep(stall_s)
                sink.send_signal(signal.SIGCONT)
            used = [b - a for a, b in zip(before, _busy_s(watched), strict=True)]
            with_timeout(source, 0.2)
        sink.send_signal(signal.SIGTERM)
        received = json.loads(sink.communicate(timeout=30)[0])
        sent = json.loads(source.communicate()[0])
    finally:
        for process in (source, sink):
            process.kill()
            process.wait()
    if "error" in sent:
        raise RuntimeError(sent["error"])
    losses = {t: n - received["counts"][t] for t, n in sent["counts"].items()}
    shares = [100.0 * losses[t] / n for t, n in sent["counts"].items()]
    return Found(
        100.0 * sum(losses.values()) / sum(sent["counts"].values()),
        max(shares),
        sum(losses.values()),
        received["gap_s"],
        received["age_s"],
        *(100.0 * s / sent["seconds"] for s in used),
    )


def with_timeout(process: subprocess.Popen[str], seconds: float) -> None:
    """Wait for a process, but not longer."""
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        return


def _busy_s(processes: list[psutil.Process]) -> list[float]:
    """Processor time of each so far [s]; of one that ended, what it had last cannot be asked: zero."""
    result = []
    for process in processes:
        try:
            times = process.cpu_times()
            result.append(times.user + times.system)
        except psutil.Error:
            result.append(0.0)
    return result


def figures(*, quick: bool) -> list[Figure]:
    """Losses and processor time of every cure, undisturbed and with one stall of the receiver."""
    seconds = QUICK_SECONDS if quick else SECONDS
    found: list[Figure] = []
    with tempfile.TemporaryDirectory() as name:
        folder, file = Path(name), Path(name) / "pictures.npz"
        pictures.make(file)
        for cure in (CURES[0], CURES[1], OURS) if quick else CURES:
            for stall_s in (0.0, STALL_S):
                found += _tell(cure, folder, file, seconds, stall_s)
    return found


def _tell(cure: Cure, folder: Path, file: Path, seconds: float, stall_s: float) -> list[Figure]:
    how = f"receiver stopped for {stall_s} s" if stall_s else "undisturbed"
    name = f"transport: {cure.name}, {how}: images lost"
    bound = "== 0" if cure is OURS else ""
    try:
        got = run(cure, folder, file, seconds, stall_s)
    except (RuntimeError, OSError, subprocess.SubprocessError, ValueError) as error:
        return [not_taken(name, repr(error), "%", bound)]
    note = (
        f"{got.lost} lost, worst topic {got.worst_percent:.1f} %, longest silence {got.gap_s:.2f} s, oldest "
        f"{got.age_s:.2f} s, processor: publisher {got.publisher_percent:.0f} %, receiver {got.receiver_percent:.0f} %"
    )
    return [figure(name, got.lost_percent, "%", bound, note)]


if __name__ == "__main__":
    from benchmark.figures import Bench

    bench = Bench(Path("outputs/bench/record_transport.json"))
    bench.attempt("transport", lambda: figures(quick=bool(os.environ.get("QUICK"))))
    sys.exit(bench.finish())
