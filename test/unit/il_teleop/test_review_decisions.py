"""Decisions are durable, have a history, never touch the data, and are honoured by datasets."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import datetime, timezone

import pytest

from il_core.errors import EpisodeError, RecordingError
from il_core.store import recording as store
from il_core.store.episodes import EpisodeStore
from il_core.store.header import HEADER_FILE
from il_core.store.recording import Recording, list_recordings
from il_core.types import Outcome
from il_teleop.dataset import BuildOptions, build
from il_teleop.review.decisions import (
    Decision,
    decide,
    decision_from,
    delete,
    history_of,
    is_kept,
    trim_of,
)

START_NS = 1_700_000_000_000_000_000
NOW = datetime(2026, 11, 21, 12, tzinfo=timezone.utc)
KEEP_ALL = BuildOptions(idle_keep_s=None)


@pytest.fixture
def demo(tiny_setup, demo_events, write_recording):
    return write_recording(tiny_setup, demo_events)


def test_a_decision_changes_the_header_and_nothing_else(demo):
    before = Recording.open(demo)
    data = before.data_path.read_bytes()
    trim = (START_NS + 10**9, START_NS + 15 * 10**8)
    decide(demo, Decision(False, trim, Outcome.FAILURE, "put it away"), by="eve", now=NOW)
    after = Recording.open(demo)
    assert after.data_path.read_bytes() == data
    assert not is_kept(after.header)
    assert trim_of(after.header) == trim
    assert (after.header.outcome, after.header.instruction) == (Outcome.FAILURE, "put it away")
    undone = replace(after.header, notes=before.header.notes, outcome=Outcome.SUCCESS, instruction="pick it")
    assert undone == before.header


def test_the_history_says_who_changed_what_from_what_to_what(demo):
    decide(demo, Decision(outcome=Outcome.FAILURE), by="eve", now=NOW)
    decide(demo, Decision(outcome=Outcome.SUCCESS, keep=True), by="bob", now=NOW)
    entries = history_of(Recording.open(demo).header)
    assert entries[0] == {
        "at": "2026-11-21T12:00:00Z", "by": "eve", "what": "outcome", "before": "success", "after": "failure"
    }  # fmt: skip
    assert [(e["by"], e["what"], e["after"]) for e in entries[1:]] == [
        ("bob", "review", "keep"),
        ("bob", "outcome", "success"),
    ]


def test_deciding_what_is_already_so_writes_nothing(demo):
    before = (demo / HEADER_FILE).read_bytes()
    decide(demo, Decision(outcome=Outcome.SUCCESS, instruction="pick it"), by="eve")
    assert (demo / HEADER_FILE).read_bytes() == before


def test_a_trim_can_be_taken_back(demo):
    decide(demo, Decision(trim_ns=(START_NS, START_NS + 1)), by="eve")
    decide(demo, Decision(trim_ns=(0, 0)), by="eve")
    header = Recording.open(demo).header
    assert trim_of(header) is None
    assert [e["after"] for e in history_of(header)] == [f"{START_NS} {START_NS + 1}", ""]


def test_an_empty_trim_is_refused_and_changes_nothing(demo):
    before = (demo / HEADER_FILE).read_bytes()
    with pytest.raises(RecordingError, match="must end after it starts"):
        decide(demo, Decision(trim_ns=(START_NS + 5, START_NS + 5)), by="eve")
    assert (demo / HEADER_FILE).read_bytes() == before


def test_a_full_disk_leaves_the_old_decision(demo, monkeypatch):
    before = (demo / HEADER_FILE).read_bytes()

    def full(path, text):
        path.write_text(text[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("il_teleop.review.decisions.write_durably", full)
    with pytest.raises(RecordingError, match="No space left on device; it is unchanged"):
        decide(demo, Decision(keep=False), by="eve")
    assert (demo / HEADER_FILE).read_bytes() == before
    assert sorted(p.suffix for p in demo.iterdir()) == [".json", ".mcap", ".yaml"]


@pytest.mark.parametrize("text", ["1", "2 1", "a b", "1 2 3", "5 5"])
def test_a_damaged_trim_note_is_an_error_not_a_whole_recording(demo, text):
    header = Recording.open(demo).header
    with pytest.raises(RecordingError, match="expected two stamps in order"):
        trim_of(replace(header, notes={"trim_ns": text}))


@pytest.mark.parametrize("text", ["{", "{}", "[1]"])
def test_a_damaged_history_is_an_error(demo, text):
    with pytest.raises(RecordingError, match="note 'review_history' is damaged"):
        history_of(replace(Recording.open(demo).header, notes={"review_history": text}))


def test_a_dataset_holds_only_what_the_trim_leaves(tmp_path, tiny_setup, demo):
    start, end = START_NS + 600_000_000, START_NS + 1_400_000_000
    decide(demo, Decision(trim_ns=(start, end)), by="eve")
    build([demo], tiny_setup, tmp_path / "ds", KEEP_ALL)
    episode = EpisodeStore.open(tmp_path / "ds").episode(0)
    ticks = [o.tick_ns for o in episode.observations]
    assert start <= min(ticks) <= start + 100_000_000
    assert end - 200_000_000 <= max(ticks) <= end
    stamps = [o.tick_ns - age for o in episode.observations for age in o.age_ns.values()]
    assert min(stamps) >= start


def test_a_dataset_leaves_out_what_was_discarded_and_says_so(tmp_path, tiny_setup, demo):
    decide(demo, Decision(keep=False), by="eve")
    with pytest.raises(EpisodeError, match="it was discarded in review; take it back"):
        build([demo], tiny_setup, tmp_path / "ds", KEEP_ALL)
    decide(demo, Decision(keep=True), by="eve")
    assert build([demo], tiny_setup, tmp_path / "ds2", KEEP_ALL).episodes == ("demo_1",)


def test_a_relabelled_recording_is_built_by_its_new_label(tmp_path, tiny_setup, demo):
    decide(demo, Decision(outcome=Outcome.FAILURE), by="eve")
    with pytest.raises(EpisodeError, match="its outcome is failure"):
        build([demo], tiny_setup, tmp_path / "ds", KEEP_ALL)


def test_a_dataset_has_the_task_in_the_reviewers_words(tmp_path, tiny_setup, demo):
    decide(demo, Decision(instruction="put the cup away"), by="eve")
    build([demo], tiny_setup, tmp_path / "ds", KEEP_ALL)
    assert EpisodeStore.open(tmp_path / "ds").header.episodes[0].instruction == "put the cup away"


def test_what_is_deleted_lies_in_the_trash_and_can_be_put_back(demo):
    root = demo.parent.parent
    lies = delete(demo)
    assert lies == root / ".trash" / "tiny_pick" / "demo_1.removed.partial"
    assert list_recordings(root) == []
    shutil.move(lies, demo)
    assert list_recordings(root) == [demo]
    Recording.open(demo).verify()


def test_two_of_a_name_fit_into_the_trash(demo, tiny_setup, demo_events, write_recording):
    first = delete(demo)
    second = delete(write_recording(tiny_setup, demo_events))
    assert first != second
    assert first.exists() and second.exists()


def test_purging_leaves_nothing(demo):
    assert delete(demo, purge=True) is None
    assert list(demo.parent.iterdir()) == []


def test_only_recordings_are_deleted(tmp_path):
    (tmp_path / "thesis").mkdir()
    with pytest.raises(RecordingError, match=f"has no {HEADER_FILE}"):
        delete(tmp_path / "thesis", purge=True)
    assert (tmp_path / "thesis").exists()


def test_decisions_of_a_file_are_those_it_names():
    values = {"review": "discard", "trim_ns": ["1", "2"], "outcome": "failure", "instruction": "x"}
    assert decision_from(values, "f") == Decision(False, (1, 2), Outcome.FAILURE, "x")
    assert decision_from({}, "f").is_empty


@pytest.mark.parametrize(
    "values",
    [
        {"review": "maybe"},
        {"trim_ns": [1, 2]},
        {"trim_ns": ["1"]},
        {"trim_ns": ["-1", "2"]},
        {"outcome": "great"},
        {"instruction": 3},
        {"path": "/etc"},
    ],
)
def test_a_decision_that_makes_no_sense_is_refused(values):
    with pytest.raises(RecordingError, match="f: "):
        decision_from(values, "f")


def test_the_stores_relabel_keeps_the_history(demo):
    decide(demo, Decision(keep=True), by="eve")
    assert history_of(store.relabel(demo, Outcome.FAILURE))
