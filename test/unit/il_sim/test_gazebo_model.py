"""The world and model for Gazebo against independent readings of the URDF: pinocchio's, and MuJoCo's."""

import shutil
import subprocess
import xml.etree.ElementTree as ET
from dataclasses import replace

import mujoco
import numpy as np
import pinocchio
import pytest
import yaml

from il_core import topics
from il_core.config import load_setup
from il_core.errors import ConfigError
from il_core.geometry import matrix_from_quat_xyzw, pose
from il_core.spec import Interface
from il_sim.gazebo.config import load_gazebo_config
from il_sim.gazebo.files import write_gazebo
from il_sim.gazebo.names import Drive
from il_sim.gazebo.robot import RobotModel
from il_sim.gazebo.scene import Scene
from il_sim.gazebo.urdf import read_urdf, rotation_from_rpy, rpy_from_rotation
from il_sim.plant import Plant
from il_sim.scene import GRIPPER_DAMPING_NS_M, TIMESTEP_S

SEED = 3
TURNED = (0.5, -0.5, 0.1, 0.7)


@pytest.fixture(scope="module")
def setup():
    return load_setup("pick_place")


@pytest.fixture(scope="module")
def plant(setup):
    return Plant(setup, SEED)


@pytest.fixture(scope="module")
def folder(setup, tmp_path_factory):
    out = tmp_path_factory.mktemp("gazebo")
    write_gazebo(setup, out, seed=SEED)
    return out


@pytest.fixture(scope="module")
def world(folder):
    return ET.parse(folder / "world.sdf").getroot().find("world")


@pytest.fixture(scope="module")
def model(world):
    return world.find("model[@name='fr3']")


@pytest.fixture(scope="module")
def pin(setup):
    return pinocchio.buildModelFromUrdf(str(setup.urdf_path))


def numbers(element, path):
    return np.array([float(word) for word in element.findtext(path).split()])


def matrix(text):
    values = [float(word) for word in text.split()]
    return pose(values[:3], rotation_from_rpy(values[3:]))


def joints_of(model):
    return [j for j in model.findall("joint") if j.get("type") != "fixed"]


class Chain:
    """Poses of links and frames in the model, by SDF's rules, at given joint positions."""

    def __init__(self, model, q=None):
        self._model, self._q = model, q or {}

    def link(self, name):
        joints = [j for j in self._model.findall("joint") if j.findtext("child") == name]
        element = self._model.find(f"link[@name='{name}']")
        if joints[0].findtext("parent") == "world":
            return matrix(element.findtext("pose"))
        [joint] = joints
        assert element.find("pose").get("relative_to") == joint.get("name")
        place = joint.find("pose")
        assert place.get("relative_to") == joint.findtext("parent")
        return self.link(joint.findtext("parent")) @ matrix(place.text) @ self._motion(joint)

    def _motion(self, joint):
        if joint.get("type") == "fixed":
            return np.eye(4)
        axis, q = numbers(joint, "axis/xyz"), self._q.get(joint.get("name"), 0.0)
        if joint.get("type") == "prismatic":
            return pose(axis * q)
        K = np.cross(np.eye(3), axis)  # rows e_i x a: the cross product matrix of a
        return pose(np.zeros(3), np.eye(3) + np.sin(q) * K + (1.0 - np.cos(q)) * K @ K)

    def frame(self, name):
        element = self._model.find(f"frame[@name='{name}']")
        return self.link(element.get("attached_to")) @ matrix(element.findtext("pose"))


def random_postures(setup, n=20):
    rng = np.random.default_rng(0)
    return rng.uniform(setup.robot.q_min_rad, setup.robot.q_max_rad, (n, setup.robot.nq))


def test_masses_and_inertias_are_the_urdfs(model, plant):
    bodies = [b for b in range(1, plant.model.nbody) if plant.model.body(b).name in plant.link_names]
    links = {link.get("name") for link in model.findall("link")}
    assert links == {*plant.link_names, "fr3_link0"}, "and nothing without a mass: SDF would give it a kilogram"
    for body in bodies:
        link = model.find(f"link[@name='{plant.model.body(body).name}']")
        assert float(link.findtext("inertial/mass")) == pytest.approx(plant.model.body_mass[body], rel=1e-9)
        T_link_com = matrix(link.findtext("inertial/pose"))
        np.testing.assert_allclose(T_link_com[:3, 3], plant.model.body_ipos[body], atol=1e-9)
        xx, xy, xz, yy, yz, zz = (float(e.text) for e in link.find("inertial/inertia"))
        inertia = T_link_com[:3, :3] @ [[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]] @ T_link_com[:3, :3].T
        R = np.zeros(9)
        mujoco.mju_quat2Mat(R, plant.model.body_iquat[body])
        R = R.reshape(3, 3)
        expected = R @ np.diag(plant.model.body_inertia[body]) @ R.T
        np.testing.assert_allclose(inertia, expected, atol=1e-6 * expected.max())


def test_limits_axes_and_friction_of_the_joints_are_the_urdfs(model, pin, plant):
    assert {j.get("name") for j in joints_of(model)} == set(pin.names[1:])
    for joint in joints_of(model):
        name = joint.get("name")
        ours, theirs = pin.joints[pin.getJointId(name)], plant.model.joint(name)
        limits = [float(joint.findtext(f"axis/limit/{key}")) for key in ("lower", "upper", "effort", "velocity")]
        expected = [pin.lowerPositionLimit[ours.idx_q], pin.upperPositionLimit[ours.idx_q]]
        expected += [pin.effortLimit[ours.idx_v], pin.velocityLimit[ours.idx_v]]
        np.testing.assert_allclose(limits, expected, rtol=1e-9)
        np.testing.assert_allclose(limits[:2], theirs.range, rtol=1e-9)
        np.testing.assert_allclose(numbers(joint, "axis/xyz"), theirs.axis, atol=1e-12)
        servo = GRIPPER_DAMPING_NS_M if joint.get("type") == "prismatic" else 0.0
        assert float(joint.findtext("axis/dynamics/damping")) == pytest.approx(theirs.damping[0] + servo)
        assert float(joint.findtext("axis/dynamics/friction")) == pytest.approx(theirs.frictionloss[0])


def test_forward_kinematics_agree_with_pinocchio_and_mujoco(model, pin, plant, setup):
    names, data = list(setup.robot.joint_names), pin.createData()
    scene = mujoco.MjData(plant.model)
    for q in random_postures(setup):
        chain = Chain(model, dict(zip(names, q, strict=True)))
        full = np.zeros(pin.nq)
        for name, value in zip(names, q, strict=True):
            full[pin.joints[pin.getJointId(name)].idx_q] = value
            scene.joint(name).qpos = value
        pinocchio.framesForwardKinematics(pin, data, full)
        mujoco.mj_kinematics(plant.model, scene)
        for name in ("base", "fr3_link4", "fr3_hand", "fr3_rightfinger", "fr3_tcp"):
            is_link = model.find(f"link[@name='{name}']") is not None
            T = chain.link(name) if is_link else chain.frame(name)
            np.testing.assert_allclose(T, data.oMf[pin.getFrameId(name)].homogeneous, atol=1e-9)
            np.testing.assert_allclose(T[:3, 3], scene.body(name).xpos, atol=1e-9)
            np.testing.assert_allclose(T[:3, :3].ravel(), scene.body(name).xmat, atol=1e-9)


def test_cameras_are_where_mujocos_are_and_see_as_wide(model, plant, setup):
    q = random_postures(setup, 1)[0]
    names = setup.robot.joint_names
    scene = mujoco.MjData(plant.model)
    for name, value in zip(names, q, strict=True):
        scene.joint(name).qpos = value
    mujoco.mj_kinematics(plant.model, scene)
    mujoco.mj_camlight(plant.model, scene)
    chain = Chain(model, dict(zip(names, q, strict=True)))
    for camera in setup.robot.cameras:
        [host] = [link for link in model.findall("link") if link.find(f"sensor[@name='{camera.name}']") is not None]
        sensor = host.find(f"sensor[@name='{camera.name}']")
        T = chain.link(host.get("name")) @ matrix(sensor.findtext("pose"))
        eye = plant.model.camera(camera.name).id
        R = scene.cam_xmat[eye].reshape(3, 3)  # MuJoCo looks along -z, y up; Gazebo along x, z up
        np.testing.assert_allclose(T[:3, 3], scene.cam_xpos[eye], atol=1e-9)
        np.testing.assert_allclose(T[:3, 0], -R[:, 2], atol=1e-9, err_msg="line of sight")
        np.testing.assert_allclose(T[:3, 2], R[:, 1], atol=1e-9, err_msg="up")
        T_optical = chain.frame(f"camera_{camera.name}_optical")
        np.testing.assert_allclose(T_optical[:3, :3], T[:3, :3] @ [[0, 0, 1], [-1, 0, 0], [0, -1, 0]], atol=1e-9)
        width, height = (int(sensor.findtext(f"camera/image/{side}")) for side in ("width", "height"))
        assert (width, height) == (camera.width, camera.height)
        focal = width / 2 / np.tan(float(sensor.findtext("camera/horizontal_fov")) / 2)
        fov_v = 2 * np.arctan(height / 2 / focal)
        assert np.degrees(fov_v) == pytest.approx(plant.model.cam_fovy[eye], rel=1e-9)
        assert float(sensor.findtext("update_rate")) == camera.rate_hz
        assert sensor.get("type") == "rgbd_camera"


def effective_inertia(M):
    """Inertia one joint shows when the others are free, (nq,)."""
    return 1.0 / np.diag(np.linalg.inv(M))


def test_rotor_inertia_is_added_mass_that_brings_each_joint_near_mujocos(model, plant, setup):
    """The figures of docs/gazebo.md."""
    robot, data = setup.robot, mujoco.MjData(plant.model)
    dofs = [plant.model.joint(name).dofadr[0] for name in robot.joint_names]
    shares = []
    for q in (robot.q_home_rad, *random_postures(setup)):
        for name, value in zip(robot.joint_names, q, strict=True):
            data.joint(name).qpos = value
        mujoco.mj_forward(plant.model, data)
        M = np.zeros((plant.model.nv, plant.model.nv))
        mujoco.mj_fullM(plant.model, data, M)
        M = M[np.ix_(dofs, dofs)]
        bare = M - np.diag(robot.armature_kg_m2)
        added = bare.copy()
        for joint in joints_of(model):
            block = model.find(f"link[@name='{joint.findtext('child')}']/inertial/fluid_added_mass")
            if block is None:
                assert joint.get("type") == "prismatic"
                continue
            pp, pq, pr, qq, qr, rr = (float(e.text) for e in block)
            J = np.zeros((3, plant.model.nv))
            mujoco.mj_jacBody(plant.model, data, None, J, plant.model.body(joint.findtext("child")).id)
            R = data.body(joint.findtext("child")).xmat.reshape(3, 3)
            J = R.T @ J[:, dofs]
            added += J.T @ [[pp, pq, pr], [pq, qq, qr], [pr, qr, rr]] @ J
        shares.append([effective_inertia(X) / effective_inertia(M) for X in (bare, added)])
    bare, added = np.array(shares).transpose(1, 0, 2)
    assert bare[:, 6].max() < 0.05, "without, the last joint has a fiftieth of its inertia"
    assert added.min() > 0.45
    assert added.max() < 1.25
    np.testing.assert_allclose(np.median(added, axis=0), 0.85, atol=0.15)


def test_the_world_steps_and_falls_as_mujocos(world, plant):
    assert float(world.findtext("physics/max_step_size")) == TIMESTEP_S == plant.model.opt.timestep
    np.testing.assert_allclose(numbers(world, "gravity"), plant.model.opt.gravity)


def test_objects_are_where_the_seed_puts_them_with_mujocos_mass_and_shape(world, plant):
    for name in plant.task.objects:
        np.testing.assert_allclose(
            matrix(world.find(f"model[@name='{name}']").findtext("pose")), plant.object_pose(name), atol=1e-9
        )
    cube = world.find("model[@name='cube']")
    assert cube.findtext("static") == "false"
    assert float(cube.findtext("link/inertial/mass")) == plant.model.body("cube").mass[0]
    np.testing.assert_allclose(numbers(cube, "link/collision/geometry/box/size"), 0.04)
    assert world.find("model[@name='bin']").findtext("static") == "true"
    assert len(world.findall("model[@name='bin']/link/collision")) == 5
    table = world.find("model[@name='table']/link")
    top = matrix(table.findtext("collision/pose"))[2, 3] + numbers(table, "collision/geometry/box/size")[2] / 2
    assert top == pytest.approx(0.0, abs=1e-12)


def mu(world, path):
    return {float(e.text) for e in world.findall(f"{path}//surface/friction/ode/mu")}


def test_the_smaller_friction_of_two_surfaces_is_mujocos_larger(world, plant):
    def mujoco_mu(first, second):
        sliding = plant.model.geom_friction[:, 0]
        geoms = [plant.model.body(b).geomadr[0] for b in (first, second)]
        return max(sliding[g] for g in geoms)

    cube, table, bin_ = (mu(world, f"model[@name='{name}']") for name in ("cube", "table", "bin"))
    finger = mu(world, "model[@name='fr3']/link[@name='fr3_leftfinger']")
    assert {min(a, b) for a in cube for b in finger} == {mujoco_mu("cube", "fr3_leftfinger")}
    assert {min(a, b) for a in cube for b in table} == {mujoco_mu("cube", "world")}
    assert {min(a, b) for a in cube for b in bin_} == {mujoco_mu("cube", "bin")}


def test_the_pen_slides_as_its_contact_pair_says():
    scene = Scene(Plant(load_setup("draw_symbol")))
    assert scene.mu["fr3_leftfinger"] == scene.mu["fr3_rightfinger"] == 0.15


def test_the_arms_foot_does_not_touch_the_table_it_stands_on(world):
    def bits(path):
        return {int(e.text) for e in world.findall(f"{path}//collide_bitmask")}

    foot, table = bits("model[@name='fr3']/link[@name='fr3_link0']"), bits("model[@name='table']")
    finger, cube = bits("model[@name='fr3']/link[@name='fr3_leftfinger']"), bits("model[@name='cube']")
    assert not any(a & b for a in foot for b in table)
    assert all(a & b for a in finger for b in table | cube)
    assert all(a & b for a in cube for b in table | foot)


def test_gazebos_own_checker_accepts_the_files(setup, tmp_path, felt_folder):
    program = shutil.which("gz") or shutil.which("ign")
    if program is None:
        pytest.skip("no `gz sdf` or `ign sdf`: apt-get install ignition-tools libsdformat-dev sdformat-sdf")
    world = write_gazebo(setup, tmp_path / "joints").world
    model = write_gazebo(setup, tmp_path / "control", drive=Drive.ROS2_CONTROL).model / "model.sdf"
    for path in (world, model, felt_folder.world):
        command = [program, "sdf", "-k", str(path)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip() == "Valid."
        assert "Error" not in done.stderr and "Warning" not in done.stderr


@pytest.fixture(scope="module")
def felt_folder(tmp_path_factory):
    """Files of the arm with a force sensor, whose frame is turned and off the tool's axis."""
    setup = load_setup("push", "fr3_ft")
    sensor = replace(setup.robot.wrench_sensor, p_ee_sensor_m=(0.02, -0.01, -0.15), quat_xyzw_ee_sensor=TURNED)
    out = tmp_path_factory.mktemp("felt")
    return write_gazebo(replace(setup, robot=replace(setup.robot, wrench_sensor=sensor)), out)


def test_the_force_sensor_measures_at_the_hand_where_mujocos_does(felt_folder):
    root = ET.parse(felt_folder.world).getroot().find("world")
    model = root.find("model[@name='fr3_ft']")
    [joint] = [j for j in model.findall("joint") if j.find("sensor") is not None]
    assert (joint.get("name"), joint.get("type")) == ("fr3_hand_joint", "fixed")
    assert (joint.findtext("parent"), joint.findtext("child")) == ("fr3_link7", "fr3_hand")
    sensor = joint.find("sensor")
    assert sensor.get("type") == "force_torque"
    assert sensor.findtext("force_torque/frame") == "sensor"
    assert sensor.findtext("force_torque/measure_direction") == "child_to_parent"
    assert (sensor.findtext("update_rate"), sensor.findtext("gz_frame_id")) == ("1000", "fr3_hand")
    chain = Chain(model)
    expected = chain.frame("fr3_tcp") @ pose([0.02, -0.01, -0.15], matrix_from_quat_xyzw(TURNED))
    np.testing.assert_allclose(chain.link("fr3_hand") @ matrix(sensor.findtext("pose")), expected, atol=1e-9)
    systems = [p.get("filename") for p in root.findall("plugin")]
    assert "gz-sim-forcetorque-system" in systems


def test_the_bridge_carries_the_wrench_and_only_of_an_arm_that_has_the_sensor(felt_folder, folder):
    def wrenches(bridge):
        return [row for row in yaml.safe_load(bridge.read_text()) if row["ros_topic_name"] == topics.WRIST_WRENCH]

    [row] = wrenches(felt_folder.bridge)
    sensor = ET.parse(felt_folder.world).getroot().find(".//sensor[@type='force_torque']")
    assert row["gz_topic_name"] == sensor.findtext("topic")
    kinds = (row["ros_type_name"], row["gz_type_name"], row["direction"])
    assert kinds == ("geometry_msgs/msg/WrenchStamped", "gz.msgs.Wrench", "GZ_TO_ROS")
    assert wrenches(folder / "bridge.yaml") == []
    assert "forcetorque" not in (folder / "world.sdf").read_text()


@pytest.mark.parametrize("task", ["reach", "push", "go_around"])
def test_other_tasks_have_a_world_too(task, tmp_path):
    root = ET.parse(write_gazebo(load_setup(task), tmp_path).world).getroot()
    names = {m.get("name") for m in root.findall("world/model")}
    assert names >= {"table", "fr3", *Plant(load_setup(task)).task.objects}


def test_rotor_inertia_can_be_left_out(setup, plant):
    config = replace(load_gazebo_config(), reflected_inertia=False)
    element = RobotModel(setup, Scene(plant).mu, config).element(Drive.JOINTS)
    assert element.find(".//fluid_added_mass") is None


def test_an_arm_that_takes_positions_is_refused(setup):
    other = replace(setup, robot=replace(setup.robot, interface=Interface.POSITION))
    with pytest.raises(ConfigError, match="only arms that take effort"):
        RobotModel(other, {}, load_gazebo_config())


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('<link name="a"><visual><geometry><mesh filename="x.stl"/></geometry></visual></link>', "replace meshes"),
        ('<link name="a"/><link name="b"/><joint name="j" type="floating"/>', "'floating', expected revolute"),
        ("<link", "not a usable URDF"),
    ],
)
def test_what_cannot_be_read_is_named(body, words, tmp_path):
    path = tmp_path / "arm.urdf"
    path.write_text(f'<robot name="r">{body}</robot>')
    with pytest.raises(ConfigError, match=words):
        read_urdf(path)


def test_angles_survive_the_way_through_a_rotation():
    rng = np.random.default_rng(0)
    for rpy in [*rng.uniform(-np.pi, np.pi, (50, 3)), (0.3, np.pi / 2, 0.4), (0.3, -np.pi / 2, 0.4)]:
        R = rotation_from_rpy(tuple(rpy))
        np.testing.assert_allclose(rotation_from_rpy(rpy_from_rotation(R)), R, atol=1e-9)
