"""`il dataset` says what is wrong in one sentence and shows it in its exit code."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from il_cli.dataset import app
from il_core.config import load_setup
from il_teleop.dataset.hand_guided import import_hand_guided

SYMBOL = Path(__file__).parents[3] / "data" / "panda_hand_guided" / "symbol_17.mat"
DATA = SYMBOL.parents[1]
DRAW = ("--task", "draw_symbol")


def il(*arguments: object):
    """Run a command; stdout and stderr in one text without line breaks."""
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture(scope="module")
def recordings(tmp_path_factory):
    root = tmp_path_factory.mktemp("recordings")
    import_hand_guided(SYMBOL, root, load_setup("draw_symbol"))
    return root


@pytest.fixture(scope="module")
def dataset(tmp_path_factory, recordings):
    out = tmp_path_factory.mktemp("built") / "ds"
    assert il("build", recordings, "--out", out, "--path-speed-m-s", 0.04, *DRAW)[0] == 0
    return out


def test_a_good_dataset_is_shown_and_passes_the_check(dataset):
    code, text = il("info", dataset)
    assert code == 0
    assert "task draw_symbol" in text
    assert "symbol_17_6" in text
    code, text = il("check", dataset, *DRAW)
    assert (code, text.endswith("whole")) == (0, True)


def test_a_dataset_of_another_task_is_refused(dataset):
    code, text = il("check", dataset, "--task", "pick_place")
    assert code == 1
    assert "was made for spec" in text


def test_a_damaged_dataset_is_refused(dataset, tmp_path):
    copy = shutil.copytree(dataset, tmp_path / "copy")
    file = copy / "episodes" / "symbol_17_2.parquet"
    data = bytearray(file.read_bytes())
    data[100] ^= 0xFF
    file.write_bytes(data)
    code, text = il("check", copy)
    assert code == 1
    assert "symbol_17_2" in text
    assert "build the dataset again" in text


def test_a_truncated_recording_is_left_out_and_the_exit_code_says_so(recordings, tmp_path):
    copy = shutil.copytree(recordings / "draw_symbol", tmp_path / "recordings")
    data = next((copy / "symbol_17_3").glob("*.mcap"))
    data.write_bytes(data.read_bytes()[:-1])
    code, text = il("build", copy, "--out", tmp_path / "ds", *DRAW)
    assert code == 1
    assert "5 episodes in" in text
    assert "symbol_17_3: missing or damaged; the dataset holds the others only" in text
    assert il("check", tmp_path / "ds")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("build", "nowhere", "--out", "x"), "no such folder; name a recording or a folder that holds some"),
        (("build", DATA, "--out", "x"), "holds no finished recording; make some with `il record`"),
        (("build", DATA, "--out", "x", "--include", "sucess"), "did you mean 'success'"),
        (("info", "nowhere"), "no such folder; make a dataset with `il dataset build`"),
        (("check", DATA), "holds no dataset.json"),
        (("import-hand-guided", "nowhere.mat"), "no such file; pass the path of a symbol_<n>.mat"),
    ],
)
def test_errors_are_one_sentence_and_exit_code_1(arguments, sentence):
    code, text = il(*arguments)
    assert code == 1
    assert sentence in text
    assert "Traceback" not in text


@pytest.mark.parametrize("command", ["build", "info", "check", "repair", "import-hand-guided"])
def test_help_shows_an_example(command):
    code, text = il(command, "--help")
    assert code == 0
    assert f"Example: il dataset {command}" in text
