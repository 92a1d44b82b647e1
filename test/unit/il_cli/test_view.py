"""`il view` without Rerun says how to get it; with it, everything a graph carries lands in one file."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from il_cli.live_scene import LiveScene, open_stream
from il_cli.main import COMMANDS, run
from il_control.description import describe_setup
from il_core.config import load_setup
from il_core.types import ActionChunk, ArmState

STAMP_NS = 1_700_000_000_000_000_000


def test_without_rerun_it_says_what_to_install_and_what_else_there_is(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "rerun", None)
    assert run(["view"], COMMANDS) == 1
    said = capsys.readouterr().err
    assert "pip install rerun-sdk" in said and "config/foxglove" in said


def test_all_kinds_of_messages_land_in_the_file(tmp_path):
    pytest.importorskip("rerun", reason="Rerun is optional: pip install rerun-sdk")
    setup = load_setup("pick_place")
    path = tmp_path / "live.rrd"
    scene = LiveScene(open_stream(path, ""), setup.robot, describe_setup(setup))
    q = np.array(setup.robot.q_home_rad)
    T = np.eye(4)
    scene.arm(ArmState(STAMP_NS, q, np.zeros(7), np.ones(7), 0.5))
    scene.tool(STAMP_NS, T)
    scene.target(STAMP_NS, T)
    poses = np.stack([T, T])
    scene.plan(ActionChunk(STAMP_NS, 100_000_000, STAMP_NS, T_base_ee_des=poses))
    scene.plan(ActionChunk(STAMP_NS, 100_000_000, STAMP_NS, q_des=np.stack([q, q])))
    scene.wrench(STAMP_NS, "fr3_hand", np.arange(6.0))
    scene.wrench(STAMP_NS, "elsewhere", np.arange(6.0))
    scene.colour(STAMP_NS, "wrist", np.zeros((240, 320, 3), np.uint8))
    scene.depth(STAMP_NS, "wrist", np.ones((240, 320), np.float32))
    scene.says(STAMP_NS, "controller", "WARN", "holding")
    scene.close()
    data = path.read_bytes()
    for entity in (
        "world/arm/fr3_hand", "world/cameras/wrist/rgb", "world/cameras/wrist/depth", "world/tool/axes", "world/target",
        "world/plan", "world/force", "wrench/tz", "joints/torque_nm/fr3_joint7", "gripper/opening",
    ):  # fmt: skip
        assert entity.encode() in data, entity
