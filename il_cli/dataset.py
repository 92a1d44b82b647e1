"""`il dataset`: recordings into datasets, what is in them, datasets out of datasets, other people's formats."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from il_cli import check, dataset_edit, dataset_info, dataset_io
from il_cli.dataset_common import Task, blur, clear_errors, console, left_out, outcome_of, progress_of, recordings_in
from il_core.errors import RecordingError
from il_core.types import Outcome

app = typer.Typer(help="Recordings into datasets, and what is in them.", no_args_is_help=True)


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
    recorded_as: Annotated[
        str, typer.Option(help="Task the recordings were made for, if --task differs in rate, state or cameras.")
    ] = "",
) -> None:
    """Align recordings to ticks and store them as a dataset.

    Recordings hold every message, so that any rate can be built from them: copy the task file, change
    rate_hz, and name the old one with --recorded-as.

    Example: il dataset build data/recordings/pick_place --out data/datasets/pick_place
    """
    from il_core.config import load_setup
    from il_teleop.dataset import BuildOptions
    from il_teleop.dataset import build as build_dataset

    with clear_errors():
        outcomes = tuple(outcome_of(name, "--include") for name in include or [Outcome.SUCCESS.value])
        options = BuildOptions(outcomes, idle_keep_s if idle_keep_s >= 0 else None, path_speed_m_s)
        setup = load_setup(task)
        recorded = load_setup(recorded_as) if recorded_as else None
        with progress_of("build") as progress:
            report = build_dataset(recordings_in(recordings), setup, out, options, progress, recorded)
        console.print(f"{len(report.episodes)} episodes in {out}")
        left_out(report.rejected)
        if report.damaged:
            names = ", ".join(report.damaged)
            raise RecordingError(names, "missing or damaged; the dataset holds the others only")


@app.command("blur-faces")
def blur_faces(
    recordings: Annotated[list[Path], typer.Argument(help="Recordings, or folders that hold some.")],
    out: Annotated[Path, typer.Option(help="Folder of the copies.")],
    model: Annotated[Path | None, typer.Option(help="Cascade file (Haar, XML) instead of OpenCV's own.")] = None,
) -> None:
    """Copy recordings with every face in colour pictures blurred; the originals stay as they are.

    Example: il dataset blur-faces data/recordings/pick_place --out data/blurred
    """
    with clear_errors():
        blur(recordings_in(recordings), out, model)


app.command("info")(dataset_info.info)
app.command("check")(check.check)
app.command("repair")(check.repair)
app.command("merge")(dataset_edit.merge)
app.command("split")(dataset_edit.split)
app.command("filter")(dataset_edit.filter_)
app.command("rename-task")(dataset_edit.rename_task)
app.command("stats")(dataset_edit.stats)
app.command("export")(dataset_io.export)
app.command("import")(dataset_io.import_)
app.command("import-bag")(dataset_io.import_bag)
app.command("import-hand-guided")(dataset_io.import_hand_guided)
