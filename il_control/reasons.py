"""Why the gate steps in, and what it then does: one table, part of it open to configuration."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum

from il_core.errors import nearest


class Reason(str, Enum):
    """Why a cycle sent something else than was asked for."""

    NON_FINITE = "non-finite or wrongly sized torque: gravity compensation and damping instead"
    POSITION_LIMIT = "joint near its position limit: pushed back"
    TARGET_LIMIT = "joint target beyond the position limits: taken to the limit"
    VELOCITY_LIMIT = "joint above its speed limit: braked"
    ACCELERATION_LIMIT = "joint above its acceleration limit: pushed less"
    TORQUE_LIMIT = "torque beyond the joint's limit: clipped"
    TORQUE_RATE = "torque changes faster than the joint may: clipped"
    WORKSPACE_LIMIT = "tool near the end of the workspace: stopped there, pushed back beyond it"
    TOOL_SPEED = "tool above its speed limit: braked"
    COLLISION_NEAR = "arm near itself or an obstacle: slowed down"
    COLLISION_STOP = "arm too near to itself or an obstacle: pushed away"
    CONTACT_FORCE = "contact force above the limit: stopped until an operator resumes"
    NO_WRENCH = "contact force has a limit but no estimate: holding"
    OPERATOR_STOP = "stopped by a person: stopped until an operator resumes"
    STALE_WRENCH = "wrench of the wrist sensor missing or too old: holding"
    NOT_FOLLOWING = "arm is not where it was sent: plans forgotten, held where it is"
    STALE_STATE = "joint state too old: gravity compensation and damping instead"
    STALE_TARGET = "streamed target too old: holding"
    STALE_PLAN = "plan or teleoperation too old: holding"
    TARGET_JUMP = "first target too far from where the arm is: holding"
    STATE_JUMP = "measured posture jumped: holding at the new one"
    CLOCK_JUMP = "clock jumped: plans forgotten, holding"
    BAD_GRIPPER = "gripper target is not a number: left where it was"


class Behaviour(str, Enum):
    """What the gate does, from the mildest to the strongest."""

    CLIP = "clip"  # the part of the wish that is allowed
    HOLD = "hold"  # stay where the arm is, stiffly
    COMPLIANT_STOP = "compliant_stop"  # gravity compensation and damping while the cause lasts
    LATCHED_STOP = "latched_stop"  # the same, until an operator resumes

    @property
    def strength(self) -> int:
        """Place in that order."""
        return _ORDER.index(self)


_ORDER = tuple(Behaviour)
_CLIPS = (Reason.TARGET_LIMIT, Reason.TORQUE_LIMIT, Reason.TORQUE_RATE, Reason.BAD_GRIPPER)
FIXED = frozenset(_CLIPS)  # the gate's own torque may meet these limits: a stop for them could not be left

DEFAULTS: Mapping[Reason, Behaviour] = {
    **dict.fromkeys(_CLIPS, Behaviour.CLIP),
    Reason.POSITION_LIMIT: Behaviour.CLIP,
    Reason.VELOCITY_LIMIT: Behaviour.CLIP,
    Reason.ACCELERATION_LIMIT: Behaviour.CLIP,
    Reason.WORKSPACE_LIMIT: Behaviour.CLIP,
    Reason.TOOL_SPEED: Behaviour.CLIP,
    Reason.COLLISION_NEAR: Behaviour.CLIP,
    Reason.COLLISION_STOP: Behaviour.CLIP,
    Reason.NO_WRENCH: Behaviour.HOLD,
    Reason.STALE_WRENCH: Behaviour.HOLD,
    Reason.NOT_FOLLOWING: Behaviour.HOLD,
    Reason.STALE_TARGET: Behaviour.HOLD,
    Reason.STALE_PLAN: Behaviour.HOLD,
    Reason.TARGET_JUMP: Behaviour.HOLD,
    Reason.STATE_JUMP: Behaviour.HOLD,
    Reason.CLOCK_JUMP: Behaviour.HOLD,
    Reason.NON_FINITE: Behaviour.COMPLIANT_STOP,
    Reason.STALE_STATE: Behaviour.COMPLIANT_STOP,
    Reason.CONTACT_FORCE: Behaviour.LATCHED_STOP,
    Reason.OPERATOR_STOP: Behaviour.LATCHED_STOP,
}


def behaviour_table(overrides: Mapping[str, Behaviour]) -> dict[Reason, Behaviour]:
    """What the gate does for each reason.

    Args:
        overrides: Names of reasons in small letters, and what to do instead. A reason may only be
            answered by something stronger than its default.

    Raises:
        ValueError: no such reason, one whose answer is fixed, or an answer weaker than the default.
    """
    table = dict(DEFAULTS)
    names = {r.name.lower(): r for r in Reason}
    for name, behaviour in overrides.items():
        if name not in names:
            raise ValueError(f"behaviours: unknown reason '{name}'; {nearest(name, list(names))}")
        reason = names[name]
        if reason in FIXED and behaviour is not table[reason]:
            raise ValueError(f"behaviours: '{name}' is always answered by '{table[reason].value}'")
        if behaviour.strength < table[reason].strength:
            raise ValueError(
                f"behaviours: '{name}: {behaviour.value}' is weaker than its default '{table[reason].value}'; "
                "only stronger answers are accepted, see docs/safety.md"
            )
        table[reason] = behaviour
    return table


def strongest(reasons: Iterable[Reason], table: Mapping[Reason, Behaviour]) -> Behaviour:
    """The strongest answer that one of the reasons asks for; CLIP without any."""
    found = Behaviour.CLIP
    for reason in reasons:
        if table[reason].strength > found.strength:
            found = table[reason]
    return found
