"""Finds signs and offsets of a leader arm from postures in which it stands like the arm it leads."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from il_core.errors import DeviceError, ShapeError
from il_core.geometry import Array
from il_teleop.devices.leader import LeaderGripper, LeaderJoint, LeaderLayout

MOVED_MIN_RAD = 0.2  # less does not tell a sign from a careless hand
RESIDUAL_MAX_RAD = 0.15  # 9 degrees: how well a person copies a posture by eye
POSTURES_MIN = 2


def calibrate(
    q_leader: Array, q_arm: Array, leader_names: Sequence[str], arm_names: Sequence[str], gripper: LeaderGripper
) -> tuple[LeaderLayout, Array]:
    r"""Sign and offset of every joint.

    For both signs :math:`s`, the offset is the mean of :math:`q_{arm} - s\,q_{leader}` over the postures,
    whole turns taken out; the sign with the smaller residual (root mean square) is taken. Turns of a
    joint that was not moved by at least 0.2 rad say nothing of its sign and are refused.

    Args:
        q_leader: The leader's joints, one row per posture, (K, nq) [rad].
        q_arm: The arm's joints in the same postures, (K, nq) [rad].
        leader_names: Names of the leader's joints, in the order of columns.
        arm_names: Names of the arm's.
        gripper: The leader's trigger, as measured.

    Returns:
        The layout, and the residual of each joint, (nq,) [rad].

    Raises:
        ShapeError: the two do not have the same rows and columns.
        DeviceError: too few postures, joints that were not moved, or postures that do not match; says which.
    """
    q_leader, q_arm = np.asarray(q_leader, dtype=np.float64), np.asarray(q_arm, dtype=np.float64)
    shape = (len(q_arm), len(arm_names))
    if q_leader.shape != shape or q_arm.shape != shape or len(leader_names) != len(arm_names):
        raise ShapeError("leader postures", expected=str(shape), got=q_leader.shape)
    if len(q_arm) < POSTURES_MIN:
        raise DeviceError(f"one posture tells no sign; take at least {POSTURES_MIN} that differ in every joint")
    still = [name for name, way in zip(arm_names, np.ptp(q_arm, axis=0), strict=True) if way < MOVED_MIN_RAD]
    if still:
        raise DeviceError(
            f"{', '.join(still)} moved less than {MOVED_MIN_RAD} rad between the postures, so their signs are "
            "unknown; add a posture that moves them"
        )
    fits = {sign: _fit(q_arm - sign * q_leader) for sign in (1.0, -1.0)}
    joints, residuals = {}, []
    for j, name in enumerate(arm_names):
        sign = min(fits, key=lambda s: fits[s][1][j])
        offset, residual = (values[j] for values in fits[sign])
        joints[name] = LeaderJoint(leader_names[j], sign, round(float(offset), 4))
        residuals.append(float(residual))
    poor = [f"{n} ({r:.2f} rad)" for n, r in zip(arm_names, residuals, strict=True) if r > RESIDUAL_MAX_RAD]
    if poor:
        raise DeviceError(
            f"the postures of leader and arm do not match in {', '.join(poor)}; hold the leader like the arm in "
            "each posture, and check which of its joints is which"
        )
    return LeaderLayout(joints, gripper), np.array(residuals)


def _fit(offsets: Array) -> tuple[Array, Array]:
    """Mean offset without whole turns, and residual, per column."""
    first = offsets[0]
    wrapped = first + _wrap(offsets - first)
    mean = wrapped.mean(axis=0)
    return _wrap(mean), np.sqrt(np.mean((wrapped - mean) ** 2, axis=0))


def _wrap(angle: Array) -> Array:
    """The same angle in [-pi, pi)."""
    return np.mod(angle + np.pi, 2 * np.pi) - np.pi


def layout_text(layout: LeaderLayout, residuals: Array) -> str:
    """YAML of a layout, to be written to config/teleop/leader.yaml."""
    lines = ["# Written by `il teleop calibrate-leader`; residuals are how well the postures matched.", "joints:"]
    for (name, joint), residual in zip(layout.joints.items(), residuals, strict=True):
        values = f"name: {joint.name}, sign: {joint.sign}, offset_rad: {joint.offset_rad}, scale: {joint.scale}"
        lines.append(f"  {name}: {{{values}}}  # residual {residual:.3f} rad")
    if layout.gripper.name:
        trigger = layout.gripper
        lines.append(f"gripper: {{name: {trigger.name}, closed: {trigger.closed:.4f}, open: {trigger.open:.4f}}}")
    feel = layout.feel
    lines += [f"timeout_ms: {layout.timeout_ms}", f"rate_min_hz: {layout.rate_min_hz}", "feel:"]
    lines += [f"  is_absolute: {str(feel.is_absolute).lower()}", f"  soft_start_s: {feel.soft_start_s}"]
    return "\n".join(lines) + "\n"
