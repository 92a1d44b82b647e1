"""A LeRobot checkpoint is served like our own: same time, same joining, right pictures, history and words."""

from __future__ import annotations

import threading
from dataclasses import replace

import lerobot_stub as lerobot
import numpy as np
import pytest
import torch
from serving_world import later

import il_policy
from il_core.errors import ConfigError, DeviceError, NonFiniteError, ShapeError
from il_policy.serving.config import Handover, ServeConfig
from il_policy.serving.remote.client import RemotePolicy
from il_policy.serving.remote.server import InferenceServer

STATE, TOOL, JOINTS = 4, 4, 3  # position and gripper; the same as action; two joints and a gripper
ALONE = ServeConfig(handover=Handover.NONE)
KEY = bytes(range(32))


@pytest.fixture(autouse=True)
def _installed(monkeypatch):
    lerobot.installed(monkeypatch)


def served(tmp_path, setup, kind="act", action=TOOL, config=ALONE, **changes):
    folder = lerobot.checkpoint(tmp_path / kind, kind, STATE, action, **changes)
    return il_policy.load(folder, setup, seed=3, config=config)


def seen(observation):
    return np.append(observation.T_base_ee[:3, 3], observation.arm.gripper).astype(np.float32)


def expected(policy, state):
    """What the network makes of a state, unnormalised."""
    net = policy._policy
    first = torch.from_numpy(state) @ net.weight.T
    return (lerobot.SCALE * (first + torch.arange(16.0)[:, None] * net.step)).detach().numpy()


def test_a_tool_plan_is_the_networks_chunk_in_absolute_time(tmp_path, setup, window):
    policy = served(tmp_path, setup)
    plan, rows = policy.predict(window), expected(policy, seen(window[-1]))
    assert (plan.obs_ns, plan.start_ns) == (window[-1].tick_ns, window[-1].tick_ns + setup.task.dt_ns)
    assert plan.dt_ns == setup.task.dt_ns and plan.horizon == 16
    assert np.allclose(plan.T_base_ee_des[:, :3, 3], rows[:, :3], atol=1e-6)
    assert np.allclose(plan.gripper_des, np.clip(rows[:, 3], 0, 1), atol=1e-6)
    assert policy.runtime == "lerobot act, torch on cpu" and policy.report.milliseconds > 0


def test_a_joint_plan_has_joints_and_gripper(tmp_path, setup, window):
    policy = served(tmp_path, setup, action=JOINTS)
    plan, rows = policy.predict(window), expected(policy, seen(window[-1]))
    assert np.allclose(plan.q_des, rows[:, :2], atol=1e-6) and plan.T_base_ee_des is None
    assert np.allclose(plan.gripper_des, np.clip(rows[:, 2], 0, 1), atol=1e-6)


def test_pictures_come_as_it_was_trained_on_and_in_its_own_order(tmp_path, setup, window):
    policy = served(tmp_path, setup)
    policy.predict(window)
    (batch,) = policy._policy.heard.batches
    front, wrist = batch["observation.images"]
    assert front.shape == (1, 3, 240, 320) and wrist.shape == (1, 3, 60, 80)
    wanted = window[-1].images["front"].rgb.transpose(2, 0, 1).astype(np.float32) / 255.0
    assert np.array_equal(front[0].numpy(), wanted)


def test_a_network_with_a_history_sees_the_ticks_of_the_window_however_long_ago_the_last_plan_was(
    tmp_path, setup, window
):
    one = {lerobot.STATE: {"shape": (STATE,)}, f"{lerobot.IMAGES}.front": {"shape": (3, 240, 320)}}
    policy = served(tmp_path, setup, "diffusion", input_features=one)
    rows = expected(policy, seen(window[-1]) - 0.5 * seen(window[0]))
    for ticks in (0, 8):
        plan = policy.predict(later(window, ticks))
        assert np.allclose(plan.T_base_ee_des[:, :3, 3], rows[:, :3], atol=1e-6)
        batch = policy._policy.heard.batches[-1]
        assert batch["observation.images"].shape == (1, 2, 1, 3, 240, 320)
        assert np.allclose(batch["observation.state"][0].numpy(), [seen(o) for o in window])
    resets = policy._policy.heard.resets
    policy.reset()
    assert policy._policy.heard.resets == resets + 1 and len(policy._policy._queues[lerobot.STATE]) == 0


def test_plans_are_joined_and_words_reach_the_pipeline(tmp_path, setup, window, monkeypatch):
    policy = served(tmp_path, setup, config=ServeConfig(latency_ms=150.0))
    first = policy.predict(window)
    moved = later(window, 3)
    T = moved[-1].T_base_ee.copy()
    T[:3, 3] += [0.05, -0.05, 0.0]
    second = policy.predict((moved[0], replace(moved[-1], T_base_ee=T)))
    for j in range(2):
        assert np.allclose(second.rows[j], first.at(second.start_ns + j * second.dt_ns))
    told: list[list[str]] = []
    monkeypatch.setattr(lerobot.Before, "__call__", told_to(told, lerobot.Before.__call__))
    policy.predict(later(window, 6))
    policy.instruct("push the blue ball away")
    policy.predict(later(window, 9))
    assert told[0] == ["put the red cube into the bin"] and told[-1] == ["push the blue ball away"]


def told_to(told, inner):
    def call(self, data):
        told.append(data["task"])
        return inner(self, data)

    return call


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"input_features": {lerobot.STATE: {"shape": (7,)}}}, r"observation.state has \(7,\), the task's state has 4"),
        (
            {"input_features": {lerobot.STATE: {"shape": (4,)}, f"{lerobot.IMAGES}.top": {"shape": (3, 9, 9)}}},
            r"reads 'observation.images.top', the task has cameras \['front', 'wrist'\]",
        ),
        ({"output_features": {"action": {"shape": (9,)}}}, r"acts with 9 numbers, expected 4 \(tool\) or 3 \(joints\)"),
        ({"n_obs_steps": 5}, "looks at 5 ticks, the task's n_obs is 2"),
    ],
)
def test_sizes_that_do_not_fit_the_task_are_refused(tmp_path, setup, changes, words):
    with pytest.raises(ConfigError, match=words):
        served(tmp_path, setup, **changes)


def test_what_is_no_plan_is_not_sent_to_an_arm(tmp_path, setup, window):
    with pytest.raises(ShapeError, match=r"LeRobot chunk: expected shape \(H, 4\) with H >= 8, got \(5, 4\)"):
        served(tmp_path, setup, chunk_size=5).predict(window)
    policy = served(tmp_path, setup)
    with torch.no_grad():
        policy._policy.step[0] = float("nan")
    with pytest.raises(NonFiniteError, match="LeRobot chunk"):
        policy.predict(window)
    blind = replace(window[-1], images={})
    with pytest.raises(DeviceError, match="camera 'front' is not in the observation"):
        served(tmp_path, setup).predict((window[0], blind))


def test_an_inference_server_serves_it_to_the_robot_that_began_last(tmp_path, setup, window):
    policy = served(tmp_path, setup)
    server = InferenceServer(policy, ALONE, KEY, "127.0.0.1", 0)
    threading.Thread(target=server.run, daemon=True).start()
    one, two = (RemotePolicy(setup, "127.0.0.1", server.port, KEY) for _ in range(2))
    one.instruct("push the blue ball away")
    plan = one.predict(window)
    assert np.allclose(plan.T_base_ee_des[:, :3, 3], expected(policy, seen(window[-1]))[:, :3], atol=1e-6)
    assert policy._instruction == "push the blue ball away" and one.runtime == "remote lerobot act, torch on cpu"
    assert two.predict(window).horizon == 16 and policy._instruction == ""
    with pytest.raises(DeviceError, match="another robot began a run with this policy, which serves one at a time"):
        one.predict(later(window, 1))
    one.reset()
    assert one.predict(later(window, 2)).horizon == 16
    server.close()
