"""What must have happened once before the first real cycle, so that none is late."""

from __future__ import annotations

import gc

import numpy as np

from il_control.config import ControlConfig
from il_control.cycle import make_cycle
from il_core.config import Setup
from il_core.types import ArmState

WARM_UP_CYCLES = 200  # the first calls fill caches and are ten times slower
STEP_NS = 1_000_000


def warm_up(setup: Setup, config: ControlConfig) -> None:
    """Run throw-away cycles."""
    cycle, zeros = make_cycle(setup, config), np.zeros(setup.robot.nq)
    q = np.array(setup.robot.q_home_rad)
    for k in range(1, WARM_UP_CYCLES + 1):
        cycle.step(ArmState(k * STEP_NS, q, zeros, zeros, 1.0), k * STEP_NS)


def keep_garbage_out() -> None:
    """Collect garbage once more, then keep the collector out of the control path."""
    gc.collect()
    gc.freeze()
    gc.disable()
