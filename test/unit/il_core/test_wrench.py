"""The wrench on the tool: laws of mechanics, the one alignment, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from il_core import wire
from il_core.align import Aligner
from il_core.config import load_setup
from il_core.errors import ConfigError, DeviceError, NonFiniteError, ShapeError, StaleStreamError
from il_core.geometry import inverse, matrix_from_rotvec, pose, quat_xyzw_from_matrix
from il_core.types import ArmState, EePose
from il_core.wrench import ToolWrench, WrenchSensor, wrench_about

MS = 1_000_000
T0 = 1_700_000_000_000_000_000
UPRIGHT = (0.0, 0.0, 0.0, 1.0)


def any_pose(rng):
    return pose(rng.normal(size=3), matrix_from_rotvec(rng.normal(size=3)))


def any_sensor(rng):
    T = any_pose(rng)
    return WrenchSensor("ft", tuple(T[:3, 3]), tuple(quat_xyzw_from_matrix(T[:3, :3])))


def test_turning_the_tool_turns_the_wrench_and_moving_it_does_not(rng):
    felt = ToolWrench.measured(T0, rng.normal(size=6), any_sensor(rng))
    T, turn = any_pose(rng), matrix_from_rotvec(rng.normal(size=3))
    before = felt.in_base(T)
    assert np.allclose(
        felt.in_base(pose(rng.normal(size=3), turn @ T[:3, :3])), [*turn @ before[:3], *turn @ before[3:]]
    )
    assert np.array_equal(felt.in_base(pose(rng.normal(size=3), T[:3, :3])), before)
    assert np.allclose(felt.in_base(np.eye(4)), felt.wrench)


def test_a_sensor_away_from_the_tool_point_feels_another_torque_by_its_lever():
    sensor = WrenchSensor("ft", (0.1, 0.0, 0.0), UPRIGHT)
    felt = ToolWrench.measured(T0, (0.0, 0.0, 10.0, 0.0, 0.0, 0.0), sensor)
    assert np.allclose(felt.wrench, [0.0, 0.0, 10.0, 0.0, -1.0, 0.0])  # r x F: 10 N up, 0.1 m ahead, turn down about y


def test_the_power_of_a_motion_is_the_same_about_any_point_and_along_any_axes(rng):
    for _ in range(20):
        T_a_b, p_a, wrench_b = any_pose(rng), rng.normal(size=3), rng.normal(size=6)
        v_p, omega = rng.normal(size=3), rng.normal(size=3)  # of the body's point p, in a
        v_b = v_p + np.cross(omega, T_a_b[:3, 3] - p_a)
        R_b_a = T_a_b[:3, :3].T
        power_b = wrench_b[:3] @ (R_b_a @ v_b) + wrench_b[3:] @ (R_b_a @ omega)
        wrench_a = wrench_about(p_a, T_a_b, wrench_b)
        assert wrench_a[:3] @ v_p + wrench_a[3:] @ omega == pytest.approx(power_b)


def test_there_and_back_is_the_same_wrench(rng):
    T, wrench = any_pose(rng), rng.normal(size=6)
    there = wrench_about(np.zeros(3), T, wrench)
    assert np.allclose(wrench_about(np.zeros(3), inverse(T), there), wrench)


def message(stamp_ns, values, frame="ft"):
    sec, nanosec = divmod(stamp_ns, 10**9)
    force, torque = (SimpleNamespace(x=x, y=y, z=z) for x, y, z in (values[:3], values[3:]))
    header = SimpleNamespace(stamp=SimpleNamespace(sec=sec, nanosec=nanosec), frame_id=frame)
    return SimpleNamespace(header=header, wrench=SimpleNamespace(force=force, torque=torque))


def test_a_message_is_read_in_the_frame_the_robot_names_and_in_no_other():
    sensor = WrenchSensor("ft", (0.0, 0.0, 0.0), UPRIGHT)
    for frame in ("ft", ""):
        felt = wire.wrench_from(message(T0 + 5, range(6), frame), sensor)
        assert (felt.stamp_ns, felt.wrench.tolist()) == (T0 + 5, [0, 1, 2, 3, 4, 5])
    with pytest.raises(DeviceError, match="in frame 'base', the robot's file says 'ft'; correct 'wrench_sensor'"):
        wire.wrench_from(message(T0, range(6), "base"), sensor)
    with pytest.raises(NonFiniteError, match="wrist wrench"):
        wire.wrench_from(message(T0, [0, 0, float("nan"), 0, 0, 0]), sensor)
    with pytest.raises(ShapeError, match="wrist wrench"):
        ToolWrench.measured(T0, np.zeros(5), sensor)


@pytest.fixture
def aligner(felt_setup):
    aligner = Aligner(replace(felt_setup.task, cameras=()))
    for k in range(30):
        t = T0 + 10 * k * MS
        R = matrix_from_rotvec([0.0, 0.0, 0.01 * k])  # the tool turns
        aligner.push_ee_pose(EePose(t, pose([0.1, 0.2, 0.3], R)))
        aligner.push_arm(ArmState(t, np.zeros(2), np.zeros(2), np.zeros(2), 1.0))
    return aligner


def test_an_observation_has_the_newest_wrench_turned_with_the_tool_of_its_tick(aligner):
    for ms in (80, 90):
        aligner.push_wrench(ToolWrench(T0 + ms * MS, np.array([float(ms), 0, 0, 0, 0, 1.0])))
    seen = aligner.observe(T0 + 100 * MS)
    assert seen.age_ns["wrench"] == 10 * MS
    assert seen.wrench == pytest.approx([90 * np.cos(0.1), 90 * np.sin(0.1), 0, 0, 0, 1.0])


def test_a_wrench_decoded_late_is_the_same_and_an_unusable_one_gives_way(aligner):
    asked = []

    def late(ms, is_usable=True):
        def decode():
            asked.append(ms)
            return ToolWrench(T0 + ms * MS, np.full(6, float(ms))) if is_usable else None

        aligner.push_wrench_later(T0 + ms * MS, decode)

    for ms in (70, 80):
        late(ms)
    late(90, is_usable=False)
    seen = aligner.observe(T0 + 100 * MS)
    assert seen.age_ns["wrench"] == 20 * MS and seen.wrench[2] == 80.0
    assert asked == [90, 80], "what no tick uses is not decoded"


def test_a_missing_or_old_wrench_is_an_error_and_never_a_zero(aligner, tiny_setup):
    with pytest.raises(StaleStreamError, match="stream 'wrench': never received, limit 40 ms"):
        aligner.observe(T0 + 100 * MS)
    aligner.push_wrench(ToolWrench(T0 + 59 * MS, np.ones(6)))
    with pytest.raises(StaleStreamError, match="stream 'wrench': newest sample is 41 ms old, limit 40 ms"):
        aligner.observe(T0 + 100 * MS)
    assert aligner.observe(T0 + 99 * MS).wrench is not None
    assert "wrench" not in Aligner(tiny_setup.task).streams


@pytest.mark.parametrize(
    ("sensor", "problem"),
    [
        (("", (0.0, 0.0, 0.0), UPRIGHT), "frame is empty; write the frame_id of its messages"),
        (("ft", (0.0, 0.0), UPRIGHT), "p_ee_sensor_m needs 3 finite values"),
        (("ft", (0.0, 0.0, float("nan")), UPRIGHT), "p_ee_sensor_m needs 3 finite values"),
        (("ft", (0.0, 0.0, 0.0), (1.0, 1.0, 0.0, 0.0)), "must have unit length"),
    ],
)
def test_a_sensor_without_a_place_is_refused(sensor, problem):
    with pytest.raises(ValueError, match=problem):
        WrenchSensor(*sensor)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"robot": "fr3"}, "robot 'fr3': the task observes the wrench, but 'wrench_sensor' is not set"),
        ({"max_age_ms": {"ee_pose": 50.0}}, "task 'pick_place': max_age_ms has no entry 'wrench'"),
    ],
)
def test_a_task_observes_a_wrench_only_of_a_robot_that_feels_and_with_a_limit(
    tmp_path, write_felt_task, change, problem
):
    path = write_felt_task(tmp_path, "pick_place")
    assert load_setup(str(path)).robot.force_sensor().frame == "ft"
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), **change}))
    with pytest.raises(ConfigError, match=problem):
        load_setup(str(path))
