"""What `il latency` measured is in force in serving: once, where it is sound, and nowhere else."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_world import later
from test_handover import DT, plan
from tiny_world import HALF_M, World

import il_policy
from il_core.errors import ConfigError
from il_policy.serving.config import Actions, Runtime, ServeConfig, load_serve_config
from il_policy.serving.handover import ahead
from il_policy.serving.latency import Latencies, in_force, lead_ns, save, uses, wait_ns

MOTION = ServeConfig(runtime=Runtime.ONNX, latency_ms=0.0, actions=Actions.MOTION, latencies="set by a test")


@pytest.fixture
def measured(tmp_path):
    """A configuration that names a file: cameras 80 ms, states 3 ms, actions 150 ms."""
    save(tmp_path / "latency.yaml", Latencies({"front": 80.0}, 3.0, 150.0))
    return replace(MOTION, latencies=str(tmp_path / "latency.yaml"))


def test_a_serving_file_names_the_latencies_beside_it_or_by_a_path(tmp_path, monkeypatch):
    (tmp_path / "serve").mkdir()
    found = Latencies({"front": 80.0}, 3.0, 150.0)
    save(tmp_path / "serve" / "latency.yaml", found)
    save(tmp_path / "elsewhere.yaml", replace(found, action_ms=20.0))
    serve = tmp_path / "serve" / "mine.yaml"
    monkeypatch.chdir(tmp_path)
    for name, action_ms in (("latency", 150.0), ("latency.yaml", 150.0), ("elsewhere.yaml", 20.0)):
        serve.write_text(f"latencies: {name}\nactions: motion\n")
        assert in_force(load_serve_config(str(serve))).action_ms == action_ms
    serve.write_text(f"latencies: {tmp_path / 'elsewhere.yaml'}\n")
    assert in_force(load_serve_config(str(serve))).action_ms == 20.0
    serve.write_text("latencies: nowhere\n")
    with pytest.raises(ConfigError, match="nowhere.yaml: no such file"):
        in_force(load_serve_config(str(serve)))
    serve.write_text("actions: motion\n")
    with pytest.raises(ConfigError, match="actions 'motion' needs latencies: name the file that `il latency` wrote"):
        load_serve_config(str(serve))


def test_what_was_learned_from_targets_is_not_sent_ahead_and_without_a_file_nothing_is_in_force(setup, measured):
    assert lead_ns(measured, setup.task) == 150_000_000 and wait_ns(measured) == 3_000_000
    assert lead_ns(replace(measured, actions=Actions.TARGETS), setup.task) == 0
    assert lead_ns(ServeConfig(), setup.task) == wait_ns(ServeConfig()) == 0


def test_the_tool_says_what_becomes_of_each_number_and_that_pictures_are_not_corrected(measured):
    state, action, camera = uses(in_force(measured))
    assert "looked at 3.0 ms later" in state and "sent 150 ms ahead" in action
    assert camera.startswith("camera: nothing, recordings carry the same late stamps")
    assert len(uses(Latencies({}, 3.0, 150.0))) == 2


def test_an_action_latency_that_leaves_too_little_of_a_plan_is_refused(setup, measured):
    short = replace(setup.task, horizon=9)  # 8 rows are executed: one row of 100 ms is to spare
    with pytest.raises(ConfigError, match=r"action_ms is 150.0, plans of 9 rows can be sent ahead by 0..100 ms"):
        lead_ns(measured, short)


@given(st.integers(0, 3000), st.integers(2, 16))
@settings(max_examples=60, deadline=None)
def test_a_plan_sent_ahead_says_the_same_earlier_and_nothing_about_the_past(lead_ms, horizon):
    old = plan(3, obs_ns=5 * DT, horizon=horizon)
    sent = ahead(old, lead_ms * 1_000_000)
    assert sent.obs_ns == old.obs_ns and sent.start_ns > old.obs_ns and sent.horizon >= 2
    for j in range(sent.horizon):
        t_ns = sent.start_ns + j * DT
        wanted_ns = min(t_ns + lead_ms * 1_000_000, old.end_ns)
        assert np.allclose(sent.at(t_ns), old.at(wanted_ns), atol=1e-9)
        assert sent.gripper_at(t_ns) == pytest.approx(old.gripper_at(wanted_ns))
    assert lead_ms or sent is old


@pytest.mark.parametrize("head", ["bc", "diffusion"])
def test_rows_that_pass_until_a_plan_sent_ahead_is_in_force_are_counted_once(policies, window, measured, head):
    policy = il_policy.load(policies[head][0], config=measured)
    assert policy.lead_ns == 150_000_000
    for _ in range(20):
        policy.latency.add(60_000_000)  # from an observation to its plan: the arm's part is not in it
    assert policy.latency.p95_ns() == 210_000_000
    first, second = policy.predict(window), policy.predict(later(window, 3))
    for j in range(3):  # rows of 100, 200 and 300 ms after the observation: 210 ms have passed before it is in force
        assert np.abs(second.rows[j] - first.at(second.start_ns + j * second.dt_ns)).max() < 1e-6
    plain = il_policy.load(policies[head][0], config=ServeConfig(runtime=Runtime.ONNX))
    assert plain.lead_ns == 0 and plain.latency.p95_ns() == 50_000_000


def test_single_actions_are_those_wanted_after_the_lead(policies, setup, measured):
    policy = il_policy.load(policies["bc"][0], config=measured)
    world = World(setup, np.array([0.5, 0.1, HALF_M]))
    for _ in range(12):
        observation = world.observe()
        command = policy.act(observation)
        assert command.stamp_ns == observation.tick_ns + setup.task.dt_ns
        assert np.allclose(command.T_base_ee_des, policy._acting.at(command.stamp_ns + 150_000_000))
        world.step(command.T_base_ee_des[:3, 3], command.gripper_des)
