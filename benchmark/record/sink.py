"""A process that receives the pictures as the recorder does, raw and reliable, and counts them.

Prints one line of JSON at SIGTERM: messages per topic, the longest silence, and what the middleware says was lost.
"""

from __future__ import annotations

import argparse
import json
import signal
import time

import rclpy
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.experimental.events_executor import EventsExecutor
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.signals import SignalHandlerOptions
from sensor_msgs.msg import CameraInfo, Image

from benchmark.record.pictures import CAMERAS
from il_core import topics, wire

DEPTH = 64  # as the recorder's


def main() -> None:
    """Count until SIGTERM."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--best-effort", action="store_true")
    options = parser.parse_args()
    stop: list[int] = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(1))
    rclpy.init(signal_handler_options=SignalHandlerOptions.NO)
    node = rclpy.create_node("sink")
    reliability = ReliabilityPolicy.BEST_EFFORT if options.best_effort else ReliabilityPolicy.RELIABLE
    profile = QoSProfile(depth=1 if options.best_effort else DEPTH, reliability=reliability)
    seen: dict[str, set[int]] = {}
    last: dict[str, int] = {}
    told, gap_ns, age_ns = [0], [0], [0]

    def subscribe(kind: type, topic: str) -> None:
        stamps = seen.setdefault(topic, set())

        def take(data: bytes) -> None:
            now_ns, stamp_ns = time.time_ns(), wire.header_stamp_ns_from_cdr(data)
            stamps.add(stamp_ns)
            gap_ns[0] = max(gap_ns[0], now_ns - last.get(topic, now_ns))
            age_ns[0] = max(age_ns[0], now_ns - stamp_ns)
            last[topic] = now_ns

        events = SubscriptionEventCallbacks(message_lost=lambda lost: told.append(lost.total_count_change))
        node.create_subscription(kind, topic, take, profile, raw=True, event_callbacks=events)

    for camera in CAMERAS:
        subscribe(Image, topics.color(camera))
        subscribe(Image, topics.depth(camera))
        subscribe(CameraInfo, topics.camera_info(camera))
    executor = EventsExecutor()
    executor.add_node(node)
    while not stop:
        executor.spin_once(timeout_sec=0.05)
    counts = {topic: len(stamps) for topic, stamps in seen.items()}
    print(json.dumps({"counts": counts, "gap_s": gap_ns[0] / 1e9, "age_s": age_ns[0] / 1e9, "told": sum(told)}))


if __name__ == "__main__":
    main()
