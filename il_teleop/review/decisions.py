"""What a reviewer decides about a recording: kept in its header with a history; the data are never rewritten.

Decisions are notes of ``recording.json``: ``review`` (keep or discard), ``trim_ns`` (two stamps) and
``review_history`` (JSON: when, who, what, before, after). Outcome and instruction are fields of the header
itself. One file is replaced in one step, so a reader sees the state before or after, never a mixture.
"""

from __future__ import annotations

import getpass
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from il_core.errors import RecordingError
from il_core.store.files import sync_folder, write_durably
from il_core.store.header import HEADER_FILE, RecordingHeader, header_text
from il_core.store.recording import Recording
from il_core.store.writer import PARTIAL, TRASH
from il_core.types import Outcome

REVIEW, TRIM, HISTORY = "review", "trim_ns", "review_history"
KEEP, DISCARD = "keep", "discard"
REMOVED = f".removed{PARTIAL}"  # no command lists, checks or repairs folders of this ending


@dataclass(frozen=True, slots=True)
class Decision:
    """What to change; None leaves a thing as it is.

    Attributes:
        keep: Whether datasets may use it.
        trim_ns: First and last stamp that datasets use [ns]; (0, 0) takes a trim back.
        outcome: How the demonstration ended.
        instruction: The task in words.
    """

    keep: bool | None = None
    trim_ns: tuple[int, int] | None = None
    outcome: Outcome | None = None
    instruction: str | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it changes nothing."""
        return self.keep is None and self.trim_ns is None and self.outcome is None and self.instruction is None


def is_kept(header: RecordingHeader) -> bool:
    """Whether a dataset may use the recording: unless a reviewer discarded it."""
    return header.notes.get(REVIEW, KEEP) != DISCARD


def trim_of(header: RecordingHeader) -> tuple[int, int] | None:
    """First and last stamp that a dataset may use [ns]; None if the recording was not trimmed.

    Raises:
        RecordingError: the note does not hold two stamps in order.
    """
    text = header.notes.get(TRIM, "")
    if not text:
        return None
    try:
        start_ns, end_ns = map(int, text.split())
    except ValueError:
        start_ns, end_ns = 1, 0
    if start_ns >= end_ns:
        raise RecordingError(header.name, f"note '{TRIM}' is '{text}', expected two stamps in order; trim it again")
    return start_ns, end_ns


def history_of(header: RecordingHeader) -> list[dict[str, str]]:
    """All decisions so far, oldest first: ``at`` (UTC), ``by``, ``what``, ``before``, ``after``.

    Raises:
        RecordingError: the note is no such list.
    """
    try:
        entries = json.loads(header.notes.get(HISTORY, "[]"))
    except ValueError:
        entries = None
    if not isinstance(entries, list) or not all(isinstance(e, dict) for e in entries):
        raise RecordingError(header.name, f"note '{HISTORY}' is damaged; remove it from {HEADER_FILE}")
    return [{str(k): str(v) for k, v in e.items()} for e in entries]


def decide(path: Path | str, decision: Decision, *, by: str = "", now: datetime | None = None) -> RecordingHeader:
    """Write a decision into a recording's header, durably and in one step.

    Args:
        path: Folder of the recording.
        decision: What to change.
        by: Who decided; the user's login name by default.
        now: When; now by default.

    Returns:
        The new header; the same if the decision changes nothing.

    Raises:
        RecordingError: the recording is damaged, the trim is empty or the disk is full; nothing changed.
    """
    folder = Path(path)
    header = Recording.open(folder).header
    changes = _changes(header, decision)
    if not changes:
        return header
    at = (now or datetime.now(timezone.utc)).strftime("%Y-%m-%dT%H:%M:%SZ")
    entries = [{"at": at, "by": by or _user(), "what": w, "before": b, "after": a} for w, (b, a) in changes.items()]
    notes = {**header.notes, HISTORY: json.dumps([*history_of(header), *entries], ensure_ascii=False)}
    for what in (REVIEW, TRIM):
        if what in changes:
            notes[what] = changes[what][1]
    fresh = replace(
        header,
        notes={key: text for key, text in notes.items() if text},
        outcome=decision.outcome if decision.outcome is not None else header.outcome,
        instruction=decision.instruction if decision.instruction is not None else header.instruction,
    )
    _write(folder, fresh)
    return fresh


def _changes(header: RecordingHeader, decision: Decision) -> dict[str, tuple[str, str]]:
    """Before and after of everything that changes, as text."""
    wanted: dict[str, tuple[str, str | None]] = {
        REVIEW: (header.notes.get(REVIEW, ""), None if decision.keep is None else KEEP if decision.keep else DISCARD),
        TRIM: (header.notes.get(TRIM, ""), _trim_text(header, decision.trim_ns)),
        "outcome": (header.outcome.value, None if decision.outcome is None else decision.outcome.value),
        "instruction": (header.instruction, decision.instruction),
    }
    return {w: (before, after) for w, (before, after) in wanted.items() if after is not None and after != before}


def _trim_text(header: RecordingHeader, trim_ns: tuple[int, int] | None) -> str | None:
    if trim_ns is None:
        return None
    if trim_ns == (0, 0):
        return ""
    if trim_ns[0] >= trim_ns[1]:
        seconds = (trim_ns[1] - trim_ns[0]) / 1e9
        raise RecordingError(header.name, f"a trim must end after it starts, this one lasts {seconds:.3f} s")
    return f"{trim_ns[0]} {trim_ns[1]}"


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # no login name, as in some containers
        return f"uid {os.getuid()}"


def _write(folder: Path, header: RecordingHeader) -> None:
    fresh = folder / f"{HEADER_FILE}.new"
    try:
        write_durably(fresh, header_text(header))
        os.replace(fresh, folder / HEADER_FILE)
        sync_folder(folder)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        why = f"cannot write the decision: {error.strerror or error}; it is unchanged"
        raise RecordingError(folder, why) from error


def delete(path: Path | str, *, purge: bool = False) -> Path | None:
    """Take a recording away: into ``.trash`` beside its task's folder, or for good.

    A recording in the trash is found by no command; move its folder back to restore it.

    Args:
        path: Folder of a recording, whole or damaged.
        purge: Remove it from the disk instead.

    Returns:
        Where it lies now; None if it is gone.

    Raises:
        RecordingError: it is no recording, or cannot be moved.
    """
    folder = Path(path).resolve()
    if not (folder / HEADER_FILE).is_file():
        raise RecordingError(folder, f"has no {HEADER_FILE}; only finished recordings are deleted here")
    try:
        if purge:
            gone = folder.with_name(f"{folder.name}{REMOVED}")  # a crash half way leaves no half recording
            os.rename(folder, gone)
            shutil.rmtree(gone)
            return None
        target = _free(folder.parent.parent / TRASH / folder.parent.name, folder.name)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.rename(folder, target)
        sync_folder(target.parent)
    except OSError as error:
        raise RecordingError(folder, f"cannot be deleted: {error.strerror or error}") from error
    sync_folder(folder.parent)
    return target


def _free(folder: Path, name: str) -> Path:
    """Place for a removed recording; with a number if the name is taken."""
    taken, n = folder / f"{name}{REMOVED}", 1
    while taken.exists():
        taken, n = folder / f"{name}-{n}{REMOVED}", n + 1
    return taken


def decision_from(values: Mapping[str, Any], where: str) -> Decision:
    """Decision of one entry of the page's decisions file.

    Keys: ``review`` (keep, discard), ``trim_ns`` ([first, last]), ``outcome``, ``instruction``; all optional.

    Raises:
        RecordingError: an unknown key or value.
    """
    known = {REVIEW, TRIM, "outcome", "instruction"}
    if unknown := sorted(set(values) - known):
        raise RecordingError(where, f"unknown decision {unknown}; known are {sorted(known)}")
    review, trim, text = values.get(REVIEW), values.get(TRIM), values.get("instruction")
    if review not in (None, KEEP, DISCARD):
        raise RecordingError(where, f"review is {review!r}, expected keep or discard")
    if trim is not None:
        # Text: a browser's numbers do not hold nanoseconds since 1970.
        if not (isinstance(trim, list) and len(trim) == 2 and all(isinstance(t, str) and t.isdecimal() for t in trim)):
            raise RecordingError(where, f"trim_ns is {trim!r}, expected two stamps as text")
        trim = (int(trim[0]), int(trim[1]))
    if text is not None and not isinstance(text, str):
        raise RecordingError(where, f"instruction is {text!r}, expected text")
    try:
        outcome = Outcome(values["outcome"]) if "outcome" in values else None
    except ValueError:
        options = ", ".join(o.value for o in Outcome)
        raise RecordingError(where, f"outcome is {values['outcome']!r}, expected one of {options}") from None
    return Decision(None if review is None else review == KEEP, trim, outcome, text)
