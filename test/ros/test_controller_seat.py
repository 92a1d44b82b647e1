"""Who drives, over real DDS: claims, go-to, stiffness at run time, on the simulated arm."""

import threading
import time
from collections import deque
from functools import partial

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from geometry_msgs.msg import PoseStamped, WrenchStamped
from insist import insisting
from sensor_msgs.msg import JointState
from std_msgs.msg import Float64, String

from il_cli.process import Supervisor
from il_cli.ros.session import Session
from il_core import topics, wire
from il_core.config import load_setup
from il_core.errors import GraphError
from il_core.geometry import pose
from il_core.graph import GraphOptions, graph
from il_core.ros import convert, qos
from il_core.types import ActionChunk

LIMIT_S = 20.0


class Rig:
    """A session with publishers and ears of its own."""

    def __init__(self, session, nodes):
        self.session, self.nodes, node = session, nodes, session.node
        self.joints = wire.JointMap(load_setup("draw_symbol").robot)
        self.sources, self.stiffness = deque(maxlen=1000), deque(maxlen=10)
        self.state, self.damping = None, ""
        self._lock = threading.Lock()
        node.create_subscription(DiagnosticArray, topics.CONTROL_SOURCE, self._on_source, qos.STREAM)
        node.create_subscription(WrenchStamped, topics.STIFFNESS, self._on_stiffness, qos.STREAM)
        node.create_subscription(JointState, topics.JOINT_STATES, self._on_state, qos.LATEST)
        kinds = {
            topics.GO_TO_POSE: PoseStamped,
            topics.GO_TO_POSTURE: JointState,
            topics.WANTED_STIFFNESS: WrenchStamped,
            topics.DAMPING_RATIO: Float64,
            topics.GUIDING_MODE: String,
            topics.TELEOP_POSE: PoseStamped,
        }
        self.publishers = {name: node.create_publisher(kind, name, qos.COMMAND) for name, kind in kinds.items()}
        for name, publisher in self.publishers.items():
            self.wait(lambda p=publisher: p.get_subscription_count() > 0, f"controller listens to {name}")
        self.wait(lambda: self.session.path and self.state is not None, "the arm talks")
        self.wait(lambda: self.sources and self.stiffness, "the controller talks")

    def _on_source(self, msg):
        values = {kv.key: kv.value for kv in msg.status[0].values}
        self.damping = values.get("damping_ratio", "")
        self.sources.append((values["source"], msg.status[0].message, values["claim"]))

    def _on_stiffness(self, msg):
        self.stiffness.append(msg)

    def _on_state(self, msg):
        self.state = wire.arm_state_from(msg, self.joints)

    def wait(self, condition, what):
        self.session.wait(condition, LIMIT_S, what, self.nodes.check)

    def order(self, topic, msg, heard, what):
        self.wait(insisting(partial(self.publishers[topic].publish, msg), heard), what)

    def tool(self):
        return self.session.path[-1].T_base_ee

    def drives(self, source, cause=""):
        return bool(self.sources) and self.sources[-1][0] == source and cause in self.sources[-1][1]

    def wait_source(self, source, cause=""):
        self.wait(lambda: self.drives(source, cause), f"source '{source}' because '{cause}'")


@pytest.fixture(scope="module")
def rig(tmp_path_factory):
    described = graph("sim", GraphOptions(task="draw_symbol"))
    with Supervisor(described, tmp_path_factory.mktemp("log")) as nodes, Session("seat_test") as session:
        nodes.wait_ready(60.0)
        yield Rig(session, nodes)


@pytest.fixture(autouse=True)
def at_rest(rig):
    rig.session.trigger(topics.CONTROLLER_HOLD)
    yield
    rig.session.trigger(topics.CONTROLLER_HOLD)


def test_going_to_a_pose(rig):
    T = rig.tool()
    T_des = pose(T[:3, 3] + [0.05, 0.05, -0.05], T[:3, :3])
    msg = convert.pose_stamped_msg(rig.session.now_ns(), T_des)
    rig.order(topics.GO_TO_POSE, msg, lambda: rig.drives("go-to", "go-to began"), "the arm sets out")
    rig.wait_source("hold", "go-to fell silent")
    rig.wait(lambda: np.abs(rig.tool()[:3, 3] - T_des[:3, 3]).max() < 0.003, "the arm is there")


def test_going_to_a_posture_with_joints_in_any_order(rig):
    q_des = rig.state.q + np.array([0.1, 0.0, -0.1, 0.05, 0.0, 0.1, 0.0])
    names = list(reversed(rig.joints.names))
    msg = JointState(name=names, position=[float(q) for q in q_des[::-1]])
    rig.order(topics.GO_TO_POSTURE, msg, lambda: rig.drives("go-to"), "the arm sets out")
    rig.wait(lambda: np.abs(rig.state.q - q_des).max() < 0.02, "the arm is there")


def test_a_claim_keeps_others_out_until_it_is_released(rig):
    rig.session.set_bool(topics.claim("policy"), True)
    rig.wait(lambda: rig.sources[-1][2] == "policy", "the claim is told")
    T = rig.tool()
    rig.publishers[topics.GO_TO_POSE].publish(
        convert.pose_stamped_msg(rig.session.now_ns(), pose(T[:3, 3] + [0.0, 0.0, 0.02], T[:3, :3]))
    )
    assert rig.session.set_bool(topics.claim("policy"), False) == "released"
    with pytest.raises(GraphError, match="neither drove nor had claimed"):
        rig.session.set_bool(topics.claim("policy"), False)
    assert "go-to" not in {source for source, _, claim in rig.sources if claim == "policy"}


def test_a_plan_that_begins_too_far_away_is_refused_every_cycle_and_told_seldom(rig):
    T = rig.tool()
    far = np.stack([pose(T[:3, 3] + [0.0, 0.5, 0.0], T[:3, :3])] * 8)
    cause = "its first target is too far away"

    def is_told():
        now_ns = rig.session.now_ns()
        rig.session.send_chunk(ActionChunk(now_ns, 100_000_000, now_ns, T_base_ee_des=far))
        return any(why == cause for _, why, _ in rig.sources)

    rig.wait(is_told, "the refusal")
    rig.sources.clear()
    end = time.monotonic() + 1.0
    while time.monotonic() < end:
        is_told()
        time.sleep(0.1)
    assert 1 <= len(rig.sources) <= 6, "twice a second in any case, and the repeated refusal once"
    assert np.abs(rig.tool()[:3, 3] - T[:3, 3]).max() < 0.005


def test_hand_guiding_is_refused_with_the_key_to_set(rig):
    with pytest.raises(GraphError, match="contact_force_max_n"):
        rig.session.set_bool(topics.claim("guiding"), True)
    with pytest.raises(GraphError, match="contact_force_max_n"):
        rig.session.set_bool(topics.CONTROLLER_TOUCH, True)


def test_stiffness_asked_for_is_the_one_in_force_and_told(rig):
    msg = WrenchStamped()
    msg.wrench.force.x, msg.wrench.force.y, msg.wrench.force.z = 400.0, 500.0, 600.0
    msg.wrench.torque.x = msg.wrench.torque.y = msg.wrench.torque.z = 20.0

    def is_told():
        f = rig.stiffness[-1].wrench.force if rig.stiffness else None
        return f is not None and (f.x, f.y, f.z) == (400.0, 500.0, 600.0)

    rig.order(topics.WANTED_STIFFNESS, msg, is_told, "the stiffness asked for")


def test_a_damping_ratio_asked_for_is_the_one_in_force_and_told(rig):
    rig.order(topics.DAMPING_RATIO, Float64(data=0.7), lambda: rig.damping == "0.700", "the damping asked for")


def test_an_unknown_guiding_mode_is_counted_as_refused(rig):
    key = f"refused_{topics.GUIDING_MODE}"

    def is_counted():
        return rig.session.diagnostics.get("controller", {}).get(key, "0") != "0"

    rig.order(topics.GUIDING_MODE, String(data="sideways"), is_counted, "the refusal is counted")


def test_an_arm_that_is_not_stopped_may_be_resumed(rig):
    assert rig.session.trigger(topics.CONTROLLER_RESUME) == "the arm may move"
