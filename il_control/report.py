"""What the controller says about itself: timing, tracking, and how often it had to intervene."""

from __future__ import annotations

from collections import Counter, deque

import numpy as np

from il_control.arbiter import Source
from il_control.cycle import ControlCycle, CycleReport

WINDOW = 5000  # cycles: five seconds at 1 kHz


class CycleStatistics:
    """Sums over the cycles since the start, and percentiles over the last few seconds."""

    def __init__(self) -> None:
        """Start counting."""
        self._cycle_us: deque[float] = deque(maxlen=WINDOW)
        self._stamps_ns: deque[int] = deque(maxlen=WINDOW)
        self._square_m2 = 0.0
        self._tracked = 0
        self.reasons: Counter[str] = Counter()

    def add(self, report: CycleReport, cycle_ns: int) -> None:
        """Count one cycle.

        Args:
            report: What the cycle did.
            cycle_ns: How long it took to compute [ns].
        """
        self._cycle_us.append(cycle_ns * 1e-3)
        self._stamps_ns.append(report.setpoint.stamp_ns)
        for reason in report.reasons:
            self.reasons[reason.name] += 1
        if report.source is not Source.HOLD and report.T_base_ee_des is not None:
            e = report.T_base_ee_des[:3, 3] - report.T_base_ee[:3, 3]
            self._square_m2 += float(e @ e)
            self._tracked += 1

    def values(self) -> dict[str, str]:
        """Figures for diagnostics; what was not measured yet is left out."""
        values = {f"count_{name.lower()}": str(count) for name, count in sorted(self.reasons.items())}
        if len(self._stamps_ns) > 1:
            span_s = (self._stamps_ns[-1] - self._stamps_ns[0]) * 1e-9
            p50, p99 = np.percentile(np.array(self._cycle_us), [50, 99])
            values |= {"cycle_us_p50": f"{p50:.1f}", "cycle_us_p99": f"{p99:.1f}"}
            if span_s > 0:
                values["rate_hz"] = f"{(len(self._stamps_ns) - 1) / span_s:.1f}"
        if self._tracked:
            values["tracking_rms_mm"] = f"{1e3 * (self._square_m2 / self._tracked) ** 0.5:.3f}"
        return values


def stop_values(cycle: ControlCycle) -> dict[str, str]:
    """Why the arm is stopped for good, and the contact force where it is monitored, for diagnostics."""
    values = {}
    if cycle.stop_causes:
        values["stopped_by"] = ", ".join(r.name.lower() for r in cycle.stop_causes)
        values["stopped_why"] = "; ".join(r.value for r in cycle.stop_causes)
    if cycle.contact_force_n is not None:
        values["contact_force_n"] = f"{cycle.contact_force_n:.2f}"
    return values
