"""The page that `il eval` writes about policies it compared: self-contained, no network needed."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np

from il_cli.compare import Candidate, Paths
from il_cli.demo import figures
from il_cli.demo.report import STYLE, image

ROWS = {
    "episodes": "attempts",
    "successes": "successes",
    "wilson95": "95 % interval",
    "seconds_to_success_median": "time to success, median [s]",
    "horizon_steps_mean": "steps until success or the limit, mean",
    "inference_ms.p50": "inference, median [ms]",
    "inference_ms.p99": "inference, 99 % [ms]",
    "coverage": "share of the demonstrated ground visited",
    "kl_demonstrations_to_policy_nat": "divergence, demonstrations from policy [nat]",
    "kl_policy_to_demonstrations_nat": "divergence, policy from demonstrations [nat]",
    "path_to_nearest_demonstration_mm": "successful paths to the nearest demonstration, median [mm]",
    "path_length_ratio": "path length over demonstrated",
    "duration_ratio": "duration over demonstrated",
}


def page(report: dict[str, Any], candidates: Sequence[Candidate], shown: Paths) -> str:
    """HTML of a report and the paths behind it."""
    sections = [
        f"<h1>{html.escape(report['task'])}: {len(candidates)} policies, {report['scenes']} scenes</h1>",
        f"<p>{html.escape(report['machine'])}; {html.escape(report['how'])}</p>",
        _policies(report["policies"]),
        "<h2>Pairs</h2><p>Scenes that only one of two mastered, and the chance of as uneven a split "
        "between equals (McNemar, exact).</p>" + _pairs(report["pairs"])
        if report["pairs"]
        else "",
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
    if isinstance(value, list):
        return " to ".join(f"{v:.0%}" for v in value)
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _policies(rows: list[dict[str, Any]]) -> str:
    head = "".join(f"<th>{html.escape(r['name'])}</th>" for r in rows)
    lines = []
    for key, title in ROWS.items():
        outer, _, inner = key.partition(".")
        values = [r.get(outer, {}).get(inner) if inner else r.get(outer) for r in rows]
        if any(v is not None for v in values):
            cells = "".join(f"<td class='n'>{_cell(v)}</td>" for v in values)
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
    return f"<td>{'success' if attempt.success else 'failure'}, {attempt.seconds:.1f} s</td>"
