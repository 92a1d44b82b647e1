"""The page that `il eval` writes about policies it tried: self-contained, no network needed."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from il_cli.compare import Candidate
from il_cli.demo import figures
from il_cli.demo.report import STYLE, image
from il_cli.evaluate_drawings import distributions
from il_cli.evaluate_figures import Paths, movements

ROWS = {
    "episodes": "attempts",
    "successes": "successes",
    "wilson95": "95 % interval",
    "score.mean": "a person's mark, 1 to 5, mean",
    "seconds_to_success_median": "time to success, median [s]",
    "steps_to_success": "steps to success",
    "horizon.steps_to_failure_restricted_mean": "horizon: steps until failure, mean up to the limit",
    "lost": "attempts that ended early: the task could no longer be done",
    "interventions.by_people": "times that a person took over",
    "interventions.seconds_by_people": "people drove [s]",
    "interventions.count": "times that control left the policy for any reason",
    "interventions.seconds": "others or nobody drove [s]",
    "interventions.successes_without_people": "successes without a person's help",
    "inference_ms.p50": "inference, median [ms]",
    "inference_ms.p99": "inference, 99 % [ms]",
    "motion.duration_s": "successful movement: duration [s]",
    "motion.length_m": "its length [m]",
    "motion.mean_speed_m_s": "its mean speed [m/s]",
    "motion.log_dimensionless_jerk": "its smoothness (log dimensionless jerk, nearer to 0 is smoother)",
    "coverage": "share of the demonstrated ground visited",
    "kl_demonstrations_to_policy_nat": "divergence, demonstrations from policy [nat]",
    "kl_policy_to_demonstrations_nat": "divergence, policy from demonstrations [nat]",
    "path_to_nearest_demonstration_mm": "successful paths to the nearest demonstration, median [mm]",
    "path_length_ratio": "path length over demonstrated, medians",
    "duration_ratio": "duration over demonstrated, medians",
}
NOTE = (
    "Three numbers are the median, and from the 10th to the 90th percentile. Horizon: mean steps until an attempt "
    "failed, successes counted as lasting to the limit of {limit:g} steps (restricted mean of the Kaplan-Meier curve); "
    "attempts that ran out of time failed at the limit. Smoothness: Balasubramanian et al. 2015, at {rate:g} Hz."
)


def page(report: dict[str, Any], candidates: Sequence[Candidate], shown: Paths) -> str:
    """HTML of a report and the paths behind it."""
    count = len(candidates)
    policies = candidates[0].name if count == 1 else f"{count} policies"
    sections = [
        f"<h1>{html.escape(report['task'])}: {html.escape(policies)}, {report['scenes']} scenes</h1>",
        f"<p>{html.escape(report['machine'])}; {html.escape(report['how'])}</p>",
        _policies(report["policies"], report["demonstrations"]),
        f"<p>{NOTE.format(limit=report['limit_s'] * report['rate_hz'], rate=report['rate_hz'])}</p>",
        "<h2>Pairs</h2><p>Scenes that only one of two mastered, and the chance of as uneven a split "
        "between equals (McNemar, exact).</p>" + _pairs(report["pairs"])
        if report["pairs"]
        else "",
        "<h2>Distributions</h2>",
        image(_distributions(report, candidates, shown), "until the first failure; movements of successful attempts"),
        "<h2>Paths</h2>",
        "".join(image(_paths(c, shown), c.name) for c in candidates),
        "<h2>Attempts</h2>",
        _attempts(candidates),
    ]
    head = f"<meta charset='utf-8'><title>il eval</title><style>{STYLE}</style>"
    body = "\n".join(sections)
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>\n"


def _cell(value: Any) -> str:  # noqa: ANN401 - JSON
    if value is None:
        return "-"
    if isinstance(value, dict):
        return f"{value['p50']:.3g} ({value['p10']:.3g} to {value['p90']:.3g})"
    if isinstance(value, list):
        return " to ".join(f"{v:.0%}" for v in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _value(row: dict[str, Any], key: str) -> Any:  # noqa: ANN401 - JSON
    """A figure by its key, or None where the report lacks it."""
    outer, _, inner = key.partition(".")
    return (row.get(outer) or {}).get(inner) if inner else row.get(outer)


def _policies(rows: list[dict[str, Any]], shown: dict[str, Any] | None) -> str:
    columns = [*rows, *([] if shown is None else [{**shown, "name": "demonstrations"}])]
    head = "".join(f"<th>{html.escape(r['name'])}</th>" for r in columns)
    lines = []
    for key, title in ROWS.items():
        if any(_value(r, key) is not None for r in rows):
            cells = "".join(f"<td class='n'>{_cell(_value(r, key))}</td>" for r in columns)
            lines.append(f"<tr><td>{html.escape(title)}</td>{cells}</tr>")
    return f"<table><tr><th></th>{head}</tr>{''.join(lines)}</table>"


def _pairs(rows: list[dict[str, Any]]) -> str:
    head = "<tr><th>first</th><th>second</th><th>only the first</th><th>only the second</th><th>p</th></tr>"
    lines = "".join(
        f"<tr><td>{html.escape(r['first'])}</td><td>{html.escape(r['second'])}</td><td class='n'>{r['only_first']}</td>"
        f"<td class='n'>{r['only_second']}</td><td class='n'>{r['p']:.3g}</td></tr>"
        for r in rows
    )
    return f"<table>{head}{lines}</table>"


def _distributions(report: dict[str, Any], candidates: Sequence[Candidate], shown: Paths) -> bytes:
    good = {c.name: [a.path for a in c.in_order if a.success] for c in candidates}
    paths = good | ({"demonstrations": shown} if shown else {})
    return distributions(
        {figures["name"]: figures["horizon"] for figures in report["policies"]},
        {name: movements(made, report["rate_hz"]) for name, made in paths.items()},
    )


def _paths(candidate: Candidate, shown: Paths) -> bytes:
    attempts = [(np.asarray(a.path), a.success) for a in candidate.attempts.values()]
    return figures.tool_paths(shown, attempts, candidate.name)


def _attempts(candidates: Sequence[Candidate]) -> str:
    seeds = sorted({seed for c in candidates for seed in c.attempts})
    head = "".join(f"<th>{html.escape(c.name)}</th>" for c in candidates)
    lines = ""
    for seed in seeds:
        cells = "".join(_outcome(c, seed) for c in candidates)
        lines += f"<tr><td class='n'>{seed}</td>{cells}</tr>"
    return f"<table><tr><th>seed</th>{head}</tr>{lines}</table>"


def _outcome(candidate: Candidate, seed: int) -> str:
    attempt = candidate.attempts.get(seed)
    if attempt is None:
        return "<td>skipped</td>"
    words = ["success" if attempt.success else "lost" if attempt.is_lost else "failure", f"{attempt.seconds:.1f} s"]
    if attempt.score is not None:
        words.append(f"mark {attempt.score}")
    told = attempt.interventions
    if told is not None and told.count:
        people = f", {told.by_people} by people for {told.seconds_by_people:.1f} s" if told.by_people else ""
        words.append(f"policy left {told.count} times for {told.seconds:.1f} s{people}")
    return f"<td>{', '.join(words)}</td>"
