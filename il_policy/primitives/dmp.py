r"""Dynamic movement primitive: a spring to the goal, bent by a learned force that fades out.

.. math:: \tau^2 \ddot y = \alpha_y \big(\beta_y (g - y) - \tau \dot y\big) + f(s), \qquad
          f(s) = \frac{\sum_i \psi_i(s)\,w_i}{\sum_i \psi_i(s)}\,s, \qquad s = e^{-\alpha_s t / \tau}

Ijspeert et al., "Dynamical movement primitives", Neural Computation 2013, eq. 2.1 to 2.3, with the force
not scaled by the distance to the goal (Pastor et al., ICRA 2009: the scaled form explodes where start and
goal agree). Start and goal follow the context linearly; the shape in between is the demonstrations' mean.
"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from il_core.geometry import Array
from il_policy.head_config import PrimitiveConfig
from il_policy.primitives.base import Primitive, ridge

ALPHA_Y, BETA_Y = 25.0, 6.25  # critically damped: beta = alpha / 4
ALPHA_S = 4.6  # the force has faded to one percent at the end
SUBSTEPS = 10  # of the integration, per sample: the spring is stiff
CONTEXT_RIDGE = 1e-3


def _with_one(contexts: Array) -> Array:
    return np.column_stack([contexts, np.ones(len(contexts))])


class Dmp(Primitive):
    """One force for all demonstrations, start and goal from the context."""

    NAMES: ClassVar[tuple[str, ...]] = ("weights", "start", "goal", "context_mean")

    @staticmethod
    def _basis(s: Array, count: int) -> Array:
        """Normalised bumps along the phase s (S,), times s: (S, K)."""
        centres = np.exp(-ALPHA_S * np.linspace(0.0, 1.0, count))
        widths = 1.0 / np.gradient(centres) ** 2
        psi = np.exp(-0.5 * widths * (s[:, None] - centres) ** 2)
        return np.asarray(psi / psi.sum(1, keepdims=True) * s[:, None])

    @classmethod
    def fit(cls, contexts: Array, trajectories: Array, config: PrimitiveConfig, seed: int) -> Dmp:
        """Invert the spring along each demonstration and regress the force; tau = 1."""
        samples = trajectories.shape[1]
        dt = 1.0 / (samples - 1)
        velocity = np.gradient(trajectories, dt, axis=1)
        acceleration = np.gradient(velocity, dt, axis=1)
        goals = trajectories[:, -1]
        force = acceleration - ALPHA_Y * (BETA_Y * (goals[:, None] - trajectories) - velocity)
        s = np.exp(-ALPHA_S * np.linspace(0.0, 1.0, samples))
        basis = np.tile(cls._basis(s, config.basis), (len(trajectories), 1))
        weights = ridge(basis, force.reshape(-1, trajectories.shape[2]), config.ridge)
        mean = contexts.mean(0)
        seen = _with_one(contexts - mean)
        start = ridge(seen, trajectories[:, 0], CONTEXT_RIDGE)
        goal = ridge(seen, goals, CONTEXT_RIDGE)
        return cls({"weights": weights, "start": start, "goal": goal, "context_mean": mean})

    def plan(self, context: Array, samples: int) -> Array:
        """Integrate from the start that fits the context (semi-implicit Euler)."""
        a = self.arrays
        seen = np.append(context - a["context_mean"], 1.0)
        return self.roll_out(seen @ a["start"], seen @ a["goal"], samples)

    def roll_out(self, start: Array, goal: Array, samples: int) -> Array:
        """Trajectory between any start and goal (D,), (samples, D); the last sample is at t = tau."""
        weights = self.arrays["weights"]
        n = SUBSTEPS * (samples - 1)
        dt = 1.0 / n
        force = self._basis(np.exp(-ALPHA_S * np.linspace(0.0, 1.0, n + 1)), len(weights)) @ weights
        y, v = start.copy(), np.zeros_like(start)
        rows = [y.copy()]
        for k in range(n):
            v = v + dt * (ALPHA_Y * (BETA_Y * (goal - y) - v) + force[k])
            y = y + dt * v
            if (k + 1) % SUBSTEPS == 0:
                rows.append(y.copy())
        return np.array(rows)
