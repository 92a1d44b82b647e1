"""The evaluation card: kept per way of running, marked stale with other weights, refused when changed."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from tiny_world import restate

from il_core.errors import CheckpointError
from il_core.stats import wilson95
from il_policy import card, files
from il_policy.card import described, read_card, run_of, write_card

IN_PROCESS, OVER_ROS, ON_THE_ARM = "in process, simulated time", "over ROS, in real time", "on the arm"
OLD, NEW = "ab" * 32, "cd" * 32


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose policy has the weights ``OLD``."""
    files.write_sealed(tmp_path / "policy.json", {"weights_sha256": OLD})
    return tmp_path


def outcomes(successes: int, attempts: int, first: int = 100) -> dict[int, bool]:
    """So many successes at scenes from ``first`` on."""
    return {first + k: k < successes for k in range(attempts)}


def test_an_evaluation_is_kept_with_what_it_takes_to_repeat_it(folder: Path) -> None:
    assert read_card(folder).runs == () and described(folder) == []
    write_card(folder, run_of(IN_PROCESS, "reach", OLD, outcomes(18, 20)))
    (run,) = read_card(folder).runs
    assert (run.how, run.task, run.weights_sha256, run.successes, run.attempts) == (
        IN_PROCESS,
        "reach",
        OLD,
        18,
        20,
    )
    assert run.wilson95 == pytest.approx(wilson95(18, 20)) and run.seeds == tuple(range(100, 120))
    assert run.machine and run.date_utc and run.commit
    (line,) = described(folder)
    assert line.startswith("reach, in process, simulated time: 18 of 20 (70% to 97%), 20") and "stale" not in line


def test_the_newest_of_each_way_and_task_is_kept(folder: Path) -> None:
    for how, task, n in (
        (IN_PROCESS, "reach", 5),
        (OVER_ROS, "reach", 6),
        (IN_PROCESS, "push", 7),
        (IN_PROCESS, "reach", 8),
    ):
        write_card(folder, run_of(how, task, OLD, outcomes(3, n)))
    kept = [(r.how, r.task, r.attempts) for r in read_card(folder).runs]
    assert kept == [(OVER_ROS, "reach", 6), (IN_PROCESS, "push", 7), (IN_PROCESS, "reach", 8)]


def test_other_weights_make_it_stale_and_a_new_evaluation_drops_it(folder: Path) -> None:
    write_card(folder, run_of(ON_THE_ARM, "reach", OLD, outcomes(3, 4)))
    restate(folder / "policy.json", weights_sha256=NEW)
    assert described(folder)[0].endswith("stale: other weights, run `il eval` again")
    write_card(folder, run_of(OVER_ROS, "reach", NEW, outcomes(1, 4)))
    assert [r.how for r in read_card(folder).runs] == [OVER_ROS]
    assert "stale" not in described(folder)[0]


def test_the_weights_of_an_export_alone_are_known(folder: Path) -> None:
    (folder / "policy.json").rename(folder / "serving.json")
    assert card.weights_of(folder) == OLD
    restate(folder / "serving.json", weights_sha256=None)
    with pytest.raises(CheckpointError, match="names no weights"):
        card.weights_of(folder)


def test_no_changed_byte_of_a_card_passes_and_what_cannot_be_is_refused(folder: Path) -> None:
    write_card(folder, run_of(OVER_ROS, "reach", OLD, outcomes(3, 4)))
    path = folder / card.FILE
    data = path.read_bytes()
    for i in range(0, len(data), 3):
        changed = bytearray(data)
        changed[i] ^= 1 << i % 8
        path.write_bytes(changed)
        with pytest.raises(CheckpointError):
            read_card(folder)
    values = json.loads(data)
    del values["digest"]
    path.write_text(json.dumps({**values, "format_version": 1}))
    with pytest.raises(CheckpointError, match="it has no digest, as every file of version 2 does"):
        read_card(folder)
    path.write_bytes(data)
    restate(path, runs=[{**values["runs"][0], "successes": 5}])
    with pytest.raises(CheckpointError, match="5 of 4 at 4 scenes, .* no evaluation says that"):
        read_card(folder)
    with pytest.raises(ValueError, match="no attempt was made"):
        run_of(OVER_ROS, "reach", OLD, {})
    run = replace(run_of(OVER_ROS, "reach", OLD, outcomes(3, 4)), wilson95=(0.0, float("nan")))
    path.unlink()
    with pytest.raises(CheckpointError, match="cannot be written: Out of range float"):
        write_card(folder, run)
