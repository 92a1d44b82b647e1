"""A served policy: the same plans on every runtime, plans that join, deadlines, doubt, single actions."""

from __future__ import annotations

import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from serving_world import CONFIGS, later
from tiny_world import HALF_M, World, make_setup

import il_policy
from il_core.errors import CheckpointError, SpecMismatchError
from il_policy.serving import doubt
from il_policy.serving.config import Doubt, Handover, Runtime, ServeConfig, load_serve_config
from il_policy.serving.handover import jump
from il_policy.serving.sampler import Request, sample

ONNX = ServeConfig(runtime=Runtime.ONNX)
ROOT = Path(__file__).parents[3]


@pytest.mark.parametrize("head", list(CONFIGS))
def test_every_runtime_makes_the_same_plan_for_the_same_noise(policies, window, head):
    plans = [
        il_policy.load(policies[head][0], seed=5, config=ServeConfig(runtime=r)).predict(window)
        for r in (Runtime.TORCH, Runtime.ONNX, Runtime.OPENVINO)
    ]
    for plan in plans[1:]:
        assert np.abs(plan.rows - plans[0].rows).max() < 1e-4
    assert plans[0].start_ns - plans[0].obs_ns == plans[0].dt_ns


def consecutive(policy, window, ticks):
    """A plan, and the next one from changed sights so many ticks later."""
    policy.reset(1)
    first = policy.predict(window)
    moved = later(window, ticks)
    T = moved[-1].T_base_ee.copy()
    T[:3, 3] += [0.01, -0.02, 0.0]
    return first, policy.predict((moved[0], replace(moved[-1], T_base_ee=T)))


@pytest.mark.parametrize("head", list(CONFIGS))
@pytest.mark.parametrize("latency_ms", [0.0, 150.0, 450.0])
def test_the_frozen_prefix_is_the_plan_before_and_the_hand_over_does_not_jump(policies, window, head, latency_ms):
    def pair(handover):
        config = replace(ONNX, handover=handover, latency_ms=latency_ms)
        return consecutive(il_policy.load(policies[head][0], config=config), window, 3)

    first, second = pair(Handover.AUTO)
    frozen = int(latency_ms // 100) + 1
    for j in range(frozen):
        assert np.abs(second.rows[j] - first.at(second.start_ns + j * second.dt_ns)).max() < 1e-6
    takes_over_ns = max(second.start_ns, second.obs_ns + int(latency_ms * 1e6))
    naive = pair(Handover.NONE)
    assert jump(first, second, takes_over_ns) < 1e-6 < 0.003 < jump(*naive, takes_over_ns)


@pytest.mark.parametrize("head", ["diffusion", "flow"])
def test_fewer_steps_cost_fewer_evaluations_and_a_warm_start_skips_the_noisiest(policies, head):
    policy = il_policy.load(policies[head][0], config=ONNX)
    counted = Counted(policy.parts.machine.backend)
    cond, noise = np.zeros((1, 15), np.float32), np.zeros(policy.parts.machine.chunk_shape, np.float32)
    sample(counted, policy.parts.machine.sampler, cond, Request(noise, steps=3))
    assert counted.count == 3
    warm = np.full(policy.parts.machine.chunk_shape, 0.5, np.float32)
    sample(counted, policy.parts.machine.sampler, cond, Request(noise, warm=warm, warm_tau=0.45))
    assert 3 < counted.count - 3 < 8


class Counted:
    """Counts evaluations of the network."""

    def __init__(self, backend):
        self.inner, self.count = backend, 0

    def has(self, graph):
        return self.inner.has(graph)

    def run(self, graph, feeds):
        self.count += graph in ("step", "guided")
        return self.inner.run(graph, feeds)


def test_steps_fall_when_the_deadline_is_short_and_never_below_the_least(policies, window):
    policy = il_policy.load(policies["diffusion"][0], config=replace(ONNX, deadline_ms=0.001, min_steps=2))
    policy.predict(window)
    assert policy.report.steps == 10  # nothing measured yet: full quality
    policy.predict(later(window, 1))
    assert policy.report.steps == 2


def test_acting_follows_the_plan_and_plans_anew_every_n_execute_ticks(policies, setup):
    policy = il_policy.load(policies["bc"][0], config=ONNX)
    world, plans = World(setup, np.array([0.5, 0.1, HALF_M])), []
    for _ in range(20):
        observation = world.observe()
        command = policy.act(observation)
        plans.append(policy._acting.obs_ns)
        assert command.stamp_ns == observation.tick_ns + setup.task.dt_ns
        assert np.allclose(command.T_base_ee_des, policy._acting.at(command.stamp_ns))
        world.step(command.T_base_ee_des[:3, 3], command.gripper_des)
    assert sorted(set(plans)) == [0, 800_000_000, 1_600_000_000]


def calibrated(folder: Path, tmp_path: Path, is_strange: bool) -> Path:
    """A copy whose detector knows the test's sights, or nothing like them."""
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    policy = il_policy.load(copy, config=ONNX)
    rng = np.random.default_rng(0)
    middle = np.zeros(16) if not is_strange else np.full(16, 40.0)
    detector = doubt.calibrate([middle + rng.normal(scale=2.0, size=(50, 16)) for _ in range(5)])
    doubt.save(copy, detector, policy_sha(copy), 5)
    assert policy.parts.machine.detector is None
    return copy


def policy_sha(folder: Path) -> str:
    from il_policy.serving.artifact import read_artifact

    return read_artifact(folder).weights_sha256


@pytest.mark.parametrize("is_strange", [False, True])
def test_doubt_slows_or_stops_the_plan_and_known_sights_do_not(policies, window, tmp_path, is_strange):
    folder = calibrated(policies["bc"][0], tmp_path, is_strange)
    fast = il_policy.load(folder, config=ONNX).predict(window)
    slow = il_policy.load(folder, config=replace(ONNX, doubt=Doubt.SLOW))
    times = [min(fast.end_ns, fast.start_ns + round(j * fast.dt_ns / (3 if is_strange else 1))) for j in range(16)]
    assert np.allclose(slow.predict(window).rows, [fast.at(t) for t in times])
    assert slow.report.is_in_doubt is is_strange and (slow.report.score > 1) is is_strange
    hold = il_policy.load(folder, config=replace(ONNX, doubt=Doubt.HOLD))
    first, second = consecutive(hold, window, 3)
    if is_strange:  # it stays where it was first in doubt, whatever the arm does meanwhile
        assert np.allclose(second.rows, window[-1].T_base_ee) and second.obs_ns > first.obs_ns
    else:
        assert second.horizon == 16


def test_another_task_and_missing_files_are_refused(policies, tmp_path):
    with pytest.raises(SpecMismatchError, match="export .* was made for spec .*; retrain"):
        il_policy.load(policies["bc"][0], make_setup(rate_hz=20))
    with pytest.raises(CheckpointError, match="cannot be read: .*export again"):
        il_policy.load(tmp_path, config=ONNX)


def test_the_shipped_settings_are_the_defaults():
    assert load_serve_config() == ServeConfig()


def test_the_library_runs_where_torch_and_ros_are_missing(policies):
    code = (
        "import sys; sys.modules['torch'] = sys.modules['rclpy'] = None\n"
        "import il_policy; p = il_policy.load(sys.argv[1]); p.warm_up(); print(p.parts.machine.backend.name)"
    )
    command = [sys.executable, "-c", code, str(policies["diffusion"][0])]
    name = subprocess.run(command, check=True, cwd=ROOT, capture_output=True, text=True).stdout.strip()
    assert name in ("onnx", "openvino")
