"""sim_node, sim_camera_node and operator_node as processes over real DDS."""

import os
import signal
import subprocess
import sys
import threading
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from il_core import topics, wire
from il_core.config import load_setup
from il_core.graph import node_environment

ROOT = Path(__file__).parents[2]
LIMIT_S = 20.0


class Rig:
    """Node processes under test, and a node here that listens and calls."""

    def __init__(self, log_dir):
        from rclpy.node import Node

        self.node, self.log_dir = Node("listener"), log_dir
        self.processes, self.logs, self.seen = {}, {}, {}

    def start(self, name, *parameters):
        arguments = [word for p in parameters for word in ("-p", p)]
        command = [sys.executable, "-m", f"il_sim.ros.{name}_node", "--ros-args", *arguments]
        environment = node_environment(os.environ) | {"PYTHONPATH": str(ROOT)}
        self.logs[name] = self.log_dir / f"{name}.log"
        with self.logs[name].open("w") as log:
            self.processes[name] = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=subprocess.STDOUT
            )

    def listen(self, kind, topic, profile=None):
        """Collect all messages of a topic."""
        from il_core.ros import qos

        messages = self.seen[topic] = []
        self.node.create_subscription(kind, topic, messages.append, profile or qos.STREAM)
        return messages

    def wait(self, condition, what):
        end = time.monotonic() + LIMIT_S
        while not condition():
            logs = {name: log.read_text()[-1000:] for name, log in self.logs.items()}
            assert time.monotonic() < end, f"{what}: not within {LIMIT_S} s; {logs}"
            time.sleep(0.01)

    def call(self, kind, name, request):
        client = self.node.create_client(kind, name)
        self.wait(client.service_is_ready, f"service {name}")
        future = client.call_async(request)
        self.wait(future.done, f"answer of {name}")
        return future.result()

    def set_seed(self, seed):
        from rcl_interfaces.srv import SetParameters
        from rclpy.parameter import Parameter

        request = SetParameters.Request(parameters=[Parameter("seed", value=seed).to_parameter_msg()])
        answer = self.call(SetParameters, "sim/set_parameters", request)
        assert answer.results[0].successful, answer.results[0].reason

    def reset(self, seed):
        from std_srvs.srv import Trigger

        self.set_seed(seed)
        answer = self.call(Trigger, topics.SIM_RESET, Trigger.Request())
        assert answer.success, answer.message

    def stop(self, name):
        self.processes[name].send_signal(signal.SIGTERM)
        return self.processes[name].wait(timeout=10)


@pytest.fixture
def rig(tmp_path):
    import rclpy
    from rclpy.signals import SignalHandlerOptions

    from il_core.ros.node import spin

    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    rig, stop = Rig(tmp_path), threading.Event()
    thread = threading.Thread(target=spin, args=(rig.node, stop.is_set))
    thread.start()
    yield rig
    stop.set()
    thread.join()
    for process in rig.processes.values():
        process.kill()
        process.wait()
    rig.node.destroy_node()
    rclpy.try_shutdown()


def test_states_come_each_millisecond_on_a_grid_of_wall_time(rig):
    from diagnostic_msgs.msg import DiagnosticArray
    from geometry_msgs.msg import WrenchStamped
    from sensor_msgs.msg import JointState

    robot = load_setup("draw_symbol", "fr3_ft").robot
    joints = wire.JointMap(robot)
    states = rig.listen(JointState, topics.JOINT_STATES)
    statuses = rig.listen(DiagnosticArray, topics.DIAGNOSTICS)
    wrenches = rig.listen(WrenchStamped, topics.WRIST_WRENCH)
    rig.start("sim", "task:='draw_symbol'", "robot:='fr3_ft'")
    rig.wait(lambda: len(states) > 1000 and len(wrenches) > 1000, "a second of states and wrenches")
    age_ns = time.time_ns() - wire.stamp_ns(states[-1].header.stamp)
    some = states[200:]
    stamps = np.array([wire.stamp_ns(s.header.stamp) for s in some])
    steps = np.diff(stamps)
    assert np.all(stamps % 1_000_000 == 0)
    assert np.median(steps) == 1_000_000
    assert steps.min() > 0, "time never repeats or goes back"
    assert age_ns < 1_000_000_000
    state = wire.arm_state_from(some[-1], joints)
    np.testing.assert_allclose(state.q, joints.robot.q_home_rad, atol=0.02)
    felt = [wire.wrench_from(w, robot.force_sensor()) for w in wrenches[200:1000]]  # refuses another frame
    assert np.median(np.diff([w.stamp_ns for w in felt])) == 1_000_000
    assert len({w.stamp_ns for w in felt} & set(stamps.tolist())) > 400, "stamped with the state"
    assert np.abs(felt[-1].wrench).max() < 0.05, "a free tool at rest"
    rig.wait(lambda: statuses, "diagnostics")
    keys = {kv.key for kv in statuses[-1].status[0].values}
    assert {"command_age_over_1_cycle", "command_timeouts", "steps"} <= keys
    assert rig.stop("sim") == 0


def test_the_clock_is_that_of_the_states_and_silent_unless_asked_for(rig):
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import JointState

    clocks = rig.listen(Clock, "/clock")
    states = rig.listen(JointState, topics.JOINT_STATES)
    rig.start("sim", "task:='draw_symbol'")
    rig.wait(lambda: len(states) > 100, "states")
    assert rig.node.count_publishers("/clock") == 0
    assert rig.node.count_publishers(topics.WRIST_WRENCH) == 0, "of an arm without the sensor"
    assert rig.stop("sim") == 0

    states.clear()
    rig.start("sim", "task:='draw_symbol'", "publish_clock:=true")
    rig.wait(lambda: len(clocks) > 300 and len(states) > 300, "the clock")
    times = np.array([wire.stamp_ns(c.clock) for c in clocks])
    stamps = {wire.stamp_ns(s.header.stamp) for s in states}
    assert np.all(np.diff(times) > 0)
    assert len(stamps.intersection(times.tolist())) > 100
    assert rig.stop("sim") == 0


def test_a_reset_puts_the_cube_where_the_seed_says(rig):
    from geometry_msgs.msg import PoseStamped

    from il_sim.plant import Plant

    cubes = rig.listen(PoseStamped, topics.object_pose("cube"))
    rig.start("sim", "task:='pick_place'", "seed:=1")
    plant = Plant(load_setup("pick_place"))
    for seed in (1, 5, 7, 5):
        rig.reset(seed)
        plant.reset(seed)
        cubes.clear()
        rig.wait(lambda: len(cubes) > 5, "poses of the cube")
        expected = plant.object_pose("cube")
        np.testing.assert_allclose(wire.pose_from(cubes[-1].pose), expected, atol=2e-3)
    assert rig.stop("sim") == 0


def test_commanded_torques_are_applied_and_silence_is_counted(rig):
    from diagnostic_msgs.msg import DiagnosticArray
    from sensor_msgs.msg import JointState

    from il_core.ros import qos

    joints = wire.JointMap(load_setup("draw_symbol").robot)
    states = rig.listen(JointState, topics.JOINT_STATES)
    statuses = rig.listen(DiagnosticArray, topics.DIAGNOSTICS)
    publisher = rig.node.create_publisher(JointState, topics.EFFORT_SETPOINT, qos.COMMAND)
    rig.start("sim", "task:='draw_symbol'")
    rig.wait(lambda: len(states) > 100 and publisher.get_subscription_count(), "states")
    wanted = np.array([5.0, -20.0, 0.0, 20.0, 0.0, 2.0, 1.0])

    def command_until_applied():
        msg = JointState(name=joints.names, effort=wanted.tolist())
        msg.header.stamp = states[-1].header.stamp
        publisher.publish(msg)
        return np.allclose(wire.arm_state_from(states[-1], joints).tau, wanted)

    rig.wait(command_until_applied, "torques are applied")

    def has_timed_out():
        values = {kv.key: kv.value for kv in statuses[-1].status[0].values} if statuses else {}
        return int(values.get("command_timeouts", 0)) >= 1

    rig.wait(has_timed_out, "silence is counted")
    assert rig.stop("sim") == 0


def test_cameras_show_the_state_the_simulator_sends(rig):
    from sensor_msgs.msg import CameraInfo, Image, JointState

    from il_core.ros import qos
    from il_sim.plant import Plant

    plant = Plant(load_setup("pick_place"), seed=2)
    spec = plant.robot.camera("front")
    images = rig.listen(Image, topics.color("front"), qos.IMAGE)
    depths = rig.listen(Image, topics.depth("front"), qos.IMAGE)
    infos = rig.listen(CameraInfo, topics.camera_info("front"), qos.IMAGE)
    wrists = rig.listen(Image, topics.color("wrist"), qos.IMAGE)
    publisher = rig.node.create_publisher(JointState, topics.WORLD_STATE, qos.COMMAND)
    rig.start("sim_camera", "task:='pick_place'")
    msg = JointState(position=plant.world_state().tolist())
    msg.header.stamp.sec, msg.header.stamp.nanosec = 12, 34

    def has_all():
        publisher.publish(msg)
        time.sleep(0.1)
        return images and depths and infos and wrists

    rig.wait(has_all, "pictures of both cameras")
    frame = wire.camera_frame_from("front", images[0], depths[0], infos[0])
    assert frame.stamp_ns == 12_000_000_034
    assert frame.intrinsics.fx == pytest.approx(spec.intrinsics.fx)
    rgb = frame.rgb.astype(int)
    is_red = (rgb[..., 0] > 60) & (rgb[..., 0] > 2 * rgb[..., 1]) & (rgb[..., 0] > 2 * rgb[..., 2])
    distance = np.linalg.norm(plant.object_pose("cube")[:3, 3] - spec.p_mount_optical_m)
    assert is_red.sum() > 30
    assert np.median(frame.depth_m[is_red]) == pytest.approx(distance, abs=0.15)
    assert rig.stop("sim_camera") == 0


def test_the_operator_drives_towards_the_cube_only_when_asked(rig):
    from geometry_msgs.msg import PoseStamped
    from sensor_msgs.msg import Joy
    from std_msgs.msg import Bool
    from std_srvs.srv import Trigger

    from il_core.geometry import pose
    from il_core.ros import convert, qos

    joys = rig.listen(Joy, topics.JOY, qos.COMMAND)
    dones = rig.listen(Bool, topics.OPERATOR_DONE, qos.LATCHED)
    scene = {
        topics.EE_POSE: (0.3, 0.0, 0.5),
        topics.object_pose("cube"): (0.5, -0.1, 0.02),
        topics.object_pose("bin"): (0.5, 0.27, 0.0),
    }
    for topic, p in scene.items():
        publisher = rig.node.create_publisher(PoseStamped, topic, qos.COMMAND)
        msg = convert.pose_stamped_msg(1, pose(p))
        rig.node.create_timer(0.05, partial(publisher.publish, msg))
    rig.start("operator")
    client = rig.node.create_client(Trigger, topics.OPERATOR_PERFORM)
    rig.wait(client.service_is_ready, "the operator sees the scene")
    assert joys == []
    assert rig.call(Trigger, topics.OPERATOR_PERFORM, Trigger.Request()).success
    rig.wait(lambda: len(joys) > 30, "the stick moves")
    rig.wait(lambda: dones and not dones[-1].data, "a demonstration is under way")
    axes, buttons = np.array(joys[-1].axes), list(joys[-1].buttons)
    towards = np.array(scene[topics.object_pose("cube")]) - scene[topics.EE_POSE]
    assert np.all(axes[:3] * towards > 0.0), "towards the cube along every axis"
    assert np.all(np.abs(axes) <= 1.0) and not axes[3:].any()
    assert buttons == [1, 0], "clutch held, gripper open"
    assert rig.stop("operator") == 0


@pytest.mark.parametrize("name", ["sim", "sim_camera", "operator"])
def test_a_task_that_does_not_exist_is_one_line_and_exit_1(name):
    command = [sys.executable, "-m", f"il_sim.ros.{name}_node", "--ros-args", "-p", "task:='pick_plaice'"]
    environment = node_environment(os.environ) | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 1
    assert "did you mean 'pick_place'?" in result.stderr
    assert "Traceback" not in result.stderr
