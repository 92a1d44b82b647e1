"""policy_node with its plans made elsewhere: they arrive, and a lost server means no plan and a reason."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402 - needs ROS
from test_policy_node import LIMIT_S, Rig, Sensors, rig, saved  # noqa: E402, F401 - needs ROS; fixtures

import il_policy  # noqa: E402
from il_core import topics  # noqa: E402
from il_core.config import load_setup  # noqa: E402
from il_core.errors import ConfigError  # noqa: E402
from il_core.ros import qos  # noqa: E402
from il_policy.ros.policy_node import PolicyParams  # noqa: E402
from il_policy.serving.config import ServeConfig  # noqa: E402
from il_policy.serving.latency import Latencies, save  # noqa: E402
from il_policy.serving.remote.link import make_key, read_key  # noqa: E402
from il_policy.serving.remote.server import InferenceServer  # noqa: E402

pytestmark = pytest.mark.ros


@pytest.fixture
def key(tmp_path: Path) -> Path:
    make_key(tmp_path / "key")
    return tmp_path / "key"


@pytest.fixture
def server(saved: Path, key: Path) -> Iterator[InferenceServer]:  # noqa: F811 - the fixture
    policy = il_policy.load(saved)
    server = InferenceServer(policy, ServeConfig(), read_key(key), "127.0.0.1", 0)
    threading.Thread(target=server.run, daemon=True).start()
    yield server
    server.close()


def test_plans_come_over_the_link_and_stop_with_a_reason_when_it_is_lost(
    rig: Rig,  # noqa: F811 - the fixture
    server: InferenceServer,
    key: Path,
    tmp_path: Path,
) -> None:
    sensors = Sensors(rig.session, load_setup("pick_place"), ("front", "wrist"))
    levels: list[bytes] = []

    def on_diagnostics(msg: DiagnosticArray) -> None:
        levels.extend(status.level for status in msg.status if status.name == "policy")

    rig.session.node.create_subscription(DiagnosticArray, topics.DIAGNOSTICS, on_diagnostics, qos.STREAM)
    save(tmp_path / "latency.yaml", Latencies({}, 2.0, 150.0))
    (tmp_path / "serve.yaml").write_text("latencies: latency\nactions: motion\n")
    rig.start(f"remote:='127.0.0.1:{server.port}'", f"key:={key}", f"serving:={tmp_path / 'serve.yaml'}")
    rig.wait_for("ready")
    rig.session.set_bool(topics.POLICY_ENABLE, True)
    rig.session.wait(lambda: len(rig.chunks) >= 2, LIMIT_S, "two chunks")
    for _, chunk in rig.chunks:  # rows of 100, 200... ms, sent 150 ms ahead; the first would lie in the past
        assert chunk.start_ns - chunk.obs_ns == 50_000_000 and chunk.horizon == sensors.setup.task.horizon - 1
    assert rig.session.diagnostics["policy"]["runtime"].startswith("remote torch")
    assert rig.session.diagnostics["policy"]["lead_ms"] == "150"
    rig.session.wait(lambda: levels[-1] == DiagnosticStatus.OK, LIMIT_S, "no stream late, no plan missing")
    server.close()
    rig.wait_for("no inference server at 127.0.0.1")
    rig.session.wait(lambda: levels[-1] == DiagnosticStatus.ERROR, LIMIT_S, "an error, not a stream that is late")
    count = len(rig.chunks)
    rig.wait_for("start `il infer-server` there")  # the sentinel: another whole report
    assert len(rig.chunks) == count
    assert sensors.is_on  # the reason is the link, not the sensors


def test_a_remote_policy_without_a_key_is_refused() -> None:
    with pytest.raises(ConfigError, match="parameter 'key' is empty; name the key file"):
        PolicyParams(remote="gpu-box:7410").demand_source()
