"""The digest changes with anything that must match; impossible robots and tasks are refused."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from il_core.config import load_setup
from il_core.errors import ConfigError
from il_core.spec import ActionLabel, ActionSpec, WrenchSensor, digest

UPRIGHT = (0.0, 0.0, 0.0, 1.0)


def test_the_digest_is_the_same_for_the_same_specs(make_setup):
    assert make_setup().digest == make_setup().digest
    assert len(make_setup().digest) == 64


def test_every_field_of_the_task_changes_the_digest(tiny_setup):
    changes = {
        "name": "other", "robot": "other", "instruction": "other", "rate_hz": 20, "n_obs": 3, "horizon": 9,
        "n_execute": 3, "state": ("ee_position",), "cameras": (), "quat_xyzw_tool": (0.0, 1.0, 0.0, 0.0),
        "action": ActionSpec(ActionLabel.NEXT_MEASURED, rotation=False, gripper=True),
        "max_age_ms": {"arm": 51.0}, "objects": load_setup("pick_place").task.objects, "press_m": 0.1,
        "wrench": True,
    }  # fmt: skip
    assert set(changes) == {f.name for f in fields(tiny_setup.task)}
    seen = {digest(tiny_setup.robot, replace(tiny_setup.task, **{k: v}), "<robot/>") for k, v in changes.items()}
    assert len(seen | {tiny_setup.digest}) == len(changes) + 1


def test_another_arm_camera_or_urdf_changes_the_digest(tiny_setup):
    robot, task = tiny_setup.robot, tiny_setup.task
    moved = replace(robot.cameras[0], p_mount_optical_m=(0.0, 0.0, 1.001))
    others = [
        digest(replace(robot, q_max_rad=(1.0, 1.1)), task, "<robot/>"),
        digest(replace(robot, cameras=(moved,)), task, "<robot/>"),
        digest(robot, task, "<robot></robot>"),
        digest(robot, replace(task, action=replace(task.action, version=2)), "<robot/>"),
        digest(replace(robot, wrench_sensor=WrenchSensor("ft", (0.0, 0.0, -0.1), UPRIGHT)), task, "<robot/>"),
        digest(replace(robot, wrench_sensor=WrenchSensor("ft", (0.0, 0.0, -0.2), UPRIGHT)), task, "<robot/>"),
    ]
    assert len({tiny_setup.digest, *others}) == 7


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"rate_hz": 0}, "must be positive"),
        ({"n_execute": 9}, "n_execute 9 exceeds horizon 8"),
        ({"state": ("ee_positon",)}, "unknown state 'ee_positon'; did you mean 'ee_position'"),
        ({"max_age_ms": {"cameras": 1.0}}, "unknown stream 'cameras'; did you mean 'camera'"),
    ],
)
def test_impossible_tasks_are_refused(make_setup, changes, problem):
    with pytest.raises(ConfigError, match=f"task 'tiny_pick': .*{problem}"):
        make_setup(**changes)


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"q_max_rad": (1.0,)}, "'q_max_rad' has 1 values for 2 joints"),
        ({"q_home_rad": (0.0, 5.0)}, "need q_min_rad < q_home_rad < q_max_rad"),
        ({"tau_max_nm": (1.0, 0.0)}, "speed, torque and acceleration limits must be positive"),
    ],
)
def test_impossible_robots_are_refused(tiny_setup, changes, problem):
    with pytest.raises(ConfigError, match=f"robot 'tiny': {problem}"):
        replace(tiny_setup.robot, **changes)


def test_an_unknown_camera_lists_those_there_are(tiny_setup):
    with pytest.raises(ConfigError, match="no camera 'eyes'; did you mean 'eye'. Options: eye"):
        tiny_setup.robot.camera("eyes")


def test_impossible_cameras_are_refused(tiny_setup):
    with pytest.raises(ConfigError, match="camera 'eye': size, rate and field of view must be positive"):
        replace(tiny_setup.robot.cameras[0], fov_v_deg=180.0)
    with pytest.raises(ValueError, match="unit length"):
        replace(tiny_setup.robot.cameras[0], quat_xyzw_mount_optical=(1.0, 1.0, 0.0, 0.0))


def test_the_field_of_view_reaches_from_edge_to_edge(tiny_setup):
    camera = tiny_setup.robot.cameras[0]
    i = camera.intrinsics
    edge = np.degrees(np.arctan((i.height / 2) / i.fy))  # pixel centres at integers: edges half a pixel out
    assert 2 * edge == pytest.approx(camera.fov_v_deg)
    assert (i.cx, i.cy) == ((i.width - 1) / 2, (i.height - 1) / 2)


def test_an_age_without_limit_is_an_error(make_setup):
    task = make_setup(max_age_ms={"ee_pose": 50.0}).task
    assert task.max_age_ns("ee_pose") == 50_000_000
    with pytest.raises(ConfigError, match="max_age_ms has no entry 'arm'"):
        task.max_age_ns("arm")
