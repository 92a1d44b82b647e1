"""Setpoints through real topics and back: what ros2_control's controllers would read is what was asked."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import rclpy
from rclpy.executors import SingleThreadedExecutor
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64MultiArray
from trajectory_msgs.msg import JointTrajectory

from il_control.drivers.ros2_control import Output
from il_control.ros.arm_output import ArmOutput, ArmOutputParams
from il_core import topics, wire
from il_core.config import load_robot
from il_core.errors import ConfigError, DeviceError
from il_core.ros import qos
from il_core.ros.params import declare
from il_core.spec import Interface
from il_core.types import Setpoint

ROBOT = load_robot("panda")[0]
SHUFFLED = tuple(ROBOT.joint_names[k] for k in (3, 0, 6, 2, 5, 1, 4))
WAIT_S = 20.0
KEYS = {Interface.EFFORT: "tau", Interface.POSITION: "q_des", Interface.VELOCITY: "v_des"}


@pytest.fixture
def node() -> Iterator[Node]:
    rclpy.init()
    node = rclpy.create_node("arm_output_test")
    yield node
    node.destroy_node()
    rclpy.shutdown()


def setpoint(interface: Interface, values: np.ndarray) -> Setpoint:
    return Setpoint(1_234_567_890, **{"tau": None, "gripper": 1.0} | {KEYS[interface]: values})


def heard(node: Node, output: ArmOutput, kind: type, sent: list[Setpoint]) -> list[Any]:
    """Publish setpoints and give what a subscriber gets of them."""
    messages: list[Any] = []
    node.create_subscription(kind, output.topic, messages.append, qos.STREAM)
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    end = time.monotonic() + WAIT_S
    while node.count_subscribers(output.topic) == 0 and time.monotonic() < end:
        executor.spin_once(timeout_sec=0.05)
    for k, one in enumerate(sent):
        output.publish(one)
        while len(messages) <= k and time.monotonic() < end:
            executor.spin_once(timeout_sec=0.05)
    executor.remove_node(node)
    assert len(messages) == len(sent)
    return messages


@pytest.mark.parametrize("interface", Interface)
def test_forward_command_controller_gets_each_joint_in_its_own_order(node, interface):
    robot = replace(ROBOT, interface=interface)
    output = ArmOutput(node, robot, ArmOutputParams(output=Output.FORWARD, output_joints=SHUFFLED))
    rows = np.random.default_rng(1).normal(size=(3, 7))
    messages = heard(node, output, Float64MultiArray, [setpoint(interface, row) for row in rows])
    joints = wire.JointMap(robot)
    np.testing.assert_array_equal([wire.numbers_from(m, list(SHUFFLED), joints) for m in messages], rows)
    assert messages[0].data[0] == rows[0][3]


def test_joint_trajectory_controller_gets_named_positions_and_a_horizon(node):
    robot = replace(ROBOT, interface=Interface.POSITION)
    params = ArmOutputParams(output=Output.TRAJECTORY, output_joints=SHUFFLED, output_horizon_ms=50.0)
    output = ArmOutput(node, robot, params)
    assert output.topic == "joint_trajectory_controller/joint_trajectory"
    row = np.random.default_rng(2).normal(size=7)
    (message,) = heard(node, output, JointTrajectory, [setpoint(Interface.POSITION, row)])
    horizon_ns, q_des = wire.trajectory_end_from(message, wire.JointMap(robot))
    np.testing.assert_array_equal(q_des, row)
    assert horizon_ns == 50_000_000
    assert tuple(message.joint_names) == SHUFFLED
    assert wire.stamp_ns(message.header.stamp) == 0  # starting now


def test_our_own_topic_says_which_state_it_answers(node):
    output = ArmOutput(node, ROBOT, ArmOutputParams())
    assert output.topic == topics.EFFORT_SETPOINT
    row = np.random.default_rng(3).normal(size=7)
    (message,) = heard(node, output, JointState, [setpoint(Interface.EFFORT, row)])
    stamp_ns, tau = wire.effort_from(message, wire.JointMap(ROBOT))
    assert stamp_ns == 1_234_567_890
    np.testing.assert_array_equal(tau, row)


def test_what_an_arm_cannot_take_is_refused(node):
    positional = replace(ROBOT, interface=Interface.POSITION)
    with pytest.raises(ConfigError, match="takes position; set the parameter output to 'forward' or 'trajectory'"):
        ArmOutput(node, positional, ArmOutputParams())
    with pytest.raises(ConfigError, match="'trajectory': takes position, the robot's interface is 'effort'"):
        ArmOutput(node, ROBOT, ArmOutputParams(output=Output.TRAJECTORY))
    with pytest.raises(ConfigError, match="output_horizon_ms must be within 1 and 1000"):
        ArmOutputParams(output_horizon_ms=0.0)
    output = ArmOutput(node, positional, ArmOutputParams(output=Output.FORWARD))
    with pytest.raises(DeviceError, match="the arm takes position, the setpoint has effort"):
        output.publish(setpoint(Interface.EFFORT, np.zeros(7)))


def test_the_parameters_are_read_from_the_node(node):
    params = declare(node, ArmOutputParams)
    assert params == ArmOutputParams()
