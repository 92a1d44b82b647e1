"""policy_node that sees, or is told, what was never shown: it says so, stops or slows down, and goes on afterwards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("rclpy")
from std_msgs.msg import Float64, String  # noqa: E402 - needs ROS
from test_policy_node import LIMIT_S, R_DOWN, Rig, Sensors, rig, saved, untrained  # noqa: E402, F401 - fixtures

from il_core import topics  # noqa: E402
from il_core.config import load_setup  # noqa: E402
from il_core.geometry import pose  # noqa: E402
from il_core.ros import qos  # noqa: E402
from il_core.types import ArmState, Observation  # noqa: E402
from il_policy.config import ObserveConfig  # noqa: E402
from il_policy.serving import doubt  # noqa: E402
from il_policy.serving.features import features  # noqa: E402
from il_policy.serving.loading import torch_policy, weights_sha256  # noqa: E402
from il_policy.serving.planner import feeds_of  # noqa: E402
from il_policy.serving.torch_graphs import TorchBackend  # noqa: E402

pytestmark = pytest.mark.ros
SLACK = 0.1  # normalised: what demonstrations of this one sight would have differed by


def calibrated(folder: Path, sensors: Sensors) -> Path:
    """A checkpoint that listens and was shown what the sensors show, and nothing else."""
    untrained(folder, sensors.setup, ObserveConfig(language="ngram"))
    policy = torch_policy(folder, None)
    nothing = np.zeros(7)
    arm = ArmState(0, np.array(sensors.setup.robot.q_home_rad), nothing, nothing, 1.0)
    images = {frame.camera: frame for frame, _, _ in sensors.cameras}
    shown = Observation(0, pose([0.45, 0.0, 0.3], R_DOWN), arm, images, {})
    window = (shown,) * sensors.setup.task.n_obs
    feeds = feeds_of(policy.translator.inputs(window), policy.translator.pixels(window))
    seen = features(TorchBackend(policy).run("encode", feeds)[0], policy.translator.signs(window))
    rng = np.random.default_rng(0)
    detector = doubt.calibrate([seen + rng.normal(scale=SLACK, size=(50, len(seen))) for _ in range(5)])
    doubt.save(folder, detector, weights_sha256(folder), 5)
    return folder


class Listener:
    """What the node publishes about its doubts."""

    def __init__(self, rig: Rig) -> None:  # noqa: F811 - the fixture's class
        self.session, self.rig = rig.session, rig
        self.scores: list[float] = []
        self.help: list[str] = []
        node = rig.session.node
        node.create_subscription(Float64, topics.POLICY_DOUBT, self._on_score, qos.STREAM)
        node.create_subscription(String, topics.POLICY_HELP, self._on_help, qos.LATCHED)

    def _on_score(self, msg: Float64) -> None:
        self.scores.append(msg.data)

    def _on_help(self, msg: String) -> None:
        self.help.append(msg.data)

    def wait(self, is_true: Any, what: str) -> None:
        self.session.wait(is_true, LIMIT_S, what)

    def next_chunk(self, is_it: Any, what: str) -> Any:
        """The next chunk of a kind."""
        first = len(self.rig.chunks)
        self.wait(lambda: any(is_it(c) for _, c in self.rig.chunks[first:]), what)
        return next(c for _, c in self.rig.chunks[first:] if is_it(c))


def test_what_was_never_shown_or_said_is_published_and_stops_or_slows_the_arm(
    rig: Rig,  # noqa: F811 - the fixture
    tmp_path: Path,
) -> None:
    sensors = Sensors(rig.session, load_setup("pick_place"), ("front", "wrist"))
    listener, session = Listener(rig), rig.session
    said = json.dumps("wipe the table: with a sponge")  # as `il serve --instruction` hands it over
    rig.start(f"checkpoint:={calibrated(tmp_path / 'policy', sensors)}", "doubt:=help", f"instruction:={said}")
    rig.wait_for("ready")
    session.set_bool(topics.POLICY_ENABLE, True)
    listener.wait(lambda: any(listener.help), "a call for help after an instruction that was never given")
    assert "sees what was never shown" in listener.help[-1] and "holds and asks for help" in listener.help[-1]
    assert listener.scores[-1] > 1.0 and all(np.allclose(c.rows, c.rows[-1]) for _, c in rig.chunks)

    session.set_parameter("policy", "instruction", "")  # the task's own: known, as what is seen
    listener.wait(lambda: listener.help[-1] == "", "the end of the call for help")
    plan = listener.next_chunk(lambda c: c.horizon == sensors.setup.task.horizon, "a whole plan from what was shown")
    assert plan.dt_ns == 100_000_000 and listener.scores[-1] < 1.0

    for frame, _, _ in sensors.cameras:  # the red thing is gone
        picture = frame.rgb.copy()
        picture[:] = 90
        object.__setattr__(frame, "rgb", picture)
    stop = listener.next_chunk(lambda c: np.allclose(c.rows, c.rows[-1]), "a plan that stays where it is")
    assert stop.horizon < sensors.setup.task.horizon and listener.scores[-1] > 1.0
    rig.wait_for("holds and asks for help")
    session.set_parameter("policy", "doubt", "slow")
    slow = listener.next_chunk(lambda c: c.horizon == sensors.setup.task.horizon, "a whole plan again")
    way = slow.T_base_ee_des[:4, :3, 3]  # three rows for one: the policy's first step in equal parts
    assert np.allclose(np.diff(way, n=2, axis=0), 0.0, atol=1e-6) and np.linalg.norm(way[3] - way[0]) > 1e-6
    assert slow.dt_ns == 100_000_000 and listener.scores[-1] > 1.0
    listener.wait(lambda: listener.help[-1] == "", "the end of the call for help, as nobody is asked any more")
