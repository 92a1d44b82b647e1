"""`il dataset check` and `il dataset repair`: damage found and mended, in datasets and recordings alike."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.markup import escape
from rich.table import Table

from il_cli.dataset_common import clear_errors, console, progress_of, say
from il_core.errors import EpisodeError, IlError, RecordingError

if TYPE_CHECKING:
    from il_teleop.dataset.check import EpisodeSummary

Paths = Annotated[list[Path], typer.Argument(help="Datasets, recordings, or folders that hold recordings.")]
REMOVED = ".removed.partial"  # what a redone or deleted recording is called while it is being removed


def check(
    paths: Paths,
    task: Annotated[str | None, typer.Option(help="Also require that a dataset was made for this task.")] = None,
) -> None:
    """Read every byte of datasets and recordings and look for damage; exit code 1 if there is any.

    Example: il dataset check data/datasets/pick_place --task pick_place
    """
    with clear_errors():
        damaged = []
        for path in _expanded(paths):
            problems = _check_dataset(path, task) if _is_dataset(path) else _check_recording(path)
            for problem in problems:
                console.print(f"[red]damaged:[/] {escape(problem)}", soft_wrap=True, highlight=False)
            if problems:
                damaged.append(path.name)
        if damaged:
            raise IlError(
                f"{', '.join(damaged)}: damaged; `il dataset repair` mends what can be mended, "
                "or build the dataset again from its recordings"
            )
        console.print("[green]whole[/]")


def repair(
    paths: Paths,
    out: Annotated[
        Path | None,
        typer.Option(help="Write into this folder; by default the damaged original is renamed to <name>.damaged."),
    ] = None,
    like: Annotated[
        Path | None, typer.Option(help="Whole recording of the same robot and task, if no copy of a header is left.")
    ] = None,
) -> None:
    """Mend what can be mended and say what is lost; recordings a crash left unfinished are finished.

    Example: il dataset repair data/recordings/pick_place
    """
    with clear_errors():
        for path in _expanded(paths):
            if _is_dataset(path):
                _repair_dataset(path, out)
            else:
                _repair_recording(path, out, like)


def _is_dataset(path: Path) -> bool:
    from il_teleop.dataset.repair import is_dataset

    return is_dataset(path)


def _expanded(paths: list[Path]) -> list[Path]:
    """Datasets and recordings named, and the recordings, finished or not, inside folders named.

    Raises:
        EpisodeError: a path does not exist, or holds neither.
    """
    from il_core.store.inspect import is_recording
    from il_core.store.writer import DAMAGED

    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise EpisodeError(path, "no such folder; name a dataset, a recording, or a folder that holds recordings")
        if _is_dataset(path) or is_recording(path):
            found.append(path)
            continue
        inside = []
        for folder, names, _ in os.walk(path):
            names[:] = sorted(n for n in names if not n.endswith((DAMAGED, REMOVED)))
            inside += [Path(folder)] if is_recording(Path(folder)) else []
        if not inside:
            raise EpisodeError(path, "holds no dataset.json and no recording; name a dataset or a recording")
        found += inside
    return found


def _check_recording(path: Path) -> list[str]:
    """Check one recording; returns what is damaged."""
    from il_core.store.inspect import inspect_recording

    found = inspect_recording(path)
    messages = sum(found.found.values())
    say(f"{path.name}: {messages} messages, {'whole' if found.is_whole else f'{len(found.problems)} problems'}")
    for line in found.warnings:
        console.print(f"[yellow]warning:[/] {path.name}: {escape(line)}", soft_wrap=True, highlight=False)
    return [f"{path.name}: {problem}" for problem in found.problems]


def _check_dataset(path: Path, task: str | None) -> list[str]:
    """Check one dataset, bytes first, then what they say; returns what is damaged."""
    from il_core.config import load_setup
    from il_core.store.episodes import EpisodeStore
    from il_teleop.dataset.check import check as check_dataset
    from il_teleop.dataset.repair import inspect_dataset

    with progress_of("read") as progress:
        found = inspect_dataset(path, progress)
    warnings = list(found.warnings)
    problems = list(found.problems)
    if not problems:
        store = EpisodeStore.open(path, load_setup(task).digest if task else None)
        with progress_of("check") as progress:
            findings = check_dataset(store, progress)
        console.print(_table(findings.episodes))
        warnings += findings.warnings
        problems += findings.errors
    for line in warnings:
        console.print(f"[yellow]warning:[/] {escape(line)}", soft_wrap=True, highlight=False)
    return problems


def _repair_recording(path: Path, out: Path | None, like: Path | None) -> None:
    """Mend one recording, unless it is whole."""
    from il_core.store.inspect import REPAIR_FILE, inspect_recording
    from il_core.store.repair import repair_recording

    if inspect_recording(path).is_whole:
        say(f"{path.name}: whole, left as it is")
        return
    done = repair_recording(path, out, like)
    say(f"{done.path}: {done.messages} messages; {'; '.join(done.how) or 'finished'}")
    for loss in done.before.losses:
        say(f"  {loss}")
    for topic, n in sorted(done.lost.items()):
        say(f"  lost of '{topic}': {n} messages")
    say(f"  the same in {REPAIR_FILE}; the original is {done.set_aside}")


def _repair_dataset(path: Path, out: Path | None) -> None:
    """Mend one dataset, unless it is whole."""
    from il_teleop.dataset.repair import inspect_dataset, repair_dataset

    if not inspect_dataset(path).problems:
        say(f"{path.name}: whole, left as it is")
        return
    with progress_of("repair") as progress:
        done = repair_dataset(path, out, progress)
    for line in done.how:
        say(line)
    for name in done.mended:
        say(f"episode '{name}': one flipped bit set right; nothing is lost")
    for name, reason in done.lost.items():
        console.print(f"[yellow]left out[/] {escape(name)}: {escape(reason)}", soft_wrap=True, highlight=False)
    say(f"{done.path}; the original is {done.set_aside}")
    if done.lost:
        raise RecordingError(", ".join(done.lost), "could not be mended and are not in the new dataset")


def _table(rows: tuple[EpisodeSummary, ...]) -> Table:
    """Episodes as a table."""
    columns = ("episode", "outcome", "ticks", "seconds", "path [m]", "largest step [mm]", "oldest sample [ms]")
    table = Table(*columns, title="episodes")
    for r in rows:
        ages = ", ".join(f"{stream} {age:.0f}" for stream, age in sorted(r.age_max_ms.items()))
        numbers = (f"{r.ticks}", f"{r.seconds:.1f}", f"{r.path_m:.3f}", f"{r.action_step_max_mm:.1f}", ages)
        table.add_row(r.name, r.outcome, *numbers)
    return table
