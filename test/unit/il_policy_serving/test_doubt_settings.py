"""What doubt shall lead to is what it leads to, here and on a server, or it is refused before the arm moves."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import replace

import lerobot_stub as lerobot
import numpy as np
import pytest
from serving_world import later
from test_policy import ONNX, calibrated
from test_remote import KEY
from tiny_world import make_setup

import il_policy
from il_core.errors import ConfigError, DeviceError
from il_policy.serving.config import Doubt, Handover, ServeConfig
from il_policy.serving.plain import PlainPolicy
from il_policy.serving.remote.client import RemotePolicy
from il_policy.serving.remote.codec import doubt_from, doubt_head, pack, unpack
from il_policy.serving.remote.link import LinkError
from il_policy.serving.remote.server import InferenceServer

ACTS = [Doubt.SLOW, Doubt.HOLD, Doubt.HELP]


class Follows:
    """The least that a movement primitive offers."""

    setup = make_setup()

    def reset(self, seed):
        pass


@pytest.mark.parametrize("act", ACTS)
def test_without_calibration_no_act_of_doubt_is_accepted(policies, setup, act):
    words = f"got '{act.value}', but this checkpoint was never calibrated; run `il calibrate CHECKPOINT DATASET`"
    with pytest.raises(ConfigError, match=words):
        il_policy.load(policies["bc"][0], config=replace(ONNX, doubt=act))
    policy = il_policy.load(policies["bc"][0], config=ONNX)
    with pytest.raises(ConfigError, match=words):
        policy.doubt_as(replace(ONNX, doubt=act))
    assert policy.config.doubt is Doubt.REPORT


def test_policies_without_features_refuse_them_too(setup, tmp_path, monkeypatch):
    words = r"got 'hold', but the policy \({}\) has no features to compare .*; serve it with doubt: report"
    with pytest.raises(ConfigError, match=words.format("promp")):
        PlainPolicy(Follows(), "promp", replace(ONNX, doubt=Doubt.HOLD))
    lerobot.installed(monkeypatch)
    folder = lerobot.checkpoint(tmp_path / "act", "act", 4, 4)
    with pytest.raises(ConfigError, match=words.format("lerobot act, torch on cpu")):
        il_policy.load(folder, setup, config=ServeConfig(doubt=Doubt.HOLD))


@contextmanager
def served(policy, config):
    server = InferenceServer(policy, config, KEY, "127.0.0.1", 0)
    threading.Thread(target=server.run, daemon=True).start()
    try:
        yield RemotePolicy(policy.setup, "127.0.0.1", server.port, KEY)
    finally:
        server.close()


@pytest.mark.parametrize(
    ("robots", "servers", "acts"),
    [
        (Doubt.HELP, Doubt.REPORT, Doubt.HELP),
        (Doubt.HOLD, Doubt.SLOW, Doubt.HOLD),
        (Doubt.REPORT, Doubt.HOLD, Doubt.HOLD),
        (None, Doubt.HELP, Doubt.HELP),
    ],
)
def test_over_a_link_the_stricter_settings_act_and_every_report_says_which(
    policies, window, tmp_path, robots, servers, acts
):
    config = replace(ONNX, doubt=servers)
    policy = il_policy.load(calibrated(policies["bc"][0], tmp_path, is_strange=True), config=config)
    with served(policy, config) as robot:
        if robots is not None:
            robot.doubt_as(replace(ONNX, doubt=robots, doubt_limit=0.5))
        plan, report = robot.predict(window), robot.report
        assert report.is_in_doubt and report.act is acts and report.limit == (1.0 if robots is None else 0.5)
        assert np.allclose(plan.rows, window[-1].T_base_ee), "it holds"
        robot.close()


def test_a_robot_changes_its_mind_in_the_middle_of_a_run(policies, window, tmp_path):
    policy = il_policy.load(calibrated(policies["bc"][0], tmp_path, is_strange=True), config=ONNX)
    with served(policy, ONNX) as robot:
        assert robot.predict(window).horizon == 16 and robot.report.act is Doubt.REPORT
        robot.doubt_as(replace(ONNX, doubt=Doubt.HOLD))
        assert robot.predict(later(window, 3)).horizon < 16 and robot.report.act is Doubt.HOLD
        robot.doubt_as(replace(ONNX, doubt_limit=1e6))
        assert robot.predict(later(window, 12)).horizon == 16 and not robot.report.is_in_doubt
        robot.close()


def test_a_server_whose_policy_never_doubts_refuses_at_start_and_later(policies, window):
    policy = il_policy.load(policies["bc"][0], config=ONNX)
    with served(policy, ONNX) as robot:
        robot.doubt_as(replace(ONNX, doubt=Doubt.HELP))  # nobody knows yet
        with pytest.raises(
            DeviceError, match="inference server: .*got 'help', but this checkpoint was never calibrated"
        ):
            robot.warm_up()
        robot.doubt_as(ONNX)
        robot.warm_up()
        with pytest.raises(ConfigError, match="got 'slow', but this checkpoint was never calibrated"):
            robot.doubt_as(replace(ONNX, doubt=Doubt.SLOW))
        assert robot.predict(window).horizon == 16
        robot.close()


def test_a_server_that_does_not_say_what_acts_is_not_followed(policies, monkeypatch, window):
    policy = il_policy.load(policies["bc"][0], config=ONNX)
    older = pack({"kind": "ready", "runtime": policy.runtime}, {})
    with served(policy, ONNX) as robot, monkeypatch.context() as patched:
        patched.setattr("il_policy.serving.remote.server._ready", lambda _: older)
        with pytest.raises(
            LinkError, match="does not say whether its policy can doubt .*; install the release of this"
        ):
            robot.predict(window)
    with pytest.raises(LinkError, match="the report does not say what doubt leads to"):
        from il_policy.serving.remote.client import _report

        _report({"steps": 1})


@pytest.mark.parametrize(
    "values", [3, {}, {"act": "hodl", "limit": 1, "slow_factor": 3}, {**doubt_head(ONNX), "limit": 0}]
)
def test_settings_that_no_configuration_has_end_the_link(values):
    with pytest.raises(LinkError, match="'doubt' is"):
        doubt_from(values, ONNX)


def test_settings_survive_the_wire():
    asked = replace(ONNX, doubt=Doubt.SLOW, doubt_limit=2.0, slow_factor=5.0)
    head, _ = unpack(pack({"doubt": doubt_head(asked)}, {}))
    assert doubt_from(head["doubt"], ONNX) == asked
    strict = replace(ONNX, doubt=Doubt.SLOW, doubt_limit=1.0, slow_factor=7.0, handover=Handover.NONE)
    assert doubt_from(head["doubt"], strict) == strict
