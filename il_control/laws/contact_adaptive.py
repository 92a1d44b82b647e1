"""Stiff while the tool moves freely, soft as soon as it meets what was not planned."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from il_core.errors import ConfigError
from il_core.types import Vector


@dataclass(frozen=True, slots=True)
class ContactConfig:
    """When to soften, how far, and when to stiffen again.

    Attributes:
        k_p_soft: Stiffness in unexpected contact: 3 [N/m], 3 [N·m/rad], (6,).
        k_p_free: Stiffness in free motion, the same, nowhere less, (6,).
        on_n: Unexplained force that is a contact [N].
        on_nm: Unexplained torque that is a contact [N·m].
        off_share: Share of ``on_n`` and ``on_nm`` below which nothing touches any more, in (0, 1).
        mass_error_kg: What the model may be wrong by in the mass felt at the tool [kg]: accelerating the
            target raises the threshold by as much force.
        confirm_s: How long a threshold must be exceeded without a break [s]; noise is shorter.
        release_s: How long nothing must touch before the tool stiffens again [s].
        soften_s: Time from free to soft [s].
        stiffen_s: Time from soft to free [s].
    """

    k_p_soft: tuple[float, ...] = (150.0, 150.0, 150.0, 10.0, 10.0, 10.0)
    k_p_free: tuple[float, ...] = (1000.0, 1000.0, 1000.0, 30.0, 30.0, 30.0)
    on_n: float = 10.0
    on_nm: float = 2.0
    off_share: float = 0.4
    mass_error_kg: float = 1.0
    confirm_s: float = 0.005
    release_s: float = 0.3
    soften_s: float = 0.05
    stiffen_s: float = 0.5

    def __post_init__(self) -> None:
        """Reject settings that soften never, or never end.

        Raises:
            ConfigError: a size, sign or order is wrong.
        """
        if len(self.k_p_soft) != 6 or len(self.k_p_free) != 6:
            raise ConfigError("contact", "k_p_soft and k_p_free need 6 values each")
        if not all(0.0 <= a <= b < math.inf for a, b in zip(self.k_p_soft, self.k_p_free, strict=True)):
            raise ConfigError("contact", "need 0 <= k_p_soft <= k_p_free, finite, in every axis")
        if not 0.0 < self.off_share < 1.0:
            raise ConfigError("contact", f"off_share must be between 0 and 1, got {self.off_share}")
        for name in ("on_n", "on_nm", "release_s", "soften_s", "stiffen_s"):
            if not 0.0 < getattr(self, name) < math.inf:
                raise ConfigError("contact", f"{name} must be positive and finite, got {getattr(self, name)}")
        if not 0.0 <= min(self.confirm_s, self.mass_error_kg) <= max(self.confirm_s, self.mass_error_kg) < math.inf:
            raise ConfigError("contact", "confirm_s and mass_error_kg must be finite and not negative")


class ContactAdaptive:
    r"""Wanted stiffness from what touches the tool, for a :class:`StiffnessSchedule` to make passive.

    What the target does not explain is :math:`r = F_{ext} - F_{des}`, with the wrench the plan wants to feel
    (pressing on a table is not unexpected). It is a contact once, for ``confirm_s`` without a break,

    .. math:: |r_f| > f_{on} + \Delta m\, |a^{des}| \quad\text{or}\quad |r_\tau| > \tau_{on},

    a threshold that grows with the motion because the error of the model does (Sotoudehnejad, Takhmar,
    Kermani, Polushin, "Counteracting modeling errors for sensitive observer-based manipulator collision
    detection", IROS 2012). It is over after ``release_s`` without a break of both

    .. math:: |\bar r| < s\, r_{on} \quad\text{and}\quad |{-K_{free}}\,e - F_{des}| < \tfrac{1 + s}{2}\, r_{on},

    s being ``off_share`` and :math:`\bar r` the residual, low-passed with a fifth of ``release_s`` so that a
    single noisy sample does not begin the wait anew. The second is the wrench that would be felt, were the
    spring stiff again where it is now. Without it softening itself takes the force away, the tool stiffens,
    meets the force again, and so on for ever: hysteresis in the force alone does not end that.

    Attributes:
        is_contact: Whether there is an unexpected contact.
        softness: 0 in free motion, 1 in contact, a ramp between them.
    """

    def __init__(self, config: ContactConfig) -> None:
        """Begin in free motion."""
        self.config = config
        self._soft, self._free = np.array(config.k_p_soft), np.array(config.k_p_free)
        self.reset()

    def reset(self) -> None:
        """Free motion, nothing touched."""
        self.is_contact, self.softness = False, 0.0
        self._pending_s, self._residual = 0.0, np.zeros(6)

    def step(
        self, wrench_ext: Vector, wrench_des: Vector, error: Vector, acceleration_des: Vector, dt: float
    ) -> Vector:
        """Take one estimate and give the stiffness wanted now.

        An estimate that is not finite is none: the tool stays as it is, and nothing is confirmed.

        Args:
            wrench_ext: Estimated external wrench on the tool, axes of base, force first, (6,) [N, N·m].
            wrench_des: The one the plan wants to feel, (6,) [N, N·m]; zeros if it wants to touch nothing.
            error: Wanted minus measured pose, axes of base, (6,) [m, rad].
            acceleration_des: Acceleration of the target, axes of base, linear first, (6,) [m/s², rad/s²].
            dt: Time since the last call [s].

        Returns:
            Wanted stiffness, (6,) [N/m, N·m/rad].
        """
        dt = max(dt, 0.0)
        config = self.config
        residual = wrench_ext - wrench_des
        force, torque = _lengths(residual)
        if math.isfinite(force + torque):
            self._residual = self._residual - math.expm1(-5.0 * dt / config.release_s) * (residual - self._residual)
            if self.is_contact:
                is_news = self._is_over(_lengths(self._free * error + wrench_des))
            else:
                acceleration, _ = _lengths(acceleration_des)
                is_news = force > config.on_n + config.mass_error_kg * acceleration or torque > config.on_nm
            self._confirm(is_news, dt)
        else:
            self._pending_s = 0.0
        change = dt / config.soften_s if self.is_contact else -dt / config.stiffen_s
        self.softness = min(max(self.softness + change, 0.0), 1.0)
        return np.asarray(self._free + self.softness * (self._soft - self._free))

    def _is_over(self, would: tuple[float, float]) -> bool:
        """Whether nothing touches, and nothing would if the spring were stiff again."""
        config, share = self.config, self.config.off_share
        limits = (config.on_n, config.on_nm)
        rows = zip(_lengths(self._residual), would, limits, strict=True)
        return all(felt < share * limit and then < 0.5 * (1.0 + share) * limit for felt, then, limit in rows)

    def _confirm(self, is_news: bool, dt: float) -> None:
        """Change the state if the news has lasted long enough."""
        self._pending_s = self._pending_s + dt if is_news else 0.0
        needed_s = self.config.release_s if self.is_contact else self.config.confirm_s
        # Sums of periods are rounded: a billionth of a second is no waiting time.
        if is_news and self._pending_s >= needed_s - 1e-9:
            self.is_contact, self._pending_s = not self.is_contact, 0.0


def _lengths(x: Vector) -> tuple[float, float]:
    """Lengths of both halves."""
    a, b, c, d, e, f = x.tolist()
    return math.hypot(a, b, c), math.hypot(d, e, f)
