"""What one control cycle did and why."""

from __future__ import annotations

from dataclasses import dataclass

from il_control.arbiter import Change, Source
from il_control.reasons import Reason
from il_control.tracker import Mode
from il_core.types import Setpoint, Vector


@dataclass(frozen=True, slots=True, eq=False)
class CycleReport:
    """What one cycle did and why.

    Attributes:
        setpoint: What goes to the arm.
        T_base_ee: Measured tool pose, (4, 4) [m].
        T_base_ee_des: Shaped target of the Cartesian law, (4, 4) [m]; None under the joint law.
        q_des: Shaped target of the joint law, (nq,) [rad]; None under the Cartesian law.
        source: Who drives.
        mode: What the plan in hand is good for.
        reasons: Why the gate, or the cycle, did something else than asked.
        change: The last hand-over of the arm; None before the first.
        k_p: Tool stiffness in force, (6,) [N/m, N·m/rad]; None where no spring holds the tool.
        zeta: Damping ratio in force [-]; None where ``k_p`` is.
    """

    setpoint: Setpoint
    T_base_ee: Vector
    T_base_ee_des: Vector | None
    q_des: Vector | None
    source: Source
    mode: Mode
    reasons: frozenset[Reason]
    change: Change | None
    k_p: Vector | None
    zeta: float | None
