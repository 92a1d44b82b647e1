"""The graphs of a trained policy as torch modules: what is exported, and what torch itself serves."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from il_policy.config import Head, Prediction, Sampler, Solver, TrainConfig
from il_policy.encoders.eyes import blank_pixels
from il_policy.heads import make_head
from il_policy.heads.flow import TIME_SCALE
from il_policy.observe_config import ObserveConfig
from il_policy.policy import ChunkMaker
from il_policy.serving.backend import CPU, CUDA, ENCODE, GUIDED, STEP, TORCH, WHOLE, Feeds
from il_policy.serving.choose import Sizes
from il_policy.serving.device import demand
from il_policy.serving.levels import Output, SamplerSpec


class Encode(nn.Module):
    """Input vector, NaN = not seen, and pictures to the condition."""

    def __init__(self, policy: ChunkMaker) -> None:
        """Take normaliser and eyes."""
        super().__init__()
        self.norm, self.eyes = policy.model.input_norm, policy.model.eyes

    def forward(self, inputs: Tensor, *pictures: Tensor) -> Tensor:
        """(1, D) and pictures in the order of :func:`inputs_of` -> (1, C); exporters know every operation."""
        known = torch.where(torch.isnan(inputs), self.norm.centre.expand_as(inputs), inputs)
        known = (known - self.norm.centre) / self.norm.half_range
        if self.eyes is None:
            return known
        return torch.cat([known, self.eyes(dict(zip(self.eyes.names, pictures, strict=True)))], dim=-1)


class Guided(nn.Module):
    r"""A step and the pull of the target on its input.

    With :math:`\hat x = g\,f(x) + s\,x` the pull is :math:`(W (Y - \hat x))^\top \partial\hat x / \partial x`.
    """

    def __init__(self, network: nn.Module) -> None:
        """Take the network."""
        super().__init__()
        self.network = network

    def forward(
        self, x: Tensor, t: Tensor, cond: Tensor, target: Tensor, weight: Tensor, gain: Tensor, skip: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Shapes as in :mod:`il_policy.serving.backend`."""
        output, pull_back = torch.func.vjp(lambda chunk: self.network(chunk, t, cond), x)  # type: ignore[misc]
        error = weight * (target - (gain * output + skip * x))
        (through,) = pull_back(gain * error)
        return output, through + skip * error


class Whole(nn.Module):
    """Everything between condition and normalised chunk."""

    def __init__(self, policy: ChunkMaker, config: TrainConfig) -> None:
        """Take network and head."""
        super().__init__()
        self.network, self.head = policy.model.network, make_head(config)

    def forward(self, cond: Tensor, noise: Tensor) -> Tensor:
        """(1, C), (1, H, A) -> (1, H, A)."""
        return self.head.sample(self.network, cond, noise)


def deterministic(config: TrainConfig) -> TrainConfig:
    """Settings whose sampler is a function of the first noise alone: DDIM in place of DDPM."""
    return replace(config, diffusion=replace(config.diffusion, sampler=Sampler.DDIM))


def sampler_spec(config: TrainConfig) -> SamplerSpec:
    """How the head of a config makes chunks; heads that remove no noise in steps are one whole graph."""
    if config.head is Head.DIFFUSION:
        d = config.diffusion
        output = Output.EPSILON if d.prediction is Prediction.EPSILON else Output.SAMPLE
        return SamplerSpec(output, d.train_steps, d.inference_steps, is_clipped=True)
    if config.head is Head.FLOW:
        is_midpoint = config.flow.solver is Solver.MIDPOINT
        return SamplerSpec(Output.VELOCITY, 0, config.flow.steps, t_scale=TIME_SCALE, is_midpoint=is_midpoint)
    return SamplerSpec(Output.WHOLE)


def graphs_of(policy: ChunkMaker) -> dict[str, nn.Module]:
    """The graphs that a policy's sampler needs, by name; frozen and in evaluation mode."""
    policy.model.eval().requires_grad_(False)
    network = policy.model.network
    found: dict[str, nn.Module] = {ENCODE: Encode(policy)}
    if sampler_spec(policy.config).is_stepped:
        found |= {STEP: network, GUIDED: Guided(network)}
    else:
        found[WHOLE] = Whole(policy, deterministic(policy.config))
    return found


def inputs_of(policy: ChunkMaker, graph: str) -> tuple[str, ...]:
    """Names of a graph's inputs, in its order."""
    pictures = policy.model.eyes.names if policy.model.eyes is not None else ()
    step = ("x", "t", "cond")
    return {
        ENCODE: ("inputs", *pictures),
        STEP: step,
        GUIDED: (*step, "target", "weight", "gain", "skip"),
        WHOLE: ("cond", "noise"),
    }[graph]


def examples(policy: ChunkMaker, graph: str) -> dict[str, Tensor]:
    """Inputs of the right shapes for a graph, drawn once and for all."""
    generator = torch.Generator().manual_seed(0)
    chunk = (1, *policy.model.chunk_shape)

    def draw(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    inputs = draw(1, len(policy.model.input_norm.centre))
    pixels = some_pixels(policy.config.observe, generator)
    drawn = {"inputs": inputs, **pixels, "x": draw(*chunk), "noise": draw(*chunk), "t": torch.tensor([3.0])}
    drawn |= {"target": draw(*chunk), "weight": draw(*chunk).abs(), "gain": torch.ones(1), "skip": torch.ones(1)}
    drawn["cond"] = policy.model.condition(inputs, pixels).detach()
    return {name: drawn[name] for name in inputs_of(policy, graph)}


def some_pixels(observe: ObserveConfig, generator: torch.Generator) -> dict[str, Tensor]:
    """Pictures of noise, (1, ...)."""
    pixels = {}
    for name, black in blank_pixels(observe).items():
        drawn = torch.rand(black.shape, generator=generator)
        pixels[name] = (255 * drawn).to(torch.uint8) if black.dtype == torch.uint8 else drawn.to(black.dtype)
    return pixels


class TorchBackend:
    """Eager torch; on the processor with one thread unless told otherwise.

    Two threads beside a busy core were measured 3 to 44 times slower than one: waiting threads spin.
    """

    name = TORCH

    def __init__(self, policy: ChunkMaker, threads: int = 1, device: str = CPU) -> None:
        """Take a loaded policy; on a GPU a copy of its network computes.

        Raises:
            ConfigError: the GPU cannot be used.
        """
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
        torch.set_num_threads(threads)
        self.threads, self.device = threads, device
        if device == CUDA:
            demand(TORCH)
            torch.backends.cudnn.allow_tf32 = False  # convolutions in 10 bits would break the parity promise
        self._graphs = graphs_of(policy if device == CPU else moved(policy, device))
        self._inputs = {graph: inputs_of(policy, graph) for graph in self._graphs}

    def has(self, graph: str) -> bool:
        """Whether the policy's sampler uses it."""
        return graph in self._graphs

    def run(self, graph: str, feeds: Feeds) -> tuple[NDArray[np.float32], ...]:
        """Outputs as numpy arrays."""
        given = [torch.from_numpy(np.ascontiguousarray(feeds[name])) for name in self._inputs[graph]]
        with torch.no_grad():
            out: Any = self._graphs[graph](*(tensor.to(self.device) for tensor in given))
        parts: Sequence[Tensor] = out if isinstance(out, tuple) else (out,)
        return tuple(part.cpu().numpy() for part in parts)


def sizes_of(policy: ChunkMaker) -> Sizes:
    """What must be known to plan from nothing."""
    shape, seen = tuple(policy.model.chunk_shape), len(policy.model.input_norm.centre)
    return Sizes(shape, seen, sampler_spec(policy.config), policy.config.observe, policy.config.ensemble)


def moved(policy: ChunkMaker, device: str) -> ChunkMaker:
    """The same policy on another device; the given one stays where it is."""
    return ChunkMaker(copy.deepcopy(policy.model).to(device), policy.config)
