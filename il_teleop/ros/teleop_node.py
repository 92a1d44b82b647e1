"""Lets a person drive the tool: device in, target pose and gripper out at 50 Hz while the clutch is held."""

from __future__ import annotations

import contextlib
import sys
from functools import partial
from typing import Any

from geometry_msgs.msg import PoseStamped
from rclpy.task import Future
from sensor_msgs.msg import JointState, Joy
from std_srvs.srv import SetBool, Trigger

from il_core import topics
from il_core.config import config_dir, load_setup, load_yaml
from il_core.errors import DeviceError
from il_core.ros import qos
from il_core.ros.clock import RosClock
from il_core.ros.convert import opening_msg, pose_stamped_msg
from il_core.ros.diagnostics import Level
from il_core.ros.lifecycle import ManagedNode
from il_core.ros.node import run
from il_core.ros.params import Parameters
from il_core.wire import JointMap, ee_pose_from, opening_from
from il_teleop.buttons import Buttons, Panel
from il_teleop.config import TeleopConfig
from il_teleop.device import Bench, find
from il_teleop.devices.keyboard import Terminal
from il_teleop.pedal import Assisted, Pedal
from il_teleop.recorder import OWN_EVENTS, Event, service_of
from il_teleop.retarget import MotionSource, RetargetConfig, RetargetedDevice

RATE_HZ = 50
LIMITS = ("max_speed_m_s", "max_rotation_speed_rad_s")  # of RetargetConfig: parameters that change at any time
CLASSES = {
    "sensor_msgs/msg/Joy": Joy,
    "sensor_msgs/msg/JointState": JointState,
    "geometry_msgs/msg/PoseStamped": PoseStamped,
}


class TeleopNode(ManagedNode):
    """Converts, asks one RetargetedDevice, publishes."""

    def __init__(self) -> None:
        """Declare parameters; the device is opened when the node is configured."""
        super().__init__("teleop")
        self._params = self.parameters(TeleopConfig)
        self._limits: Parameters[RetargetConfig] | None = None
        self._now_ns = RosClock(self).now_ns
        self._open = contextlib.ExitStack()
        self._pedal: Pedal | None = None
        self._is_claimed = False

    def configure(self) -> None:
        """Open the device.

        Raises:
            IlError: a file is wrong, or the device is not there.
        """
        config = self._params.value
        setup = load_setup(config.task, config.robot or None)
        self._joints = JointMap(setup.robot)
        folder = config_dir() / "teleop"
        buttons = load_yaml(folder / "buttons.yaml", Buttons)
        self._source = find(config.device).make(Bench(setup, config.layout, buttons))
        self._open.callback(self._source.close)
        if config.pedal:
            self._pedal = Pedal.open(config.pedal, buttons.pedal)
            self._open.callback(self._pedal.close)
        self._keys: tuple[Terminal, Panel] | None = None
        if not self._source.owns_terminal and sys.stdin is not None and sys.stdin.isatty():
            self._keys = self._open.enter_context(Terminal()), Panel(buttons.keys)
        self._panels = [*([self._pedal.panel] if self._pedal else []), *([self._keys[1]] if self._keys else [])]
        moved: MotionSource = self._source
        for panel in self._panels:
            moved = Assisted(moved, panel)
        limits = load_yaml(folder / "retarget.yaml", RetargetConfig)
        self._limits = Parameters(self, RetargetConfig, default=limits, names=LIMITS, on_change=self._limit)
        is_sending = not self._source.claims
        self._device = RetargetedDevice(moved, self._limits.value, self._source.feel, is_sending=is_sending)
        self._pose = self.create_publisher(PoseStamped, topics.TELEOP_POSE, qos.STREAM)
        self._gripper = self.create_publisher(JointState, topics.TELEOP_GRIPPER, qos.STREAM)
        operators = [event for event in Event if event not in OWN_EVENTS]
        self._recorder = {event: self.create_client(Trigger, service_of(event)) for event in operators}
        self._claim = self.create_client(SetBool, topics.claim(self._source.claims)) if self._source.claims else None

    def activate(self) -> None:
        """Listen to the arm and the device, and follow what the person does."""
        self.create_subscription(PoseStamped, topics.EE_POSE, self._on_ee_pose, qos.LATEST)
        self.create_subscription(JointState, topics.TARGET_GRIPPER, self._on_gripper, qos.LATEST)
        for given in self._source.inputs:
            self.create_subscription(CLASSES[given.type], given.topic, partial(self._hear, given.key), qos.STREAM)
        self.create_timer(1.0 / RATE_HZ, self._cycle)

    def deactivate(self) -> None:
        """Let go of the arm: it holds, because no target comes any more and no claim is left."""
        self._device.release()
        if self._is_claimed and self._claim is not None:
            self._is_claimed = False
            self._claim.call_async(SetBool.Request(data=False))

    def release(self) -> None:
        """Give device, pedal and terminal back."""
        self._open.close()
        self._pedal = None
        if self._limits is not None:
            self._limits.withdraw()
            self._limits = None

    def _limit(self, limits: RetargetConfig) -> None:
        self._device.limit(limits)

    def _hear(self, key: str, msg: Any) -> None:  # noqa: ANN401 - message class varies
        try:
            self._source.hear(key, msg, self._now_ns())
        except DeviceError as error:
            self.get_logger().error(str(error), throttle_duration_sec=1.0)

    def _on_ee_pose(self, msg: PoseStamped) -> None:
        self._device.observe_pose(ee_pose_from(msg))

    def _on_gripper(self, msg: JointState) -> None:
        self._device.observe_gripper(opening_from(msg, self._joints)[1])

    def _cycle(self) -> None:
        """Read the device, publish the wish, pass recorder keys on."""
        now_ns = self._now_ns()
        self._source.poll(now_ns)
        if self._pedal is not None:
            self._pedal.poll()
        if self._keys is not None:
            terminal, panel = self._keys
            for key in terminal.keys():
                panel.press(key)
        if self._source.wants_help:
            self._source.wants_help = False
            self._say(self._source.help)
        before = self._device.reason
        command = self._device.command(now_ns)
        if command is not None:
            self._pose.publish(pose_stamped_msg(command.stamp_ns, command.T_base_ee_des))
            self._gripper.publish(opening_msg(command.stamp_ns, command.gripper_des, self._joints))
        if self._claim is not None:
            self._lead(now_ns)
        if self._device.reason != before:
            self._say(self._device.reason or "clutch is closed: driving")
        beside = [event for panel in self._panels for event in panel.take_events()]
        for event in [*self._source.take_events(), *beside]:
            self._call_recorder(event)

    def _lead(self, now_ns: int) -> None:
        """For a device that claims the arm: claim with the clutch, and send the wish for the gripper."""
        is_held = not self._device.reason
        if is_held != self._is_claimed and self._claim is not None and self._claim.service_is_ready():
            self._is_claimed = is_held
            self._claim.call_async(SetBool.Request(data=is_held)).add_done_callback(self._on_answer)
        opening = self._device.motion.gripper_des
        if opening is not None:
            self._gripper.publish(opening_msg(now_ns, opening, self._joints))

    def _call_recorder(self, event: Event) -> None:
        client = self._recorder[event]
        if not client.service_is_ready():
            self._say(f"{event.value}: no recorder is running; start `il up record`")
            return
        client.call_async(Trigger.Request()).add_done_callback(self._on_answer)

    def _on_answer(self, answer: Future) -> None:
        self._say(answer.result().message)

    def _say(self, text: str) -> None:
        """Tell the person at the terminal, or the log."""
        if self._source.owns_terminal or self._keys is not None:
            print(text, flush=True)
        elif text:
            self.get_logger().info(text)

    def report(self) -> None:
        """Say whether the person drives, and why not."""
        reason = self._device.reason
        fault = self._device.motion.fault or (self._pedal.fault if self._pedal is not None else "")
        level = Level.WARN if fault else Level.OK
        self.diagnostics.publish(level, fault or reason or "driving", {"is_engaged": not reason})


def main() -> None:
    """Run the node."""
    sys.exit(run(TeleopNode))


if __name__ == "__main__":
    main()
