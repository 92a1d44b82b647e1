"""Publishes joint states at 1 kHz, images at 30 Hz and what else a recording of a task needs.

Prints one line of JSON when told to stop (SIGTERM): how many messages per topic, first and last stamp.
"""

import argparse
import json
import signal
import time
from array import array

import rclpy
from geometry_msgs.msg import PoseStamped, WrenchStamped
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image, JointState

from il_core import topics
from il_core.ros import qos
from il_core.ros.convert import time_msg

KINDS = {
    topics.JOINT_STATES: (JointState, 1),
    topics.EFFORT_SETPOINT: (JointState, 1),
    topics.EE_POSE: (PoseStamped, 10),
    topics.TARGET_POSE: (PoseStamped, 10),
    topics.TARGET_GRIPPER: (JointState, 10),
    topics.WRIST_WRENCH: (WrenchStamped, 10),
    topics.color("front"): (Image, 33),
    topics.depth("front"): (Image, 33),
    topics.camera_info("front"): (CameraInfo, 33),
}


def _message(kind: type) -> object:
    if kind is JointState:
        msg = JointState(name=[f"fr3_joint{i}" for i in range(1, 9)])
        msg.position = array("d", [0.1] * 8)
        return msg
    if kind is Image:
        msg = Image(height=240, width=320, step=960, encoding="rgb8")
        msg.data = array("B", bytes(range(256)) * 900)
        return msg
    return kind()


def main() -> None:
    """Publish until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--without", default="")
    parser.add_argument("--silence", default="", help="topic that stops at SIGUSR1")
    parser.add_argument("--pause", type=float, default=1e9, help="... for so long [s]")
    options = parser.parse_args()
    stop: list[int] = []
    silence: list[float] = []
    signal.signal(signal.SIGUSR1, lambda *_: silence.append(time.monotonic()))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.append(1))
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("stream_publisher")
    streams = {
        name: (
            node.create_publisher(kind, name, qos.IMAGE if kind is Image else qos.STREAM),
            _message(kind),
            every,
        )
        for name, (kind, every) in KINDS.items()
        if name != options.without
    }
    stamps: dict[str, list[int]] = {name: [] for name in streams}
    start, k = time.monotonic(), 0
    while not stop:
        now_ns = time.time_ns()
        for name, (publisher, msg, every) in streams.items():
            is_silent = name == options.silence and silence != [] and time.monotonic() < silence[0] + options.pause
            if k % every == 0 and not is_silent:
                msg.header.stamp = time_msg(now_ns)
                publisher.publish(msg)
                stamps[name].append(now_ns)
        k += 1
        time.sleep(max(0.0, start + k * 1e-3 - time.monotonic()))
    print(json.dumps(stamps), flush=True)


if __name__ == "__main__":
    main()
