r"""The pose of a camera from views of one board: closed form first, then least squares in the picture.

Every view i satisfies, exact measurements given,

.. math:: M_i X B_i = Z

with X the camera's optical frame in its mount, B_i the board in the optical frame, Z the board in the
anchor, and M_i the mount in the anchor. On the tool (eye in hand) mount and anchor are ``ee`` and
``base``; beside the arm (eye to hand, the board on the tool) they are ``base`` and ``ee``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from il_core.errors import IlError
from il_core.geometry import Array, inverse, matrix_from_rotvec, pose, rotvec_from_matrix
from il_core.spec import Mount
from il_teleop.calibration.board import Sighting

HALF_TURN_RAD = np.radians(170.0)  # beyond it the sign of a rotation vector depends on noise
STEPS, SMALL = 60, 1e-12
CORNER_PX = 0.2  # how well a corner is found
ARM_M, ARM_RAD = 5e-4, np.radians(0.05)  # how true an arm's forward kinematics is: repeatable arms are not exact
UNKNOWNS = 12


class CalibrationError(IlError):
    """The pictures do not say well enough where the camera is; the message says what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class View:
    """One picture of the board and where the tool was.

    Attributes:
        stamp_ns: Instant of the picture [ns].
        T_base_ee: Pose of the tool then, (4, 4) [m].
        board: The board in the picture.
    """

    stamp_ns: int
    T_base_ee: Array
    board: Sighting

    def T_anchor_mount(self, mount: Mount) -> Array:
        """M_i of the module's equation, (4, 4) [m]."""
        return self.T_base_ee if mount is Mount.EE else inverse(self.T_base_ee)


@dataclass(frozen=True, slots=True, eq=False)
class Solution:
    """Where camera and board are.

    Attributes:
        T_mount_optical: X, (4, 4) [m].
        T_anchor_board: Z, (4, 4) [m].
        rms_px: Root mean square distance of seen and predicted corners [px].
    """

    T_mount_optical: Array
    T_anchor_board: Array
    rms_px: float

    def T_optical_board(self, view: View, mount: Mount) -> Array:
        """Where the board must be in a view, (4, 4) [m]."""
        return inverse(self.T_mount_optical) @ inverse(view.T_anchor_mount(mount)) @ self.T_anchor_board


def relative_motions(views: Sequence[View], mount: Mount) -> list[tuple[Array, Array]]:
    """Motion of the mount and of the camera between every two views: A X = X B, both (4, 4)."""
    M = [v.T_anchor_mount(mount) for v in views]
    B = [v.board.T_optical_board for v in views]
    pairs = [(i, j) for i in range(len(views)) for j in range(i)]
    return [(inverse(M[j]) @ M[i], B[j] @ inverse(B[i])) for i, j in pairs]


def solve(views: Sequence[View], mount: Mount) -> Solution:
    """Where camera and board are, from three views or more.

    Raises:
        CalibrationError: the views do not determine it; says what to do.
    """
    return refine(views, mount, *closed_form(views, mount))


def closed_form(views: Sequence[View], mount: Mount) -> tuple[Array, Array]:
    r"""Solve A X = X B for all pairs: the rotation from the rotation vectors, then the translation.

    .. math:: R_X = \arg\min_R \sum |a - R b|^2, \qquad (R_A - I)\,p_X = R_X p_B - p_A

    The logarithm method of Park and Martin, "Robot sensor calibration: solving AX = XB on the
    Euclidean group", IEEE Trans. Robotics and Automation 1994, its rotation by singular values.

    Returns:
        X and Z.

    Raises:
        CalibrationError: fewer than three views, or the tool turned about one axis only.
    """
    if len(views) < 3:
        raise CalibrationError(f"{len(views)} views of the board, 3 are the least that can be solved; take more")
    pairs = relative_motions(views, mount)
    a = np.array([rotvec_from_matrix(A[:3, :3]) for A, _ in pairs]).reshape(-1, 3)
    b = np.array([rotvec_from_matrix(B[:3, :3]) for _, B in pairs]).reshape(-1, 3)
    use = np.maximum(np.linalg.norm(a, axis=1), np.linalg.norm(b, axis=1)) < HALF_TURN_RAD
    u, sizes, vt = np.linalg.svd(a[use].T @ b[use])
    if not use.any() or sizes[1] < 1e-6:
        raise CalibrationError("the tool did not turn about two axes; tilt it to other sides between the pictures")
    R = u @ np.diag([1.0, 1.0, np.linalg.det(u) * np.linalg.det(vt)]) @ vt
    left = np.concatenate([A[:3, :3] - np.eye(3) for A, _ in pairs])
    right = np.concatenate([R @ B[:3, 3] - A[:3, 3] for A, B in pairs])
    X = pose(np.linalg.lstsq(left, right, rcond=None)[0], R)
    boards = [v.T_anchor_mount(mount) @ X @ v.board.T_optical_board for v in views]
    return X, _mean(boards)


def _mean(poses: Sequence[Array]) -> Array:
    """Mean position, and the rotation nearest to the mean of the matrices."""
    u, _, vt = np.linalg.svd(np.mean([T[:3, :3] for T in poses], axis=0))
    R = u @ np.diag([1.0, 1.0, np.linalg.det(u) * np.linalg.det(vt)]) @ vt
    return pose(np.mean([T[:3, 3] for T in poses], axis=0), R)


def refine(views: Sequence[View], mount: Mount, X: Array, Z: Array) -> Solution:
    r"""Least squares of all corners over X and Z (Levenberg-Marquardt).

    .. math:: \min_{X, Z} \sum_i r_i^T S_i^{-1} r_i, \qquad
              r_{ik} = f\,(\pi(X^{-1} M_i^{-1} Z\, p_k) - s_{ik}), \qquad
              S_i = \sigma_c^2 I + J_i \Sigma_a J_i^T

    with :math:`\pi(x, y, z) = (x/z, y/z)`, :math:`s_{ik}` the ray corner k is seen along, f the focal length,
    :math:`\sigma_c` the error of a corner, :math:`\Sigma_a` that of the tool's pose and J its effect on the picture.
    An error of the arm moves all corners of a view alike: how they lie to each other is trusted more than where.

    Raises:
        CalibrationError: the board comes out behind the camera.
    """
    damping, X, Z = 1e-6, X.copy(), Z.copy()
    roots = [_root(view, mount, X, Z) for view in views]
    residual, jacobian = _errors(views, mount, X, Z, roots)
    cost = float(residual @ residual)
    if not np.isfinite(cost):
        raise CalibrationError(
            "the board comes out behind the camera: the views contradict each other; did the board slip, or does "
            "config/robot say the wrong mount?"
        )
    for _ in range(STEPS):
        hessian, gradient = jacobian.T @ jacobian, jacobian.T @ residual
        bent = hessian + damping * np.diag(np.diag(hessian) + SMALL)
        step = np.asarray(np.linalg.solve(bent, -gradient), dtype=np.float64)
        X_new, Z_new = X @ _motion(step[:6]), Z @ _motion(step[6:])
        new_residual, new_jacobian = _errors(views, mount, X_new, Z_new, roots)
        new_cost = float(new_residual @ new_residual)
        if not new_cost < cost:  # also NaN: the board behind the camera
            damping *= 10.0
            if damping > 1e8:
                break
            continue
        gain, X, Z, residual, jacobian, cost = cost - new_cost, X_new, Z_new, new_residual, new_jacobian, new_cost
        damping = max(damping / 10.0, 1e-9)
        if gain <= 1e-10 * cost + 1e-18:
            break
    plain = np.concatenate([_view_errors(view, mount, X, Z)[0] for view in views])
    return Solution(X, Z, float(np.sqrt(plain @ plain / (len(plain) / 2))))


def _motion(step: Array) -> Array:
    """Small motion of a frame in itself from translation and rotation vector, (6,) -> (4, 4)."""
    return pose(step[:3], matrix_from_rotvec(step[3:]))


def _errors(views: Sequence[View], mount: Mount, X: Array, Z: Array, roots: Sequence[Array]) -> tuple[Array, Array]:
    """Residuals (2n,) and their derivatives (2n, 12), in standard deviations: freed of S by its root."""
    parts = []
    for view, root in zip(views, roots, strict=True):
        residual, jacobian = _view_errors(view, mount, X, Z)
        if not np.isfinite(residual).all():
            return np.array([np.nan]), np.zeros((1, UNKNOWNS))
        parts.append(np.linalg.solve(root, np.column_stack([residual, jacobian])))
    whole = np.concatenate(parts)
    return whole[:, 0], whole[:, 1:]


def _view_errors(view: View, mount: Mount, X: Array, Z: Array) -> tuple[Array, Array]:
    """Residuals of one view (2n,) [px] and their derivatives by the motions of X and Z in themselves, (2n, 12).

    Not-a-number where the board is behind the camera.
    """
    T = inverse(X) @ inverse(view.T_anchor_mount(mount)) @ Z
    p, d_pixel = _projected(view, T)
    if p[:, 2].min() <= 0.0:
        return np.full(2 * len(p), np.nan), np.zeros((2 * len(p), UNKNOWNS))
    residual = (view.board.focal_px * (p[:, :2] / p[:, 2:] - view.board.rays)).ravel()
    d_board = d_pixel @ T[:3, :3]
    parts = (-d_pixel, d_pixel @ _skews(p), d_board, -d_board @ _skews(view.board.points_board_m))
    return residual, np.concatenate(parts, axis=2).reshape(-1, UNKNOWNS)


def _projected(view: View, T_optical_board: Array) -> tuple[Array, Array]:
    """Corners in the optical frame (n, 3) [m], and how their pixels move with them (n, 2, 3) [px/m]."""
    p = view.board.points_board_m @ T_optical_board[:3, :3].T + T_optical_board[:3, 3]
    (x, y, z), f = p.T, view.board.focal_px
    d_pixel = np.zeros((len(p), 2, 3))
    d_pixel[:, 0, 0] = d_pixel[:, 1, 1] = f / z
    d_pixel[:, 0, 2], d_pixel[:, 1, 2] = -f * x / z**2, -f * y / z**2
    return p, d_pixel


def _root(view: View, mount: Mount, X: Array, Z: Array) -> Array:
    """Lower root of S, the covariance of a view's pixels, (2n, 2n): the tool moved a little in itself, and noise."""
    p, d_pixel = _projected(view, inverse(X) @ inverse(view.T_anchor_mount(mount)) @ Z)
    if mount is Mount.EE:
        R, p_tool = -X[:3, :3].T, p @ X[:3, :3].T + X[:3, 3]
    else:
        R, p_tool = (inverse(X) @ view.T_base_ee)[:3, :3], view.board.points_board_m @ Z[:3, :3].T + Z[:3, 3]
    by_tool = np.concatenate([ARM_M * (d_pixel @ R), -ARM_RAD * (d_pixel @ R @ _skews(p_tool))], axis=2).reshape(-1, 6)
    return np.asarray(np.linalg.cholesky(CORNER_PX**2 * np.eye(len(by_tool)) + by_tool @ by_tool.T), dtype=np.float64)


def _skews(points: Array) -> Array:
    """Cross-product matrices, (n, 3) -> (n, 3, 3)."""
    zero = np.zeros(len(points))
    x, y, z = points.T
    return np.stack([zero, -z, y, z, zero, -x, -y, x, zero], axis=1).reshape(-1, 3, 3)
