"""Scenes that differ by seed: the same seed the same scene, ranges kept, and nothing changed where nothing is asked."""

import numpy as np
import pytest

from il_core.config import load_setup
from il_core.errors import ConfigError
from il_sim.camera import Renderer
from il_sim.plant import Plant
from il_sim.randomise import Randomisation, load_randomisation

FIELDS = (
    "light_diffuse", "light_dir", "geom_rgba", "cam_pos", "cam_quat", "geom_friction", "body_mass", "body_inertia",
    "body_subtreemass",
)  # fmt: skip
SEEDS = range(40)


@pytest.fixture(scope="module")
def setup():
    return load_setup("pick_place")


@pytest.fixture(scope="module")
def plain(setup):
    return Plant(setup)


@pytest.fixture(scope="module")
def ranges():
    return load_randomisation()


@pytest.fixture(scope="module")
def varied(setup, ranges):
    return Plant(setup, randomise=ranges)


def scene(plant, seed):
    """All that a seed may change, and where things lie."""
    plant.reset(seed)
    values = {name: np.array(getattr(plant.model, name)) for name in FIELDS}
    return values | {"headlight": np.array(plant.model.vis.headlight.diffuse), "qpos": plant.world_state()}


def angle_deg(quat_a, quat_b):
    return np.degrees(2 * np.arccos(min(1.0, abs(float(quat_a @ quat_b)))))


def test_the_same_seed_is_the_same_scene_whatever_came_before(varied):
    first = scene(varied, 3)
    scene(varied, 8)
    again = scene(varied, 3)
    for name, value in first.items():
        assert value.tobytes() == again[name].tobytes(), name


def test_every_seed_changes_light_colour_cameras_friction_and_masses(varied):
    a, b = scene(varied, 3), scene(varied, 4)
    for name, value in a.items():
        assert not np.allclose(value, b[name], rtol=1e-3, atol=0.0), name


def test_objects_lie_where_they_lie_without_it(plain, varied):
    for seed in (0, 7):
        assert scene(plain, seed)["qpos"].tobytes() == scene(varied, seed)["qpos"].tobytes()


def test_without_it_every_seed_leaves_the_scene_as_described_and_ranges_of_nothing_do_too(setup, plain):
    first, other, none = scene(plain, 0), scene(plain, 5), scene(Plant(setup, randomise=Randomisation()), 5)
    for name in (*FIELDS, "headlight"):
        assert first[name].tobytes() == other[name].tobytes(), name
        assert none[name] == pytest.approx(other[name], abs=1e-12), name


def test_what_is_drawn_stays_within_its_range_and_fills_it(plain, varied, ranges):
    described, model = scene(plain, 0), varied.model
    table, cube = model.geom("table").id, model.body("cube").id
    shifts, turns, tilts, rgb, friction, mass, light = [], [], [], [], [], [], []
    for seed in SEEDS:
        now = scene(varied, seed)
        shifts += list(1e3 * np.linalg.norm(now["cam_pos"] - described["cam_pos"], axis=1))
        turns += [angle_deg(*pair) for pair in zip(now["cam_quat"], described["cam_quat"], strict=True)]
        cosines = np.sum(now["light_dir"] * described["light_dir"], axis=1) / (
            np.linalg.norm(now["light_dir"], axis=1) * np.linalg.norm(described["light_dir"], axis=1)
        )
        tilts += list(np.degrees(np.arccos(np.clip(cosines, -1, 1))))
        rgb += list(now["geom_rgba"][table, :3])
        friction.append(now["geom_friction"][table, 0] / described["geom_friction"][table, 0])
        mass.append(now["body_mass"][cube] / described["body_mass"][cube])
        light += list((now["light_diffuse"] / described["light_diffuse"])[:, 0])
    largest = ranges.camera_shift_mm, ranges.camera_turn_deg, ranges.light_tilt_deg
    for values, most in zip((shifts, turns, tilts), largest, strict=True):
        assert 0.7 * most < max(values) <= most + 1e-6
    for values, (least, most) in ((rgb, ranges.table_rgb), (friction, ranges.friction), (mass, ranges.mass)):
        assert least <= min(values) < max(values) <= most
        assert np.ptp(values) > 0.7 * (most - least)
    least, most = ranges.brightness[0] * (1 - ranges.tint), ranges.brightness[1] * (1 + ranges.tint)
    assert least <= min(light) < max(light) <= most


def test_the_arm_is_as_described_and_its_own_masses_can_still_be_changed(plain, varied):
    links = [plain.model.body(name).id for name in plain.link_names]
    now = scene(varied, 3)
    assert now["body_mass"][links].tobytes() == scene(plain, 3)["body_mass"][links].tobytes()
    cube = varied.model.body("cube").id
    varied.scale_masses({varied.link_names[-1]: 2.0})
    try:
        assert varied.model.body_mass[cube] == now["body_mass"][cube]
        assert varied.model.body_mass[links[-1]] == 2 * now["body_mass"][links[-1]]
    finally:
        varied.scale_masses({})


def test_both_fingers_have_one_friction(varied):
    varied.reset(3)
    model = varied.model
    fingers = {
        float(model.geom_friction[g, 0])
        for g in range(model.ngeom)
        if "finger" in model.body(model.geom_bodyid[g]).name
    }
    assert len(fingers) == 1


def test_pictures_differ_by_seed_and_show_the_moved_camera(setup, plain, ranges):
    plant = Plant(setup, randomise=ranges)
    renderer, pictures = Renderer(plant.model, setup.robot), {}
    try:
        for seed in (3, 4, 3):
            plant.reset(seed)
            state = plain.world_state()  # the same things at the same places: only the look differs
            renderer.pose(state)
            frame = renderer.render("front", 0)
            if seed in pictures:
                assert np.array_equal(frame.rgb, pictures[seed].rgb)
            pictures[seed] = frame
    finally:
        renderer.close()
    assert np.abs(pictures[3].rgb.astype(int) - pictures[4].rgb).mean() > 5
    assert not np.array_equal(pictures[3].depth_m, pictures[4].depth_m), "cameras stand elsewhere"


def test_a_cube_slides_farther_where_friction_is_less(setup):
    travel = {}
    for factor in (0.3, 1.0):
        plant = Plant(setup, randomise=Randomisation(friction=(factor, factor)))
        joint = plant.model.joint("cube")
        plant.data.qvel[joint.dofadr[0]] = 0.5
        before = plant.world_state()[joint.qposadr[0]]
        for _ in range(400):
            plant.step()
        travel[factor] = plant.world_state()[joint.qposadr[0]] - before
    assert travel[0.3] > 2 * travel[1.0] > 0.0


@pytest.mark.parametrize(
    "wrong, words",
    [
        ({"friction": (1.3, 0.7)}, "friction: expected"),
        ({"mass": (0.0, 1.0)}, "mass: expected"),
        ({"table_rgb": (0.2, 1.5)}, "a colour is at most 1"),
        ({"tint": 1.0}, "tint: expected a share"),
        ({"camera_turn_deg": -1.0}, "camera_turn_deg: expected 0 to"),
        ({"brightness": (1.0,)}, r"got \[1.0\]"),
    ],
)
def test_ranges_that_make_no_scene_are_refused(wrong, words):
    with pytest.raises(ConfigError, match=words):
        Randomisation(**wrong)


def test_friction_of_contact_pairs_is_varied_too(ranges):
    plant = Plant(load_setup("draw_symbol"), randomise=ranges)
    values = set()
    for seed in range(3):
        plant.reset(seed)
        values.add(float(plant.model.pair_friction[0, 0]))
    assert len(values) == 3
