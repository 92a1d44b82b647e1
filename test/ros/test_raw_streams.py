"""What the recorder asks of publishers: every message, and of those that promise less what comes."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from il_core.clock import ManualClock
from il_core.store.recording import RecordingHeader
from il_teleop.session import RecordingSession
from il_teleop.topic_stats import TopicPlan, TopicStats

rclpy = pytest.importorskip("rclpy")
from geometry_msgs.msg import WrenchStamped  # noqa: E402 - needs ROS
from rclpy.qos import QoSProfile, ReliabilityPolicy  # noqa: E402

from il_core.ros.node import Executor  # noqa: E402
from il_teleop.ros.raw_streams import RawStreams  # noqa: E402

pytestmark = pytest.mark.ros
PLAN = TopicPlan("wrist/wrench", "geometry_msgs/msg/WrenchStamped", "force_sensor")


class Rig:
    """A node with raw streams, and publishers on another one."""

    def __init__(self, tmp_path: Path) -> None:
        self.context = rclpy.Context()
        self.context.init()
        self.node, self.other = (rclpy.create_node(name, context=self.context) for name in ("ears", "sensors"))
        self.executor = Executor(context=self.context)
        self.executor.add_node(self.node)
        self.stats = TopicStats(PLAN)
        header = RecordingHeader("pick_place", "fr3", "d" * 64)
        session = RecordingSession(tmp_path, header, {PLAN.name: self.stats}, 10**6, ManualClock(10**18))
        self.streams = RawStreams(self.node, session, time.time_ns)
        self.told: list[str] = []

    def publisher(self, reliability: ReliabilityPolicy):  # noqa: ANN201 - a publisher
        return self.other.create_publisher(WrenchStamped, PLAN.name, QoSProfile(depth=10, reliability=reliability))

    def run(self, until, limit_s: float = 10.0, *publishers) -> None:  # noqa: ANN001
        """Spin, adapt and publish until a condition holds."""
        end = time.monotonic() + limit_s
        while not until() and time.monotonic() < end:
            for publisher in publishers:
                publisher.publish(WrenchStamped())
            self.executor.spin_once(timeout_sec=0.01)
            self.told += self.streams.adapt().values()
        assert until()


@pytest.fixture
def rig(tmp_path: Path):  # noqa: ANN201 - a generator of a rig
    rig = Rig(tmp_path)
    yield rig
    rig.streams.close()
    rig.executor.remove_node(rig.node)
    rig.node.destroy_node()
    rig.other.destroy_node()
    rig.context.try_shutdown()


def test_a_sensor_that_offers_only_its_newest_is_heard_and_told_once(rig: Rig):
    sensor = rig.publisher(ReliabilityPolicy.BEST_EFFORT)
    rig.run(lambda: rig.stats.seen > 20, 10.0, sensor)
    assert rig.told == ["is published best-effort: what gets lost on its way is only counted"]


def test_a_reliable_publisher_is_not_given_up_for_another_beside_it(rig: Rig):
    good = rig.publisher(ReliabilityPolicy.RELIABLE)
    rig.run(lambda: rig.stats.seen > 0, 10.0, good)
    poor = rig.publisher(ReliabilityPolicy.BEST_EFFORT)
    rig.run(lambda: bool(rig.told), 10.0)
    assert rig.told == ["has a best-effort publisher beside a reliable one; the best-effort one is not recorded"]
    seen = rig.stats.seen
    for _ in range(5):
        good.publish(WrenchStamped())
        poor.publish(WrenchStamped())
    rig.run(lambda: rig.stats.seen >= seen + 5, 5.0)
    assert rig.stats.seen == seen + 5, "all of the one, none of the other"
