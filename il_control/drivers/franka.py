"""A Franka arm through the maker's own library, without ROS between us and the arm.

pylibfranka is not among our dependencies: install it where the arm is (`pip install pylibfranka`).
Its calls block until the arm's next millisecond, so the thread that starts the motion owns the arm:
it reads, writes and stops, and does nothing else. Give that thread real-time priority before
connecting.
"""

from __future__ import annotations

import importlib
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from il_core.errors import ConfigError, DeviceError
from il_core.spec import Interface, RobotSpec
from il_core.types import ArmState, Setpoint, Vector

CYCLE_S = 1e-3  # of the arm's controller
RATE_SHARE = 0.95  # of the arm's limit of the torque's rate
RECOVERY_PAUSE_S = 0.2  # the arm's controller needs a moment between two attempts


@dataclass(frozen=True, slots=True)
class FrankaConfig:
    """How to reach the arm, and when it is to stop by itself.

    Attributes:
        address: Host name or address of the arm's controller.
        require_realtime: Whether to refuse a kernel without real-time scheduling.
        torque_max_nm: External joint torque above which the arm stops itself (reflex) [N·m].
        force_max_n: External force or torque at the tool above which it does [N, N·m].
        recovery_attempts: Times :meth:`FrankaArm.recover` tries.
    """

    address: str
    torque_max_nm: float
    force_max_n: float
    require_realtime: bool = True
    recovery_attempts: int = 3

    def __post_init__(self) -> None:
        """Reject thresholds that would never, or always, stop the arm."""
        if not 0.0 < self.torque_max_nm <= 100.0 or not 0.0 < self.force_max_n <= 100.0:
            raise ConfigError("franka", "torque_max_nm and force_max_n must be within 0 and 100")
        if self.recovery_attempts < 1:
            raise ConfigError("franka", "recovery_attempts must be at least 1")


class FrankaArm:
    """One Franka arm. Fills ``il_core.ports.ArmDriver`` between :meth:`start` and :meth:`stop`.

    libfranka adds gravity itself, so the weight in a setpoint's torque is taken out again before it
    is sent. What is sent differs from what the arm took last by a little less than its torque-rate
    limit: the safety gate keeps to the limit with the weight in it, the arm checks without, and a
    rounding error or a lost packet would be a reflex. The hand is a device of its own with blocking
    calls, and not driven here: a state's opening is the one last asked for.
    """

    def __init__(
        self, robot: RobotSpec, config: FrankaConfig, gravity: Callable[[Vector], Vector], now_ns: Callable[[], int]
    ) -> None:
        """Connect and set the reflex thresholds; nothing moves yet.

        Args:
            robot: The arm; its joints are libfranka's seven, in order.
            config: Address and thresholds.
            gravity: Weight torque at a posture as the setpoints contain it, (nq,) -> (nq,) [N·m].
            now_ns: Clock of the states' stamps [ns].

        Raises:
            ConfigError: the robot is not a torque-controlled arm of seven joints.
            DeviceError: pylibfranka is missing, or the arm does not answer.
        """
        if robot.nq != 7 or robot.interface is not Interface.EFFORT:
            raise ConfigError(f"robot '{robot.name}'", "a Franka arm has 7 joints and takes effort")
        self._library = _library()
        self._config, self._gravity, self._now_ns = config, gravity, now_ns
        self._control: Any = None
        self._owner = 0
        self._q: Vector = np.array(robot.q_home_rad)
        self._opening = 1.0
        self._step = RATE_SHARE * CYCLE_S * np.array(robot.tau_rate_max_nm_s)
        self._taken: Vector = np.zeros(7)
        kinds = self._library.RealtimeConfig
        with _told(self._library, config.address):
            self._robot = self._library.Robot(
                config.address, kinds.kEnforce if config.require_realtime else kinds.kIgnore
            )
            torque, force = [config.torque_max_nm] * 7, [config.force_max_n] * 6
            self._robot.set_collision_behavior(torque, torque, force, force)

    @property
    def is_moving(self) -> bool:
        """Whether torques are taken: between :meth:`start` and :meth:`stop`, or an error."""
        return self._control is not None

    def mode(self) -> str:
        """What the arm says it is doing: ``Idle``, ``Move``, ``Guiding``, ``Reflex``, ``UserStopped``...

        ``Guiding`` means a person holds the guiding button: the arm floats and takes no command, but
        :meth:`read` goes on. Ask while no motion runs.
        """
        with _told(self._library, self._config.address):
            return str(self._robot.read_once().robot_mode.name).lstrip("k")

    def start(self) -> None:
        """Begin to take torques; from now on this thread owns the arm.

        Raises:
            DeviceError: the arm is stopped, guided or in a reflex; :meth:`recover` may help.
        """
        self._owner = threading.get_ident()
        with _told(self._library, self._config.address):
            self._control = self._robot.start_torque_control()

    def read(self) -> ArmState:
        """The newest state; during a motion it waits for the arm's next millisecond.

        Raises:
            DeviceError: the connection or the motion broke; the message carries the arm's words.
        """
        if self._control is None:
            with _told(self._library, self._config.address):
                return self._state(self._robot.read_once())
        self._check_thread()
        with self._motion():
            raw, _ = self._control.readOnce()
        return self._state(raw)

    def write(self, setpoint: Setpoint) -> None:
        """Answer the state just read.

        Raises:
            DeviceError: no motion runs, it broke, or the setpoint has no torques.
        """
        tau = setpoint.torque
        if self._control is None:
            raise DeviceError("the Franka arm takes no torques now; call start() first")
        self._check_thread()
        self._opening = setpoint.gripper
        wanted = tau - self._gravity(self._q)
        sent = np.minimum(np.maximum(wanted, self._taken - self._step), self._taken + self._step)
        with self._motion():
            self._control.writeOnce(self._library.Torques(sent.tolist()))

    def stop(self) -> None:
        """End the motion; the arm brakes and holds itself. Harmless if none runs.

        Whatever torque is left is let go over as many milliseconds as the arm's rate limit needs.
        """
        control, self._control = self._control, None
        if control is None:
            return
        with _told(self._library, self._config.address):
            is_over = False
            while not is_over:
                raw, _ = control.readOnce()
                self._state(raw)
                sent = self._taken - np.minimum(np.maximum(self._taken, -self._step), self._step)
                is_over = not np.any(sent)
                last = self._library.Torques(sent.tolist())
                last.motion_finished = is_over
                control.writeOnce(last)

    def recover(self) -> None:
        """Clear a reflex or error, so that :meth:`start` is accepted again.

        Raises:
            DeviceError: it comes back every time: a person has to look, or to release the stop button.
        """
        self._control = None
        for attempt in range(self._config.recovery_attempts):
            try:
                with _told(self._library, self._config.address):
                    self._robot.automatic_error_recovery()
                return
            except DeviceError:
                if attempt + 1 == self._config.recovery_attempts:
                    raise
                time.sleep(RECOVERY_PAUSE_S)

    def close(self) -> None:
        """Let go of the arm; the object is of no use afterwards."""
        self._control = None
        self._robot = None

    def _state(self, raw: Any) -> ArmState:  # noqa: ANN401 - pylibfranka.RobotState
        self._q, self._taken = np.array(raw.q), np.array(raw.tau_J_d)
        return ArmState(self._now_ns(), self._q, np.array(raw.dq), np.array(raw.tau_J), self._opening)

    def _check_thread(self) -> None:
        if threading.get_ident() != self._owner:
            raise DeviceError("another thread started this motion: one thread reads, writes and stops the Franka arm")

    def _motion(self) -> _told:
        """Errors in words, and a motion that broke is over."""
        return _told(self._library, self._config.address, self._lost)

    def _lost(self) -> None:
        self._control = None


class _told:  # noqa: N801 - reads as a statement: with _told(...)
    """Turns libfranka's errors into ours."""

    def __init__(self, library: Any, address: str, on_error: Callable[[], None] | None = None) -> None:  # noqa: ANN401
        self._library, self._address, self._on_error = library, address, on_error

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        """Say what went wrong and what to do."""
        if error is None or isinstance(error, DeviceError):
            return
        library = self._library
        if self._on_error is not None:
            self._on_error()
        words = str(error).removeprefix("libfranka: ").strip()
        if isinstance(error, library.NetworkException):
            text = f"no connection to the Franka arm at {self._address}: {words}; check cable, address and FCI"
            raise DeviceError(text) from error
        if isinstance(error, library.ControlException):
            raise DeviceError(f"the Franka arm stopped the motion: {words}; recover(), then start() again") from error
        if isinstance(error, library.RealtimeException):
            raise DeviceError(f"{words}; give this process real-time permission or set require_realtime") from error
        if isinstance(error, RuntimeError | library.FrankaException):
            raise DeviceError(f"the Franka arm refused: {words}; see its stop button and its Desk") from error


def _library() -> Any:  # noqa: ANN401 - an optional module without types we could name
    """The maker's library, where it is installed."""
    try:
        return importlib.import_module("pylibfranka")
    except ImportError as error:
        raise DeviceError(f"pylibfranka is not installed ({error}): `pip install pylibfranka`") from error
