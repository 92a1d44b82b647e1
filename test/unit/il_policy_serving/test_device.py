"""Where a policy is computed: on a GPU where there is one and it is faster, and in words where there is none."""

from __future__ import annotations

import logging
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from serving_world import later
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

import il_policy
from il_core.errors import ConfigError
from il_policy.config import ObserveConfig, load_train_config
from il_policy.policy import ChunkModel
from il_policy.serving import device
from il_policy.serving.artifact import read_artifact
from il_policy.serving.choose import Sizes, fastest, time_plans
from il_policy.serving.config import Device, Runtime, ServeConfig
from il_policy.serving.levels import Output, SamplerSpec
from il_policy.serving.loading import torch_policy
from il_policy.serving.torch_graphs import TorchBackend, examples, graphs_of, moved

EYES = ObserveConfig(
    rgb=("front",), depth=("wrist",), points=("front",), side=16, keypoints=2, channels=(4, 4), point_count=32
)
without_gpu = pytest.mark.skipif(device.gpu_count() > 0, reason="says what is missing where there is no GPU")
with_gpu = pytest.mark.skipif(device.gpu_count() == 0, reason="needs a GPU")
HEADS = ("act", "bc", "diffusion_transformer", "diffusion_unet", "flow", "ibc", "moe", "one_step", "rnn_gmm", "vq")


@without_gpu
@pytest.mark.parametrize("runtime", list(Runtime))
def test_a_gpu_that_is_asked_for_and_absent_is_refused_with_the_way_out(policies, runtime):
    words = "NVIDIA driver lends 0 GPUs, expected 1 or more; run nvidia-smi .*, or serve with device: cpu"
    with pytest.raises(ConfigError, match=words):
        il_policy.load(policies["bc"][0], config=ServeConfig(runtime=runtime, device=Device.CUDA))


@pytest.mark.parametrize(
    ("runtime", "words"),
    [
        ("torch", "torch .* cannot use it; install a build of torch for CUDA"),
        ("onnx", "CPUExecutionProvider, expected CUDAExecutionProvider; pip install onnxruntime-gpu in the place of"),
        ("openvino", "openvino knows no CUDA; choose runtime onnx or torch"),
    ],
)
def test_a_runtime_that_cannot_use_the_gpu_says_which_one_to_install(policies, monkeypatch, runtime, words):
    if device.gpu_count() and runtime != "openvino":
        pytest.skip("here it can")
    monkeypatch.setattr(device, "gpu_count", lambda: 1)
    config = ServeConfig(runtime=Runtime(runtime), device=Device.CUDA)
    with pytest.raises(ConfigError, match=f"device 'cuda' for runtime '{runtime}': .*{words}"):
        il_policy.load(policies["bc"][0], config=config)
    assert device.places(runtime, Device.AUTO) == ("cpu",)  # nobody asked for it: no reason to fail


@without_gpu
@pytest.mark.filterwarnings("ignore:Specified provider 'CUDAExecutionProvider' is not in available")
def test_a_runtime_that_falls_back_to_the_processor_is_left_out_and_the_processor_serves(policies, monkeypatch, caplog):
    monkeypatch.setattr(device, "gpu_count", lambda: 1)
    monkeypatch.setitem(device._PROBLEMS, "onnx", lambda: "")  # a driver, and a build for CUDA without its libraries
    folder = policies["bc"][0]
    with caplog.at_level(logging.WARNING):
        served = il_policy.load(folder, config=ServeConfig(runtime=Runtime.ONNX))
    assert served.runtime == "onnx, 1 thread(s)"
    assert "left out: device 'cuda': onnxruntime took CPUExecutionProvider" in caplog.text
    with pytest.raises(ConfigError, match="CUDA's libraries are missing or too old"):
        il_policy.load(folder, config=ServeConfig(runtime=Runtime.ONNX, device=Device.CUDA))


class Takes:
    """A backend that takes a known time, by where it computes."""

    name, threads = "exact", 1

    def __init__(self, place: str, seconds: float) -> None:
        self.device, self._seconds = place, seconds

    def has(self, graph):
        return True

    def run(self, graph, feeds):
        time.sleep(self._seconds)
        return (np.zeros((1, 4, 2), np.float32),)


@pytest.mark.parametrize("quicker", ["cpu", "cuda"])
def test_the_choice_is_measured_and_the_gpu_is_one_of_the_candidates(quicker, caplog):
    ways = [Takes(place, 0.0002 if place == quicker else 0.01) for place in ("cpu", "cuda")]
    sizes = Sizes((4, 2), 3, SamplerSpec(Output.WHOLE), ObserveConfig())
    with caplog.at_level(logging.INFO):
        assert fastest(ways, sizes, 0.1).device == quicker
    assert "exact     GPU " in caplog.text and "exact     1 thread(s)" in caplog.text
    assert str(time_plans(ways[1], sizes, 0.01)).startswith("exact     GPU")


class OneDevice(TorchDispatchMode):
    """Refuses operations on tensors of two devices, as a GPU does; plain numbers may come from anywhere."""

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        given = tree_leaves((args, kwargs))
        found = {t.device.type for t in given if isinstance(t, torch.Tensor) and t.dim() > 0}
        assert len(found) <= 1, f"{func} on {found}"
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("recipe", [*HEADS, "bc with pictures"])
def test_every_graph_computes_where_its_inputs_are(setup, recipe):
    """On torch's device without memory, in the place of a GPU: a tensor that stayed on the processor is an error."""
    small = ("network.width=16", "network.depth=1", "network.channels=[8, 16]", "network.groups=4")
    config = load_train_config(recipe.split()[0], small)
    if "pictures" in recipe:
        config = replace(config, observe=EYES)
    policy = il_policy.policy.ChunkMaker(ChunkModel.for_setup(setup, config), config)
    elsewhere = moved(policy, "meta")
    for name, graph in graphs_of(elsewhere).items():
        given = [tensor.to("meta") for tensor in examples(policy, name).values()]
        with torch.no_grad(), OneDevice():
            out = graph(*given)
        assert all(part.device.type == "meta" for part in (out if isinstance(out, tuple) else (out,))), name
    assert policy.model.action_norm.centre.device.type == "cpu"  # the given one stayed where it was


def test_a_tensor_that_stayed_on_the_processor_is_noticed():
    with pytest.raises(AssertionError, match="addmm"), OneDevice():
        torch.nn.functional.linear(torch.zeros(1, 4, device="meta"), torch.zeros(3, 4), torch.zeros(3))


@pytest.mark.gpu
@with_gpu
@pytest.mark.parametrize("head", ["bc", "diffusion", "flow"])
@pytest.mark.parametrize("runtime", [Runtime.TORCH, Runtime.ONNX])
def test_a_gpu_makes_the_plans_of_the_processor(policies, window, head, runtime):
    folder = policies[head][0]
    if runtime is Runtime.ONNX and device.problem("onnx"):
        pytest.skip(device.problem("onnx"))
    here, there = (
        il_policy.load(folder, seed=5, config=ServeConfig(runtime=runtime, device=d)) for d in (Device.CPU, Device.CUDA)
    )
    assert there.runtime.endswith("GPU") and here.runtime.endswith("1 thread(s)")
    for k in range(2):  # the second is guided by the first
        moved_window = later(window, 3 * k)
        assert np.abs(here.predict(moved_window).rows - there.predict(moved_window).rows).max() < 1e-4


@pytest.mark.gpu
@with_gpu
def test_a_gpu_is_measured_beside_the_processor(policies, caplog):
    with caplog.at_level(logging.INFO):
        il_policy.load(policies["diffusion"][0], config=ServeConfig())
    assert "GPU" in caplog.text and "1 thread(s)" in caplog.text
    policy = torch_policy(policies["diffusion"][0], None)
    sizes = replace(read_artifact(policies["diffusion"][0]))
    assert time_plans(TorchBackend(policy, device="cuda"), sizes, 0.1).place == "GPU"
