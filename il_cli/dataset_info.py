"""`il dataset info`: a dataset on one screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from rich.columns import Columns
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table

from il_cli.dataset_common import Folder, clear_errors, console, left_out, progress_of

if TYPE_CHECKING:
    from il_core.store.dataset_header import EpisodeEntry

SHOWN = 12  # lines of episodes, health and left-out recordings before the rest is only counted


def info(
    dataset: Folder,
    episodes: Annotated[
        bool | None, typer.Option(help="One line per episode; by default if they fit on the screen.")
    ] = None,
    every_byte: Annotated[bool, typer.Option(help="Also compare every file with its digest.")] = False,
) -> None:
    """Show what a dataset holds: episodes, outcomes, rates, cameras, shapes, statistics, health.

    Example: il dataset info data/datasets/pick_place
    """
    from il_core.store.episodes import EpisodeStore
    from il_teleop.dataset.overview import overview

    with clear_errors():
        store = EpisodeStore.open(dataset)
        with progress_of("read") as progress:
            seen = overview(store, every_byte=every_byte, progress=progress)
    facts = Table.grid(padding=(0, 2))
    for name, value in seen.facts:
        facts.add_row(f"[bold]{escape(name)}[/]", escape(value))
    console.print(Panel(facts, title="dataset", expand=False))
    numbers = _table("statistics over all ticks", "number", "min", "1 %", "mean", "std", "99 %", "max")
    for n in seen.numbers:
        numbers.add_row(escape(n.name), *(f"{x:.4g}" for x in (n.min, n.q01, n.mean, n.std, n.q99, n.max)))
    cameras = _table("cameras", "camera", "size", "intrinsics [px]", "oldest picture")
    for row in seen.cameras:
        cameras.add_row(*map(escape, row))
    shapes = _table("one tick", "column", "is")
    for column, kind in seen.shapes:
        shapes.add_row(escape(column), escape(kind))
    console.print(numbers)
    console.print(Columns([t for t in (cameras, shapes) if t.row_count]))
    if episodes or (episodes is None and len(store) <= SHOWN):
        console.print(_episodes(store.header.episodes))
    for line in seen.health[:SHOWN]:
        console.print(f"[yellow]look at[/] {escape(line)}", soft_wrap=True, highlight=False)
    if len(seen.health) > SHOWN:
        console.print(f"[yellow]and {len(seen.health) - SHOWN} more[/]")
    left_out(dict(list(store.header.rejected.items())[:SHOWN]))
    if not seen.health:
        console.print("[green]nothing looks wrong[/]; `il dataset check` reads every picture")


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left")
    for i, column in enumerate(columns):
        table.add_column(escape(column), justify="left" if i == 0 or title != "statistics over all ticks" else "right")
    return table


def _episodes(entries: Sequence[EpisodeEntry]) -> Table:
    """One line per episode."""
    table = _table("episodes", "episode", "outcome", "ticks", "seconds", "path [m]", "step [mm]", "oldest [ms]", "task")
    for e in entries:
        prefix = "age_max_ms."
        ages = sorted((k.removeprefix(prefix), v) for k, v in e.statistics.items() if k.startswith(prefix))
        known = (e.statistics.get("path_m"), e.statistics.get("action_step_max_mm"))
        path, step = ("-" if x is None else f"{x:.3g}" for x in known)
        numbers = (f"{e.length}", f"{e.length / e.rate_hz:.1f}", path, step)
        old = ", ".join(f"{stream} {age:.0f}" for stream, age in ages)
        table.add_row(escape(e.name), e.outcome.value, *numbers, old, escape(e.instruction))
    return table
