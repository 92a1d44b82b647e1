"""`il dataset check` and `repair` say in words what is damaged, what was mended and what is lost."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from il_cli.dataset import app
from il_core.store.episodes import EpisodeStore
from il_core.store.recording import Recording

GOLDEN = Path(__file__).parents[2] / "data"


def il(*arguments):
    result = CliRunner().invoke(app, [str(a) for a in arguments], env={"COLUMNS": "1000"})
    return result.exit_code, result.output.strip()


@pytest.fixture
def recordings(tmp_path):
    return shutil.copytree(GOLDEN / "recording_v1", tmp_path / "recordings")


def data_of(folder):
    return next(folder.rglob("*.mcap"))


def test_a_folder_of_whole_recordings_passes(recordings):
    code, text = il("check", recordings)
    assert code == 0
    assert "42 messages, whole" in text
    assert "has no digest (release 0.1)" in text
    assert text.endswith("whole")
    code, text = il("repair", recordings)
    assert (code, "whole, left as it is" in text) == (0, True)


def test_a_damaged_recording_is_told_mended_and_kept(recordings):
    data = data_of(recordings)
    data.write_bytes(data.read_bytes()[:-700])
    code, text = il("check", recordings)
    assert code == 1
    assert "data file has" in text
    assert "`il dataset repair` mends what can be mended" in text
    code, text = il("repair", recordings)
    assert code == 0
    assert "42 messages of whole chunks written anew" in text
    assert f"the original is {data.parent}.damaged" in text
    assert sum(Recording.open(data.parent).counts.values()) == 42
    assert il("check", recordings)[0] == 0


def test_a_dataset_is_told_mended_and_its_losses_end_with_exit_code_1(tmp_path):
    copy = shutil.copytree(GOLDEN / "dataset_v1", tmp_path / "ds")
    file = copy / "episodes" / "golden.parquet"
    file.write_bytes(file.read_bytes()[:-1])
    code, text = il("check", copy)
    assert code == 1
    assert "episode 'golden': its file has" in text
    code, text = il("repair", copy, "--out", tmp_path / "mended")
    assert code == 1
    assert "left out golden" in text
    assert "golden: could not be mended and are not in the new dataset" in text
    assert len(EpisodeStore.open(tmp_path / "mended")) == 0


@pytest.mark.parametrize("command", ["check", "repair"])
def test_what_is_neither_is_refused(command, tmp_path):
    code, text = il(command, tmp_path)
    assert (code, "holds no dataset.json and no recording" in text) == (1, True)
    code, text = il(command, tmp_path / "nowhere")
    assert (code, "no such folder; name a dataset, a recording, or a folder" in text) == (1, True)
