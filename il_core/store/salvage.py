"""Saves what is left of a recording: every message of a whole chunk, and of the recorder's black box."""

from __future__ import annotations

import mmap
from dataclasses import asdict, replace
from pathlib import Path

from il_core.clock import SystemClock
from il_core.store import mcap_records as mcap
from il_core.store.black_box import Contents
from il_core.store.damage import Inspection
from il_core.store.files import write_durably
from il_core.store.header import HEADER_FILE, RecordingHeader, TopicRecord
from il_core.store.inspect import REPAIR_FILE, mapped
from il_core.store.mcap_scan import scan
from il_core.store.seal import seal
from il_core.store.writer import PARTIAL, RecordingWriter

DAMAGE = "damage"  # cause of loss in a topic's account


def salvage(
    before: Inspection, header: RecordingHeader, data_path: Path, work: Path, box: Contents | None
) -> tuple[tuple[str, ...], Path]:
    """Write every message of a whole chunk into a new recording, then what the black box has beyond.

    Args:
        before: What was found in the damaged one.
        header: Of the new one.
        data_path: The damaged data file.
        work: Folder to write into.
        box: What the killed recorder had received last, if that is known.

    Returns:
        What was done, in words, and the new recording.

    Raises:
        RecordingError: the disk is full.
    """
    clock = SystemClock()
    writer = RecordingWriter(work, replace(header, topics={}, data_bytes=0, index_sha256=""), clock, header.name)
    topics = {number: before.topic(absolute) for number, (absolute, _) in before.channels.items()}
    types = [(topics[number], kind) for number, (_, kind) in sorted(before.channels.items())]
    for topic, kind in [*types, *(box.types.items() if box is not None else ())]:
        if topic not in writer.counts:
            writer.add_topic(topic, kind, before.texts.get(kind))
    unnamed = 0
    newest_ns: dict[str, int] = {}
    data = mapped(data_path)
    try:
        for item in scan(data):
            for message in item.messages if isinstance(item, mcap.Chunk) else ():
                if message.channel in topics:
                    topic = topics[message.channel]
                    writer.append(topic, message.data, message.log_ns, message.publish_ns)
                    newest_ns[topic] = max(message.log_ns, newest_ns.get(topic, 0))
                else:
                    unnamed += 1
        how = [f"{sum(writer.counts.values())} messages of whole chunks written anew"]
        in_file = dict(writer.counts)
        if box is not None:
            how.append(_take_over(writer, box, newest_ns if _is_holed(before, len(data)) else None))
        lost = _account(header, writer, _received(in_file, before, box))
        notes = {"repaired": _sentence(before, lost)}
        if before.header_from != HEADER_FILE:
            how.append(f"header taken from {before.header_from or 'another recording'}")
        if unnamed:
            how.append(f"{unnamed} messages left out: nothing tells their topic")
        write_report(writer.partial, how, before, {t: r.lost.get(DAMAGE, 0) for t, r in lost.items()})
        path = writer.commit(header.outcome, notes, lost)
    except BaseException:
        writer.discard()
        raise
    finally:
        if isinstance(data, mmap.mmap):
            data.close()
    return tuple(how), path


def _is_holed(before: Inspection, size: int) -> bool:
    """Whether messages are lost before the last ones of the file, as no kill makes it."""
    return any(loss.has_messages and loss.last_byte + 1 < size for loss in before.losses)


def _take_over(writer: RecordingWriter, box: Contents, newest_ns: dict[str, int] | None) -> str:
    """Append what the data file lacks; says how many of what."""
    taken: dict[str, int] = {}
    for m in box.beyond(writer.counts, newest_ns):
        writer.append(m.topic, m.data, m.log_ns, m.publish_ns)
        taken[m.topic] = taken.get(m.topic, 0) + 1
    counts = ", ".join(f"{n} of '{topic}'" for topic, n in sorted(taken.items()))
    return f"{sum(taken.values())} messages taken from the recorder's black box{': ' if counts else ''}{counts}"


def _received(in_file: dict[str, int], before: Inspection, box: Contents | None) -> dict[str, int]:
    """Messages per topic that the recorder had received at least: what data file and black box tell."""
    told = dict(in_file)
    for loss in before.losses:
        for topic in loss.counts.keys() & told.keys():
            told[topic] += loss.counts[topic]
    return {t: max(n, box.totals.get(t, 0) if box is not None else 0) for t, n in told.items()}


def _account(header: RecordingHeader, writer: RecordingWriter, received: dict[str, int]) -> dict[str, TopicRecord]:
    """Account per topic of what is left: what was lost before stays, what the damage took is added."""
    account = {}
    for topic, n in writer.counts.items():
        record = header.topics.get(topic, TopicRecord(writer.types[topic], received[topic]))
        lost = max(record.received - n, 0)
        account[topic] = replace(record, received=n, lost={**record.lost, DAMAGE: lost})
    return account


def _sentence(before: Inspection, account: dict[str, TopicRecord]) -> str:
    lost = sum(r.lost.get(DAMAGE, 0) for r in account.values())
    what = "not closed by the recorder" if before.path.suffix == PARTIAL else "damaged"
    return f"{what}; {lost} messages known to be lost, see {REPAIR_FILE}"


def write_report(folder: Path, how: list[str], before: Inspection, lost: dict[str, int]) -> None:
    """Write ``repair.json``: what was done, and every stretch that is lost."""
    values = {
        "original": str(before.path),
        "problems": before.problems,
        "how": how,
        "lost": lost,
        "losses": [asdict(loss) for loss in before.losses],
    }
    write_durably(folder / REPAIR_FILE, seal(values))
