"""What cameras see becomes numbers, and actions survive the way there and back."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tiny_world import HALF_M, HOME, R_DOWN, make_setup, render

from il_core.config import Setup
from il_core.errors import DeviceError, EpisodeError, ShapeError
from il_core.geometry import Array, matrix_from_rotvec, pose
from il_core.spec import ActionLabel, ActionSpec
from il_core.types import ArmState, Observation
from il_policy.config import ActionEncoding
from il_policy.tool_codec import ActionCodec
from il_policy.transforms import ObservationEncoder, colour_mask, locate, tool_pose_at

TICK = 10**9


def observe(
    setup: Setup, p_cube: Array, T_base_ee: Array, wrist_T: Array | None = None, lag_ns: int = 0
) -> Observation:
    """Observation at ``TICK`` with pictures taken ``lag_ns`` earlier, the wrist being at ``wrist_T``."""
    arm = ArmState(TICK, [0.1, 0.2], [0, 0], [0, 0], 0.7)
    T_then = T_base_ee if wrist_T is None else wrist_T
    images = {c: render(setup.robot.camera(c), T_then, p_cube, TICK - lag_ns) for c in setup.task.cameras}
    return Observation(TICK, T_base_ee, arm, images, {"ee_pose": 0, "arm": 0})


@pytest.mark.parametrize("camera", ["front", "wrist"])
def test_a_red_square_is_found_within_three_millimetres(setup: Setup, camera: str) -> None:
    p_cube, T_base_ee = np.array([0.47, 0.03, HALF_M]), pose([0.45, 0.02, 0.25], R_DOWN)
    spec = setup.robot.camera(camera)
    T = spec.T_mount_optical if camera == "front" else T_base_ee @ spec.T_mount_optical
    sighting = locate(render(spec, T_base_ee, p_cube, 0), T, setup.task.objects[0])
    assert sighting is not None
    assert np.abs(sighting.p_base - (p_cube + [0, 0, HALF_M])).max() < 0.003


def test_red_wraps_around_the_colour_circle_and_grey_is_not_red(setup: Setup) -> None:
    rgb = np.array([[(200, 10, 40), (200, 40, 10), (90, 90, 90), (10, 200, 10), (20, 0, 0)]], dtype=np.uint8)
    assert colour_mask(rgb, setup.task.objects[0]).tolist() == [[True, True, False, False, False]]


def test_an_object_out_of_view_is_not_seen_and_says_so(setup: Setup) -> None:
    far = observe(setup, np.array([3.0, 0.0, HALF_M]), pose(HOME, R_DOWN))
    features = ObservationEncoder(setup).features(far, far)
    assert features[0] == 0.0
    assert np.isnan(features[1:]).all()


def test_pixels_without_depth_do_not_count(setup: Setup) -> None:
    frame = render(setup.robot.camera("front"), pose(HOME, R_DOWN), np.array([0.5, 0.0, HALF_M]), 0)
    blind = replace(frame, depth_m=np.zeros_like(frame.depth_m))
    assert locate(blind, np.eye(4), setup.task.objects[0]) is None


def test_a_picture_from_the_moving_wrist_is_placed_where_the_wrist_was() -> None:
    setup = make_setup(cameras=("wrist",))
    p_cube, lag_ns = np.array([0.5, 0.0, HALF_M]), 50_000_000
    T_0, T_1 = pose([0.42, 0.0, 0.25], R_DOWN), pose([0.48, 0.0, 0.25], R_DOWN)
    T_then = pose([0.45, 0.0, 0.25], R_DOWN)  # half a tick before the newest
    now = observe(setup, p_cube, T_1, T_then, lag_ns)
    before = replace(now, tick_ns=TICK - 100_000_000, T_base_ee=T_0)
    features = ObservationEncoder(setup).features(now, before)
    assert np.abs(features[1:3] - p_cube[:2]).max() < 0.003
    assert np.abs(features[4:6] - (p_cube[:2] - T_1[:2, 3])).max() < 0.003


def test_the_tool_pose_is_held_outside_of_the_two_ticks(episode: object, setup: Setup) -> None:
    now = observe(setup, np.array([0.5, 0.0, HALF_M]), pose([0.5, 0, 0.3], R_DOWN))
    before = replace(now, tick_ns=TICK - 100_000_000, T_base_ee=pose([0.4, 0, 0.3], R_DOWN))
    for t_ns, x in ((TICK + 5, 0.5), (TICK, 0.5), (TICK - 75_000_000, 0.425), (TICK - 10**9, 0.4)):
        assert tool_pose_at(t_ns, now, before)[0, 3] == pytest.approx(x)


def test_every_number_of_the_vector_has_a_name(setup: Setup) -> None:
    setup = make_setup(state=("q", "ee_position", "ee_rotation_6d", "gripper"))
    encoder = ObservationEncoder(setup)
    o = observe(setup, np.array([0.5, 0.0, HALF_M]), pose([0.41, 0.02, 0.3], R_DOWN))
    values = dict(zip(encoder.names, encoder.encode([o, o]), strict=True))
    assert values["q.1@-1"] == 0.2
    assert values["ee_position.x@0"] == 0.41
    assert values["gripper@0"] == 0.7
    assert values["ee_rotation_6d.0@0"] == 1.0
    assert values["cube.from_tool.x"] == pytest.approx(values["cube.position.x"] - 0.41)


def test_a_displaced_tool_changes_the_vector_as_the_sensitivity_says(setup: Setup) -> None:
    encoder, p_cube, d = (
        ObservationEncoder(setup),
        np.array([0.5, 0.0, HALF_M]),
        np.array([0.01, -0.02, 0.03]),
    )
    setup_front = make_setup(cameras=("front",))
    encoder = ObservationEncoder(setup_front)
    a = observe(setup_front, p_cube, pose([0.4, 0.0, 0.3], R_DOWN))
    b = observe(setup_front, p_cube, pose(np.array([0.4, 0.0, 0.3]) + d, R_DOWN))
    change = encoder.encode([b, b]) - encoder.encode([a, a])
    assert change == pytest.approx(encoder.sensitivity()["tool"] @ d)


@pytest.mark.parametrize("encoding", list(ActionEncoding))
@pytest.mark.parametrize("rotation", [False, True])
@pytest.mark.parametrize("gripper", [False, True])
def test_decoding_gives_back_what_was_encoded(encoding: ActionEncoding, rotation: bool, gripper: bool) -> None:
    rng = np.random.default_rng(0)
    task = make_setup(action=ActionSpec(ActionLabel.SETPOINT, rotation=rotation, gripper=gripper)).task
    codec, p = ActionCodec(task, encoding), rng.standard_normal(3)
    R = [matrix_from_rotvec(rng.standard_normal(3)) if rotation else R_DOWN for _ in range(16)]
    T_des = np.array([pose(rng.standard_normal(3), r) for r in R])
    g_des = rng.uniform(0, 1, 16)
    rows = codec.encode(T_des, g_des, p)
    assert rows.shape == (16, codec.dim)
    T_back, g_back = codec.decode(rows, p)
    assert T_back == pytest.approx(T_des)
    assert g_back == pytest.approx(g_des) if gripper else g_back is None


def test_relative_actions_do_not_depend_on_where_the_task_happens() -> None:
    task, shift = make_setup().task, np.array([0.1, -0.2, 0.05])
    codec, T = ActionCodec(task, ActionEncoding.RELATIVE_V1), pose([0.5, 0.1, 0.2], R_DOWN)[None]
    moved = pose(T[0, :3, 3] + shift, R_DOWN)[None]
    p, g = np.array([0.4, 0.0, 0.3]), np.ones(1)
    assert codec.encode(T, g, p) == pytest.approx(codec.encode(moved, g, p + shift))


def test_wrong_input_is_refused_in_words(setup: Setup) -> None:
    encoder = ObservationEncoder(setup)
    o = observe(setup, np.array([0.5, 0.0, HALF_M]), pose(HOME, R_DOWN))
    with pytest.raises(ShapeError, match="window: expected shape 2 observations"):
        encoder.encode([o])
    with pytest.raises(DeviceError, match="camera 'front' is not in the observation; it has"):
        encoder.features(replace(o, images={}), o)
    with pytest.raises(EpisodeError, match="the task observes 'gripper'; record joint_states"):
        encoder.state_vector(replace(o, arm=None))
    with pytest.raises(ShapeError, match="observed_ticks: expected shape at most 2"):
        ObservationEncoder(setup, observed_ticks=3)
    with pytest.raises(ShapeError, match="action rows"):
        ActionCodec(setup.task, ActionEncoding.RELATIVE_V1).decode(np.zeros((16, 3)), np.zeros(3))
