"""Pictures of the report of `il eval` that no table can replace."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np

mpl.use("Agg")  # no display needed
import matplotlib.pyplot as plt  # noqa: E402 - the backend must be chosen first

BOXES = {"duration_s": "duration [s]", "log_dimensionless_jerk": "smoothness (log dimensionless jerk)"}


def distributions(
    horizons: Mapping[str, Mapping[str, Any]], movements: Mapping[str, Mapping[str, Sequence[float]]]
) -> bytes:
    """PNG: which share has not failed after so many steps, and how durations and smoothness are spread.

    Args:
        horizons: By policy, as :func:`il_cli.evaluate_figures.horizon` gives them.
        movements: By policy, and of the demonstrations, as :func:`il_cli.evaluate_figures.movements` gives them.
    """
    figure, axes = plt.subplots(1, 1 + len(BOXES), figsize=(13, 3.6), constrained_layout=True)
    for name, curve in horizons.items():
        steps = [0.0, *curve["failure_steps"], curve["limit_steps"]]
        shares = [1.0, *curve["survival"]]
        axes[0].step(steps, [*shares, shares[-1]], where="post", label=name)
    axes[0].set(xlabel="steps", ylabel="share that has not failed", ylim=(-0.03, 1.03))
    axes[0].legend(fontsize=7)
    for place, (key, title) in zip(axes[1:], BOXES.items(), strict=True):
        spread = {name: values[key] for name, values in movements.items() if len(values[key])}
        for k, values in enumerate(spread.values()):
            if len(values) > 1:
                place.boxplot([values], positions=[k], widths=0.5, orientation="horizontal", showfliers=False)
            jitter = np.linspace(-0.15, 0.15, len(values))
            place.plot(values, k + jitter, ".", markersize=4, alpha=0.6)
        place.set_yticks(range(len(spread)), list(spread), fontsize=7)
        place.set_xlabel(title)
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    plt.close(figure)
    return buffer.getvalue()
