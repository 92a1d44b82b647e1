"""Whatever `il train` trains is served by the library, with the plan that the trained network makes."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from tiny_world import HALF_M, World, demonstrate, make_setup

import il_policy
from il_core.config import config_dir
from il_core.errors import CheckpointError
from il_policy import checkpoint
from il_policy.config import (
    ActionEncoding,
    Head,
    Language,
    NetworkConfig,
    ObserveConfig,
    TrainConfig,
    load_train_config,
)
from il_policy.dataset import ChunkDataset
from il_policy.policy import ChunkPolicy
from il_policy.serving.acting import JointCommand
from il_policy.serving.backend import open_backend
from il_policy.serving.config import Handover, Runtime, ServeConfig
from il_policy.serving.export import export
from il_policy.serving.loading import exportable
from il_policy.serving.policy import ServedPolicy
from il_policy.serving.remote.client import RemotePolicy
from il_policy.serving.remote.server import InferenceServer
from il_policy.serving.torch_graphs import TorchBackend, examples
from il_policy.train import adapted, train

SETUP = make_setup()
RECIPES = sorted(path.stem for path in (config_dir() / "train").glob("*.yaml"))
QUICK = ("steps=2", "batch_size=4", "warmup_steps=1", "max_seconds=0", "gmr.basis=2")
SMALL = ("network.width=16", "network.depth=1", "network.channels=[8, 16]", "network.groups=4")
EYES = ObserveConfig(
    rgb=("front",), depth=("wrist",), points=("front",), side=16, keypoints=2, channels=(4, 4), point_count=32
)
FELT = ObserveConfig(torque=True, wrench=True, language=Language.NGRAM, language_dim=8)
NO_NETWORK = "is a movement primitive, it has no network; `il serve` takes it as it is"
REFUSED = {  # by `il export`; every other recipe becomes ONNX and OpenVINO graphs
    "dmp": NO_NETWORK,
    "gmr": NO_NETWORK,
    "promp": NO_NETWORK,
    "ibc": "head 'ibc' searches among candidates, and the rounding of another runtime picks another one; `il serve`",
}
STEPPED = {"encode", "step", "guided"}
GRAPHS = {  # of recipes that remove noise in steps; the others are one whole graph
    "diffusion": STEPPED,
    "diffusion_unet": STEPPED,
    "diffusion_transformer": STEPPED,
    "flow": STEPPED,
}
TICKS = 12
TORCH = ServeConfig(runtime=Runtime.TORCH)
BC = TrainConfig("bc", Head.REGRESSION, NetworkConfig(width=16, depth=1), steps=2, batch_size=4)


@cache
def episodes():
    """The beginnings of two demonstrations, with a wrench."""
    made = [demonstrate(SETUP, np.array([x, 0.05, HALF_M]), f"demo{x}") for x in (0.4, 0.55)]
    return [
        replace(
            e,
            observations=tuple(felt(o) for o in e.observations[:TICKS]),
            T_base_ee_des=e.T_base_ee_des[:TICKS],
            gripper_des=e.gripper_des[:TICKS],
        )
        for e in made
    ]


def felt(observation):
    return replace(observation, wrench=np.arange(6.0) + observation.T_base_ee[2, 3])


@cache
def data(encoding, ticks, observe):
    """Samples, shared by the recipes that want the same."""
    config = replace(BC, action_encoding=encoding, observed_ticks=ticks, observe=observe)
    return ChunkDataset(episodes(), SETUP, config)


@cache
def sights():
    world = World(SETUP, np.array([0.5, 0.1, HALF_M]))
    first = world.observe()
    world.step(world.p_ee + [0.0, 0.0, -0.02], 1.0)
    return felt(first), felt(world.observe())


def trained(config, folder, teacher=None):
    dataset = data(config.action_encoding, config.observed_ticks, config.observe)
    train(dataset, SETUP, config, folder, teacher=teacher)
    return checkpoint.load(folder, SETUP)


def served_alike(folder, policy, config=TORCH):
    """A served policy whose noise is that of the trained one, so that plans can be compared."""
    served = il_policy.load(folder, SETUP, config=config)
    served.warm_up()
    if isinstance(served, ServedPolicy):
        served._noise = policy._noise[0].numpy()
    return served


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_is_served_with_the_plan_its_network_makes(recipe, tmp_path):
    config, teacher = load_train_config(recipe, (*QUICK, *SMALL)), None
    if config.head is Head.ONE_STEP:
        teacher = tmp_path / "teacher"
        trained(load_train_config("diffusion", (*QUICK, *SMALL)), teacher)
        config = adapted(config, teacher)
    policy = trained(config, tmp_path / "policy", teacher)
    plan, wanted = served_alike(tmp_path / "policy", policy).predict(sights()), policy.predict(sights())
    assert plan.horizon == SETUP.task.horizon and plan.start_ns == wanted.start_ns
    assert np.abs(plan.rows - wanted.rows).max() < 1e-4
    assert plan.gripper_des == pytest.approx(wanted.gripper_des, abs=1e-4)
    if recipe in REFUSED:
        with pytest.raises(CheckpointError, match=REFUSED[recipe]):
            export(tmp_path / "policy", ["onnx"], exportable(tmp_path / "policy"))
        return
    artifact = export(tmp_path / "policy", ["onnx"], policy)
    assert artifact.max_error["onnx"] <= 1e-4
    assert {key.split("/")[1] for key in artifact.graphs} == GRAPHS.get(recipe, {"encode", "whole"})
    if recipe in GRAPHS:  # the reverse pass is written out for the runtimes: it must be torch's own
        feeds = {name: tensor.numpy() for name, tensor in examples(policy, "guided").items()}
        ways = (open_backend("onnx", tmp_path / "policy", artifact), TorchBackend(policy))
        for ours, torchs in zip(*(way.run("guided", feeds) for way in ways), strict=True):
            assert np.abs(ours - torchs).max() < 1e-4


@pytest.mark.parametrize("encoding", list(ActionEncoding))
@pytest.mark.parametrize("head", [Head.REGRESSION, Head.DIFFUSION])
def test_every_action_encoding_is_served_and_its_plans_continue_each_other(encoding, head, tmp_path):
    policy = trained(replace(BC, head=head, action_encoding=encoding), tmp_path)
    served, window = served_alike(tmp_path, policy), sights()
    first, wanted = served.predict(window), policy.predict(window)
    assert (first.q_des is not None) == encoding.is_joint
    assert np.abs(first.rows - wanted.rows).max() < 1e-4
    later = tuple(replace(o, tick_ns=o.tick_ns + 2 * SETUP.task.dt_ns) for o in window)
    second = served.predict(later)
    assert served.report.frozen >= 1 and np.allclose(second.at(second.start_ns), first.at(second.start_ns))
    served.reset()
    command = served.act(later[-1])
    assert isinstance(command, JointCommand) == encoding.is_joint


@pytest.mark.parametrize("observe", [EYES, FELT], ids=["pictures", "felt and told"])
@pytest.mark.parametrize("runtime", [Runtime.TORCH, Runtime.ONNX, Runtime.OPENVINO])
def test_all_inputs_are_served_by_every_runtime(observe, runtime, tmp_path):
    policy = trained(replace(BC, observe=observe), tmp_path)
    if runtime is not Runtime.TORCH:
        assert export(tmp_path, [runtime.value], policy).max_error[runtime.value] <= 1e-4
    served = served_alike(tmp_path, policy, ServeConfig(runtime=runtime))
    assert np.abs(served.predict(sights()).rows - policy.predict(sights()).rows).max() < 1e-4


def test_pictures_and_words_change_a_served_plan_as_they_should(tmp_path):
    policy = trained(replace(BC, observe=replace(EYES, language=Language.NGRAM)), tmp_path)
    served = served_alike(tmp_path, policy, replace(TORCH, handover=Handover.NONE))
    now = sights()[-1]
    dark = replace(now.images["front"], rgb=np.zeros_like(now.images["front"].rgb))
    unlit = (sights()[0], replace(now, images={**now.images, "front": dark}))
    plain = served.predict(sights()).rows
    assert np.abs(served.predict(unlit).rows - plain).max() > 1e-6
    served.instruct("push the blue ball away")
    assert np.abs(served.predict(sights()).rows - plain).max() > 1e-6


def test_a_recipe_that_averages_plans_is_served_averaging(tmp_path):
    config = load_train_config("act", (*QUICK, *SMALL))
    policy = trained(config, tmp_path)
    served, window = served_alike(tmp_path, policy), sights()
    assert served.handover is Handover.ENSEMBLE
    lower = np.diag([1.0, 1.0, 1.0, 1.0])
    lower[2, 3] = -0.05
    later = tuple(replace(o, tick_ns=o.tick_ns + SETUP.task.dt_ns, T_base_ee=lower @ o.T_base_ee) for o in window)
    for seen in (window, later):
        plan, wanted = served.predict(seen), policy.predict(seen)
        assert np.abs(plan.rows - wanted.rows).max() < 1e-4
    alone = ChunkPolicy(SETUP, config, policy.model).predict(later)
    assert np.abs(plan.rows - alone.rows).max() > 1e-3, "the plan before plays its part"


def test_a_movement_primitive_is_served_to_a_robot_on_another_machine(tmp_path):
    trained(load_train_config("dmp", (*QUICK, *SMALL)), tmp_path)
    policy = il_policy.load(tmp_path, SETUP)
    wanted, key = policy.predict(sights()), bytes(range(32))
    server = InferenceServer(policy, ServeConfig(), key, "127.0.0.1", 0)
    threading.Thread(target=server.run, daemon=True).start()
    robot = RemotePolicy(SETUP, "127.0.0.1", server.port, key)
    assert np.array_equal(robot.predict(sights()).rows, wanted.rows) and robot.runtime == "remote dmp"
    server.close()
