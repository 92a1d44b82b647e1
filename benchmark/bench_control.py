"""``make bench-control``: what the control layer must show, measured in one run; see README.

QUICK=1 takes a tenth of the long parts, and says so.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from benchmark.control.gate import fuzz
from benchmark.control.over_ros import over_ros
from benchmark.control.passivity import passivity
from benchmark.control.plant_loop import circle_tracking, contact, unpowered_impact
from benchmark.control.servo import servo
from benchmark.control.step_time import memory_growth, step_times
from benchmark.control.touch import touch
from benchmark.figures import Bench, Figure, figure

SHARE = 0.1 if os.environ.get("QUICK") else 1.0
MANY = int(1_000_000 * SHARE)
MINUTES = 10.0 * SHARE


def tank() -> list[Figure]:
    """The energy tank and the plain variable-stiffness law, the same random schedules."""
    found = passivity(MANY, seed=0)
    name = f"variable stiffness, {MANY:.0e} steps"
    return [
        figure(f"{name}: lowest level of the tank over its floor", found["floor_margin_j"], "J", ">= 0"),
        figure(f"{name}: passivity violated with the tank", found["tank_violations"], "", "== 0"),
        figure(f"{name}: passivity violated by the plain law beside it", found["plain_violations"], "", ">= 1"),
    ]


def touching() -> list[Figure]:
    """Pushes of 20 N on an arm whose model is up to 10 % wrong, and free motion without any."""
    found = touch(MINUTES, seed=0)
    return [
        figure("touch of 20 N noticed after, median", found["delay_median_ms"], "ms"),
        figure("touch of 20 N noticed after, 95 %", found["delay_p95_ms"], "ms"),
        figure(
            "touch of 20 N noticed after, maximum",
            found["delay_max_ms"],
            "ms",
            "<= 20",
            f"{found['pushes']:.0f} pushes",
        ),
        figure(f"false alarms in {MINUTES:.0f} simulated minutes", found["false_alarms"], "", "== 0"),
        figure("false alarms before the pushes", found["false_alarms_before_pushes"], "", "== 0"),
        figure("fastest joint over its speed limit", found["fastest_joint_share"]),
    ]


def gate() -> list[Figure]:
    """Hostile inputs for the safety gate."""
    found = fuzz(MANY, seed=0)
    name = f"safety gate, {MANY:.0e} fuzzed inputs"
    return [
        figure(f"{name}: setpoints outside limits", found["outside"], "", "== 0"),
        figure(f"{name}: cycles in which it intervened", found["intervened"]),
    ]


def main() -> int:
    """Run every part."""
    bench = Bench(Path("outputs/bench/control.json"))
    bench.attempt("step times beside robosuite", step_times)
    bench.attempt("memory", memory_growth)
    bench.attempt("tracking", circle_tracking)
    for stiffness_n_m in (200.0, 1000.0, 3000.0):
        bench.attempt(f"contact, {stiffness_n_m:.0f} N/m", lambda k=stiffness_n_m: contact(k))
    bench.attempt("impact without control", unpowered_impact)
    bench.attempt("arms that take positions", servo)
    bench.attempt("1 kHz over ROS", over_ros)
    bench.attempt("energy tank", tank)
    bench.attempt("touch", touching)
    bench.attempt("safety gate", gate)
    return bench.finish()


if __name__ == "__main__":
    sys.exit(main())
