"""Recordings and datasets damaged at random: is every damage noticed, and how much comes back?"""

from __future__ import annotations

import io
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from unittest.mock import patch

import numpy as np
from mcap.reader import NonSeekingReader

from benchmark.figures import Figure, figure
from benchmark.record.feed import HEADER, schedule, sources
from il_core.clock import ManualClock
from il_core.config import Setup, load_setup
from il_core.errors import IlError
from il_core.store import mcap_writer
from il_core.store.episodes import EpisodeStore
from il_core.store.inspect import inspect_recording
from il_core.store.mcap_records import Chunk
from il_core.store.mcap_scan import scan
from il_core.store.recording import Recording, RecordingWriter
from il_core.store.repair import repair_recording
from il_core.store.writer import PARTIAL
from il_core.types import ArmState, CameraFrame, Episode, Intrinsics, Observation, Outcome
from il_teleop.dataset.repair import inspect_dataset, repair_dataset

FILES, QUICK_FILES = 10_000, 500
SMALL_CHUNK_BYTES = 4096  # so that small pictures have chunks of their own, as large ones do
SHARES = {"recording": 0.6, "unfinished": 0.25, "dataset": 0.15}
T0 = 1_700_000_000_000_000_000
Damage = list[tuple[int, int]]  # stretches of the original that are gone or changed


def corrupted(data: bytes, kind: str, rng: random.Random) -> tuple[bytes, Damage]:
    """Damage bytes; always changes them.

    Returns:
        The damaged bytes, and the stretches of the original that were hit.
    """
    n = len(data)
    at = rng.randrange(n)
    if kind == "truncated":
        return data[:at], [(at, n)]
    if kind == "cut out":
        end = min(n, at + rng.randrange(1, 5000))
        return data[:at] + data[end:], [(at, end)]
    if kind == "put in":
        return data[:at] + rng.randbytes(rng.randrange(1, 5000)) + data[at:], [(max(at - 1, 0), at + 1)]
    made = bytearray(data)
    if kind == "overwritten":  # a sector of zeros or of somebody else's data
        end = min(n, at + rng.choice([512, 4096]))
        made[at:end] = bytes(end - at) if rng.random() < 0.5 else rng.randbytes(end - at)
        damage = [(at, end)]
    else:
        places = rng.sample(range(n), min(n, 1 if kind == "one bit" else rng.randrange(2, 30)))
        for place in places:
            made[place] ^= 1 << rng.randrange(8)
        damage = [(place, place + 1) for place in places]
    return (bytes(made), damage) if bytes(made) != data else corrupted(data, kind, rng)


KINDS = ("truncated", "one bit", "bits", "overwritten", "cut out", "put in")


@dataclass(slots=True)
class Base:
    """A whole recording: its files and messages."""

    path: Path
    files: dict[str, bytes]
    messages: set[tuple[str, bytes, int, int]]
    chunks: list[tuple[int, int, set[tuple[bytes, int, int]]]]  # first byte, byte after the last, messages


@dataclass(slots=True)
class Tally:
    """What many damaged files showed."""

    crashes: int = 0
    silent: int = 0
    wrong: int = 0
    intact: int = 0
    saved: int = 0
    present: int = 0
    back: int = 0
    plain: int = 0
    plain_present: int = 0
    single: int = 0
    mended: int = 0
    episodes_intact: int = 0
    episodes_saved: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


def make_recording(root: Path, *, is_finished: bool, seed_ns: int) -> Base:
    """Record 0.6 s of small pictures and joint states."""
    found = sources(64, 48)
    writer = RecordingWriter(root, HEADER, ManualClock(T0 + seed_ns))
    for source in found:
        writer.add_topic(source.plan.name, source.plan.type)
    messages = set()
    with patch.object(mcap_writer, "CHUNK_BYTES", SMALL_CHUNK_BYTES):
        for t, source in schedule(found, 0.6, T0 + seed_ns):
            data = source.message(t)
            writer.append(source.plan.name, data, t + 100_000, t)
            messages.add((source.plan.name, data, t + 100_000, t))
    if is_finished:
        path = writer.commit(Outcome.SUCCESS)
    else:
        writer.flush()
        path = shutil.copytree(writer.partial, root / "kept" / writer.partial.name)
        writer.discard()
    files = {p.name: p.read_bytes() for p in sorted(path.iterdir())}
    data = next(d for name, d in files.items() if name.endswith(".mcap"))
    found_chunks = [c for c in scan(data) if isinstance(c, Chunk)]
    chunks = [(c.start, c.end, {(m.data, m.log_ns, m.publish_ns) for m in c.messages}) for c in found_chunks]
    return Base(path, files, messages, chunks)


def make_dataset(root: Path, setup: Setup) -> Path:
    """Three short episodes with a camera."""
    rng = np.random.default_rng(0)
    store = EpisodeStore.create(root / "dataset", setup)
    intrinsics = Intrinsics(8, 6, 10.0, 10.0, 4.0, 3.0)
    for name in ("one", "two", "three"):
        seen = []
        for k in range(6):
            t = T0 + k * 100_000_000
            arm = ArmState(t, *rng.normal(size=(3, 7)), 0.5)
            frame = CameraFrame(t, "eye", rng.integers(0, 256, (6, 8, 3), np.uint8), np.ones((6, 8), "f4"), intrinsics)
            seen.append(Observation(t, np.eye(4), arm, {"eye": frame}, {"arm": 0, "camera/eye": 0}))
        store.add(Episode(name, tuple(seen), np.tile(np.eye(4), (6, 1, 1)), np.zeros(6), Outcome.SUCCESS, 10))
    return store.path


def one_recording(base: Base, like: Path, folder: Path, rng: random.Random, tally: Tally) -> None:
    """Damage one file of a recording; read, check and repair what is left."""
    names = list(base.files)
    data_name = next(n for n in names if n.endswith(".mcap"))
    name = data_name if rng.random() < 0.8 else rng.choice(names)
    kind = rng.choice(KINDS)
    damaged, hits = corrupted(base.files[name], kind, rng)
    folder.mkdir()
    for other, data in base.files.items():
        (folder / other).write_bytes(damaged if other == name else data)
    if inspect_recording(folder).is_whole:
        tally.silent += 1
        tally.failures.append(f"{kind} in {name} was not noticed")
    if folder.suffix != PARTIAL:
        tally.silent += reads_changed_data(folder, base, name)
    if name != data_name:
        hits = []
    intact: set[tuple[bytes, int, int]] = set()
    for start, end, messages in base.chunks:
        if all(b <= start or a >= end for a, b in hits):
            intact |= messages
    saved: set[tuple[str, bytes, int, int]] = set()
    try:
        saved = set(Recording.open(repair_recording(folder, like=like).path).raw_messages())
    except IlError as error:
        tally.refused[str(error).rsplit(": ", 1)[-1][:60]] += 1
    tally.wrong += len(saved - base.messages)
    tally.intact += len(intact)
    tally.saved += len(intact & {m[1:] for m in saved})
    tally.present += len(base.messages)
    if name == data_name:
        tally.plain_present += len(base.messages)
        tally.plain += plain_reader(damaged)
    tally.back += len(saved)
    if kind == "one bit" and name == data_name and folder.suffix != PARTIAL:
        tally.single += 1
        tally.mended += len(saved) == len(base.messages)


def reads_changed_data(folder: Path, base: Base, name: str) -> int:
    """1 if a damaged recording opens and gives anything but the original messages."""
    try:
        return int(set(Recording.open(folder).raw_messages()) != base.messages or not name.endswith(".yaml"))
    except IlError:
        return 0


def plain_reader(data: bytes) -> int:
    """Messages that the reader of the MCAP library gives before it gives up."""
    n = 0
    try:
        for _ in NonSeekingReader(io.BytesIO(data), validate_crcs=True, record_size_limit=1 << 28).iter_messages(
            log_time_order=False
        ):
            n += 1
    except Exception:  # noqa: BLE001 - it raises whatever the bytes lead to
        return n
    return n


def one_dataset(base: Path, folder: Path, rng: random.Random, tally: Tally) -> None:
    """Damage one file of a dataset; check and repair it."""
    shutil.copytree(base, folder)
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    file = rng.choice(files)
    kind = rng.choice(KINDS)
    file.write_bytes(corrupted(file.read_bytes(), kind, rng)[0])
    if not inspect_dataset(folder).problems:
        tally.silent += 1
        tally.failures.append(f"{kind} in {file.name} was not noticed")
    untouched = 3 - (file.suffix == ".parquet")
    tally.episodes_intact += untouched
    try:
        store = EpisodeStore.open(repair_dataset(folder).path)
        tally.episodes_saved += min(len(store), untouched)
        tally.wrong += sum(not store.is_intact(i) for i in range(len(store)))
    except IlError as error:
        tally.refused[str(error).rsplit(": ", 1)[-1][:60]] += 1


def figures(*, quick: bool) -> list[Figure]:
    """Damage many files.

    Args:
        quick: A twentieth of them.
    """
    many, rng, tally = QUICK_FILES if quick else FILES, random.Random(0), Tally()
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None  # noqa: S108 - tens of thousands of small files
    root = Path(tempfile.mkdtemp(prefix="corruption_", dir=memory))
    try:
        like = make_recording(root / "like", is_finished=True, seed_ns=10**9)
        bases = {
            "recording": make_recording(root / "base", is_finished=True, seed_ns=0),
            "unfinished": make_recording(root / "base", is_finished=False, seed_ns=2 * 10**9),
        }
        dataset = make_dataset(root, load_setup("pick_place"))
        alarms = len(inspect_recording(bases["recording"].path).problems) + len(inspect_dataset(dataset).problems)
        begin = time.monotonic()
        for k in range(many):
            what = rng.choices(list(SHARES), list(SHARES.values()))[0]
            case = root / f"case_{k}"
            case.mkdir()
            try:
                if what == "dataset":
                    one_dataset(dataset, case / "dataset", rng, tally)
                else:
                    one_recording(bases[what], like.path, case / bases[what].path.name, rng, tally)
            except Exception as error:  # noqa: BLE001 - counting these is the point
                tally.crashes += 1
                tally.failures.append(f"case {k}, {what}: {error!r}")
            shutil.rmtree(case)
        taken_ms = 1e3 * (time.monotonic() - begin) / many
    finally:
        shutil.rmtree(root)
    return _figures(many, tally, alarms, taken_ms)


def _figures(many: int, tally: Tally, alarms: int, taken_ms: float) -> list[Figure]:
    name = f"{many} corrupted files"
    first = "; ".join(tally.failures[:3])
    refused = "; ".join(f"{n} x {words}" for words, n in tally.refused.most_common(3))
    return [
        figure(f"{name}: crashes", tally.crashes, "", "== 0", first),
        figure(f"{name}: accepted in silence", tally.silent, "", "== 0"),
        figure(f"{name}: wrong messages or episodes let through", tally.wrong, "", "== 0"),
        figure(f"{name}: whole files called damaged", alarms, "", "== 0"),
        figure(
            f"{name}: intact messages recovered", 100 * tally.saved / tally.intact, "%", ">= 99",
            f"{tally.intact} messages of chunks that were not hit" + (f"; refused: {refused}" if refused else ""),
        ),
        figure(f"{name}: all messages recovered, hit or not", 100 * tally.back / tally.present, "%"),
        figure(f"{name}: all messages read by the reader of the MCAP library before it gives up",
               100 * tally.plain / tally.plain_present, "%", "", "damaged data files only"),
        figure(
            f"{name}: recordings with one flipped bit mended without loss", 100 * tally.mended / tally.single, "%", "",
            f"of {tally.single}",
        ),
        figure(
            f"{name}: episodes in untouched files recovered", 100 * tally.episodes_saved / tally.episodes_intact, "%",
            ">= 99",
        ),
        figure(f"{name}: time to read, check and repair one", taken_ms, "ms"),
    ]  # fmt: skip
