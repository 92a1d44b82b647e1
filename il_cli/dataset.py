"""`il dataset`: recordings into datasets, and what is in them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from il_core.errors import ConfigError, EpisodeError, IlError, RecordingError, nearest
from il_core.types import Outcome

if TYPE_CHECKING:
    from il_teleop.dataset.check import EpisodeSummary

app = typer.Typer(help="Recordings into datasets, and what is in them.", no_args_is_help=True)
console = Console()
Task = Annotated[str, typer.Option(help="Task, by name or YAML file.")]
Folder = Annotated[Path, typer.Argument(help="Folder of the dataset.")]


@contextmanager
def _clear_errors() -> Iterator[None]:
    """One sentence on stderr and exit code 1 instead of a traceback."""
    try:
        yield
    except IlError as error:
        Console(stderr=True).print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        raise typer.Exit(1) from None


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar that a (done, total, name) callback moves."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        row = bar.add_task(what, total=None)
        yield lambda done, total, name: bar.update(row, completed=done, total=total, description=f"{what} {name}")


@app.command()
def build(
    recordings: Annotated[list[Path], typer.Argument(help="Recordings, or folders that hold some.")],
    out: Annotated[Path, typer.Option(help="Folder of the dataset, missing or empty.")],
    task: Task = "pick_place",
    include: Annotated[list[str] | None, typer.Option(help="Outcomes taken (repeatable); default success.")] = None,
    idle_keep_s: Annotated[
        float,
        typer.Option(help="Time kept before the first and after the last motion [s]; negative keeps all."),
    ] = 0.5,
    path_speed_m_s: Annotated[
        float | None, typer.Option(help="Forget timing and pauses, follow the path at this speed [m/s].")
    ] = None,
) -> None:
    """Align recordings to ticks and store them as a dataset.

    Example: il dataset build data/recordings/pick_place --out data/datasets/pick_place
    """
    from il_core.config import load_setup
    from il_teleop.dataset import BuildOptions
    from il_teleop.dataset import build as build_dataset

    with _clear_errors():
        outcomes = tuple(_outcome(name) for name in include or [Outcome.SUCCESS.value])
        options = BuildOptions(outcomes, idle_keep_s if idle_keep_s >= 0 else None, path_speed_m_s)
        setup = load_setup(task)
        with _progress("build") as progress:
            report = build_dataset(_recordings(recordings), setup, out, options, progress)
        console.print(f"{len(report.episodes)} episodes in {out}")
        for name, reason in report.rejected.items():
            console.print(f"[yellow]left out[/] {name}: {escape(reason)}", soft_wrap=True, highlight=False)
        if report.damaged:
            names = ", ".join(report.damaged)
            raise RecordingError(names, "missing or damaged; the dataset holds the others only")


@app.command()
def info(dataset: Folder) -> None:
    """Show what a dataset holds.

    Example: il dataset info data/datasets/pick_place
    """
    from il_core.store.episodes import EpisodeStore
    from il_teleop.dataset.check import summaries

    with _clear_errors():
        store = EpisodeStore.open(dataset)
        header = store.header
        console.print(
            f"task {header.task.name}, robot {header.robot.name}, {header.task.rate_hz} Hz, "
            f"spec {header.spec_digest[:12]}, {len(store)} episodes, {len(header.rejected)} left out"
        )
        console.print(_table(summaries(store)))


@app.command()
def check(
    dataset: Folder,
    task: Annotated[str | None, typer.Option(help="Also require that it was made for this task.")] = None,
) -> None:
    """Read every byte of a dataset and look for damage; exit code 1 if there is any.

    Example: il dataset check data/datasets/pick_place --task pick_place
    """
    from il_core.config import load_setup
    from il_core.store.episodes import EpisodeStore
    from il_teleop.dataset.check import check as check_dataset

    with _clear_errors():
        store = EpisodeStore.open(dataset, load_setup(task).digest if task else None)
        with _progress("check") as progress:
            findings = check_dataset(store, progress)
        console.print(_table(findings.episodes))
        for line in findings.warnings:
            console.print(f"[yellow]warning:[/] {escape(line)}", soft_wrap=True, highlight=False)
        if not findings.is_good:
            raise EpisodeError(dataset, "; ".join(findings.errors))
        console.print("[green]whole[/]")


@app.command("import-hand-guided")
def import_hand_guided(
    mat: Annotated[Path, typer.Argument(help="symbol_<n>.mat of the Panda Co-Manipulation Dataset.")],
    out: Annotated[Path, typer.Option(help="Folder of all recordings.")] = Path("data/recordings"),
    task: Task = "draw_symbol",
) -> None:
    """Turn hand-guided drawings into recordings.

    Example: il dataset import-hand-guided data/panda_hand_guided/symbol_17.mat --out data/recordings
    """
    from il_core.config import load_setup
    from il_teleop.dataset.hand_guided import import_hand_guided as import_drawings

    with _clear_errors():
        with _progress("import") as progress:
            paths = import_drawings(mat, out, load_setup(task), progress)
        for path in paths:
            console.print(str(path), soft_wrap=True, highlight=False, markup=False)


def _recordings(paths: list[Path]) -> list[Path]:
    """Recordings named, and those inside folders named.

    Raises:
        RecordingError: a path does not exist, or is a folder without recordings.
    """
    from il_core.store.header import HEADER_FILE
    from il_core.store.recording import list_recordings

    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise RecordingError(path, "no such folder; name a recording or a folder that holds some")
        inside = [path] if (path / HEADER_FILE).exists() else list_recordings(path)
        if not inside:
            raise RecordingError(path, "holds no finished recording; make some with `il record`")
        found += inside
    return found


def _outcome(name: str) -> Outcome:
    try:
        return Outcome(name)
    except ValueError:
        raise ConfigError("--include", f"no outcome '{name}'; {nearest(name, [o.value for o in Outcome])}") from None


def _table(rows: tuple[EpisodeSummary, ...]) -> Table:
    """Episodes as a table."""
    table = Table(title="episodes")
    for column in (
        "episode",
        "outcome",
        "ticks",
        "seconds",
        "path [m]",
        "largest step [mm]",
        "oldest sample [ms]",
    ):
        table.add_column(column)
    for r in rows:
        ages = ", ".join(f"{stream} {age:.0f}" for stream, age in sorted(r.age_max_ms.items()))
        numbers = (f"{r.ticks}", f"{r.seconds:.1f}", f"{r.path_m:.3f}", f"{r.action_step_max_mm:.1f}", ages)
        table.add_row(r.name, r.outcome, *numbers)
    return table
