"""A demonstration drawn by a person's hand, repeated by the simulated arm, recorded, and repeated again."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from il_core.config import load_setup
from il_core.graph import GraphOptions, graph
from il_core.metrics import path_error
from il_core.store.recording import Recording, list_recordings
from il_core.types import Outcome

pytest.importorskip("rclpy")
from il_cli.main import COMMANDS, run  # noqa: E402 - needs ROS
from il_cli.process import Supervisor  # noqa: E402
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
        first_mm, first = il_replay(nodes, capfd, str(shown.path), "--speed", "2.0")
        second_mm, second = il_replay(nodes, capfd, str(first), "--speed", "2.0")
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
