"""`il review`: look at recordings, score them, and keep, trim, relabel, delete or blur them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from il_cli.dataset_common import blur, recordings_in
from il_core.errors import ConfigError, RecordingError, nearest
from il_core.types import Outcome

if TYPE_CHECKING:
    from il_core.spec import RobotSpec
    from il_teleop.review.decisions import Decision
    from il_teleop.review.sync import SyncReport
    from il_teleop.review.take import Reviewed

console = Console()


def review(  # noqa: PLR0913 - one option per action
    recordings: Annotated[list[Path] | None, typer.Argument(help="Recordings, or folders that hold some.")] = None,
    html: Annotated[Path | None, typer.Option(help="Write one self-contained page with films and plots.")] = None,
    rerun: Annotated[Path | None, typer.Option(help="Write a Rerun recording (.rrd); needs rerun-sdk.")] = None,
    sync: Annotated[bool, typer.Option("--sync", help="Print the timing of every topic.")] = False,
    report: Annotated[Path | None, typer.Option(help="Write scores and timing as JSON.")] = None,
    interactive: Annotated[bool, typer.Option("--interactive", "-i", help="Go through the takes by key.")] = False,
    keep: Annotated[bool, typer.Option("--keep", help="Datasets may use them (takes --discard back).")] = False,
    discard: Annotated[bool, typer.Option("--discard", help="Datasets leave them out.")] = False,
    trim: Annotated[
        tuple[float, float] | None, typer.Option(help="Datasets use this part: START END [s from the first message].")
    ] = None,
    untrim: Annotated[bool, typer.Option("--untrim", help="Datasets use all of it again.")] = False,
    relabel: Annotated[str | None, typer.Option(help="Outcome: success, failure or unlabelled.")] = None,
    task: Annotated[str | None, typer.Option(help="The task in words.")] = None,
    delete: Annotated[bool, typer.Option("--delete", help="Move them to .trash.")] = False,
    purge: Annotated[bool, typer.Option("--purge", help="With --delete: from the disk, for good.")] = False,
    apply: Annotated[Path | None, typer.Option(help="Carry out decisions saved from the page.")] = None,
    blur_faces: Annotated[Path | None, typer.Option(help="Write copies with blurred faces below this folder.")] = None,
    face_model: Annotated[Path | None, typer.Option(help="Face detector, CenterFace as ONNX file.")] = None,
    by: Annotated[str, typer.Option(help="Who decides; the login name by default.")] = "",
    fps: Annotated[float, typer.Option(min=0.5, max=60.0, help="Pictures per second in the films.")] = 10.0,
    width: Annotated[int, typer.Option(min=16, max=1920, help="Largest width of the films [px].")] = 320,
) -> None:
    """Score recordings, look at them, and decide what datasets use; data files are never rewritten.

    Example: il review data/recordings/pick_place --html outputs/review.html
    """
    decision = _decision(keep, discard, untrim, relabel, task)
    if apply is not None:
        if recordings or trim or delete or not decision.is_empty:
            raise ConfigError("--apply", "the file names its recordings and decisions; give nothing beside it")
        return _apply(apply, by)
    paths = _found(recordings or [])
    if purge and not delete:
        raise ConfigError("--purge", "means only with --delete how; give both to remove recordings for good")
    if delete:
        return _delete(paths, purge)
    if blur_faces is not None:
        return blur(paths, blur_faces, face_model)
    if trim is not None or not decision.is_empty:
        return _decide(paths, decision, trim, by)
    takes = _reviewed(paths, (fps, width) if html is not None else None)
    for path, write in ((rerun, _rerun), (html, _page), (report, _report)):
        if path is not None:
            write(takes, path)
    _print(takes, with_sync=sync)
    if interactive:
        from il_cli.review_terminal import go_through

        go_through(takes, console, by)


def _print(takes: list[Reviewed], *, with_sync: bool) -> None:
    """The table of takes, the outliers, and the timing of every topic if wanted."""
    console.print(_table(takes))
    for take in takes:
        if with_sync:
            console.print(sync_table(take.header.name, take.quality.sync))
            for problem in take.quality.sync.problems:
                console.print(f"[yellow]timing[/] {escape(problem)}", soft_wrap=True, highlight=False)
        for reason in take.quality.outlier:
            console.print(f"[yellow]outlier[/] {take.header.name}: {escape(reason)}", soft_wrap=True, highlight=False)


def _decision(keep: bool, discard: bool, untrim: bool, relabel: str | None, task: str | None) -> Decision:
    """The decision that the options ask for, without the trim, which needs the recording."""
    from il_teleop.review.decisions import Decision

    if keep and discard:
        raise ConfigError("--keep --discard", "cannot both be; give one")
    outcomes = [o.value for o in Outcome]
    if relabel is not None and relabel not in outcomes:
        raise ConfigError("--relabel", f"no outcome '{relabel}'; {nearest(relabel, outcomes)}")
    return Decision(
        keep=True if keep else False if discard else None,
        trim_ns=(0, 0) if untrim else None,
        outcome=None if relabel is None else Outcome(relabel),
        instruction=task,
    )


def _found(paths: list[Path]) -> list[Path]:
    """Recordings named, and those inside folders named.

    Raises:
        ConfigError: none is named.
        RecordingError: a path does not exist, or is a folder without recordings.
    """
    if not paths:
        raise ConfigError("il review", "name recordings, or folders that hold some, such as data/recordings")
    return recordings_in(paths)


def _reviewed(paths: list[Path], film: tuple[float, int] | None) -> list[Reviewed]:
    """Read and judge recordings, worst first; damaged ones are told and left out.

    Raises:
        RecordingError: none could be read.
    """
    from rich.progress import track

    from il_teleop.review.film import Films
    from il_teleop.review.quality import compare
    from il_teleop.review.take import review as look

    takes: list[Reviewed] = []
    robots: dict[str, RobotSpec | None] = {}
    for path in track(paths, "review", console=console, transient=True):
        try:
            takes.append(look(path, _robot(path, robots), Films(*film) if film else None))
        except RecordingError as error:
            console.print(f"[red]left out[/] {escape(str(error))}", soft_wrap=True, highlight=False)
    if not takes:
        raise RecordingError(paths[0], f"none of {len(paths)} recordings can be read")
    compared = compare({str(take.path): take.quality for take in takes})
    for take in takes:
        take.quality = compared[str(take.path)]
    return sorted(takes, key=lambda take: take.quality.score if take.quality.score is not None else -1.0)


def _robot(path: Path, known: dict[str, RobotSpec | None]) -> RobotSpec | None:
    """The arm of a recording; None if this machine does not describe it."""
    from il_core.config import load_robot
    from il_core.store.header import read_header

    name = read_header(path).robot
    if name not in known:
        try:
            known[name] = load_robot(name)[0]
        except ConfigError:
            known[name] = None
    return known[name]


def _table(takes: list[Reviewed]) -> Table:
    """One row per take."""
    from il_teleop.review.decisions import is_kept, trim_of

    table = Table(title=f"{len(takes)} recordings, worst first")
    table.add_column("recording", overflow="fold", min_width=25)
    for column in ("outcome", "score", "seconds", "use", "weakest", "timing"):
        table.add_column(column)
    for take in takes:
        parts = [p for p in take.quality.parts if p.score is not None]
        worst = min(parts, key=lambda p: p.score or 0.0, default=None)
        trim, zero = trim_of(take.header), take.signals.start_ns
        used = "all" if trim is None else f"{(trim[0] - zero) / 1e9:.2f} to {(trim[1] - zero) / 1e9:.2f} s"
        table.add_row(
            take.header.name,
            take.header.outcome.value,
            "-" if take.quality.score is None else f"{take.quality.score:.0f}",
            f"{take.signals.seconds:.1f}",
            used if is_kept(take.header) else "nothing",
            "" if worst is None or worst.score == 1.0 else f"{worst.name} {100 * (worst.score or 0.0):.0f}",
            f"{len(take.quality.sync.problems)} bad" if take.quality.sync.problems else "good",
        )
    return table


def sync_table(name: str, report: SyncReport) -> Table:
    """Timing of every topic of one recording; `p50 / p99 / max` in ms."""
    table = Table(title=f"{name}, skew against {report.reference}")
    table.add_column("topic", overflow="fold")
    for column in ("messages", "Hz", "gaps", "longest [ms]", "age [ms]", "skew [ms]", "jitter [ms]"):
        table.add_column(column, justify="right")
    for topic, t in report.topics.items():
        spreads = [
            "-" if s is None else f"{s.p50:.1f} / {s.p99:.1f} / {s.max:.1f}" for s in (t.age_ms, t.skew_ms, t.jitter_ms)
        ]
        table.add_row(topic, str(t.count), f"{t.rate_hz:.1f}", str(t.gaps), f"{t.gap_max_ms:.0f}", *spreads)
    return table


def _page(takes: list[Reviewed], html: Path) -> None:
    from il_teleop.review.page import write_page
    from il_teleop.review.take import page_values

    write_page(html, [page_values(take) for take in takes])
    size = html.stat().st_size / 1e6
    console.print(f"{html} ({size:.1f} MB, open it in a browser)", soft_wrap=True, highlight=False, markup=False)


def _report(takes: list[Reviewed], report: Path) -> None:
    from il_core.store.files import write_durably

    values = [{"path": str(t.path), "outcome": t.header.outcome.value, **t.quality.to_json()} for t in takes]
    report.parent.mkdir(parents=True, exist_ok=True)
    write_durably(report, json.dumps({"format": 1, "recordings": values}, indent=1, allow_nan=False) + "\n")
    console.print(str(report), soft_wrap=True, highlight=False, markup=False)


def _rerun(takes: list[Reviewed], out: Path) -> None:
    from il_teleop.review.rerun_view import write_rrd

    for take in takes:
        path = out if len(takes) == 1 else out.with_name(f"{out.stem}_{take.header.name}{out.suffix}")
        write_rrd(take, path)
        console.print(f"{path} (open it with `rerun {path}`)", soft_wrap=True, highlight=False, markup=False)


def _decide(paths: list[Path], decision: Decision, trim: tuple[float, float] | None, by: str) -> None:
    """Write one decision into several recordings."""
    from dataclasses import replace

    from il_core.store.recording import Recording
    from il_teleop.review.decisions import decide
    from il_teleop.review.signals import read_signals
    from il_teleop.review.take import seconds_to_ns

    if trim is not None and decision.trim_ns is not None:
        raise ConfigError("--trim --untrim", "cannot both be; give one")
    for path in paths:
        wanted = decision
        if trim is not None:
            wanted = replace(decision, trim_ns=seconds_to_ns(read_signals(Recording.open(path)), *trim))
        decide(path, wanted, by=by)
        console.print(f"decided {path}", soft_wrap=True, highlight=False, markup=False)


def _apply(file: Path, by: str) -> None:
    """Check every decision of a file, then write them all."""
    from il_core.store.recording import Recording
    from il_teleop.review.decisions import decide, decision_from
    from il_teleop.review.page import read_decisions

    wanted = {Path(path): decision_from(values, path) for path, values in read_decisions(file).items()}
    for path in wanted:
        Recording.open(path)  # none is written if one is missing
    for path, decision in wanted.items():
        decide(path, decision, by=by)
        console.print(f"decided {path}", soft_wrap=True, highlight=False, markup=False)
    console.print(f"{len(wanted)} recordings decided")


def _delete(paths: list[Path], purge: bool) -> None:
    from il_teleop.review.decisions import delete

    for path in paths:
        lies = delete(path, purge=purge)
        console.print(f"deleted {path}, now {lies}" if lies else f"purged {path}", soft_wrap=True, highlight=False)
