"""Any camera's distortion in the one model that ROS tools read."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from il_core.errors import DeviceError


def fit_plumb_bob(
    ray: NDArray[np.float64], seen: NDArray[np.float64], focal_px: float, limit_px: float = 0.5
) -> tuple[tuple[float, ...], float]:
    r"""Brown-Conrady coefficients that map undistorted rays to where the lens shows them.

    .. math:: x_d = x (1 + k_1 r^2 + k_2 r^4 + k_3 r^6) + 2 p_1 x y + p_2 (r^2 + 2 x^2)
    .. math:: y_d = y (1 + k_1 r^2 + k_2 r^4 + k_3 r^6) + p_1 (r^2 + 2 y^2) + 2 p_2 x y

    They are linear in the coefficients (Brown 1966; OpenCV's first five), so least squares finds them from
    pairs that any other model gives.

    Args:
        ray: Undistorted x/z and y/z, (N, 2).
        seen: The same, distorted, (N, 2).
        focal_px: Focal length, to say the misfit in pixels [px].
        limit_px: Largest misfit accepted [px].

    Returns:
        (k1, k2, p1, p2, k3) and the largest misfit [px].

    Raises:
        DeviceError: the lens does not follow this model, such as a fisheye.
    """
    x, y = ray[:, 0], ray[:, 1]
    r2 = x * x + y * y
    of_x = np.stack([x * r2, x * r2**2, 2 * x * y, r2 + 2 * x * x, x * r2**3], axis=1)
    of_y = np.stack([y * r2, y * r2**2, r2 + 2 * y * y, 2 * x * y, y * r2**3], axis=1)
    matrix, wanted = np.concatenate([of_x, of_y]), np.concatenate([seen[:, 0] - x, seen[:, 1] - y])
    if np.abs(wanted).max() * focal_px < 1e-3:  # a thousandth of a pixel: no distortion, and no noise made into one
        return (0.0,) * 5, 0.0
    coefficients = np.linalg.lstsq(matrix, wanted, rcond=None)[0]
    misfit_px = float(np.abs(matrix @ coefficients - wanted).max() * focal_px)
    if misfit_px > limit_px:
        raise DeviceError(
            f"the lens departs by {misfit_px:.1f} px from ROS's plumb_bob model, {limit_px} px are accepted; "
            "rectify its pictures first"
        )
    return tuple(float(c) for c in coefficients), misfit_px
