r"""Borders the arm may come near to, but slowly, and not cross: one rule for walls, tables and itself.

For a distance :math:`d(q)` with gradient :math:`g = \partial d / \partial q` the approach speed is bounded
by a velocity damper [1]_, and the bound is kept by the acceleration, which a torque can command [2]_:

.. math:: \dot d = g^T v \ge -\xi\,\frac{d - d_s}{d_i - d_s}, \qquad
          g^T a \ge -\frac{1}{T}\left(g^T v + \xi\,\frac{d - d_s}{d_i - d_s}\right)

with the distances :math:`d_i` at which slowing down begins and :math:`d_s` at which nothing comes nearer,
the fastest approach :math:`\xi` and the time :math:`T`. Leaving is never hindered; below :math:`d_s` the
right side asks to leave slowly, so that what the model does not know cannot push the arm on. Beyond
:math:`d_i` the line goes on: who is fast begins to brake early enough to follow it.

.. [1] B. Faverjon, P. Tournassoud, "A local based approach for path planning of manipulators with a
       high number of degrees of freedom", IEEE ICRA 1987, eq. 2.
.. [2] A. Ames et al., "Control barrier functions: theory and applications", ECC 2019, sec. II.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from il_control.reasons import Reason
from il_control.safety_config import SafetyConfig
from il_core.types import Vector

DUE_SHARE = 0.5  # of the allowed approach speed: from there on a border farther off counts
SPEED_SHARE = 0.8  # of the tool's speed limit: from there on its acceleration is bounded
_AT_THE_FACES: list[float | None] = [0.0] * 6
SWEEPS = 3  # over all borders: one answer may disturb another


@dataclass(frozen=True, slots=True, eq=False)
class Border:
    """One border at one instant.

    Attributes:
        gradient: How the distance changes with the joints, (nq,) [m/rad].
        speed_max: Fastest approach allowed here [m/s]; negative: leave at least that fast.
        reason: Told when the border had to step in.
    """

    gradient: Vector
    speed_max: float
    reason: Reason


def approach_speed(distance_m: float, stop_m: float, slow_m: float, speed_m_s: float) -> float:
    """Fastest approach at a distance [m/s]; ``speed_m_s`` at ``slow_m``, and as fast back at most."""
    return speed_m_s * max(-1.0, (distance_m - stop_m) / (slow_m - stop_m))


def is_due(distance_m: float, slow_m: float, closing_m_s: float, speed_max: float) -> bool:
    """Whether a border counts: near it always, farther off for who comes at half the allowed speed."""
    return distance_m < slow_m or closing_m_s > DUE_SHARE * speed_max


def bounded_torque(
    tau_free: Vector, v: Vector, borders: Sequence[Border], mass: Vector, time_s: float
) -> tuple[Vector, set[Reason]]:
    r"""Torque nearest to the wanted one that keeps every border.

    The correction :math:`g\,(a_{min} - g^T M^{-1} \tau) / (g^T M^{-1} g)` is the smallest one in the
    norm of :math:`M^{-1}`: what moves along the border is left alone.

    Args:
        tau_free: Wanted torque without gravity and Coriolis terms, (nq,) [N·m].
        v: Joint velocities, (nq,) [rad/s].
        borders: Borders near the arm.
        mass: Joint-space inertia, (nq, nq) [kg·m²].
        time_s: Time in which a speed that is too high is braked [s].

    Returns:
        The torque, (nq,) [N·m], and the reasons of the borders that stepped in.
    """
    tau = tau_free.copy()
    hit: set[Reason] = set()
    if not borders:
        return tau, hit
    G = np.array([b.gradient for b in borders])
    _, A, _ = lapack.dposv(mass, G.T)  # columns: accelerations per unit of force along each distance
    mobility = np.maximum(np.einsum("ij,ji->i", G, A), 1e-9)  # 1e-9: a border no joint can move away from
    speed = G @ v
    for _ in range(SWEEPS):
        for k, border in enumerate(borders):
            wanted = -(speed[k] + border.speed_max) / time_s
            lack = wanted - A[:, k] @ tau
            if lack > 0:
                tau += G[k] * (lack / mobility[k])
                hit.add(border.reason)
    return tau, hit


def bounded_velocity(v_des: Vector, borders: Sequence[Border]) -> tuple[Vector, set[Reason]]:
    """Joint velocity nearest to the wanted one that keeps every border, (nq,) [rad/s], and what stepped in."""
    v = v_des.copy()
    hit: set[Reason] = set()
    for _ in range(SWEEPS):
        for border in borders:
            lack = -border.speed_max - border.gradient @ v
            if lack > 0:
                v += border.gradient * (lack / max(float(border.gradient @ border.gradient), 1e-9))
                hit.add(border.reason)
    return v, hit


def ratchet(stop_m: float | None, distance_m: float, limit_m: float) -> float:
    """Distance that nothing may come nearer than: the limit, or less for an arm that was found nearer.

    An arm found beyond a border stays where it is, may leave, and keeps what it has left.

    Args:
        stop_m: What it was in the last cycle [m]; None in the first.
        distance_m: Distance now [m].
        limit_m: The configured one [m].
    """
    return min(limit_m, distance_m if stop_m is None else max(stop_m, distance_m))


class Workspace:
    """The box the tool point must stay in, and the speed it must keep.

    A face of the box stops the tool at distance zero; slowing down begins ``width_m`` before it.
    """

    def __init__(self, low: Vector, high: Vector, speed_max: tuple[float, float], width_m: float, speed: float) -> None:
        """Set the box.

        Args:
            low: Lowest x, y, z in base, (3,) [m].
            high: Highest x, y, z in base, (3,) [m].
            speed_max: Speed limits of the tool [m/s], [rad/s]; infinite: none.
            width_m: Distance from a face at which slowing down begins [m].
            speed: Fastest approach there [m/s].
        """
        self.low, self.high, self.speed_max = low, high, speed_max
        self.width_m, self._speed = width_m, speed
        self._stops: list[float | None] = [None] * 6

    @classmethod
    def of(cls, config: SafetyConfig) -> Workspace | None:
        """The configured box and speeds; None where nothing is limited."""
        speeds = (config.tool_speed_max_m_s, config.tool_speed_max_rad_s)
        if config.workspace_min_m is None and speeds == (None, None):
            return None
        low = np.full(3, -np.inf) if config.workspace_min_m is None else np.array(config.workspace_min_m)
        high = np.full(3, np.inf) if config.workspace_max_m is None else np.array(config.workspace_max_m)
        linear, angular = (math.inf if s is None else s for s in speeds)
        width_m = config.slow_distance_m - config.stop_distance_m
        return cls(low, high, (linear, angular), width_m, config.approach_speed_max_m_s)

    @property
    def horizon_s(self) -> float:
        """A tool that stays in the box for so long at its velocity is due at no face [s]."""
        return self.width_m / (self._speed * DUE_SHARE)

    def reset(self) -> None:
        """The arm may be found anywhere; see :func:`ratchet`."""
        self._stops = [None] * 6

    def is_inside(self) -> None:
        """Take note that the tool is well inside: from now on the whole box counts."""
        self._stops = _AT_THE_FACES

    def borders(self, p: Vector, J_ee_aligned: Vector, v: Vector) -> list[Border]:
        """Borders near the tool.

        Args:
            p: Tool point in base, (3,) [m].
            J_ee_aligned: Jacobian of the tool, axes of base, (6, nq).
            v: Joint velocities, (nq,) [rad/s].
        """
        found: list[Border] = []
        stops: list[float | None] = []
        for axis in range(3):
            for side, sign in enumerate((1.0, -1.0)):
                distance = float(p[axis] - self.low[axis] if side == 0 else self.high[axis] - p[axis])
                stop = ratchet(self._stops[2 * axis + side], distance, 0.0)
                stops.append(stop)
                speed = approach_speed(distance, stop, self.width_m, self._speed)
                gradient = sign * J_ee_aligned[axis]
                if is_due(distance, self.width_m, -float(gradient @ v), speed):
                    found.append(Border(gradient, speed, Reason.WORKSPACE_LIMIT))
        self._stops = stops
        for part, limit in ((slice(0, 3), self.speed_max[0]), (slice(3, 6), self.speed_max[1])):
            rate = J_ee_aligned[part] @ v
            speed = float(np.sqrt(rate @ rate))
            if speed > limit * SPEED_SHARE:
                found.append(Border(-(rate / speed) @ J_ee_aligned[part], limit, Reason.TOOL_SPEED))
        return found
