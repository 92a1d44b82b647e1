"""`il dataset export|import|merge|split|filter|rename-task|stats|info`, run as a user runs them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from il_cli import dataset_common
from il_cli.dataset import app
from il_core.align import EE_POSE
from il_core.clock import tick_ns
from il_core.config import load_setup
from il_core.geometry import matrix_from_quat_xyzw, pose
from il_core.store.episodes import EpisodeStore
from il_core.types import Episode, Observation, Outcome
from il_teleop.dataset.build import statistics

DRAW = ("--task", "draw_symbol")
SAMPLE = str(Path(__file__).parents[2] / "data" / "recording_v1")


def il(*arguments: object):
    """Run a command; stdout and stderr in one text without line breaks."""
    dataset_common.console.width = 160  # it was made with the module, by whichever test came first
    result = CliRunner(env={"COLUMNS": "160"}).invoke(app, [str(a) for a in arguments])
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    """Six drawings of a shrinking star."""
    setup, rng = load_setup("draw_symbol"), np.random.default_rng(1)
    R_down = matrix_from_quat_xyzw(setup.task.quat_xyzw_tool)
    store = EpisodeStore.create(tmp_path_factory.mktemp("drawings") / "ds", setup)
    for i in range(1, 7):
        turn = np.linspace(0, 4 * np.pi, 61)
        p = np.column_stack([0.4 + 0.05 * np.cos(turn), 0.05 * np.sin(turn), 0.2 - 0.001 * turn])
        path = np.array([pose(x, R_down) for x in p + rng.normal(scale=1e-3, size=p.shape)])
        ticks = [tick_ns(0, k, setup.task.rate_hz) for k in range(60)]
        seen = tuple(Observation(t, T, None, {}, {EE_POSE: 0}) for t, T in zip(ticks, path[:-1], strict=True))
        episode = Episode(f"symbol_17_{i}", seen, path[1:], np.zeros(60), Outcome.SUCCESS, setup.task.rate_hz)
        store.add(episode, source=f"rec_{i}", statistics=statistics(episode))
    return store.path


def names(path):
    return EpisodeStore.open(path).names


def test_info_shows_all_on_one_screen(dataset):
    code, text = il("info", dataset, "--every-byte")
    assert code == 0
    for part in ("task draw_symbol, 10 Hz", "6 x success", "spec digest", "ee x [m]", "action z [m]", "symbol_17_6"):
        assert part in text, part
    assert "nothing looks wrong" in text


def test_an_export_comes_back_as_it_went(dataset, tmp_path):
    code, text = il("export", dataset, "--out", tmp_path / "lr")
    assert (code, "column left out: intervention: not every recording says who drove the arm" in text) == (0, True)
    code, text = il("import", tmp_path / "lr", "--out", tmp_path / "back", *DRAW)
    assert (code, "6 episodes in" in text) == (0, True)
    assert names(tmp_path / "back") == names(dataset)
    assert il("check", tmp_path / "back", *DRAW)[0] == 0
    assert (
        "is an export of another dataset or of other options"
        in il("export", tmp_path / "back", "--out", tmp_path / "lr", "--resume")[1]
    )


def test_split_merge_filter_rename_and_count_chain(dataset, tmp_path):
    train, test = tmp_path / "train", tmp_path / "test"
    code, text = il("split", dataset, "--part", f"{train}=0.5", "--part", f"{test}=0.5")
    assert (code, text.count("3 episodes in")) == (0, 2)
    assert il("merge", train, test, "--out", tmp_path / "all")[0] == 0
    assert sorted(names(tmp_path / "all")) == sorted(names(dataset))
    code, text = il("filter", tmp_path / "all", "--drop", "*_6", "--note", "operator=", "--out", tmp_path / "some")
    assert code == 1
    assert "no episode is left" in text
    code, text = il("filter", tmp_path / "all", "--drop", "*_6", "--outcome", "success", "--out", tmp_path / "some")
    assert (code, "left out symbol_17_6: its name is one of ['*_6']" in text) == (0, True)
    assert il("rename-task", tmp_path / "some", "draw a star", "--out", tmp_path / "star")[0] == 0
    assert {e.instruction for e in EpisodeStore.open(tmp_path / "star").header.episodes} == {"draw a star"}
    assert "numbers of 0 episodes changed" in il("stats", tmp_path / "star", "--out", tmp_path / "counted")[1]
    assert il("check", tmp_path / "counted", *DRAW)[0] == 0


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("export", "{ds}", "--out", "x", "--rgb", "mjpeg"), "--rgb: no kind 'mjpeg'"),
        (("import", "nowhere", "--out", "x", *DRAW), "no such folder; give the root of a LeRobot dataset"),
        (("import", "no.hdf5", "--out", "x", *DRAW), "no such file; give a robomimic .hdf5"),
        (("import", "{ds}", "--out", "x", "--map", "no.yaml", *DRAW), "no.yaml: no such file"),
        (("import-bag", "bag", "--map", "no.yaml"), "no.yaml: no such file"),
        (("merge", "{ds}", "--out", "x"), "needs at least two datasets"),
        (("split", "{ds}", "--part", "a:0.5"), "'a:0.5' is not FOLDER=SHARE"),
        (("filter", "{ds}", "--outcome", "sucess", "--out", "x"), "did you mean 'success'"),
        (("filter", "{ds}", "--note", "ada", "--out", "x"), "'ada' is not KEY=VALUE"),
        (("rename-task", "{ds}", " ", "--out", "x"), "the new task has no words"),
        (("build", SAMPLE, "--out", "x", "--recorded-as", "pick_place", *DRAW), "'action' or 'quat_xyzw_tool'"),
    ],
)
def test_errors_are_one_sentence_and_exit_code_1(dataset, tmp_path, monkeypatch, arguments, sentence):
    monkeypatch.chdir(tmp_path)
    code, text = il(*(a.format(ds=dataset) for a in arguments))
    assert code == 1
    assert sentence in text
    assert "Traceback" not in text
    assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    "command", ["info", "export", "import", "import-bag", "merge", "split", "filter", "rename-task", "stats"]
)
def test_help_shows_an_example(command):
    code, text = il(command, "--help")
    assert code == 0
    assert f"Example: il dataset {command}" in text
