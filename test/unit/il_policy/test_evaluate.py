"""Open-loop error: every number of the action by its name, in its unit, and only like numbers together."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_world import HALF_M, demonstrate, make_setup

from il_core.spec import ActionLabel, ActionSpec
from il_policy import checkpoint
from il_policy.action_numbers import columns
from il_policy.config import ActionEncoding, Head, NetworkConfig, TrainConfig
from il_policy.dataset import ChunkDataset
from il_policy.evaluate import summed
from il_policy.joint_codec import make_codec
from il_policy.train import Progress, train

CONFIG = TrainConfig("test", Head.REGRESSION, NetworkConfig(width=16, depth=1), steps=2, batch_size=8)


def test_the_names_fit_the_numbers_of_every_action() -> None:
    for rotation in (False, True):
        for stiffness in (False, True):
            action = ActionSpec(ActionLabel.SETPOINT, rotation=rotation, gripper=True, stiffness=stiffness)
            codec = make_codec(make_setup(action=action), ActionEncoding.RELATIVE_V1)
            names = [n.name for n in codec.numbers]
            assert len(names) == codec.dim == len(set(names))
            assert names[:3] == ["x", "y", "z"] and names[-1] == "gripper"
    joints = make_codec(make_setup(), ActionEncoding.JOINT_ABSOLUTE_V1)
    assert [(n.name, n.unit) for n in joints.numbers] == [("a", "mrad"), ("b", "mrad"), ("gripper", "opening")]


def test_errors_are_told_in_their_units_and_places_are_not_mixed_with_openings() -> None:
    action = ActionSpec(ActionLabel.SETPOINT, rotation=True, gripper=True, stiffness=True)
    codec = make_codec(make_setup(action=action), ActionEncoding.ABSOLUTE_V1)
    row = np.zeros(codec.dim)
    row[[0, 2, 4, 9, -1]] = [0.003, -0.004, 0.01, 0.05, 0.2]
    found = summed(torch.from_numpy(np.stack([row, -row])), codec.numbers, 7)
    by_name = {n.name: (n.unit, n.error) for n in found.numbers if n.error}
    assert by_name == {
        "x": ("mm", pytest.approx(3.0)),
        "z": ("mm", pytest.approx(4.0)),
        "tool_x.y": ("mrad", pytest.approx(10.0)),
        "stiffness.x": ("percent", pytest.approx(5.0)),
        "gripper": ("opening", pytest.approx(0.2)),
    }
    assert found.position_mm == pytest.approx(5.0) and found.samples == 7
    assert found.metrics()["val_position_mm"] == pytest.approx(5.0)
    assert found.line().startswith("5 mm off on held-out episodes (x 3 mm, y 0 mm, z 4 mm, tool_x.x 0 mrad")


def test_the_six_numbers_of_a_rotation_tell_an_angle() -> None:
    codec = make_codec(make_setup(action=ActionSpec(ActionLabel.SETPOINT, True, False)), ActionEncoding.ABSOLUTE_V1)
    angle, T = 0.002, np.eye(4)
    T[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    rows = [codec.encode(pose[None], np.zeros(1), np.zeros(3)) for pose in (T, np.eye(4))]
    found = {n.name: n.error for n in summed(torch.from_numpy(rows[0] - rows[1]), codec.numbers, 1).numbers}
    assert found["tool_x.y"] == pytest.approx(2.0, rel=1e-3) and found["tool_y.x"] == pytest.approx(2.0, rel=1e-3)


def test_columns_without_an_arm_keep_their_units() -> None:
    found = summed(torch.tensor([[3.0, -4.0]]), columns(2), 1)
    assert (found.distance, found.unit) == (5.0, "unit") and np.isnan(found.position_mm)
    assert found.metrics() == {"val_distance_unit": 5.0, "val_action.0_unit": 3.0, "val_action.1_unit": 4.0}


def test_joint_errors_reach_checkpoint_progress_and_tensorboard_by_the_joints_names(tmp_path: Path) -> None:
    setup = make_setup(cameras=(), objects=(), state=("q", "gripper"))
    config = replace(CONFIG, action_encoding=ActionEncoding.JOINT_RELATIVE_V1, val_fraction=0.25)
    demos = [demonstrate(setup, np.array([0.4 + 0.03 * i, 0.0, HALF_M]), f"d{i}") for i in range(4)]
    seen: list[Progress] = []
    result = train(ChunkDataset(demos, setup, config), setup, config, tmp_path, on_progress=seen.append)
    metrics = checkpoint.read_manifest(tmp_path).metrics
    assert {k for k in metrics if k.startswith("val_")} == {
        "val_distance_mrad",
        "val_a_mrad",
        "val_b_mrad",
        "val_gripper_opening",
    }
    assert result.val is not None and metrics["val_a_mrad"] == result.val.numbers[0].error
    assert seen[-1].val == result.val and np.isnan(seen[-1].val_mm), "a posture has no millimetres"
    events = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    assert set(metrics) - {"steps", "seconds"} <= set(events.Tags()["scalars"])
    assert events.Scalars("val_a_mrad")[-1].value == pytest.approx(metrics["val_a_mrad"])


def test_a_trajectory_tells_its_errors_on_held_out_episodes_too(tmp_path: Path) -> None:
    setup = make_setup(cameras=(), objects=())
    config = replace(CONFIG, head=Head.PROMP, val_fraction=0.25)
    demos = [demonstrate(setup, np.array([0.4 + 0.03 * i, 0.0, HALF_M]), f"d{i}") for i in range(4)]
    result = train(ChunkDataset(demos, setup, config), setup, config, tmp_path)
    assert result.val is not None and result.val.samples == 1
    metrics = checkpoint.read_manifest(tmp_path).metrics
    assert metrics["trajectory_mm"] == metrics["val_position_mm"] == result.val.distance == result.loss
    assert set(metrics) >= {"val_x_mm", "val_y_mm", "val_z_mm", "val_gripper_opening"}
