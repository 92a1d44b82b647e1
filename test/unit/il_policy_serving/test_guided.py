"""The graph that makes every plan but a run's first is compared with torch, warmed up, and timed."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pytest
from serving_world import CONFIGS, make_policy
from test_policy import ONNX

import il_policy
from il_core.errors import CheckpointError
from il_policy.config import Head, TrainConfig, load_train_config
from il_policy.observe_config import ObserveConfig
from il_policy.serving import export as exporting
from il_policy.serving.artifact import StoredFile, read_artifact, store
from il_policy.serving.backend import GUIDED, STEP, open_backend
from il_policy.serving.choose import Sizes, fastest, is_guided, time_plans
from il_policy.serving.config import Handover
from il_policy.serving.levels import Output, SamplerSpec
from il_policy.serving.policy import ServedPolicy
from il_policy.serving.torch_graphs import TorchBackend, examples


@pytest.mark.parametrize("fault", ["of other weights", "pulling the other way"])
def test_a_wrong_graph_for_continuing_a_plan_is_found_before_it_is_committed(policies, setup, tmp_path, fault):
    folder, policy = policies["diffusion"]
    artifact = read_artifact(folder)
    exporting._max_error(folder, artifact, policy, "onnx")  # as it is, it passes
    other = make_policy(setup, CONFIGS["diffusion"], tmp_path)
    graphs = exporting.graphs_of(other)
    if fault == "of other weights":
        for weight in other.model.network.parameters():
            weight.data *= 1.01
    else:
        right = graphs[GUIDED].forward
        graphs[GUIDED].forward = lambda *inputs: [
            sign * part for sign, part in zip((1, -1), right(*inputs), strict=True)
        ]
    wrong = store(folder, "serving_guided", "onnx", exporting.onnx_bytes(other, GUIDED, graphs[GUIDED]))
    assert isinstance(wrong, StoredFile) and wrong != artifact.graphs["onnx/guided"]
    broken = replace(artifact, graphs={**artifact.graphs, "onnx/guided": wrong})
    with pytest.raises(CheckpointError, match=r"differ.* from torch.* by .*, limit .*; export another format, or"):
        exporting._max_error(folder, broken, policy, "onnx")


@pytest.mark.parametrize("recipe", ["bc", "diffusion_transformer"])
def test_the_gradient_of_square_layers_is_right_in_every_runtime(setup, tmp_path, recipe):
    """Networks of the recipes' kind, whose weights stand in the graph twice, once transposed."""
    network = replace(load_train_config(recipe).network, width=64, depth=1)
    policy = make_policy(setup, TrainConfig(recipe, Head.DIFFUSION, network), tmp_path)
    exporting.export(tmp_path, ["onnx", "openvino"], policy)
    feeds = {name: tensor.numpy() for name, tensor in examples(policy, GUIDED).items()}
    _, wanted = TorchBackend(policy).run(GUIDED, feeds)
    for runtime in ("onnx", "openvino"):
        _, pull = open_backend(runtime, tmp_path, read_artifact(tmp_path)).run(GUIDED, feeds)
        assert np.abs(pull - wanted).max() < 1e-4 < np.abs(wanted).max()


class Noted:
    """A backend that notes which graphs are run."""

    def __init__(self, inner):
        self.inner, self.ran = inner, []
        self.name, self.threads, self.device = inner.name, inner.threads, inner.device

    def has(self, graph):
        return self.inner.has(graph)

    def run(self, graph, feeds):
        self.ran.append(graph)
        return self.inner.run(graph, feeds)


@pytest.mark.parametrize("handover", [Handover.AUTO, Handover.NONE])
def test_what_will_be_served_is_warmed_up_and_timed(policies, handover):
    config = replace(ONNX, handover=handover)
    parts = il_policy.load(policies["flow"][0], config=config).parts
    noted = Noted(parts.machine.backend)
    ServedPolicy(replace(parts, machine=replace(parts.machine, backend=noted)), config).warm_up()
    is_continued = handover is Handover.AUTO
    assert noted.ran.count(STEP) == 30 and noted.ran.count(GUIDED) == (30 if is_continued else 0)
    artifact = read_artifact(policies["flow"][0])
    assert is_guided(config, artifact) is is_continued
    noted.ran.clear()
    time_plans(noted, artifact, 0.0, is_guided=is_guided(config, artifact))
    assert (GUIDED if is_continued else STEP) in noted.ran and (STEP if is_continued else GUIDED) not in noted.ran


def test_policies_of_one_pass_are_not_guided(policies):
    assert not is_guided(ONNX, read_artifact(policies["bc"][0]))


class Takes:
    """A runtime that takes so long for each graph."""

    device, threads = "cpu", 1

    def __init__(self, name, step_s, guided_s):
        self.name, self._s = name, {STEP: step_s, GUIDED: guided_s, "encode": 0.0}

    def has(self, graph):
        return True

    def run(self, graph, feeds):
        time.sleep(self._s[graph])
        chunk = np.zeros((1, 4, 2), np.float32)
        return (chunk, chunk) if graph == GUIDED else (chunk,)


@pytest.mark.parametrize(("guided", "chosen"), [(True, "quick to continue"), (False, "quick to begin")])
def test_the_runtime_that_is_quickest_at_what_is_served_is_chosen(guided, chosen):
    ways = [Takes("quick to begin", 0.0, 0.004), Takes("quick to continue", 0.004, 0.0)]
    sizes = Sizes((4, 2), 3, SamplerSpec(Output.VELOCITY, 0, 2), ObserveConfig())
    assert fastest(ways, sizes, 0.1, is_guided=guided).name == chosen
