"""Stiffness set at run time, kept passive: a rise is paid out of a tank that dissipated energy fills."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from il_core.errors import ConfigError
from il_core.types import Vector

GAP_S = 0.05  # since the last call: what the damper took meanwhile is unknown, and is not booked
POTENTIAL_MAX = 1e6  # [m² or rad²]: an error of a kilometre is none


@dataclass(frozen=True, slots=True)
class TankConfig:
    """Size of an energy tank.

    Attributes:
        floor_j: Level that is never gone below [J].
        initial_j: Level to begin with, the budget for stiffening before anything was dissipated [J].
        cap_j: Level above which energy is thrown away [J]: bounds what can be released at once.
    """

    floor_j: float = 0.1
    initial_j: float = 1.0
    cap_j: float = 4.0

    def __post_init__(self) -> None:
        """Reject tanks that cannot be.

        Raises:
            ConfigError: the levels are not ordered, negative or not finite.
        """
        if not 0.0 <= self.floor_j <= self.initial_j <= self.cap_j < math.inf:
            got = f"floor_j {self.floor_j}, initial_j {self.initial_j}, cap_j {self.cap_j}"
            raise ConfigError("energy tank", f"need 0 <= floor_j <= initial_j <= cap_j, all finite; got {got}")


class EnergyTank:
    r"""Energy a controller may spend: never more than it was given and took in.

    .. math:: \dot T = P_{diss} - P_{spent}, \qquad T_{floor} \le T \le T_{cap}

    Ferraguti, Secchi, Fantuzzi, "A tank-based approach to impedance control with variable stiffness",
    ICRA 2013. Their state :math:`x_t` with :math:`T = x_t^2 / 2` is left out: it keeps the tank a port of
    the controller in continuous time; in sampled time the level itself is the plainer account.

    Attributes:
        level_j: Present level [J].
        debt_j: Energy the sampled loop made that the tank could not pay, not negative [J]; it is paid back
            out of what comes in before the level rises, and while there is any nothing can be drawn.
    """

    def __init__(self, config: TankConfig) -> None:
        """Fill it to its initial level."""
        self.config = config
        self.reset()

    @property
    def available_j(self) -> float:
        """What may be drawn [J]."""
        return 0.0 if self.debt_j > 0.0 else self.level_j - self.config.floor_j

    def reset(self) -> None:
        """Back to the initial level, without debt."""
        self.level_j, self.debt_j = self.config.initial_j, 0.0

    def add(self, energy_j: float) -> None:
        """Book energy [J] that came in, or got lost if negative; what is not finite is not booked."""
        if not math.isfinite(energy_j):
            return
        free_j = self.level_j - self.config.floor_j - self.debt_j + energy_j
        self.debt_j = max(0.0, -free_j)
        self.level_j = min(self.config.floor_j + max(0.0, free_j), self.config.cap_j)

    def draw(self, energy_j: float) -> float:
        """Take out as much of a wanted energy [J] as there is.

        Returns:
            The share that was granted, in [0, 1]; 1 if nothing was asked for.
        """
        if not energy_j > 0.0:
            return 1.0
        available_j = self.available_j
        if energy_j <= available_j:
            # The difference of two rounded numbers may undercut the floor by one ulp.
            self.level_j = max(self.level_j - energy_j, self.config.floor_j)
            return 1.0
        if available_j > 0.0:
            self.level_j = self.config.floor_j
        return available_j / energy_j


@dataclass(frozen=True, slots=True)
class ScheduleConfig:
    """Bounds of a stiffness that is set at run time.

    Attributes:
        k_p_min: Least stiffness: 3 along [N/m], 3 about [N·m/rad] the axes of base, (6,).
        k_p_max: Greatest stiffness, the same, (6,).
        k_p_rate: Fastest change, either way: 3 [N/m/s], 3 [N·m/rad/s], (6,).
        e_max: Error beyond which the law's spring pulls no harder: 3 [m], 3 [rad], (6,).
        zeta: Least and greatest damping ratio, (2,) [-].
        zeta_rate: Fastest change of the damping ratio [1/s].
    """

    k_p_min: tuple[float, ...] = (50.0, 50.0, 50.0, 5.0, 5.0, 5.0)
    k_p_max: tuple[float, ...] = (3000.0, 3000.0, 3000.0, 100.0, 100.0, 100.0)
    k_p_rate: tuple[float, ...] = (5000.0, 5000.0, 5000.0, 200.0, 200.0, 200.0)
    e_max: tuple[float, ...] = (math.inf,) * 6
    zeta: tuple[float, ...] = (0.5, 1.5)
    zeta_rate: float = 5.0

    def __post_init__(self) -> None:
        """Reject bounds that leave nothing, or something unstable.

        Raises:
            ConfigError: a size, sign or order is wrong.
        """
        for name, size in (("k_p_min", 6), ("k_p_max", 6), ("k_p_rate", 6), ("e_max", 6), ("zeta", 2)):
            if len(getattr(self, name)) != size:
                raise ConfigError("stiffness schedule", f"{name} needs {size} values, got {getattr(self, name)}")
        for low, high in zip(self.k_p_min, self.k_p_max, strict=True):
            if not 0.0 <= low <= high < math.inf:
                raise ConfigError("stiffness schedule", f"need 0 <= k_p_min <= k_p_max, got {low} and {high}")
        if not (min(*self.k_p_rate, *self.e_max, self.zeta_rate) > 0.0 and math.isfinite(sum(self.k_p_rate))):
            raise ConfigError("stiffness schedule", "k_p_rate, e_max and zeta_rate must be positive, rates finite")
        if not 0.0 < self.zeta[0] <= self.zeta[1] < math.inf:
            raise ConfigError("stiffness schedule", f"zeta needs 0 < least <= greatest, got {self.zeta}")


class StiffnessSchedule:
    r"""The stiffness in force: the wanted one, bounded, ramped, and raised only as far as the tank pays.

    Stiffening a spring that is under load puts energy into it, :math:`\tfrac12 e^T \dot K e`: the term that
    costs variable impedance its passivity (Ferraguti et al., ICRA 2013; Kronander, Billard, "Stability
    considerations for variable impedance control", IEEE Trans. Robotics, 2016). Here K changes at the
    instant of the cycle, so the step costs exactly

    .. math:: \Delta E = \sum_i \Delta k_i\, \phi_i(e_i), \qquad
              \phi(e) = \begin{cases} e^2 / 2 & |e| \le e_{max} \\
                        e_{max} |e| - e_{max}^2 / 2 & \text{else} \end{cases}

    where :math:`\phi` is the potential of the spring whose error is clipped. Softening gives energy back.
    If the tank has less than all the rises of a cycle cost, each gets the same share of its own.

    The tank is filled with what the damper took in the cycle that ended. Force is held over the cycle while
    the tool moves on by :math:`\delta`, so a sampled spring makes :math:`\tfrac12 k \delta^2` of its own
    (Colgate, Schenkel, "Passivity of a class of sampled-data systems", J. Robotic Systems, 1997), and

    .. math:: E_{diss} = \sum_i d_i \dot{\tilde x}_i^- \delta_i - \tfrac12 k_i \delta_i^2, \qquad
              \delta = \tfrac12 (\dot{\tilde x}^- + \dot{\tilde x})\, \Delta t

    with :math:`\tilde x` = target minus tool and :math:`^-` the cycle before. For a mass under held force
    this is exact, not an approximation for small :math:`\Delta t`; a clipped spring makes less. Hence over
    any run and whatever is wanted, kinetic and spring energy never exceed what they were at the start, plus
    the work from outside, plus :math:`T_{initial} - T_{floor}`, as long as :attr:`EnergyTank.debt_j` stays
    zero. It does where :math:`d > k \Delta t / 2`, as with any damping of use. The port is that of the
    external force and the velocity relative to the target: a moving target does work of its own.

    Attributes:
        k_p: Stiffness in force, (6,) [N/m, N·m/rad].
        zeta: Damping ratio in force [-].
        drawn_j: Sum of all :math:`\Delta E` so far, softening counted negative [J].
        tank: The tank.
    """

    def __init__(self, config: ScheduleConfig, tank: EnergyTank, k_p: Vector, zeta: float = 1.0) -> None:
        """Begin with a stiffness and a damping ratio, both clamped to the bounds."""
        self.config, self.tank = config, tank
        bounds = zip(config.k_p_min, config.k_p_max, config.k_p_rate, config.e_max, strict=True)
        self._axes = [tuple(map(float, axis)) for axis in bounds]
        self.reset(k_p, zeta)

    def reset(self, k_p: Vector, zeta: float = 1.0) -> None:
        """Start anew where no spring was in force: nothing is drawn, and the tank keeps its level.

        Args:
            k_p: Stiffness, (6,) [N/m, N·m/rad], clamped to the bounds.
            zeta: Damping ratio [-], clamped to its bounds.

        Raises:
            ConfigError: not six finite values, or a damping ratio that is not finite.
        """
        values = np.asarray(k_p, dtype=np.float64)
        if values.shape != (6,) or not np.isfinite(values).all() or not math.isfinite(zeta):
            raise ConfigError("stiffness schedule", f"need six finite values of k_p and zeta, got {k_p} and {zeta}")
        self.k_p = np.clip(values, self.config.k_p_min, self.config.k_p_max)
        self.zeta = min(max(float(zeta), self.config.zeta[0]), self.config.zeta[1])
        self.drawn_j = 0.0
        self._twist: list[float] | None = None

    def step(
        self,
        wanted_k_p: Vector,
        error: Vector,
        twist: Vector,
        k_d: Vector,
        dt: float,
        wanted_zeta: float | None = None,
    ) -> Vector:
        """Settle the cycle that ended and choose the stiffness of the one that begins.

        Call it once a cycle, before the law; then take the damping of the new stiffness and ratio, use both
        in the law, and hand that damping in at the next call. What is not finite changes nothing, and after
        a gap of more than 50 ms nothing flows into the tank.

        Args:
            wanted_k_p: Wanted stiffness, (6,) [N/m, N·m/rad].
            error: Wanted minus measured pose, axes of base, not clipped, (6,) [m, rad].
            twist: Velocity of the target minus that of the tool, axes of base, (6,) [m/s, rad/s].
            k_d: Damping that was in force since the last call, (6,) [N·s/m, N·m·s/rad].
            dt: Time since the last call [s].
            wanted_zeta: Wanted damping ratio [-]; None leaves it.

        Returns:
            :attr:`k_p`, a new array, (6,) [N/m, N·m/rad].
        """
        dt = max(dt, 0.0)  # a clock that was set back does not turn the ramps round
        self._settle(twist.tolist(), k_d.tolist(), dt)
        rises, falls, cost_j = [0.0] * 6, self.k_p.tolist(), 0.0
        released_j = 0.0
        rows = zip(self._axes, wanted_k_p.tolist(), error.tolist(), strict=True)
        for i, ((low, high, rate, e_max), wanted, e) in enumerate(rows):
            pulled = min(abs(e), e_max)
            potential = pulled * (abs(e) - 0.5 * pulled)
            change = min(max(wanted, low), high) - falls[i]
            change = min(max(change, -rate * dt), rate * dt)
            if not (math.isfinite(wanted) and potential < POTENTIAL_MAX):
                continue
            if change > 0.0:
                rises[i] = change
                cost_j += change * potential
            else:
                falls[i] += change
                released_j -= change * potential
        self.tank.add(released_j)
        share = self.tank.draw(cost_j)
        self.drawn_j += share * cost_j - released_j
        tops = zip(falls, rises, self._axes, strict=True)
        # A share of a rise, rounded, may end one ulp above the bound.
        self.k_p = np.array([min(fall + share * rise, axis[1]) for fall, rise, axis in tops])
        if wanted_zeta is not None and math.isfinite(wanted_zeta):
            self._step_zeta(wanted_zeta, dt)
        return self.k_p

    def _settle(self, twist: list[float], k_d: list[float], dt: float) -> None:
        """Book what the damper took, and the sampled spring made, since the last call."""
        before, self._twist = self._twist, twist
        if before is None or dt > GAP_S:
            return
        energy_j = 0.0
        for v_old, v, d, k in zip(before, twist, k_d, self.k_p.tolist(), strict=True):
            delta = 0.5 * (v_old + v) * dt
            energy_j += (d * v_old - 0.5 * k * delta) * delta
        self.tank.add(energy_j)

    def _step_zeta(self, wanted: float, dt: float) -> None:
        low, high = self.config.zeta
        step = self.config.zeta_rate * dt
        change = min(max(wanted, low), high) - self.zeta
        self.zeta += min(max(change, -step), step)
