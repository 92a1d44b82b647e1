"""Small untrained policies and moving sights for the serving tests."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "il_policy"))

from tiny_world import HALF_M, demonstrate  # noqa: E402 - needs the path

from il_core.config import Setup  # noqa: E402
from il_core.types import Observation  # noqa: E402
from il_policy import checkpoint  # noqa: E402
from il_policy.config import Head, NetworkConfig, NetworkKind, TrainConfig  # noqa: E402
from il_policy.dataset import ChunkDataset  # noqa: E402
from il_policy.policy import ChunkModel, ChunkPolicy  # noqa: E402

torch.set_num_threads(1)

SMALL = NetworkConfig(NetworkKind.UNET1D, channels=(16, 32), groups=4)
CONFIGS = {
    "bc": TrainConfig("bc", Head.REGRESSION, NetworkConfig(width=32, depth=1)),
    "diffusion": TrainConfig("diffusion", Head.DIFFUSION, SMALL),
    "flow": TrainConfig("flow", Head.FLOW, NetworkConfig(width=32, depth=1)),
}


def make_data(setup: Setup, config: TrainConfig) -> ChunkDataset:
    """Two demonstrations as samples."""
    cubes = [np.array([x, 0.05, HALF_M]) for x in (0.4, 0.55)]
    return ChunkDataset([demonstrate(setup, c, f"demo{i}") for i, c in enumerate(cubes)], setup, config)


def make_policy(setup: Setup, config: TrainConfig, folder: Path) -> ChunkPolicy:
    """An untrained policy with real normalisers, saved and loaded."""
    torch.manual_seed(0)
    data = make_data(setup, config)
    model = ChunkModel.for_setup(setup, config)
    batch = data.batch([0, 1])
    model.input_norm.fit(batch.inputs.numpy())
    model.action_norm.fit(batch.action.flatten(0, 1).numpy())
    checkpoint.save(folder, model, setup, config, "none", {})
    return checkpoint.load(folder, setup)


def later(window: tuple[Observation, ...], ticks: int) -> tuple[Observation, ...]:
    """The same sights so many ticks later."""
    dt = window[-1].tick_ns - window[-2].tick_ns
    return tuple(replace(o, tick_ns=o.tick_ns + ticks * dt) for o in window)
