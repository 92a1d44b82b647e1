"""A process that publishes what sensors do: two cameras at 30 Hz, or joint states at 1 kHz and what goes with them.

Prints one line of JSON at its end: how many messages it published, per topic.
"""

from __future__ import annotations

import argparse
import json
import signal
import time
from array import array
from collections.abc import Callable

import numpy as np
import rclpy
from geometry_msgs.msg import PoseStamped
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image, JointState

from benchmark.record.pictures import CAMERAS
from il_core import topics
from il_core.config import load_setup
from il_core.ros import convert, qos

BEST_EFFORT = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
CAMERA_HZ, STATE_HZ = 30, 1000
# Small topics of a running arm, with their rate.
SMALL = {
    topics.JOINT_STATES: (JointState, 1000),
    topics.EFFORT_SETPOINT: (JointState, 1000),
    topics.EE_POSE: (PoseStamped, 100),
    topics.TARGET_POSE: (PoseStamped, 100),
    topics.TARGET_GRIPPER: (JointState, 100),
}


class Counted:
    """A publisher that counts, and keeps the stamps."""

    def __init__(self, node: Node, kind: type, topic: str, profile: QoSProfile) -> None:
        self.publisher, self.stamps = node.create_publisher(kind, topic, profile), array("q")

    def __call__(self, msg: object, now_ns: int) -> None:
        self.publisher.publish(msg)
        self.stamps.append(now_ns)

    @property
    def count(self) -> int:
        """Messages published."""
        return len(self.stamps)


def camera_ticks(node: Node, file: str, profile: QoSProfile) -> tuple[dict[str, Counted], Callable[[int, int], None]]:
    """Publishers of all cameras, and what they do at tick k."""
    loaded = np.load(file)
    publishers: dict[str, Counted] = {}
    prepared = []
    for camera in CAMERAS:
        rgb, mm = loaded[f"{camera}_rgb"], loaded[f"{camera}_mm"]
        height, width = mm.shape[1:]
        names = (topics.color(camera), topics.depth(camera), topics.camera_info(camera))
        for name, kind in zip(names, (Image, Image, CameraInfo), strict=True):
            publishers[name] = Counted(node, kind, name, profile)
        variants = []
        for k in range(len(mm)):
            color = Image(height=height, width=width, encoding="rgb8", step=3 * width)
            color.data = array("B", rgb[k].tobytes())
            depth = Image(height=height, width=width, encoding="16UC1", step=2 * width)
            depth.data = array("B", mm[k].tobytes())
            variants.append((color, depth, CameraInfo(height=height, width=width)))
        prepared.append((names, variants))

    def tick(k: int, now_ns: int) -> None:
        for names, variants in prepared:
            for name, msg in zip(names, variants[k % len(variants)], strict=True):
                msg.header.stamp = convert.time_msg(now_ns)
                publishers[name](msg, now_ns)

    return publishers, tick


def state_ticks(node: Node) -> tuple[dict[str, Counted], Callable[[int, int], None]]:
    """Publishers of the small topics, and what they do at tick k."""
    robot = load_setup("pick_place").robot
    names = [*robot.joint_names, robot.gripper_joint]
    publishers, messages = {}, {}
    for topic, (kind, _) in SMALL.items():
        publishers[topic] = Counted(node, kind, topic, qos.STREAM)
        messages[topic] = kind()
        if kind is JointState:
            messages[topic].name = names
            for field in ("position", "velocity", "effort"):
                setattr(messages[topic], field, array("d", [0.1] * len(names)))

    def tick(k: int, now_ns: int) -> None:
        for topic, (_, rate_hz) in SMALL.items():
            if k % (STATE_HZ // rate_hz) == 0:
                msg = messages[topic]
                msg.header.stamp = convert.time_msg(now_ns)
                publishers[topic](msg, now_ns)

    return publishers, tick


def main() -> None:
    """Publish for a while, or until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=("cameras", "states"))
    parser.add_argument("--pictures", default="")
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--stamps", default="", help="file that gets the stamps of all messages, per topic")
    parser.add_argument("--best-effort", action="store_true")
    parser.add_argument("--wait", action="store_true", help="begin when somebody listens to every topic")
    options = parser.parse_args()
    stop: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.append(1))
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node(f"{options.what}_stream")
    if options.what == "cameras":
        profile = BEST_EFFORT if options.best_effort else qos.IMAGE
        publishers, tick = camera_ticks(node, options.pictures, profile)
        rate_hz = CAMERA_HZ
    else:
        publishers, tick = state_ticks(node)
        rate_hz = STATE_HZ
    end = time.monotonic() + 15.0
    while options.wait and not all(p.publisher.get_subscription_count() for p in publishers.values()):
        if time.monotonic() > end or stop:
            print(json.dumps({"error": "nobody listens"}), flush=True)
            return
        time.sleep(0.05)
    time.sleep(0.5)  # a match is told to both sides, one after the other
    start, k = time.monotonic(), 0
    while not stop and time.monotonic() - start < options.seconds:
        tick(k, time.time_ns())
        k += 1
        time.sleep(max(0.0, start + k / rate_hz - time.monotonic()))
    seconds = time.monotonic() - start
    if options.stamps:
        np.savez(options.stamps, **{n: np.array(p.stamps) for n, p in publishers.items()})
    time.sleep(1.0)  # what is still on its way is sent again on request
    print(json.dumps({"counts": {n: p.count for n, p in publishers.items()}, "seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
