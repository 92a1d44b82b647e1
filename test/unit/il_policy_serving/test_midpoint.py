"""A flow whose steps take the velocity in their middle is served in steps: guided, warm, as many as there is time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from serving_world import CONFIGS, later, make_policy
from test_policy import ONNX, Counted, consecutive

import il_policy
from il_policy.config import FlowConfig, Solver
from il_policy.heads import make_head
from il_policy.serving.artifact import read_artifact
from il_policy.serving.config import Handover, Runtime
from il_policy.serving.export import export
from il_policy.serving.handover import jump
from il_policy.serving.levels import Output, SamplerSpec
from il_policy.serving.rtc import Prefix
from il_policy.serving.sampler import Request, sample

STEPS = 4


@pytest.fixture(scope="module")
def exported(setup, tmp_path_factory):
    folder = tmp_path_factory.mktemp("midpoint")
    policy = make_policy(setup, replace(CONFIGS["flow"], flow=FlowConfig(STEPS, Solver.MIDPOINT)), folder)
    export(folder, ["onnx"], policy)
    return folder, policy


@pytest.mark.parametrize("runtime", [Runtime.ONNX, Runtime.TORCH])
def test_its_chunk_is_that_of_the_trainings_own_sampler(exported, runtime):
    folder, policy = exported
    machine = il_policy.load(folder, config=replace(ONNX, runtime=runtime)).parts.machine
    rng = np.random.default_rng(0)
    cond = rng.normal(size=(1, read_artifact(folder).input_dim)).astype(np.float32)
    noise = rng.normal(size=machine.chunk_shape).astype(np.float32)
    with torch.no_grad():
        head = make_head(policy.config)
        wanted = head.sample(policy.model.network, torch.from_numpy(cond), torch.from_numpy(noise)[None])
        euler = make_head(replace(policy.config, flow=FlowConfig(STEPS))).sample(
            policy.model.network, torch.from_numpy(cond), torch.from_numpy(noise)[None]
        )
    got = sample(machine.backend, machine.sampler, cond, Request(noise))
    assert np.abs(got - wanted[0].numpy()).max() < 1e-5 < np.abs(got - euler[0].numpy()).max()


def test_its_plans_continue_one_another_by_real_time_chunking(exported, window):
    def pair(handover):
        policy = il_policy.load(exported[0], config=replace(ONNX, handover=handover, latency_ms=150.0))
        assert policy.parts.machine.sampler.is_stepped and policy.handover is not Handover.BLEND
        return consecutive(policy, window, 3)

    first, second = pair(Handover.AUTO)
    in_force_ns = second.obs_ns + 150_000_000
    assert jump(first, second, in_force_ns) < 1e-6 < 0.003 < jump(*pair(Handover.NONE), in_force_ns)


@pytest.mark.parametrize("has_guided", [True, False], ids=["gradient", "inpainting"])
def test_guidance_draws_rows_that_are_not_settled_to_the_plan_before(exported, has_guided):
    machine = il_policy.load(exported[0], config=ONNX).parts.machine
    backend = Counted(machine.backend)
    backend.has = lambda graph: graph != "guided" or has_guided
    rng = np.random.default_rng(1)
    cond = np.zeros((1, read_artifact(exported[0]).input_dim), np.float32)
    noise = rng.normal(size=machine.chunk_shape).astype(np.float32)
    free = sample(backend, machine.sampler, cond, Request(noise))
    assert backend.count == 2 * STEPS
    wanted = np.clip(free + 1.0, -3.0, 3.0).astype(np.float64)
    drawn = sample(backend, machine.sampler, cond, Request(noise, prefix=Prefix(wanted, 1, 12)))
    assert np.abs(drawn[1:4] - wanted[1:4]).mean() < 0.7 * np.abs(free[1:4] - wanted[1:4]).mean()


def test_fewer_steps_and_a_warm_start_cost_fewer_evaluations(exported, window):
    policy = il_policy.load(exported[0], config=replace(ONNX, deadline_ms=0.001, min_steps=2))
    policy.predict(window)
    assert policy.report.steps == STEPS
    policy.predict(later(window, 1))
    assert policy.report.steps == 2
    machine = policy.parts.machine
    backend, warm = Counted(machine.backend), np.zeros(machine.chunk_shape, np.float32)
    cond = np.zeros((1, read_artifact(exported[0]).input_dim), np.float32)
    sample(backend, machine.sampler, cond, Request(warm, warm=warm, warm_tau=0.5))
    assert backend.count == STEPS


def test_only_a_flow_has_a_midpoint():
    with pytest.raises(ValueError, match="is_midpoint goes with output 'velocity', got 'sample'"):
        SamplerSpec(Output.SAMPLE, 100, 10, is_midpoint=True)
