"""One wrench for all: the controller's, the policy node's and the dataset's are the same numbers."""

from __future__ import annotations

import numpy as np
import pytest

from il_control.model import ArmModel
from il_control.servo_config import WristConfig
from il_control.wrist import Wrist
from il_core import topics
from il_core.align import Aligner
from il_core.config import load_setup
from il_core.geometry import inverse, quat_xyzw_from_matrix
from il_core.store.episodes import EpisodeStore
from il_core.store.msgdefs import encoder
from il_core.wrench import ToolWrench, WrenchSensor
from il_teleop.dataset import BuildOptions, build

MS = 1_000_000
LATENCY_NS = 20 * MS  # no message of the fixture arrives later than this
KINDS = {
    topics.JOINT_STATES: "sensor_msgs/msg/JointState",
    topics.EE_POSE: "geometry_msgs/msg/PoseStamped",
    topics.WRIST_WRENCH: "geometry_msgs/msg/WrenchStamped",
    topics.color("eye"): "sensor_msgs/msg/Image",
    topics.depth("eye"): "sensor_msgs/msg/Image",
    topics.camera_info("eye"): "sensor_msgs/msg/CameraInfo",
}


def test_what_a_policy_observes_is_what_the_controller_feels(rng):
    setup = load_setup("pick_place")
    model = ArmModel(setup)
    wrist = Wrist(WristConfig("fr3_link7"), model)
    sensor = None
    for k in range(5):
        model.update(np.array(setup.robot.q_home_rad) + rng.normal(scale=0.2, size=7), np.zeros(7))
        T = inverse(model.T_base_ee) @ model.frame_pose(model.frame_id("fr3_link7"))
        sensor = sensor or WrenchSensor("fr3_link7", tuple(T[:3, 3]), tuple(quat_xyzw_from_matrix(T[:3, :3])))
        measured = rng.normal(size=6)
        wrist.offer((k + 1) * MS, measured)
        observed = ToolWrench.measured((k + 1) * MS, measured, sensor).in_base(model.T_base_ee)
        assert observed == pytest.approx(wrist.wrench((k + 1) * MS), abs=1e-9)


class Subscriptions:
    """The part of a node the intake talks to: it remembers callbacks and hands them messages as rclpy does."""

    def __init__(self, logger, deserialize):
        self._callbacks, self._logger, self._deserialize = {}, logger, deserialize

    def create_subscription(self, kind, topic, callback, profile, raw=False):
        self._callbacks[topic] = (kind, callback, raw)

    def get_logger(self):
        return self._logger

    def receive(self, topic, data):
        kind, callback, raw = self._callbacks[topic]
        callback(data if raw else self._deserialize(data, kind))


@pytest.mark.ros
def test_live_and_offline_wrenches_are_equal_bit_for_bit_and_an_unusable_one_is_counted(
    tmp_path, felt_setup, felt_events, write_recording
):
    pytest.importorskip("rclpy")
    from rclpy.logging import get_logger
    from rclpy.serialization import deserialize_message

    from il_policy.ros.intake import ObservationIntake

    build([write_recording(felt_setup, felt_events)], felt_setup, tmp_path / "ds", BuildOptions(idle_keep_s=None))
    offline = EpisodeStore.open(tmp_path / "ds", felt_setup.digest).episode(0).observations

    node, aligner = Subscriptions(get_logger("parity"), deserialize_message), Aligner(felt_setup.task)
    intake, live, waiting = ObservationIntake(node, felt_setup, aligner), [], [o.tick_ns for o in offline]
    events = [e for e in felt_events if e[0] in KINDS]
    assert [e[2] for e in events] != sorted(e[2] for e in events), "messages did overtake each other"
    info = next(e for e in events if e[0] == topics.camera_info("eye"))
    node.receive(info[0], encoder(KINDS[info[0]])(info[3]))  # the camera ran before
    for topic, log_ns, _, values in events:
        while waiting and waiting[0] + LATENCY_NS < log_ns:  # all that belongs to the tick has arrived
            live.append(aligner.observe(waiting.pop(0)))
        node.receive(topic, encoder(KINDS[topic])(values))
    live += [aligner.observe(t) for t in waiting]
    assert len(offline) >= 18 and intake.refused == {}
    assert [o.wrench.tobytes() for o in live] == [o.wrench.tobytes() for o in offline]
    assert [dict(o.age_ns) for o in live] == [dict(o.age_ns) for o in offline]
    assert max(o.age_ns["wrench"] for o in offline) < 2 * MS  # every message of the 500 Hz stream counts

    tick = offline[-1].tick_ns
    newest = max((e for e in events if e[0] == topics.WRIST_WRENCH and e[2] <= tick), key=lambda e: e[2])
    unusable = {**newest[3], "header": {**newest[3]["header"], "frame_id": "elsewhere"}}
    aligner.clear()
    for topic, _, stamp_ns, values in events:
        is_newest = topic == topics.WRIST_WRENCH and stamp_ns == newest[2]
        node.receive(topic, encoder(KINDS[topic])(unusable if is_newest else values))
    assert aligner.observe(tick).age_ns["wrench"] == tick - newest[2] + 2 * MS
    assert intake.refused == {topics.WRIST_WRENCH: 1}
