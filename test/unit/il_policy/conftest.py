"""Fixtures of the policy tests; the small world they use lives in ``tiny_world.py``."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import torch

sys.path.insert(0, str(Path(__file__).parent))

from tiny_world import HALF_M, demonstrate, make_setup  # noqa: E402 - needs the path

from il_core.config import Setup  # noqa: E402
from il_core.types import Episode  # noqa: E402

torch.set_num_threads(1)


@pytest.fixture
def setup() -> Setup:
    """The tiny pick task."""
    return make_setup()


@pytest.fixture
def episode(setup: Setup) -> Episode:
    """One demonstration."""
    return demonstrate(setup, np.array([0.5, 0.1, HALF_M]))
