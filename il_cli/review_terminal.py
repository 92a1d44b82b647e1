"""`il review -i`: one take after the other, a letter and Enter per decision."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from il_core.errors import RecordingError
from il_core.types import Outcome
from il_teleop.review.decisions import Decision, decide, delete, is_kept, trim_of
from il_teleop.review.take import seconds_to_ns

if TYPE_CHECKING:
    from il_teleop.review.take import Reviewed

HELP = (
    "a keep   d discard   s success   f failure   t START END trim   T no trim   i TEXT task in words   "
    "x delete   n next   p previous   q quit"
)
SPARKS = "▁▂▃▄▅▆▇█"


def go_through(takes: list[Reviewed], console: Console, by: str = "") -> None:
    """Show takes one by one and carry out what is typed, at once; ends with q or the last n.

    Args:
        takes: Takes in the order they shall be seen.
        console: Where to print and read.
        by: Who decides.
    """
    takes, at = list(takes), 0
    console.print(HELP, highlight=False, markup=False)
    while 0 <= at < len(takes):
        console.print(_card(takes[at], f"{at + 1} of {len(takes)}"))
        try:
            line = console.input("> ").strip()
        except (EOFError, KeyboardInterrupt):
            return
        if line == "q":
            return
        if line == "n":
            at += 1
        elif line == "p":
            at = max(0, at - 1)
        elif line == "x":
            lies = delete(takes[at].path)
            console.print(f"deleted, now {lies}", highlight=False, markup=False, soft_wrap=True)
            del takes[at]
            at = min(at, len(takes) - 1)
        else:
            _act(takes, at, line, console, by)
    console.print("no more takes" if takes else "no takes left")


def _act(takes: list[Reviewed], at: int, line: str, console: Console, by: str) -> None:
    """Carry out a typed decision, or say what is wrong with it."""
    take = takes[at]
    try:
        decision = _decision(take, line)
        if decision is None:
            console.print(HELP, highlight=False, markup=False)
            return
        takes[at] = replace(take, header=decide(take.path, decision, by=by))
    except (RecordingError, ValueError) as error:
        console.print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False)


def _decision(take: Reviewed, line: str) -> Decision | None:
    """What a typed line decides; None if it means nothing."""
    simple = {
        "a": Decision(keep=True),
        "d": Decision(keep=False),
        "s": Decision(outcome=Outcome.SUCCESS),
        "f": Decision(outcome=Outcome.FAILURE),
        "T": Decision(trim_ns=(0, 0)),
    }
    letter, _, rest = line.partition(" ")
    if letter == "t" and len(rest.split()) == 2:
        start, end = map(float, rest.split())
        return Decision(trim_ns=seconds_to_ns(take.signals, start, end))
    if letter == "i" and rest:
        return Decision(instruction=rest)
    return simple.get(line)


def _card(take: Reviewed, title: str) -> Table:
    """What one needs to decide: label, score and its parts, outliers, and the tool's speed over time."""
    header, quality, zero = take.header, take.quality, take.signals.start_ns
    trim = trim_of(header)
    used = "all" if trim is None else f"{(trim[0] - zero) / 1e9:.2f} to {(trim[1] - zero) / 1e9:.2f} s"
    card = Table(title=f"{header.name} ({title})", show_header=False)
    card.add_column()
    card.add_column()
    card.add_row("score", "-" if quality.score is None else f"{quality.score:.0f}")
    card.add_row("outcome", header.outcome.value)
    card.add_row("datasets use", used if is_kept(header) else "nothing")
    card.add_row("task", escape(header.instruction))
    card.add_row("seconds", f"{take.signals.seconds:.1f}")
    card.add_row("tool speed", sparkline(take))
    for part in quality.parts:
        score = "not measured" if part.score is None else f"{100 * part.score:.0f}"
        card.add_row(part.name, f"{score}: {escape(part.why)}")
    for reason in quality.outlier:
        card.add_row("outlier", escape(reason))
    return card


def sparkline(take: Reviewed, width: int = 60) -> str:
    """The tool's speed as a line of blocks, the whole recording wide."""
    import numpy as np

    signals = take.signals
    if len(signals.pose_ns) < 3 or signals.seconds <= 0:
        return "(no tool pose)"
    at = (signals.pose_ns - signals.start_ns) / 1e9
    edges = np.linspace(0.0, signals.seconds, width + 1)
    p = np.stack([np.interp(edges, at, x) for x in signals.p_base.T], axis=1)
    speed = np.linalg.norm(np.diff(p, axis=0), axis=1)
    level = (speed / max(float(speed.max()), 1e-9) * (len(SPARKS) - 1)).astype(int)
    return "".join(SPARKS[i] for i in level)
