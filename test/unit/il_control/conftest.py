"""The real arm's setup and model for the tests of its controller."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))  # the arms the tests make themselves

from il_control.config import load_control_config  # noqa: E402 - needs the path
from il_control.model import ArmModel  # noqa: E402
from il_core.config import load_setup  # noqa: E402


@pytest.fixture(scope="session")
def setup():
    return load_setup("pick_place")


@pytest.fixture(scope="session")
def config(setup):
    return load_control_config(setup)


@pytest.fixture
def model(setup):
    return ArmModel(setup)


@pytest.fixture
def random_q(setup, rng):
    """Random postures within the joint limits."""
    return lambda: rng.uniform(setup.robot.q_min_rad, setup.robot.q_max_rad)
