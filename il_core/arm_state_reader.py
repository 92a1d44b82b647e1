"""Reads the same arm's serialised joint states a thousand times a second, without decoding all of them."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from il_core.types import ArmState
from il_core.wire import JointMap, Message, arm_state_from, header_stamp_ns_from_cdr

STAMP = slice(4, 12)  # behind the encapsulation; what comes before the positions else does not change
_COUNT = struct.Struct("<I")


class _Layout(NamedTuple):
    """Where the numbers of one publisher's messages are.

    Attributes:
        head: Bytes before the positions but for the stamp: encapsulation, frame, names, number of positions.
        begin: Offset of the positions.
        names: Number of joints in the message.
        arm: Places of the arm's joints among them, in the robot's order.
        gripper: Place of the gripper; None without one.
    """

    head: bytes
    begin: int
    names: int
    arm: list[int]
    gripper: int | None


class ArmStateReader:
    """Turns bytes of sensor_msgs/JointState into :class:`ArmState` as :func:`il_core.wire.arm_state_from` does.

    A message that begins as the one before did has its numbers in the same places (CDR, OMG DDSI-RTPS 10); only those
    are read. Any other is decoded in full, and refused in the same words.
    """

    def __init__(self, joints: JointMap, decode: Callable[[bytes], Message]) -> None:
        """Keep the robot's joints, and what decodes a whole message."""
        self._joints, self._decode = joints, decode
        self._layout: _Layout | None = None

    def read(self, data: bytes) -> ArmState:
        """State of the arm in one message.

        Raises:
            JointSetError: missing or unexpected joints.
            ShapeError: a field has another length than the names.
            NonFiniteError: NaN or infinity.
        """
        known = self._layout
        if known is None or not _has(known, data):
            message = self._decode(data)
            state = arm_state_from(message, self._joints)
            self._layout = _layout(data, list(message.name), self._joints)
            return state
        n = known.names
        # Three sequences of n numbers; the lengths of the second and third fill one place each.
        numbers = np.frombuffer(data, "<f8", 3 * n + 2, known.begin)
        q, v, tau = numbers[:n], numbers[n + 1 : 2 * n + 1], numbers[2 * n + 2 :]
        gripper = 1.0 if known.gripper is None else self._joints.opening_from_m(float(q[known.gripper]))
        arm = known.arm
        return ArmState(header_stamp_ns_from_cdr(data), q[arm], v[arm], tau[arm], gripper)


def _has(layout: _Layout, data: bytes) -> bool:
    """Whether a message is laid out like this, with as many velocities and efforts as positions."""
    begin, n = layout.begin, layout.names
    velocities, efforts = begin + 8 * n, begin + 16 * n + 8
    return (
        len(data) >= efforts + 8 + 8 * n
        and data[: STAMP.start] + data[STAMP.stop : begin] == layout.head
        and _COUNT.unpack_from(data, velocities)[0] == n == _COUNT.unpack_from(data, efforts)[0]
    )


def _layout(data: bytes, names: list[str], joints: JointMap) -> _Layout | None:
    """Where the numbers are; None where they cannot be read in place (big-endian, another CDR)."""
    if data[:2] != b"\x00\x01":  # plain CDR, little-endian
        return None
    at = STAMP.stop
    at += 4 + _COUNT.unpack_from(data, at)[0]  # frame
    at = _aligned(at, 4) + 4  # number of names
    for _ in names:
        at = _aligned(at, 4)
        at += 4 + _COUNT.unpack_from(data, at)[0]
    begin = _aligned(_aligned(at, 4) + 4, 8)
    order = joints.indices(names, joints.names_with_gripper, "JointState")
    nq = joints.robot.nq
    head = data[: STAMP.start] + data[STAMP.stop : begin]
    return _Layout(head, begin, len(names), order[:nq], order[nq] if len(order) > nq else None)


def _aligned(offset: int, size: int) -> int:
    """The next offset that CDR puts a number of this size at; it counts from behind the encapsulation."""
    return offset + (STAMP.start - offset) % size
