"""The bridge's topics, ros2_control's files, the pictures, and the command that writes it all."""

import re
import xml.etree.ElementTree as ET
from types import SimpleNamespace

import numpy as np
import pytest
import yaml

from il_core import topics
from il_core.config import load_setup
from il_core.errors import ConfigError, DeviceError, ShapeError
from il_sim.gazebo.bridge import CLOCK
from il_sim.gazebo.config import GazeboConfig, load_gazebo_config
from il_sim.gazebo.files import write_gazebo
from il_sim.gazebo.names import Drive
from il_sim.gazebo.pictures import Pictures

TYPES = {  # the pairs of ros_gz_bridge that are used
    "rosgraph_msgs/msg/Clock": "gz.msgs.Clock",
    "sensor_msgs/msg/JointState": "gz.msgs.Model",
    "std_msgs/msg/Float64": "gz.msgs.Double",
    "sensor_msgs/msg/Image": "gz.msgs.Image",
    "sensor_msgs/msg/CameraInfo": "gz.msgs.CameraInfo",
    "geometry_msgs/msg/PoseStamped": "gz.msgs.Pose",
}
KEYS = {"ros_topic_name", "gz_topic_name", "ros_type_name", "gz_type_name", "direction"}


@pytest.fixture(scope="module")
def setup():
    return load_setup("pick_place")


@pytest.fixture(scope="module", params=list(Drive), ids=lambda d: d.value)
def written(setup, request, tmp_path_factory):
    return request.param, write_gazebo(setup, tmp_path_factory.mktemp("gazebo"), drive=request.param)


def test_our_side_of_the_bridge_has_the_names_of_topics_py(written, setup):
    drive, files = written
    forced = [*(setup.robot.joint_names if drive is Drive.JOINTS else ()), "fr3_finger_joint1", "fr3_finger_joint2"]
    expected = {CLOCK, topics.GAZEBO_JOINT_STATES, topics.object_pose("cube"), topics.object_pose("bin")}
    expected |= {topics.gazebo_force(joint) for joint in forced}
    for camera in setup.task.cameras:
        expected |= {f(camera) for f in (topics.gazebo_color, topics.gazebo_depth, topics.gazebo_camera_info)}
    rows = yaml.safe_load(files.bridge.read_text())
    assert sorted(row["ros_topic_name"] for row in rows) == sorted(expected)
    for row in rows:
        assert set(row) == KEYS
        assert row["gz_type_name"] == TYPES[row["ros_type_name"]]
        is_force = row["ros_type_name"] == "std_msgs/msg/Float64"
        assert row["direction"] == ("ROS_TO_GZ" if is_force else "GZ_TO_ROS")


def test_gazebos_side_of_the_bridge_has_the_topics_of_the_world(written):
    drive, files = written
    world = ET.parse(files.world).getroot().find("world")
    robot = world.find("model[@name='fr3']")
    plugins = {}
    for plugin in world.iter("plugin"):
        plugins.setdefault(plugin.get("name").rsplit("::", 1)[1], []).append(plugin)
    there = {CLOCK, plugins["JointStatePublisher"][0].findtext("topic")}
    there |= {f"/model/fr3/joint/{p.findtext('joint_name')}/cmd_force" for p in plugins["ApplyJointForce"]}
    for sensor in robot.iter("sensor"):
        there |= {f"{sensor.findtext('topic')}/{kind}" for kind in ("image", "depth_image", "camera_info")}
    for model in world.findall("model"):
        if any(p in plugins["PosePublisher"] for p in model.findall("plugin")):
            there.add(f"/model/{model.get('name')}/pose")
    assert sorted(row["gz_topic_name"] for row in yaml.safe_load(files.bridge.read_text())) == sorted(there)
    named = {e.text for e in plugins["JointStatePublisher"][0].findall("joint_name")}
    assert named == {j.get("name") for j in robot.findall("joint") if j.get("type") != "fixed"}
    assert {"Physics", "UserCommands", "SceneBroadcaster", "Sensors"} <= set(plugins)
    assert ("GazeboSimROS2ControlPlugin" in plugins) == (drive is Drive.ROS2_CONTROL)


def test_every_system_of_gazebo_is_named_as_its_documentation_does(written):
    _, files = written
    for plugin in ET.parse(files.world).getroot().iter("plugin"):
        filename, name = plugin.get("filename"), plugin.get("name")
        if filename == "gz_ros2_control-system":
            assert name == "gz_ros2_control::GazeboSimROS2ControlPlugin"
            continue
        [words] = re.findall(r"^gz-sim-([a-z-]+)-system$", filename)
        assert name == "gz::sim::systems::" + "".join(w.title() for w in words.split("-"))


def test_ros2_control_gets_effort_interfaces_at_home_and_one_controller(setup, tmp_path):
    files = write_gazebo(setup, tmp_path, drive=Drive.ROS2_CONTROL)
    root = ET.parse(files.description).getroot()
    joints = root.findall("ros2_control/joint")
    assert [j.get("name") for j in joints] == list(setup.robot.joint_names)
    for joint, home, tau in zip(joints, setup.robot.q_home_rad, setup.robot.tau_max_nm, strict=True):
        assert [c.get("name") for c in joint.findall("command_interface")] == ["effort"]
        assert float(joint.findtext("command_interface/param[@name='max']")) == tau
        assert float(joint.findtext("state_interface[@name='position']/param")) == home
    assert len(root.findall("link")) == len(ET.parse(setup.urdf_path).getroot().findall("link"))
    parameters = yaml.safe_load(files.controllers.read_text())
    assert parameters["forward_effort_controller"]["ros__parameters"]["joints"] == list(setup.robot.joint_names)
    plugin = ET.parse(files.world).getroot().find(".//plugin[@filename='gz_ros2_control-system']")
    assert plugin.findtext("parameters") == str(files.controllers)
    assert plugin.findtext("hold_joints") == "true"
    # description_node publishes a URDF without <ros2_control> under the usual name
    assert plugin.findtext("ros/remapping") == f"{topics.ROBOT_DESCRIPTION}:={topics.GAZEBO_DESCRIPTION}"
    assert plugin.find("ros/namespace") is None


def test_ros2_control_runs_in_the_namespace_of_the_graph(setup, tmp_path):
    files = write_gazebo(setup, tmp_path, drive=Drive.ROS2_CONTROL, namespace="cell/left")
    plugin = ET.parse(files.world).getroot().find(".//plugin[@filename='gz_ros2_control-system']")
    assert plugin.findtext("ros/namespace") == "/cell/left"
    assert "/clock:=/cell/left/clock" in [rule.text for rule in plugin.findall("ros/remapping")]
    nodes = set(yaml.safe_load(files.controllers.read_text()))
    assert nodes == {"/cell/left/controller_manager", "/cell/left/forward_effort_controller"}
    with pytest.raises(ConfigError, match="is no namespace"):
        write_gazebo(setup, tmp_path, drive=Drive.ROS2_CONTROL, namespace="left arm")


def test_the_same_seed_writes_the_same_world(setup, tmp_path):
    texts = [write_gazebo(setup, tmp_path / str(k), seed=s).world.read_text() for k, s in enumerate((1, 1, 2))]
    assert texts[0] == texts[1] != texts[2]


def test_impossible_settings_are_refused():
    values = {f: getattr(load_gazebo_config(), f) for f in GazeboConfig.__slots__}
    with pytest.raises(ConfigError, match="clip_near_m"):
        GazeboConfig(**values | {"clip_near_m": 20.0})
    with pytest.raises(ConfigError, match="must be positive"):
        GazeboConfig(**values | {"homing_speed_rad_s": 0.0})


def stamped(t_ms, **fields):
    stamp = SimpleNamespace(sec=0, nanosec=t_ms * 1_000_000)
    return SimpleNamespace(header=SimpleNamespace(stamp=stamp), **fields)


def color(t_ms, spec, value=7):
    rgb = np.full((spec.height, spec.width, 3), value, np.uint8)
    size = {"height": spec.height, "width": spec.width, "step": 3 * spec.width}
    return stamped(t_ms, encoding="rgb8", data=rgb.tobytes(), **size)


def depth(t_ms, spec, row=(0.5,)):
    metres = np.resize(np.array(row, np.float32), (spec.height, spec.width))
    size = {"height": spec.height, "width": spec.width, "step": 4 * spec.width}
    return stamped(t_ms, encoding="32FC1", data=metres.tobytes(), **size)


def test_a_picture_is_colour_and_depth_of_one_instant(setup):
    spec = setup.robot.camera("front")
    pictures = Pictures(spec)
    assert pictures.offer_color(color(1, spec)) is None
    frame = pictures.offer_depth(depth(1, spec))
    assert frame.stamp_ns == 1_000_000 and frame.camera == "front" and frame.intrinsics == spec.intrinsics
    assert (frame.rgb == 7).all() and (frame.depth_m == np.float32(0.5)).all()
    assert pictures.offer_depth(depth(34, spec)) is None
    assert pictures.offer_color(color(67, spec)) is None, "the colour of 34 was lost"
    assert pictures.offer_depth(depth(67, spec)).stamp_ns == 67_000_000
    assert pictures.unpaired == 1


def test_what_gazebo_did_not_measure_or_no_camera_could_is_nothing(setup):
    spec = setup.robot.camera("front")
    pictures = Pictures(spec)
    pictures.offer_color(color(1, spec))
    frame = pictures.offer_depth(depth(1, spec, (np.inf, -np.inf, np.nan, 1.25, 3.5)))
    np.testing.assert_array_equal(frame.depth_m.ravel()[:5], np.float32([0.0, 0.0, 0.0, 1.25, 0.0]))


def test_a_camera_that_is_not_the_robots_is_refused(setup):
    spec = setup.robot.camera("front")
    pictures = Pictures(spec)
    i = spec.intrinsics
    k = [i.fx, 0, i.width / 2, 0, i.fy, i.height / 2, 0, 0, 1]
    info = SimpleNamespace(width=i.width, height=i.height, k=k, d=[0.0] * 5, distortion_model="plumb_bob")
    pictures.check(info)
    info.k[0] *= 1.02
    with pytest.raises(DeviceError, match="write the world anew"):
        pictures.check(info)
    wrong = color(1, SimpleNamespace(width=4, height=2))
    pictures.offer_depth(depth(1, spec))
    with pytest.raises(ShapeError, match=r"front\.colour"):
        pictures.offer_color(wrong)


def test_the_command_writes_the_files_and_names_them(tmp_path, capsys):
    from il_cli.main import COMMANDS, run

    assert run(["gazebo", "write", str(tmp_path / "gz"), "--task", "reach", "--model", "ros2_control"], COMMANDS) == 0
    said = capsys.readouterr().out
    for name in ("world.sdf", "bridge.yaml", "controllers.yaml", "robot.urdf", "models/fr3"):
        assert name in said
        assert (tmp_path / "gz" / name).exists()
    assert run(["gazebo", "write", str(tmp_path), "--task", "reech"], COMMANDS) == 1
