"""Motion without jerks: the mean of where a reference has been in the last moments."""

from __future__ import annotations

import math

import numpy as np

from il_core.types import Vector


class MovingMean:
    r"""Mean of the last positions of a reference, over a fixed time.

    .. math:: \bar q_k = \frac{1}{n} \sum_{i=0}^{n-1} q_{k-i}, \qquad T = n\,\Delta t

    A convex combination: whatever box the reference stays in, the mean does too, and the same is true of its
    velocities and accelerations. Its third derivative is :math:`(\ddot q_k - \ddot q_{k-n}) / T`, so a reference
    with at most the acceleration a gives a jerk of at most :math:`2a / T`. It arrives exactly, T after the
    reference, without overshoot, and lags by :math:`(T - \Delta t) / 2` on the way (Biagiotti, Melchiorri,
    "FIR filters for online trajectory planning with time- and frequency-domain specifications", Control
    Engineering Practice, 2012). A time-optimal generator such as ruckig plans to a standstill at each target of
    a stream and so starts and stops fifty times a second; this does not know what a target is.

    Attributes:
        q: The mean, (nq,) [rad].
        v: Its velocity in this cycle, (nq,) [rad/s].
    """

    def __init__(self, nq: int, duration_s: float, dt: float) -> None:
        """Set how long to look back [s], at least, and the control period [s]; a period or less is not at all."""
        self._n, self._dt, self._k = max(1, math.ceil(duration_s / dt - 1e-6)), dt, 0
        self._rows = np.zeros((self._n, nq))
        self.begin(np.zeros(nq))

    def begin(self, q: Vector, v: Vector | None = None) -> Vector:
        """Begin at a position (nq,) [rad] with a velocity (nq,) [rad/s], none by default.

        Returns:
            Where the reference is then: ahead of the mean by what the velocity makes in half of the time.
        """
        self.q = np.array(q)
        self.v = np.zeros(len(q)) if v is None else np.array(v)
        places = np.arange(self._n) - 0.5 * (self._n - 1)
        self._rows[:] = self.q + np.outer(places, self.v * self._dt)
        self._k = 0
        return np.array(self._rows[-1])

    def step(self, q: Vector) -> Vector:
        """Take the next position of the reference, (nq,) [rad]; return the mean."""
        self._rows[self._k] = q
        self._k = (self._k + 1) % self._n
        mean = np.asarray(self._rows.mean(axis=0))
        self.v, self.q = (mean - self.q) / self._dt, mean
        return mean
