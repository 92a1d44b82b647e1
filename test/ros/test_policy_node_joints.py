"""policy_node with a policy of joint actions: its plans reach whoever follows them, as the policy makes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
from test_policy_node import LIMIT_S, Rig, Sensors, rig, saved, untrained  # noqa: E402, F401 - needs ROS; fixtures
from trajectory_msgs.msg import JointTrajectory  # noqa: E402

from il_core import topics, wire  # noqa: E402
from il_core.config import load_setup  # noqa: E402
from il_core.ros import qos  # noqa: E402
from il_policy.config import ActionEncoding  # noqa: E402

pytestmark = pytest.mark.ros


def test_joint_plans_are_published_as_joint_plans_and_continue_one_another(
    rig: Rig,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    setup = load_setup("pick_place")
    saved = untrained(tmp_path, setup, action_encoding=ActionEncoding.JOINT_RELATIVE_V1)  # noqa: F811
    Sensors(rig.session, setup, ("front", "wrist"))
    joints, plans = wire.JointMap(setup.robot), list[Any]()

    def on_plan(msg: JointTrajectory) -> None:
        plans.append(wire.joint_chunk_from(msg, joints))

    rig.session.node.create_subscription(JointTrajectory, topics.JOINT_CHUNK, on_plan, qos.COMMAND)
    rig.start(f"checkpoint:={saved}")
    rig.wait_for("ready")
    rig.session.set_bool(topics.POLICY_ENABLE, True)
    rig.session.wait(lambda: len(plans) >= 3, LIMIT_S, "three joint plans")
    home = np.array(setup.robot.q_home_rad)
    for plan, following in zip(plans, plans[1:], strict=False):
        assert plan.q_des.shape == (setup.task.horizon, setup.robot.nq) and plan.gripper_des is not None
        assert plan.start_ns - plan.obs_ns == plan.dt_ns == setup.task.dt_ns
        assert np.abs(plan.q_des - home).max() < 2.0, "differences of an untrained network, seen from the posture"
        if following.start_ns <= plan.end_ns:
            assert np.allclose(following.q_des[0], plan.at(following.start_ns), atol=1e-6)
    assert rig.chunks == [] and rig.says("planning")
    told = rig.session.diagnostics["policy"]
    assert int(told["chunks"]) >= 1 and told["enabled"] == "True"
