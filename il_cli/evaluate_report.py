"""The report of an evaluation, whichever way the attempts were made: report.json and report.html."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from il_cli.compare import Candidate
from il_cli.evaluate_figures import Paths, motion, pairs, summary
from il_cli.rehearsal import Attempt

FORMAT = 2
JSON, HTML = "report.json", "report.html"


def write(
    out: Path, candidates: Sequence[Candidate], shown: Paths, rate_hz: float, limit_s: float, about: Mapping[str, Any]
) -> dict[str, Any]:
    """Write both files into a folder.

    Args:
        out: The folder; made if it is missing.
        candidates: Policies with at least one attempt each.
        shown: Tool paths of demonstrations at the ticks, (N, 3) [m] each; may be none.
        rate_hz: Ticks per second [Hz].
        limit_s: Longest attempt [s].
        about: ``task``, ``scenes``, ``machine`` and ``how``, and what else the reader shall know.

    Returns:
        What report.json holds.
    """
    from il_cli.evaluate_page import page  # draws: matplotlib is not for everybody

    report = to_json(candidates, shown, rate_hz, limit_s, about)
    out.mkdir(parents=True, exist_ok=True)
    (out / JSON).write_text(json.dumps(report, indent=2, allow_nan=False) + "\n")
    (out / HTML).write_text(page(report, candidates, shown))
    return report


def to_json(
    candidates: Sequence[Candidate], shown: Paths, rate_hz: float, limit_s: float, about: Mapping[str, Any]
) -> dict[str, Any]:
    """The machine-readable report."""
    return {
        "format": FORMAT,
        **about,
        "rate_hz": rate_hz,
        "limit_s": limit_s,
        "demonstrations": {"episodes": len(shown), "motion": motion(shown, rate_hz)} if shown else None,
        "policies": [summary(c, shown, rate_hz, limit_s) for c in candidates],
        "pairs": pairs(candidates),
        "attempts": [_attempt(c.name, a) for c in candidates for a in c.in_order],
    }


def _attempt(name: str, attempt: Attempt) -> dict[str, Any]:
    """One attempt; what nobody knows is left out."""
    values: dict[str, Any] = {
        "policy": name,
        "seed": attempt.seed,
        "success": attempt.success,
        "seconds": round(attempt.seconds, 2),
        "plans": attempt.plans,
        "lost": attempt.is_lost,
    }
    if attempt.interventions is not None:
        values["interventions"] = asdict(attempt.interventions)
    if attempt.score is not None:
        values["score"] = attempt.score
    return values
