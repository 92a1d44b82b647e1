"""The clutch is pressed after a moment, held while the tool moves, and pressed anew when it is stuck."""

import numpy as np

from il_sim.experts.clutch import OPEN_TICKS, PATIENCE_TICKS, ClutchHand

PUSH = np.array([0.1, 0.0, 0.0])


def holds(velocity, step_m, ticks):
    """Whether the clutch is held at every tick of a tool that moves by ``step_m`` per tick."""
    hand = ClutchHand()
    return [hand.is_held(np.array([k * step_m, 0.0, 0.0]), velocity) for k in range(ticks)]


def test_it_begins_open_so_that_pressing_it_can_be_seen():
    held = holds(PUSH, 0.002, OPEN_TICKS + 1)
    assert held == [False] * OPEN_TICKS + [True]


def test_it_stays_held_while_the_tool_follows():
    assert all(holds(PUSH, 0.002, 500)[OPEN_TICKS:])


def test_pushing_without_motion_lets_go_and_presses_again():
    held = np.array(holds(PUSH, 0.0, 3 * (OPEN_TICKS + PATIENCE_TICKS)))
    presses = np.flatnonzero(np.diff(held.astype(int)) == 1)
    assert len(presses) == 3
    assert np.all(np.diff(presses) == OPEN_TICKS + PATIENCE_TICKS)


def test_resting_on_purpose_is_not_being_stuck():
    assert all(holds(np.zeros(3), 0.0, 500)[OPEN_TICKS:])
