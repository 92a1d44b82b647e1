"""Arrays that are checked once and never change."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from il_core.errors import NonFiniteError, ShapeError

Vector = NDArray[np.float64]


def frozen(name: str, value: ArrayLike, ndim: int) -> NDArray[np.float64]:
    """Copy to float64, check rank and finiteness, and forbid writes.

    Raises:
        ShapeError: wrong rank or empty.
        NonFiniteError: NaN or infinity inside.
    """
    array = np.array(value, dtype=np.float64)
    if array.ndim != ndim or array.size == 0:
        raise ShapeError(name, expected=f"{ndim}-D and non-empty", got=array.shape)
    finite = np.isfinite(array)
    if not finite.all():
        raise NonFiniteError(name, int(np.flatnonzero(~finite)[0]))
    array.setflags(write=False)
    return array


def frozen_pose(name: str, value: ArrayLike) -> NDArray[np.float64]:
    """Freeze one (4, 4) or a stack (..., 4, 4) of rigid transforms.

    Raises:
        ShapeError: trailing shape is not (4, 4).
        ValueError: the rotation part is not orthonormal.
    """
    array = np.asarray(value, dtype=np.float64)
    if array.shape[-2:] != (4, 4):
        raise ShapeError(name, expected="(..., 4, 4)", got=array.shape)
    array = frozen(name, array, array.ndim)
    R = array[..., :3, :3]
    error = np.abs(np.swapaxes(R, -1, -2) @ R - np.eye(3)).max()
    if error > 1e-6:
        raise ValueError(f"{name}: rotation is not orthonormal, error {error:.2g}")
    return array
