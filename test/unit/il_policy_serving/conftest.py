"""Fixtures of the serving tests: small untrained policies, exported once."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parent))

from serving_world import CONFIGS, make_policy  # noqa: E402 - needs the path
from tiny_world import HALF_M, World, make_setup  # noqa: E402

from il_core.config import Setup  # noqa: E402
from il_core.types import Observation  # noqa: E402
from il_policy.policy import ChunkPolicy  # noqa: E402
from il_policy.serving.export import export  # noqa: E402


@pytest.fixture(scope="session")
def setup() -> Setup:
    """The tiny pick task."""
    return make_setup()


@pytest.fixture(scope="session")
def policies(setup: Setup, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, ChunkPolicy]]:
    """Exported policies by head, in both formats."""
    made = {}
    for name, config in CONFIGS.items():
        folder = tmp_path_factory.mktemp(name)
        policy = make_policy(setup, config, folder)
        export(folder, ["onnx", "openvino"], policy)
        made[name] = (folder, policy)
    return made


@pytest.fixture
def window(setup: Setup) -> tuple[Observation, Observation]:
    """Two observations of the tiny world, one tick apart."""
    world = World(setup, np.array([0.5, 0.1, HALF_M]))
    first = world.observe()
    world.step(world.p_ee + [0.0, 0.0, -0.02], 1.0)
    return first, world.observe()
