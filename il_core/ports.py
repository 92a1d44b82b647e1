"""The few interfaces that several implementations fill; siblings meet only here."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from il_core.types import ActionChunk, ArmCommand, ArmState, CameraFrame, Observation, Setpoint


class Clock(Protocol):
    """A source of instants."""

    def now_ns(self) -> int:
        """Return the current instant [ns]."""
        ...


class ArmDriver(Protocol):
    """A torque-controlled arm with a gripper: read, then write, once per control cycle."""

    def read(self) -> ArmState:
        """Return the newest measurement."""
        ...

    def write(self, setpoint: Setpoint) -> None:
        """Apply a checked setpoint until the next one or the driver's own command timeout.

        Raises:
            DeviceError: it has another quantity (torque, position, velocity) than the arm takes.
        """
        ...


class CameraSource(Protocol):
    """A depth camera that yields aligned frames."""

    def read(self) -> CameraFrame:
        """Return the newest frame.

        Raises:
            DeviceError: the camera is gone or silent.
        """
        ...


class TeleopDevice(Protocol):
    """Something a person moves to say where the tool should go."""

    def command(self, now_ns: int) -> ArmCommand | None:
        """Return the wish of this instant, or None while the clutch is open."""
        ...


class Policy(Protocol):
    """Observations in, action chunk out."""

    def predict(self, window: Sequence[Observation]) -> ActionChunk:
        """Plan from the last ``n_obs`` observations, oldest first."""
        ...
