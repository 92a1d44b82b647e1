"""Does a stiffness that changes at random make energy? The tank law and the plain one, side by side."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, field

import numpy as np

from il_control.laws.energy_tank import EnergyTank, ScheduleConfig, StiffnessSchedule, TankConfig

DT = 0.001
EPISODE_STEPS = 2_000  # a new mass, start, push and kind of schedule this often
MASS = np.array([4.0, 4.0, 4.0, 0.05, 0.05, 0.05])  # [kg, kg·m²]: about what an arm's tool feels like
TOLERANCE_J = 1e-9  # of sums of some thousand doubles
LOW, HIGH = np.array(ScheduleConfig().k_p_min), np.array(ScheduleConfig().k_p_max)
RATE = (HIGH - LOW) / 0.01  # the whole range in ten cycles: all but steps, far more than an arm is allowed
CONFIG = ScheduleConfig(k_p_rate=tuple(RATE))


@dataclass
class Mass:
    """Six masses on springs, each moved exactly under a force held for a cycle; the target is the origin.

    ``out_j`` is what the surroundings have got out of it so far.
    """

    x: np.ndarray
    v: np.ndarray
    k_p: np.ndarray
    k_d: np.ndarray = field(default_factory=lambda: np.zeros(6))
    out_j: float = 0.0

    @property
    def energy_j(self) -> float:
        return 0.5 * float(MASS @ (self.v * self.v) + self.k_p @ (self.x * self.x))

    def step(self, force_ext: np.ndarray) -> None:
        acceleration = (force_ext - self.k_p * self.x - self.k_d * self.v) / MASS
        moved = (self.v + 0.5 * DT * acceleration) * DT
        self.out_j -= float(force_ext @ moved)
        self.x = self.x + moved
        self.v = self.v + DT * acceleration


def plain_law(wanted: np.ndarray, k_p: np.ndarray) -> np.ndarray:
    """The same bounds and the same ramp, without a tank."""
    change = np.minimum(np.maximum(wanted, LOW), HIGH) - k_p
    return k_p + np.minimum(np.maximum(change, -RATE * DT), RATE * DT)


def wants(kind: int, mass: Mass, drawn: np.ndarray) -> np.ndarray:
    """Wanted stiffness: drawn by lot, or by lot within the half that pumps: stiff inwards, soft outwards."""
    if kind < 2:
        return drawn
    is_inwards = mass.x * mass.v < 0.0
    middle = 0.5 * (LOW + HIGH)
    return np.where(is_inwards, np.maximum(drawn, middle), np.minimum(drawn, middle))


def episode(steps: int, rng: np.random.Generator, config: TankConfig, totals: dict[str, float]) -> None:
    """One start, one kind of schedule: by lot every cycle (0), held for some (1), held and pumping (2)."""
    kind, mean_hold = int(rng.integers(3)), float(rng.uniform(5.0, 150.0))
    zeta, brake = float(rng.choice([0.02, 0.1, 0.5, 1.0])), MASS * float(rng.choice([0.0, 0.5, 5.0]))
    k_0, x_0 = rng.uniform(LOW, HIGH), rng.normal(size=6) * [0.03, 0.03, 0.03, 0.1, 0.1, 0.1]
    force = rng.choice([0.0, 1.0]) * np.array([10.0, 10.0, 10.0, 0.5, 0.5, 0.5])
    tank = EnergyTank(config)
    schedule = StiffnessSchedule(CONFIG, tank, k_0)
    tanked, plain = (Mass(x_0.copy(), np.zeros(6), k_0.copy()) for _ in range(2))
    budget_j = tanked.energy_j + config.initial_j - config.floor_j
    drawn, push = k_0, np.zeros(6)
    for _ in range(steps):
        if kind == 0 or rng.random() * mean_hold < 1.0:
            drawn = LOW + (HIGH - LOW) * rng.random(6) * rng.choice([0.05, 1.0, 1.3])
        if rng.random() < 0.003:
            push = rng.normal(size=6) * force * rng.integers(2)
        tanked.k_p = schedule.step(wants(kind, tanked, drawn), -tanked.x, -tanked.v, tanked.k_d, DT)
        plain.k_p = plain_law(wants(kind, plain, drawn), plain.k_p)
        for name, mass in (("tank", tanked), ("plain", plain)):
            mass.k_d = 2.0 * zeta * np.sqrt(mass.k_p * MASS)
            excess_j = mass.energy_j + mass.out_j - budget_j
            totals[f"{name}_violations"] += excess_j > TOLERANCE_J
            totals[f"{name}_excess_j"] = max(totals[f"{name}_excess_j"], excess_j)
            totals[f"{name}_extracted_j"] = max(totals[f"{name}_extracted_j"], mass.out_j - budget_j)
            mass.step(push - brake * mass.v)  # the surroundings push, and brake
        totals["floor_margin_j"] = min(totals["floor_margin_j"], tank.level_j - config.floor_j)
        totals["tank_debt_j"] = max(totals["tank_debt_j"], tank.debt_j)
    totals["tank_stiffness_share"] += steps * float(np.mean(tanked.k_p[:3] / HIGH[:3]))
    totals["plain_stiffness_share"] += steps * float(np.mean(plain.k_p[:3] / HIGH[:3]))


def passivity(steps: int, seed: int) -> dict[str, float]:
    """Random and hostile schedules of stiffness on a simulated mass, with the tank and without.

    A passive law never holds and has given away more energy than was in it at the start; both are granted the
    tank's budget on top. The surroundings push at random and brake at random.

    Args:
        steps: Cycles of 1 ms, each with a wanted stiffness.
        seed: Of everything random.

    Returns:
        ``floor_margin_j`` least level of the tank minus its floor [J], not negative if the floor holds;
        ``tank_violations`` and ``plain_violations``, cycles in which a law had made energy;
        ``tank_excess_j`` and ``plain_excess_j``, the most it had made [J]; ``*_extracted_j``, the most the
        surroundings had got beyond all that was there [J]; ``tank_debt_j``, 0 if all was paid;
        ``*_stiffness_share``, mean stiffness at the ends of the episodes over the greatest: the price.
    """
    rng = np.random.default_rng(seed)
    totals = {"floor_margin_j": np.inf, "tank_debt_j": 0.0}
    for name in ("tank", "plain"):
        totals |= {f"{name}_violations": 0.0, f"{name}_stiffness_share": 0.0}
        totals |= {f"{name}_excess_j": -np.inf, f"{name}_extracted_j": -np.inf}
    config = TankConfig()
    for begin in range(0, steps, EPISODE_STEPS):
        episode(min(EPISODE_STEPS, steps - begin), rng, config, totals)
    for name in ("tank", "plain"):
        totals[f"{name}_stiffness_share"] /= steps
    return {key: float(value) for key, value in totals.items()}


if __name__ == "__main__":
    began = time.perf_counter()
    print(json.dumps(passivity(1_000_000, 0) | {"took_s": round(time.perf_counter() - began, 1)}, indent=2))
