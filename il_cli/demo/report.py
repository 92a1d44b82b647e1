"""What a demo run measured: report.json, report.html and the README's picture."""

from __future__ import annotations

import base64
import html
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from il_cli.demo import figures

FORMAT = 1


@dataclass(slots=True)
class Measured:
    """Everything the phases leave for the report, filled in as the demo goes on.

    Attributes:
        machine: What it ran on, in words.
        phases: Name and duration [s] of each phase, in order.
        record: Episodes, and per topic received, lost and rate [Hz].
        train: Policy, parameters and seconds.
        rollout: Episodes, successes and Wilson interval.
        control: Rate [Hz], cycle time [us], tracking error [mm], share of late commands.
        policy: Inference time [ms].
        hand_guided: Recordings, the one held out, path errors [mm].
        pictures: Camera pictures by caption, (H, W, 3) uint8.
        demo_paths: Tool paths of the demonstrations, (N, 3) [m] in base.
        rollout_paths: Tool path and success of each rollout.
        drawing: Paths of the symbol by name, (N, 3) [m] in base.
        inference_ms: Inference times of all rollouts' chunks, where known [ms].
        loss: Training loss per logged step: (step, training, validation or NaN).
    """

    machine: str
    phases: list[dict[str, Any]] = field(default_factory=list)
    record: dict[str, Any] = field(default_factory=dict)
    train: dict[str, Any] = field(default_factory=dict)
    rollout: dict[str, Any] = field(default_factory=dict)
    control: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    hand_guided: dict[str, Any] = field(default_factory=dict)
    pictures: dict[str, NDArray[Any]] = field(default_factory=dict)
    demo_paths: list[NDArray[Any]] = field(default_factory=list)
    rollout_paths: list[tuple[NDArray[Any], bool]] = field(default_factory=list)
    drawing: dict[str, NDArray[Any]] = field(default_factory=dict)
    loss: list[tuple[int, float, float]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """The machine-readable part, in the order of the format."""
        return {
            "format": FORMAT,
            "machine": self.machine,
            "phases": self.phases,
            "record": self.record,
            "train": self.train,
            "rollout": self.rollout,
            "control": self.control,
            "policy": self.policy,
            "hand_guided": self.hand_guided,
        }


def write(measured: Measured, out: Path) -> tuple[Path, Path]:
    """Write report.json, report.html and picture.png into ``out``.

    Returns:
        Paths of the JSON and the HTML file.
    """
    out.mkdir(parents=True, exist_ok=True)
    json_path, html_path = out / "report.json", out / "report.html"
    json_path.write_text(json.dumps(measured.to_json(), indent=2, allow_nan=False) + "\n")
    picture = figures.picture(measured)
    (out / "picture.png").write_bytes(picture)
    html_path.write_text(_page(measured, picture))
    return json_path, html_path


STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 1100px; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: .5rem 0 1.5rem } td, th { padding: .2rem .9rem; text-align: left;
border-bottom: 1px solid #ddd } td.n { text-align: right; font-variant-numeric: tabular-nums }
img { max-width: 100% } .tiles { display: flex; flex-wrap: wrap; gap: .6rem } figure { margin: 0 }
figcaption { font-size: 13px; color: #666 } .big { font-size: 1.6rem }
"""


def _page(m: Measured, picture: bytes) -> str:
    """The whole page; self-contained, no network needed."""
    sections = [
        "<h1>il_robot demo</h1>",
        f"<p>{html.escape(m.machine)}</p>",
        _headline(m),
        image(picture, "what the cameras saw, where the tool went"),
        "<h2>Camera pictures</h2>",
        _tiles(m),
        "<h2>Paths in space</h2>",
        figures.paths_3d(m),
        "<h2>Hand-guided symbol</h2>",
        image(figures.drawing(m), "five demonstrations learned, the sixth held out, and what the arm drew"),
        "<h2>Training</h2>",
        image(figures.loss(m), "training and validation loss"),
        "<h2>Timing and control</h2>",
        _table("phase", "seconds", [(p["name"], f"{p['seconds']:.1f}") for p in m.phases]),
        _table("control", "", list(_flat(m.control))),
        _table("policy", "", list(_flat(m.policy))),
        "<h2>Recording</h2>",
        _topics(m.record.get("topics", {})),
    ]
    body = "\n".join(sections)
    head = f"<meta charset='utf-8'><title>il_robot demo</title><style>{STYLE}</style>"
    return f"<!doctype html><html><head>{head}</head><body>{body}</body></html>\n"


def _headline(m: Measured) -> str:
    r, h = m.rollout, m.hand_guided
    lo, hi = r["wilson95"]
    return (
        f"<p class='big'>{r['successes']} of {r['episodes']} rollouts succeeded "
        f"(95 % interval {lo:.0%} to {hi:.0%}); symbol drawn within {h['path_rms_mm']:.1f} mm RMS "
        f"of the held-out demonstration.</p>"
    )


def image(png: bytes, caption: str) -> str:
    """A picture with a caption, as part of a page."""
    data = base64.b64encode(png).decode()
    text = html.escape(caption)
    return f"<figure><img alt='{text}' src='data:image/png;base64,{data}'><figcaption>{text}</figcaption></figure>"


def _tiles(m: Measured) -> str:
    tiles = "".join(image(figures.png(pixels), caption) for caption, pixels in m.pictures.items())
    return f"<div class='tiles'>{tiles}</div>"


def _table(left: str, right: str, rows: list[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td>{html.escape(k)}</td><td class='n'>{html.escape(v)}</td></tr>" for k, v in rows)
    return f"<table><tr><th>{left}</th><th>{right}</th></tr>{cells}</table>"


def _topics(topics: dict[str, dict[str, Any]]) -> str:
    head = "<tr><th>topic</th><th>received</th><th>lost</th><th>rate [Hz]</th></tr>"
    rows = "".join(
        f"<tr><td>{html.escape(name)}</td><td class='n'>{t['received']}</td><td class='n'>{t['lost']}</td>"
        f"<td class='n'>{t['rate_hz']:.1f}</td></tr>"
        for name, t in topics.items()
    )
    return f"<table>{head}{rows}</table>"


def _flat(values: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Nested figures as ``a.b`` rows."""
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        if isinstance(value, dict):
            rows += _flat(value, f"{prefix}{key}.")
        else:
            rows.append((f"{prefix}{key}", f"{value:.3g}" if isinstance(value, float) else str(value)))
    return rows
