"""Pictures mean what the specs say: a pixel and its depth lead back to the thing it shows."""

import numpy as np
import pytest

from il_core.config import load_setup
from il_core.errors import ConfigError
from il_core.types import Intrinsics
from il_sim.camera import RANGE_MAX_M, Renderer
from il_sim.plant import Plant
from il_sim.tasks.pick_place import CUBE_SIDE_M

STAMP_NS = 42


@pytest.fixture(scope="module")
def view():
    plant = Plant(load_setup("pick_place"), seed=1)
    renderer = Renderer(plant.model, plant.robot)
    renderer.pose(plant.world_state())
    yield plant, renderer
    renderer.close()


def points_base(plant, frame):
    """All pixels with depth as points in base, (H, W, 3) [m]."""
    spec = plant.robot.camera(frame.camera)
    T = spec.T_mount_optical if spec.mount.value == "base" else plant.ee_pose() @ spec.T_mount_optical
    i: Intrinsics = frame.intrinsics
    v, u = np.mgrid[0 : i.height, 0 : i.width]
    z = frame.depth_m.astype(np.float64)
    points = np.stack([(u - i.cx) / i.fx * z, (v - i.cy) / i.fy * z, z], axis=-1)
    return points @ T[:3, :3].T + T[:3, 3]


def is_red(frame):
    rgb = frame.rgb.astype(int)
    return (rgb[..., 0] > 60) & (rgb[..., 0] > 2 * rgb[..., 1]) & (rgb[..., 0] > 2 * rgb[..., 2])


@pytest.mark.parametrize("camera", ["front", "wrist"])
def test_red_pixels_lie_on_the_cube(view, camera):
    plant, renderer = view
    frame = renderer.render(camera, STAMP_NS)
    red = is_red(frame) & (frame.depth_m > 0.0)
    assert red.sum() > 50, "the cube is in view"
    T_cube_base = np.linalg.inv(plant.object_pose("cube"))
    points = points_base(plant, frame)[red] @ T_cube_base[:3, :3].T + T_cube_base[:3, 3]
    outside_m = np.abs(points).max(axis=-1) - CUBE_SIDE_M / 2  # 0 on the surface
    assert np.percentile(np.abs(outside_m), 95) < 0.002
    top = points_base(plant, frame)[red][:, 2].max()
    assert top == pytest.approx(CUBE_SIDE_M, abs=0.002)


@pytest.mark.parametrize("camera", ["front", "wrist"])
def test_the_table_top_is_the_plane_z_0_of_base(view, camera):
    plant, renderer = view
    frame = renderer.render(camera, STAMP_NS)
    z = points_base(plant, frame)[frame.depth_m > 0.0][:, 2]
    on_table = np.abs(z) < 0.005
    assert on_table.mean() > 0.3, "most of the picture is table"
    assert np.percentile(np.abs(z[on_table]), 98) < 0.0005  # the rest are feet of cube and bin


def test_beyond_the_range_there_is_no_depth(view):
    _, renderer = view
    for camera in ("front", "wrist"):
        depth_m = renderer.render(camera, STAMP_NS).depth_m
        assert depth_m.max() <= RANGE_MAX_M
    assert (renderer.render("front", STAMP_NS).depth_m == 0.0).any(), "the void behind the table"


def test_a_frame_carries_stamp_name_and_shape_of_its_camera(view):
    plant, renderer = view
    frame = renderer.render("wrist", STAMP_NS)
    spec = plant.robot.camera("wrist")
    assert (frame.stamp_ns, frame.camera, frame.rgb.shape) == (
        STAMP_NS,
        "wrist",
        (spec.height, spec.width, 3),
    )


def test_the_same_state_gives_the_same_picture_and_a_moved_cube_another(view):
    plant, renderer = view
    first = renderer.render("front", STAMP_NS)
    assert np.array_equal(first.rgb, renderer.render("front", STAMP_NS).rgb)
    qpos = plant.world_state()
    adr = plant.model.joint("cube").qposadr[0]
    qpos[adr] += 0.05
    renderer.pose(qpos)
    assert not np.array_equal(first.rgb, renderer.render("front", STAMP_NS).rgb)
    renderer.pose(plant.world_state())


@pytest.mark.parametrize("seed", range(8))
def test_both_cameras_see_the_cube_wherever_the_seed_puts_it(view, seed):
    plant, renderer = view
    plant.reset(seed)
    renderer.pose(plant.world_state())
    for camera in ("front", "wrist"):
        assert is_red(renderer.render(camera, STAMP_NS)).sum() > 30, camera
    plant.reset(1)
    renderer.pose(plant.world_state())


def test_an_unknown_camera_lists_those_there_are(view):
    with pytest.raises(ConfigError, match="did you mean 'wrist'"):
        view[1].render("wrst", STAMP_NS)
