"""Engaging never moves the arm, and the target stays near it, inside the box and below the speed limit."""

from __future__ import annotations

import numpy as np
import pytest

from il_core.config import config_dir, from_mapping, load_yaml
from il_core.errors import ConfigError
from il_core.geometry import inverse, matrix_from_rotvec, pose, rotvec_from_matrix
from il_core.types import EePose
from il_teleop.retarget import Feel, Motion, RetargetConfig, RetargetedDevice, Retargeter

DT_NS = 20_000_000
CONFIG = load_yaml(config_dir() / "teleop" / "retarget.yaml", RetargetConfig)
DOWN = matrix_from_rotvec([np.pi, 0.0, 0.0])
T_HOME = pose([0.45, 0.0, 0.3], DOWN)


def unit(rng, size=3):
    v = rng.normal(size=size)
    return v / np.linalg.norm(v)


def random_motion(rng) -> Motion:
    linear, angular = (tuple(rng.uniform(-1.5, 1.5, 3)) for _ in range(2))
    return Motion(linear, angular, True)


def lead(T_base_ee, T_base_des):
    T_ee_des = inverse(T_base_ee) @ T_base_des
    return np.linalg.norm(T_ee_des[:3, 3]), np.linalg.norm(rotvec_from_matrix(T_ee_des[:3, :3]))


def test_engaging_returns_the_measured_pose_whatever_the_device_says(rng):
    retargeter = Retargeter(CONFIG)
    for k in range(50):
        T = pose(rng.uniform(-1, 1, 3), matrix_from_rotvec(unit(rng) * rng.uniform(0, 3)))
        retargeter.release()
        np.testing.assert_array_equal(retargeter.step(k * DT_NS, random_motion(rng), T), T)


def test_target_integrates_the_commanded_velocity_exactly_when_the_arm_follows():
    retargeter, T = Retargeter(CONFIG), T_HOME
    motion = Motion((0.5, -0.25, 0.1), (0.0, 0.0, 0.5), True)
    for k in range(26):
        T = retargeter.step(k * DT_NS, motion, T)
    seconds = 25 * DT_NS / 1e9
    moved = np.array(motion.linear) * CONFIG.max_speed_m_s * seconds
    np.testing.assert_allclose(T[:3, 3], T_HOME[:3, 3] + moved, atol=1e-12)
    turned = rotvec_from_matrix(T[:3, :3] @ T_HOME[:3, :3].T)
    np.testing.assert_allclose(turned, [0, 0, 0.5 * CONFIG.max_rotation_speed_rad_s * seconds], atol=1e-9)


def test_no_deflection_ever_moves_the_target_faster_than_the_limits(rng):
    retargeter, T = Retargeter(CONFIG), T_HOME
    retargeter.step(0, Motion(is_engaged=True), T)
    for k in range(1, 300):
        before = T
        T = retargeter.step(k * DT_NS, random_motion(rng), T)
        step_m, step_rad = lead(before, T)
        assert step_m <= CONFIG.max_speed_m_s * 0.02 + 1e-9
        assert step_rad <= CONFIG.max_rotation_speed_rad_s * 0.02 + 1e-7


def test_target_never_runs_further_ahead_than_the_lead_when_the_arm_is_stuck(rng):
    retargeter = Retargeter(CONFIG)
    for k in range(1000):
        T_des = retargeter.step(k * DT_NS, random_motion(rng), T_HOME)
        far_m, far_rad = lead(T_HOME, T_des)
        assert far_m <= CONFIG.max_lead_m + 1e-9
        assert far_rad <= CONFIG.max_lead_rad + 1e-6


def test_turning_back_acts_at_once_because_nothing_is_stored_up():
    retargeter = Retargeter(CONFIG)
    for k in range(200):
        far = retargeter.step(k * DT_NS, Motion((1.0, 0.0, 0.0), is_engaged=True), T_HOME)
    back = retargeter.step(200 * DT_NS, Motion((-1.0, 0.0, 0.0), is_engaged=True), T_HOME)
    assert far[0, 3] - back[0, 3] == pytest.approx(CONFIG.max_speed_m_s * 0.02)


def test_target_stays_in_the_workspace_when_the_arm_follows(rng):
    retargeter, T = Retargeter(CONFIG), T_HOME
    for k in range(2000):
        direction = tuple(unit(rng) if k % 100 == 0 else direction)  # noqa: F821 - set in the first round
        T = retargeter.step(k * DT_NS, Motion(direction, is_engaged=True), T)
        assert np.all(T[:3, 3] >= np.array(CONFIG.workspace_min_m) - 1e-12)
        assert np.all(T[:3, 3] <= np.array(CONFIG.workspace_max_m) + 1e-12)


def test_an_arm_outside_the_workspace_can_only_be_driven_inward():
    outside = pose([0.9, 0.0, 0.3], DOWN)
    for direction, x in ((1.0, 0.9), (-1.0, 0.9 - CONFIG.max_speed_m_s * 0.02)):
        retargeter = Retargeter(CONFIG)
        retargeter.step(0, Motion(is_engaged=True), outside)
        T = retargeter.step(DT_NS, Motion((direction, 0.0, 0.0), is_engaged=True), outside)
        assert T[0, 3] == pytest.approx(x)


def test_a_long_pause_is_not_integrated():
    retargeter = Retargeter(CONFIG)
    retargeter.step(0, Motion(is_engaged=True), T_HOME)
    T = retargeter.step(3_000_000_000, Motion((0.0, 1.0, 0.0), is_engaged=True), T_HOME)
    assert T[1, 3] == pytest.approx(0.1 * CONFIG.max_speed_m_s)


def test_dead_zone_and_factors_act_on_each_axis_of_a_stick():
    feel = Feel(dead_zone=0.1, scale_linear=(1.0, -0.5, 1.0), scale_angular=(0.0, 0.0, 2.0))
    retargeter = Retargeter(CONFIG, feel)
    retargeter.step(0, Motion(is_engaged=True), T_HOME)
    T = retargeter.step(DT_NS, Motion((0.4, 0.4, 0.1), (1.0, 0.05, 0.2), True), T_HOME)
    step_m = CONFIG.max_speed_m_s * 0.02
    np.testing.assert_allclose(T[:3, 3] - T_HOME[:3, 3], [0.4 * step_m, -0.2 * step_m, 0.0], atol=1e-12)
    turned = rotvec_from_matrix(T[:3, :3] @ T_HOME[:3, :3].T)
    np.testing.assert_allclose(turned, [0.0, 0.0, 0.4 * CONFIG.max_rotation_speed_rad_s * 0.02], atol=1e-9)


@pytest.mark.parametrize("soft_start_s", [0.0, 1.0])
def test_an_absolute_device_is_reached_from_any_posture_softly_and_never_faster_than_the_limit(rng, soft_start_s):
    T_leader = pose([0.6, 0.2, 0.4], matrix_from_rotvec([0.3, 0.0, 0.0]) @ DOWN)
    retargeter = Retargeter(CONFIG, Feel(is_absolute=True, soft_start_s=soft_start_s))
    T, speeds = T_HOME, []
    for k in range(200):
        before, T = T, retargeter.step(k * DT_NS, Motion(is_engaged=True, T_base_device=T_leader), T)
        speeds.append(lead(before, T)[0] / 0.02)
    np.testing.assert_allclose(T, T_leader, atol=1e-6)
    assert speeds[0] == 0.0
    assert max(speeds) == pytest.approx(CONFIG.max_speed_m_s)
    if soft_start_s:
        assert np.diff(speeds[:50]).max() <= CONFIG.max_speed_m_s * 0.02 / soft_start_s + 1e-9
    else:
        assert speeds[1] == pytest.approx(CONFIG.max_speed_m_s)


def test_a_followed_device_comes_back_to_where_it_was_with_the_tool_though_the_arm_was_stuck():
    retargeter = Retargeter(CONFIG)
    hand = pose([0.0, 0.0, 0.0])
    retargeter.step(0, Motion(is_engaged=True, T_base_device=hand), T_HOME)
    for k, x in enumerate([*np.linspace(0, 0.3, 100), *np.linspace(0.3, 0.0, 100), *np.zeros(20)], start=1):
        T = retargeter.step(k * DT_NS, Motion(is_engaged=True, T_base_device=pose([x, 0, 0])), T_HOME)
        assert lead(T_HOME, T)[0] <= CONFIG.max_lead_m + 1e-9
    np.testing.assert_allclose(T, T_HOME, atol=1e-9)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"dead_zone": 1.0}, "0 <= dead_zone < 1"),
        ({"scale_linear": (1.0, 1.0)}, "three values each"),
        ({"is_absolute": True, "scale_linear": (0.5, 1.0, 1.0)}, "cannot be scaled"),
        ({"soft_start_s": -1.0}, "soft_start_s >= 0"),
    ],
)
def test_feels_that_nobody_could_feel_are_refused(values, message):
    with pytest.raises(ConfigError, match=message):
        Feel(**values)


class Hand:
    """A person's hand: says what it is told."""

    def __init__(self) -> None:
        self.now = Motion()

    def motion(self, now_ns: int) -> Motion:
        return self.now


def engaged_device() -> tuple[RetargetedDevice, Hand]:
    hand = Hand()
    device = RetargetedDevice(hand, CONFIG)
    device.observe_pose(EePose(0, T_HOME))
    hand.now = Motion(is_engaged=True)
    assert device.command(0) is not None
    return device, hand


def test_a_stale_tool_pose_opens_the_clutch_until_the_person_lets_go():
    device, hand = engaged_device()
    late = int(CONFIG.max_pose_age_ms * 1e6) + 1
    assert device.command(late) is None
    assert "tool pose is 500 ms old, limit 500 ms" in device.reason
    device.observe_pose(EePose(late, T_HOME))
    assert device.command(late) is None
    assert device.reason == "let go of the clutch, then hold it again"
    hand.now = Motion()
    device.command(late)
    hand.now = Motion(is_engaged=True)
    command = device.command(late)
    assert command is not None
    np.testing.assert_allclose(command.T_base_ee_des, T_HOME)


def test_a_device_fault_opens_the_clutch():
    device, hand = engaged_device()
    hand.now = Motion(is_engaged=True, fault="gamepad unplugged")
    assert device.command(DT_NS) is None
    assert device.reason == "gamepad unplugged"


def test_without_any_tool_pose_nothing_is_commanded():
    hand = Hand()
    hand.now = Motion(is_engaged=True)
    device = RetargetedDevice(hand, CONFIG)
    assert device.command(0) is None
    assert "is controller_node running" in device.reason


def test_the_gripper_stays_as_it_is_until_the_person_asks():
    device, hand = engaged_device()
    device.observe_gripper(0.3)
    assert device.command(DT_NS).gripper_des == 0.3
    hand.now = Motion(is_engaged=True, gripper_des=0.0)
    assert device.command(2 * DT_NS).gripper_des == 0.0


@pytest.mark.parametrize(
    "change, message",
    [
        ({"max_speed_m_s": 0.0}, "must be positive"),
        ({"workspace_min_m": [0.9, 0.0, 0.0]}, "two corners, lower < upper"),
        ({"workspace_max_m": [1.0, 1.0]}, "two corners"),
    ],
)
def test_impossible_limits_are_refused(change, message):
    values = {k: list(v) if isinstance(v, tuple) else v for k, v in _as_dict(CONFIG).items()}
    with pytest.raises(ConfigError, match=message):
        from_mapping(RetargetConfig, {**values, **change}, "test")


def _as_dict(config: RetargetConfig) -> dict[str, object]:
    from dataclasses import asdict

    return asdict(config)
