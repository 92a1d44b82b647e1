"""The force sensor at the wrist: what it measured, seen from outside the tool, and not too long ago."""

from __future__ import annotations

import numpy as np

from il_control.laws.compensation import external_wrench
from il_control.model import ArmModel
from il_control.servo_config import WristConfig
from il_core.errors import ShapeError
from il_core.types import Vector, frozen
from il_core.wrench import wrench_about


class Wrist:
    """Remembers the newest measurement."""

    def __init__(self, config: WristConfig, model: ArmModel) -> None:
        """Take the settings; ``model`` is updated by the caller before each cycle.

        Raises:
            ConfigError: the URDF has no such frame.
        """
        self.config, self._model = config, model
        self._frame = model.frame_id(config.frame)
        self._max_age_ns = int(config.max_age_ms * 1e6)
        self._stamp_ns: int | None = None
        self._wrench = np.zeros(6)

    def offer(self, stamp_ns: int, wrench: Vector) -> bool:
        """Take a measurement if it is newer than the last; say whether.

        Args:
            stamp_ns: Instant of the measurement [ns].
            wrench: On the tool, in the sensor's frame, force first, (6,) [N, N·m].

        Raises:
            ShapeError: not six values.
            NonFiniteError: a value is not finite.
        """
        values = frozen("wrist wrench", wrench, ndim=1)
        if values.shape != (6,):
            raise ShapeError("wrist wrench", expected="(6,)", got=values.shape)
        if self._stamp_ns is not None and stamp_ns <= self._stamp_ns:
            return False
        self._stamp_ns, self._wrench = stamp_ns, values
        return True

    def forget(self) -> None:
        """The clock was set: the stamp of the last measurement means nothing."""
        self._stamp_ns = None

    def wrench(self, now_ns: int) -> Vector | None:
        """External wrench about the tool point, axes of base, (6,) [N, N·m]; None if the last one is too old."""
        if self._stamp_ns is None or abs(now_ns - self._stamp_ns) > self._max_age_ns:
            return None
        model = self._model
        T_base_ee = model.T_base_ee
        measured = wrench_about(T_base_ee[:3, 3], model.frame_pose(self._frame), self._wrench)
        return external_wrench(measured, self.config.payload, T_base_ee)
