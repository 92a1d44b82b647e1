"""Rigid transforms and rotations; the only home of quaternion and 6-D conversions.

A pose ``T_a_b`` maps coordinates of b to a. Rotations leave this module only as a matrix, a unit
``quat_xyzw`` in the hemisphere w >= 0, a rotation vector, or the 6-D form for networks.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from il_core.errors import ShapeError

Array = NDArray[np.float64]
_UNIT_TOLERANCE = 1e-3  # a quaternion further from unit length is a bug upstream, not rounding


def pose(p: ArrayLike, R: ArrayLike | None = None) -> Array:
    """Assemble ``T_a_b`` from position ``p_a_b`` (3,) [m] and rotation ``R_a_b`` (3, 3)."""
    T = np.eye(4)
    T[:3, 3] = p
    if R is not None:
        T[:3, :3] = R
    return T


def inverse(T_a_b: Array) -> Array:
    """Return ``T_b_a``, (..., 4, 4)."""
    R_b_a = np.swapaxes(T_a_b[..., :3, :3], -1, -2)
    T_b_a = np.zeros_like(T_a_b)
    T_b_a[..., :3, :3] = R_b_a
    T_b_a[..., :3, 3] = -(R_b_a @ T_a_b[..., :3, 3, None])[..., 0]
    T_b_a[..., 3, 3] = 1.0
    return T_b_a


def matrix_from_quat_xyzw(quat_xyzw: ArrayLike) -> Array:
    """Rotation matrix of a unit quaternion (ROS and scipy order), (3, 3).

    Raises:
        ShapeError: not four numbers.
        ValueError: not of unit length.
    """
    q = np.asarray(quat_xyzw, dtype=np.float64)
    if q.shape != (4,):
        raise ShapeError("quat_xyzw", expected="(4,)", got=q.shape)
    norm = float(np.linalg.norm(q))
    if not abs(norm - 1.0) < _UNIT_TOLERANCE:  # also true for NaN
        raise ValueError(f"quat_xyzw must have unit length, got {norm:.6g} from {q.tolist()}")
    x, y, z, w = q / norm
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def quat_xyzw_from_matrix(R: Array) -> Array:
    """Unit quaternion with w >= 0 of a rotation matrix, (4,).

    Shepperd's method: divide by the largest of the four components, so it never divides by zero.
    """
    return np.array(_quaternion(R))


def _quaternion(R: Array) -> tuple[float, float, float, float]:
    """Scalar arithmetic throughout: this runs several times per control cycle."""
    (xx, xy, xz), (yx, yy, yz), (zx, zy, zz) = R.tolist()
    squares = (1 + xx - yy - zz, 1 - xx + yy - zz, 1 - xx - yy + zz, 1 + xx + yy + zz)
    largest = max(squares)
    i = squares.index(largest)
    h = math.sqrt(largest)  # twice the largest component
    if i == 3:
        x, y, z, w = (zy - yz) / h, (xz - zx) / h, (yx - xy) / h, h
    elif i == 0:
        x, y, z, w = h, (xy + yx) / h, (xz + zx) / h, (zy - yz) / h
    elif i == 1:
        x, y, z, w = (xy + yx) / h, h, (yz + zy) / h, (xz - zx) / h
    else:
        x, y, z, w = (xz + zx) / h, (yz + zy) / h, h, (yx - xy) / h
    scale = math.copysign(1.0 / math.sqrt(x * x + y * y + z * z + w * w), w)
    return x * scale, y * scale, z * scale, w * scale


def rotvec_from_matrix(R: Array) -> Array:
    r"""Rotation vector (axis times angle) of a rotation matrix, (3,) [rad], angle in [0, pi]."""
    return np.array(rotvec_floats(R))


def rotvec_floats(R: Array) -> tuple[float, float, float]:
    """:func:`rotvec_from_matrix` as plain floats, for those who go on with floats."""
    x, y, z, w = _quaternion(R)
    sin_half = math.sqrt(x * x + y * y + z * z)
    # Below 1e-12 the angle equals twice its half-angle sine to machine precision.
    scale = 2.0 if sin_half < 1e-12 else 2.0 * math.atan2(sin_half, w) / sin_half
    return x * scale, y * scale, z * scale


def matrix_from_rotvec(rotvec: ArrayLike) -> Array:
    r"""Rotation matrix of a rotation vector w (3,) [rad] (Rodrigues), (3, 3).

    .. math:: R = \cos\theta\,I + \frac{\sin\theta}{\theta} [w]_\times + \frac{1 - \cos\theta}{\theta^2} w w^T
    """
    x, y, z = np.asarray(rotvec, dtype=np.float64).tolist()  # plain floats: a control cycle calls this
    square = x * x + y * y + z * z
    angle = math.sqrt(square)
    # Below 1e-4 the series are exact to machine precision, where 1 - cos would lose digits.
    a = 1.0 - square / 6.0 if angle < 1e-4 else math.sin(angle) / angle
    b = 0.5 - square / 24.0 if angle < 1e-4 else 2.0 * (math.sin(0.5 * angle) / angle) ** 2
    c = 1.0 - b * square
    bx, by, bz, ax, ay, az = b * x, b * y, b * z, a * x, a * y, a * z
    return np.array(
        (
            (c + bx * x, bx * y - az, bx * z + ay),
            (bx * y + az, c + by * y, by * z - ax),
            (bx * z - ay, by * z + ax, c + bz * z),
        )
    )


def skew(w: Array) -> Array:
    """Cross-product matrix: ``skew(w) @ x == cross(w, x)``, (3, 3)."""
    return np.array([[0.0, -w[2], w[1]], [w[2], 0.0, -w[0]], [-w[1], w[0], 0.0]])


def rotation_6d_from_matrix(R: Array) -> Array:
    """First two columns of the rotation, (..., 6); continuous, for networks only.

    Zhou et al., "On the Continuity of Rotation Representations in Neural Networks", CVPR 2019.
    """
    return np.concatenate([R[..., :, 0], R[..., :, 1]], axis=-1)


def matrix_from_rotation_6d(r6: Array) -> Array:
    """Gram-Schmidt inverse of :func:`rotation_6d_from_matrix`, (..., 3, 3).

    Raises:
        ValueError: the two columns are (almost) parallel or zero.
    """
    a, b = r6[..., :3], r6[..., 3:]
    norm_a = np.linalg.norm(a, axis=-1, keepdims=True)
    x = a / np.maximum(norm_a, 1e-12)
    b = b - (x * b).sum(-1, keepdims=True) * x
    norm_b = np.linalg.norm(b, axis=-1, keepdims=True)
    if np.any(norm_a < 1e-6) or np.any(norm_b < 1e-6):
        raise ValueError("rotation_6d: the two columns do not span a plane")
    y = b / norm_b
    return np.stack([x, y, np.cross(x, y)], axis=-1)


def interpolate_pose(T_0: Array, T_1: Array, alpha: float) -> Array:
    """Pose between two poses: position linear, rotation along the geodesic; alpha in [0, 1]."""
    T = np.eye(4)
    T[:3, 3] = (1.0 - alpha) * T_0[:3, 3] + alpha * T_1[:3, 3]
    R_0 = T_0[:3, :3]
    if np.array_equal(R_0, T_1[:3, :3]):  # exact, and the usual case of a tool kept straight down
        T[:3, :3] = R_0
        return T
    T[:3, :3] = R_0 @ matrix_from_rotvec(alpha * rotvec_from_matrix(R_0.T @ T_1[:3, :3]))
    return T
