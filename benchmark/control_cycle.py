"""How long does one control cycle take? In process, on the simulated arm, under both laws."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import time
from datetime import datetime, timezone
from pathlib import Path

import numpy as np

from il_control.cycle import make_cycle
from il_core.config import load_setup
from il_core.types import ActionChunk, ArmCommand
from il_sim.plant import Plant

OUT = Path("outputs/bench/control_cycle.json")
WARM_UP, MEASURED = 500, 5000  # cycles; the first ones fill caches


def measure(law: str) -> dict[str, float]:
    """Percentiles of the time from a measured state to its checked setpoint [us]."""
    setup = load_setup("draw_symbol")
    plant, cycle = Plant(setup, seed=0), make_cycle(setup)
    start, start_ns = plant.read(), plant.now_ns
    T_start = cycle.step(start, start_ns).T_base_ee
    if law == "joint":
        rows = np.stack([start.q, start.q + 0.1])
        cycle.offer_chunk(ActionChunk(start_ns=start_ns, dt_ns=10**10, obs_ns=start_ns, q_des=rows))
    took_ns = []
    for _ in range(WARM_UP + MEASURED):
        plant.step()
        state, now_ns = plant.read(), plant.now_ns
        if law == "cartesian":
            cycle.offer_command(ArmCommand(now_ns, T_start, 1.0))
        begin_ns = time.perf_counter_ns()
        report = cycle.step(state, now_ns)
        took_ns.append(time.perf_counter_ns() - begin_ns)
        plant.write(report.setpoint)
    us = np.array(took_ns[WARM_UP:]) / 1000
    return {f"p{p}": round(float(np.percentile(us, p)), 1) for p in (50, 99)}


def main() -> None:
    """Measure, print and store the result with machine, date and commit."""
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=False)
    result = {
        "machine": f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}",
        "load_average": round(os.getloadavg()[0], 1),
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "commit": commit.stdout.strip(),
        "cycle_us": {law: measure(law) for law in ("cartesian", "joint")},
    }
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(result, indent=2) + "\n")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
