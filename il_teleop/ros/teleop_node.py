"""Lets a person drive the tool: device in, target pose and gripper out at 50 Hz while the clutch is held."""

from __future__ import annotations

import contextlib
import sys
from functools import partial

from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.task import Future
from sensor_msgs.msg import JointState, Joy
from std_srvs.srv import Trigger

from il_core import topics
from il_core.config import config_dir, load_setup, load_yaml
from il_core.errors import DeviceError
from il_core.ros import qos
from il_core.ros.clock import RosClock
from il_core.ros.convert import opening_msg, pose_stamped_msg
from il_core.ros.diagnostics import Diagnostics, Level
from il_core.ros.node import run
from il_core.ros.params import declare
from il_core.wire import JointMap, ee_pose_from, opening_from
from il_teleop.config import TeleopConfig
from il_teleop.devices.joy import JoyDevice, JoyLayout
from il_teleop.devices.keyboard import HELP, KeyboardDevice, Terminal
from il_teleop.recorder import Event
from il_teleop.retarget import RetargetConfig, RetargetedDevice

RATE_HZ = 50
STATUS_S = 0.5
SERVICES = {
    Event.START: topics.RECORDER_START,
    Event.STOP: topics.RECORDER_STOP,
    Event.KEEP: topics.RECORDER_KEEP,
    Event.DISCARD: topics.RECORDER_DISCARD,
    Event.SUCCESS: topics.RECORDER_SUCCESS,
    Event.FAILURE: topics.RECORDER_FAILURE,
}


class TeleopNode(Node):
    """Converts, asks one RetargetedDevice, publishes."""

    def __init__(self) -> None:
        """Open the device and join the graph."""
        super().__init__("teleop")
        config = declare(self, TeleopConfig)
        setup = load_setup(config.task, config.robot or None)
        self._joints = JointMap(setup.robot)
        self._now_ns = RosClock(self).now_ns
        self._open = contextlib.ExitStack()
        limits = load_yaml(config_dir() / "teleop" / "retarget.yaml", RetargetConfig)
        self._make_device(config)
        self._device = RetargetedDevice(self._source, limits)
        self._pose = self.create_publisher(PoseStamped, topics.TELEOP_POSE, qos.STREAM)
        self._gripper = self.create_publisher(JointState, topics.TELEOP_GRIPPER, qos.STREAM)
        self.create_subscription(PoseStamped, topics.EE_POSE, self._on_ee_pose, qos.LATEST)
        self.create_subscription(JointState, topics.TARGET_GRIPPER, self._on_gripper, qos.LATEST)
        self._recorder = {e: self.create_client(Trigger, name) for e, name in SERVICES.items()}
        self._diagnostics = Diagnostics(self, "teleop")
        self.create_timer(1.0 / RATE_HZ, self._cycle)
        self.create_timer(STATUS_S, self._report)

    def _make_device(self, config: TeleopConfig) -> None:
        """Open the device that the parameter names."""
        self._source: KeyboardDevice | JoyDevice
        self._keyboard: tuple[KeyboardDevice, Terminal] | None = None
        if config.device == "keyboard":
            self._source = keyboard = KeyboardDevice()
            self._keyboard = keyboard, self._open.enter_context(Terminal())
        else:
            layout = load_yaml(config_dir() / "teleop" / f"{config.layout}.yaml", JoyLayout)
            self._source = joy = JoyDevice(layout)
            self.create_subscription(Joy, topics.JOY, partial(self._on_joy, joy), qos.STREAM)

    def _on_joy(self, joy: JoyDevice, msg: Joy) -> None:
        try:
            joy.receive(msg.axes, msg.buttons, self._now_ns())
        except DeviceError as error:
            self.get_logger().error(str(error), throttle_duration_sec=1.0)

    def _on_ee_pose(self, msg: PoseStamped) -> None:
        self._device.observe_pose(ee_pose_from(msg))

    def _on_gripper(self, msg: JointState) -> None:
        self._device.observe_gripper(opening_from(msg, self._joints)[1])

    def _cycle(self) -> None:
        """Read the device, publish the wish, pass recorder keys on."""
        now_ns = self._now_ns()
        if self._keyboard is not None:
            self._read_keys(*self._keyboard, now_ns)
        before = self._device.reason
        command = self._device.command(now_ns)
        if command is not None:
            self._pose.publish(pose_stamped_msg(command.stamp_ns, command.T_base_ee_des))
            self._gripper.publish(opening_msg(command.stamp_ns, command.gripper_des, self._joints))
        if self._device.reason != before:
            self._say(self._device.reason or "clutch is closed: driving")
        for event in self._source.take_events():
            self._call_recorder(event)

    def _read_keys(self, keyboard: KeyboardDevice, terminal: Terminal, now_ns: int) -> None:
        for key in terminal.keys():
            keyboard.press(key, now_ns)
        if keyboard.wants_help:
            keyboard.wants_help = False
            print(HELP, flush=True)

    def _call_recorder(self, event: Event) -> None:
        client = self._recorder[event]
        if not client.service_is_ready():
            self._say(f"{event.value}: no recorder is running; start `il up record`")
            return
        client.call_async(Trigger.Request()).add_done_callback(self._on_recorder_answer)

    def _on_recorder_answer(self, answer: Future) -> None:
        self._say(answer.result().message)

    def _say(self, text: str) -> None:
        """Tell the person at the keyboard, or the log."""
        if self._keyboard is not None:
            print(text, flush=True)
        else:
            self.get_logger().info(text)

    def _report(self) -> None:
        reason = self._device.reason
        self._diagnostics.publish(Level.OK, reason or "driving", {"is_engaged": not reason})

    def on_shutdown_safe(self) -> None:
        """Give the terminal back; the arm holds because no target comes any more."""
        self._open.close()


def main() -> None:
    """Run the node."""
    sys.exit(run(TeleopNode))


if __name__ == "__main__":
    main()
