"""A change of law: continuous torque whatever the two laws say."""

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import numpy as np
from hypothesis import given

from il_control.impedance import TorqueFade

DT, DURATION_S = 1e-3, 0.2
TORQUES = hnp.arrays(np.float64, 7, elements=st.floats(-80.0, 80.0))


@given(TORQUES, TORQUES)
def test_the_torque_is_continuous_and_ends_at_the_new_law(old, new):
    fade = TorqueFade(DURATION_S)
    fade.start(old - new)
    taus = np.array([old] + [fade.apply(new, DT) for _ in range(int(DURATION_S / DT) + 5)])
    # the steepest slope of 3 s^2 - 2 s^3 is 1.5
    assert (np.abs(np.diff(taus, axis=0)) <= 1.5 * DT / DURATION_S * np.abs(old - new) + 1e-9).all()
    np.testing.assert_array_equal(taus[-1], new)


def test_a_fade_that_is_stopped_leaves_nothing_behind():
    fade = TorqueFade(DURATION_S)
    fade.start(np.ones(7))
    fade.apply(np.zeros(7), DT)
    fade.stop()
    assert not fade.apply(np.zeros(7), DT).any()
