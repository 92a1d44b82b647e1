"""`il eval CHECKPOINT`: the graph that would drive an arm is started, attempts are made, and the report is written."""

from __future__ import annotations

import json
import threading
import time

import pytest

pytest.importorskip("rclpy")
from il_cli.evaluate import evaluate  # noqa: E402
from il_core import topics  # noqa: E402
from il_policy.card import read_card  # noqa: E402

pytestmark = pytest.mark.ros
TASK = "draw_symbol"


def take_over(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let teleoperation drive for a while in the first attempt, soon after the policy was let go."""
    from geometry_msgs.msg import PoseStamped

    from il_cli.ros.session import Session
    from il_core.ros import convert, qos

    set_bool, seen = Session.set_bool, []

    def teleoperate(session: Session) -> None:
        targets = session.node.create_publisher(PoseStamped, topics.TELEOP_POSE, qos.STREAM)
        time.sleep(0.5)
        T = session.path[-1].T_base_ee
        for _ in range(20):
            targets.publish(convert.pose_stamped_msg(session.now_ns(), T))
            time.sleep(0.02)

    def spied(session: Session, name: str, value: bool, timeout_s: float = 10.0) -> str:
        answer = set_bool(session, name, value, timeout_s)
        if name == topics.POLICY_ENABLE and value and not seen:
            seen.append(threading.Thread(target=teleoperate, args=(session,), daemon=True))
            seen[0].start()
        return answer

    monkeypatch.setattr(Session, "set_bool", spied)


def test_the_default_way_writes_the_same_report_and_counts_who_took_over(tmp_path, monkeypatch, untrained):
    policy = untrained(tmp_path / "still", TASK)
    take_over(monkeypatch)
    evaluate([policy], task=TASK, episodes=2, limit_s=1.8, out=tmp_path / "out")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert "over ROS" in report["how"]
    (figures,) = report["policies"]
    assert (figures["episodes"], figures["successes"]) == (2, 0)
    assert figures["horizon"]["steps_to_failure_restricted_mean"] == pytest.approx(1.8 * report["rate_hz"])
    assert figures["inference_ms"]["p50"] > 0
    assert figures["interventions"]["attempts"] == 2
    assert figures["interventions"]["by_people"] == 1
    assert 0.2 < figures["interventions"]["seconds_by_people"] < 1.2
    assert [a["plans"] > 0 for a in report["attempts"]] == [True, True]
    first, second = (a["interventions"]["by_people"] for a in report["attempts"])
    assert (first, second) == (1, 0)
    (kept,) = read_card(policy).runs
    assert (kept.how, kept.task, kept.attempts, len(kept.seeds)) == ("over ROS, in real time", TASK, 2, 2)
    assert "data:image/png;base64," in (tmp_path / "out" / "report.html").read_text()
