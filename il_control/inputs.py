"""Checks of what comes in: instants that cannot be, targets that are far off, forces that are too high."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from il_control.reasons import Reason
from il_control.safety_config import SafetyConfig
from il_core.types import ArmState, Vector

NOTHING: frozenset[Reason] = frozenset()


class Context(NamedTuple):
    """What a cycle knows besides state and wish.

    Attributes:
        now_ns: Current instant on the clock of the stamps [ns]; None: instants are not checked.
        target_ns: Stamp of the streamed target in force [ns]; None: there is none.
        wrench: Estimated external wrench on the tool, axes of base, (6,) [N, N·m]; None: no estimate.
    """

    now_ns: int | None = None
    target_ns: int | None = None
    wrench: Vector | None = None


UNKNOWN = Context()


class InputWatch:
    """Remembers when the last cycle was, and notices what cannot follow it.

    Attributes:
        force_n: Contact force of the last cycle [N]; 0 where it is not monitored.
    """

    def __init__(self, config: SafetyConfig, max_state_age_ms: float) -> None:
        """Take the thresholds."""
        self._state_age_ns = int(max_state_age_ms * 1e6)
        self._target_age_ns = int(config.max_target_age_ms * 1e6)
        self._jump_ns = int(config.clock_jump_ms * 1e6)
        self._force_max_n = config.contact_force_limit_n
        self._now_ns: int | None = None
        self._stamp_ns = 0
        self.force_n = 0.0

    def check(self, state: ArmState, context: Context) -> frozenset[Reason]:
        """What is wrong with the inputs of one cycle."""
        now_ns, target_ns, wrench = context
        found = NOTHING
        if now_ns is not None:
            found = self._instants(state.stamp_ns, now_ns, target_ns)
        if self._force_max_n is not None:
            found = found | self._contact(wrench, self._force_max_n)
        return found

    def _instants(self, stamp_ns: int, now_ns: int, target_ns: int | None) -> frozenset[Reason]:
        found = NOTHING
        if self._now_ns is not None and not 0 <= now_ns - self._now_ns <= self._jump_ns:
            found |= {Reason.CLOCK_JUMP}
        elif self._now_ns is not None and stamp_ns < self._stamp_ns:  # an older state after a newer one
            found |= {Reason.STALE_STATE}
        if abs(now_ns - stamp_ns) > self._state_age_ns:
            found |= {Reason.STALE_STATE}
        # A target from the future is as wrong as an old one: its clock is another.
        if target_ns is not None and abs(now_ns - target_ns) > self._target_age_ns:
            found |= {Reason.STALE_TARGET}
        self._now_ns = now_ns
        self._stamp_ns = stamp_ns if Reason.CLOCK_JUMP in found else max(stamp_ns, self._stamp_ns)
        return found

    def _contact(self, wrench: Vector | None, limit_n: float) -> frozenset[Reason]:
        """Compare the force; one that is no number is taken for too high."""
        if wrench is None:
            self.force_n = 0.0
            return frozenset((Reason.NO_WRENCH,))
        force = np.asarray(wrench, dtype=np.float64)
        self.force_n = math.nan if force.shape != (6,) else math.hypot(*force[:3].tolist())
        return NOTHING if self.force_n <= limit_n else frozenset((Reason.CONTACT_FORCE,))


def is_joint_jump(q: Vector, q_des: Vector, config: SafetyConfig) -> bool:
    """Whether a first joint target is farther from the arm than one that is meant can be."""
    return not float(np.abs(q_des - q).max()) <= config.first_target_max_rad


def is_pose_jump(T_base_ee: Vector, T_base_ee_des: Vector, config: SafetyConfig) -> bool:
    r"""The same for a pose: by distance, or by the angle :math:`\cos\theta = (\operatorname{tr} R - 1) / 2`."""
    way = T_base_ee_des[:3, 3] - T_base_ee[:3, 3]
    if not math.hypot(*way) <= config.first_target_max_m:
        return True
    cosine = (float((T_base_ee[:3, :3] * T_base_ee_des[:3, :3]).sum()) - 1.0) / 2.0
    return not math.acos(max(-1.0, min(1.0, cosine))) <= config.first_target_max_rad
