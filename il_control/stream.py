"""Targets that come one by one, made a motion: a person's targets arrive at 20 to 100 Hz, and never evenly."""

from __future__ import annotations

import numpy as np

from il_control.tracker import Wish
from il_core.geometry import matrix_from_rotvec, rotvec_from_matrix
from il_core.types import ArmCommand, Vector

SLOWER = 1.6  # than targets come: those that are late by so much are waited for in motion, not at a standstill
SHARE = 0.2  # of the newest interval in the mean of them
SHORTEST_S, LONGEST_S = 0.005, 0.1
ANEW_NS = 50_000_000  # unasked for so long, it begins anew: where it was says nothing about where the arm is


class TargetStream:
    r"""Goes from where it is to the newest target, straight and evenly, in a little more than targets are apart.

    .. math:: p(t) = p_0 + s\,\Delta p, \qquad R(t) = \exp(s\,\omega)\,R_0, \qquad
              s = \min\left(1, \frac{t - t_0}{1.6\,\bar d}\right)

    with the mean interval :math:`\bar d` of the stamps. A target at a standstill every 20 ms is a staircase: what
    follows it accelerates and brakes on every step. This says how fast it moves, and costs about one interval.

    Attributes:
        command: The newest target; None: none yet, or forgotten.
    """

    def __init__(self) -> None:
        """Begin empty."""
        self._interval_s = LONGEST_S
        self.forget()

    def forget(self) -> None:
        """Forget target and motion."""
        self.command: ArmCommand | None = None
        self._begun: ArmCommand | None = None
        self._asked_ns: int | None = None
        self._start_ns = 0
        self._T, self._way, self._turns, self._seconds = np.eye(4), np.zeros(6), False, 0.0

    def offer(self, command: ArmCommand) -> None:
        """Take a target; its stamp is newer than the last one's."""
        if self.command is not None:
            interval_s = min(max((command.stamp_ns - self.command.stamp_ns) * 1e-9, SHORTEST_S), LONGEST_S)
            self._interval_s += SHARE * (interval_s - self._interval_s)
        self.command = command

    def wish(self, now_ns: int) -> Wish | None:
        """Where the target is, and how fast; exactly at the newest one when asked for the first time."""
        command = self.command
        if command is None:
            return None
        is_anew = self._asked_ns is None or not 0 <= now_ns - self._asked_ns <= ANEW_NS
        if is_anew or command is not self._begun:
            T = command.T_base_ee_des if is_anew else self._at(now_ns)[0]
            self._begin(command, T, now_ns)
        self._asked_ns = now_ns
        T, rate = self._at(now_ns)
        return Wish(None, T, rate, command.gripper_des)

    def _begin(self, command: ArmCommand, T: Vector, now_ns: int) -> None:
        self._begun = command
        T_des = command.T_base_ee_des
        turn = rotvec_from_matrix(T_des[:3, :3] @ T[:3, :3].T)
        self._T, self._way = T, np.concatenate([T_des[:3, 3] - T[:3, 3], turn])
        self._turns = bool(np.abs(turn).max() > 1e-9)  # rounding of a target that only moves
        self._start_ns, self._seconds = now_ns, SLOWER * self._interval_s

    def _at(self, now_ns: int) -> tuple[Vector, Vector]:
        """Pose, (4, 4) [m], and twist in axes of base, (6,) [m/s, rad/s]."""
        s = (now_ns - self._start_ns) * 1e-9 / self._seconds
        if s >= 1.0 and self._begun is not None:
            return self._begun.T_base_ee_des, np.zeros(6)
        T = self._T.copy()
        T[:3, 3] += s * self._way[:3]
        if self._turns:
            T[:3, :3] = matrix_from_rotvec(s * self._way[3:]) @ T[:3, :3]
        return T, self._way / self._seconds
