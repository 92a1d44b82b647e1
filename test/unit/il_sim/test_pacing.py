"""Simulated time keeps up with the wall's, on a millisecond grid, and never runs ahead of it."""

from hypothesis import given
from hypothesis import strategies as st

from il_sim.pacing import MAX_BEHIND_NS, Pacer
from il_sim.plant import STEP_NS

T_NS = 1_700_000_000_000_000_000


def run(pacer, plant_ns, wall_ns):
    """What the node does with the answer; returns the plant's time afterwards."""
    steps, present_ns = pacer.due(plant_ns, wall_ns)
    return present_ns + steps * STEP_NS


def test_nothing_is_due_before_a_millisecond_has_passed():
    assert Pacer().due(T_NS, T_NS + STEP_NS - 1) == (0, T_NS)


def test_every_millisecond_that_passed_is_due():
    assert Pacer().due(T_NS, T_NS + 7 * STEP_NS + 10) == (7, T_NS)


def test_a_long_pause_is_given_up_and_counted():
    pacer = Pacer()
    wall_ns = T_NS + MAX_BEHIND_NS + 5 * STEP_NS
    assert T_NS < run(pacer, T_NS, wall_ns) <= wall_ns
    assert pacer.slip_ns == MAX_BEHIND_NS + 4 * STEP_NS  # one step was taken


def test_a_clock_set_back_is_followed():
    wall_ns = T_NS - 3_600_000_000_000
    assert 0 <= wall_ns - run(Pacer(), T_NS, wall_ns) < 2 * STEP_NS


@given(st.lists(st.integers(1, 60_000_000), min_size=1, max_size=50))
def test_the_plant_is_never_ahead_of_the_wall_nor_a_step_behind_it(pauses_ns):
    pacer, plant_ns, wall_ns, simulated_ns = Pacer(), T_NS, T_NS, 0
    for pause_ns in pauses_ns:
        wall_ns += pause_ns
        steps, present_ns = pacer.due(plant_ns, wall_ns)
        plant_ns = present_ns + steps * STEP_NS
        simulated_ns += steps * STEP_NS
        assert 0 <= wall_ns - plant_ns < STEP_NS
        assert plant_ns % STEP_NS == 0
    assert simulated_ns + pacer.slip_ns == plant_ns - T_NS  # every millisecond was simulated or is reported
