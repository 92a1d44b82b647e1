"""A demonstration drawn by a person's hand, repeated by the simulated arm, recorded, and repeated again."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from il_core import topics
from il_core.config import config_dir, load_setup, load_yaml
from il_core.graph import GraphOptions, graph
from il_core.metrics import path_error
from il_core.store.recording import Recording, list_recordings
from il_core.types import Outcome

pytest.importorskip("rclpy")
from il_cli.main import COMMANDS, run  # noqa: E402 - needs ROS
from il_cli.process import Supervisor  # noqa: E402
from il_cli.ros.recording_desk import RecordingDesk  # noqa: E402
from il_cli.ros.session import Session  # noqa: E402
from il_teleop.buttons import Buttons  # noqa: E402
from il_teleop.cue import Player  # noqa: E402
from il_teleop.dataset.hand_guided import import_hand_guided  # noqa: E402
from il_teleop.replay import read_path, sha256_of  # noqa: E402

pytestmark = pytest.mark.ros
DRAWINGS = Path(__file__).parents[2] / "data" / "panda_hand_guided" / "symbol_17.mat"
SETUP = load_setup("draw_symbol")


def il_replay(nodes: Supervisor, capfd: pytest.CaptureFixture[str], *options: str) -> tuple[float, Path]:
    """Run the command as an operator would; the rms distance it tells [mm] and the new recording."""
    status = run(["replay", *options], COMMANDS)
    nodes.check()
    told = capfd.readouterr()
    assert status == 0, told.out + told.err
    distance, kept = re.search(r"within ([\d.]+) mm rms", told.out), re.search(r"kept as \w+: (\S+)", told.out)
    assert distance is not None and kept is not None, told.out
    return float(distance.group(1)), Path(kept.group(1))


def test_a_persons_drawing_is_repeated_recorded_with_its_origin_and_repeated_again(tmp_path, capfd):
    shown = Recording.open(import_hand_guided(DRAWINGS, tmp_path / "shown", SETUP)[0])
    root = tmp_path / "recordings"
    described = graph("record", GraphOptions(task="draw_symbol", recordings=str(root)))
    with Supervisor(described, tmp_path / "log") as nodes:
        nodes.wait_ready(60.0)
        first_mm, first = il_replay(nodes, capfd, str(shown.path), "--speed", "2.0", "--after", "1")
        second_mm, second = il_replay(nodes, capfd, str(first), "--speed", "2.0", "--after", "0")
    assert first_mm <= 5.0
    assert second_mm <= 5.0
    assert list_recordings(root) == [first, second]

    for repeated, original in ((first, shown), (second, Recording.open(first))):
        header = Recording.open(repeated).header
        assert header.outcome is Outcome.SUCCESS, "the label of the original"
        assert header.notes["replay_of"] == original.header.name
        assert header.notes["replay_of_sha256"] == sha256_of(original.data_path)
        wanted = read_path(original, SETUP).T_base_ee[:, :3, 3]
        driven = read_path(Recording.open(repeated), SETUP).T_base_ee[:, :3, 3]
        assert path_error(driven, wanted)[0] <= 5.0, "what was recorded is the drawing"


def test_an_arm_with_a_force_limit_is_freed_for_the_hand_recorded_and_held_again(tmp_path):
    settings = tmp_path / "with_limit.yaml"
    text = (config_dir() / "control" / "draw_symbol.yaml").read_text()
    assert "\nsafety:\n" in text
    settings.write_text(text.replace("\nsafety:\n", "\nsafety:\n  contact_force_max_n: 60.0\n"))
    params = tmp_path / "params.yaml"
    params.write_text(f"controller: {{ros__parameters: {{control: {settings}}}}}\n")
    root = tmp_path / "recordings"
    described = graph("record", GraphOptions(task="draw_symbol", recordings=str(root), params=str(params)))
    keys = load_yaml(config_dir() / "teleop" / "buttons.yaml", Buttons).recorder_keys
    with Supervisor(described, tmp_path / "log") as nodes, Session("kinesthetic_test") as session:
        nodes.wait_ready(60.0)
        session.wait(lambda: "recorder" in session.diagnostics, 10.0, "the recorder talks", nodes.check)
        desk = RecordingDesk(session, keys, Player("off", ring=lambda: None))
        desk.describe("draw", "Ada", {"mode": "kinesthetic"})
        session.wait(lambda: bool(session.path), 10.0, "the tool's pose", nodes.check)
        start = session.path[-1].T_base_ee[:3, 3]

        def source():
            return session.diagnostics["controller"].get("source")

        with desk.guided():
            session.wait(lambda: source() == "hand guiding", 10.0, "the arm is free", nodes.check)
            session.trigger(topics.RECORDER_START)
            desk.press("g")
            time.sleep(1.0)
            session.trigger(topics.RECORDER_STOP)
            session.trigger(topics.RECORDER_SUCCESS)
            session.trigger(topics.RECORDER_KEEP)
        session.wait(lambda: source() == "hold", 10.0, "the arm is held", nodes.check)
        floated_m = abs(session.path[-1].T_base_ee[:3, 3] - start).max()
        desk.close(is_complete=True)
    assert floated_m < 5e-3, "nobody led it: it floats where it was"
    (kept,) = list_recordings(root)
    header = Recording.open(kept).header
    assert (header.outcome, header.notes["mode"], header.operator) == (Outcome.SUCCESS, "kinesthetic", "Ada")
    path = read_path(Recording.open(kept), SETUP)
    assert len(path.T_base_ee) > 50
