"""`il dataset merge|split|filter|rename-task|stats`: datasets out of datasets; the inputs are only read."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from il_cli.dataset_common import Folder, Out, clear_errors, left_out, outcome_of, progress_of, say
from il_core.errors import ConfigError


def merge(
    datasets: Annotated[list[Path], typer.Argument(help="Datasets of one robot and task, two or more.")],
    out: Out,
    rename: Annotated[bool, typer.Option(help="Give an episode whose name is taken another one.")] = False,
) -> None:
    """Put datasets together; inputs stay as they are.

    Example: il dataset merge data/datasets/monday data/datasets/tuesday --out data/datasets/week
    """
    from il_teleop.dataset import edit

    with clear_errors(), progress_of("merge") as progress:
        count = edit.merge(datasets, out, rename=rename, progress=progress)
    say(f"{count} episodes in {out}")


def split(
    dataset: Folder,
    part: Annotated[list[str], typer.Option(help="FOLDER=SHARE, two or more; shares sum to 1.")],
    seed: Annotated[int, typer.Option(help="Chooses the episodes.")] = 0,
) -> None:
    """Part a dataset by chance; episodes of one recording stay together.

    Example: il dataset split data/datasets/week --part data/train=0.9 --part data/test=0.1
    """
    from il_teleop.dataset import edit

    with clear_errors():
        parts: dict[Path, float] = {}
        for text in part:
            folder, _, share = text.rpartition("=")
            try:
                parts[Path(folder)] = float(share)
            except ValueError:
                raise ConfigError("--part", f"'{text}' is not FOLDER=SHARE, such as data/train=0.9") from None
            if not folder:
                raise ConfigError("--part", f"'{text}' is not FOLDER=SHARE, such as data/train=0.9")
        counts = edit.split(dataset, parts, seed)
    for path, count in counts.items():
        say(f"{count} episodes in {path}")


def filter_(
    dataset: Folder,
    out: Out,
    keep: Annotated[list[str] | None, typer.Option(help="Names that stay, as patterns (repeatable).")] = None,
    drop: Annotated[list[str] | None, typer.Option(help="Names that go, as patterns (repeatable).")] = None,
    outcome: Annotated[list[str] | None, typer.Option(help="Outcomes that stay (repeatable).")] = None,
    instruction: Annotated[str | None, typer.Option(help="The task in words that stays.")] = None,
    min_s: Annotated[float, typer.Option(help="Shortest duration [s].")] = 0.0,
    max_s: Annotated[float, typer.Option(help="Longest duration [s].")] = float("inf"),
    max_age_ms: Annotated[float, typer.Option(help="Oldest sample used [ms].")] = float("inf"),
    note: Annotated[list[str] | None, typer.Option(help="KEY=VALUE of a note, such as operator=ada.")] = None,
) -> None:
    """Keep the episodes for which everything given holds; the result lists the others with the reason.

    Example: il dataset filter data/datasets/week --outcome success --max-s 30 --out data/datasets/good
    """
    from il_teleop.dataset import edit

    with clear_errors():
        notes = []
        for text in note or []:
            key, sign, value = text.partition("=")
            if not key or not sign:
                raise ConfigError("--note", f"'{text}' is not KEY=VALUE, such as operator=ada")
            notes.append((key, value))
        outcomes = tuple(outcome_of(name, "--outcome") for name in outcome or [])
        wanted = edit.Wanted(
            tuple(keep or ()), tuple(drop or ()), outcomes, instruction, min_s, max_s, max_age_ms, tuple(notes)
        )
        gone = edit.filter_episodes(dataset, out, wanted)
    left_out(gone)
    say(f"dataset without {len(gone)} episodes in {out}")


def rename_task(
    dataset: Folder,
    new: Annotated[str, typer.Argument(help="The task in new words.")],
    out: Out,
    old: Annotated[str | None, typer.Option(help="Only episodes whose task has these words.")] = None,
) -> None:
    """Say the task of episodes in other words; the task file, and so the spec digest, stay.

    Example: il dataset rename-task data/datasets/week "put the cube into the bin" --out data/datasets/renamed
    """
    from il_teleop.dataset import edit

    with clear_errors():
        changed = edit.rename_task(dataset, out, new, old)
    say(f"{changed} episodes renamed in {out}")


def stats(dataset: Folder, out: Out) -> None:
    """Compute the numbers per episode anew from its ticks.

    Example: il dataset stats data/datasets/week --out data/datasets/week_counted
    """
    from il_teleop.dataset import edit

    with clear_errors(), progress_of("stats") as progress:
        changed = edit.recompute(dataset, out, progress)
    say(f"numbers of {changed} episodes changed; {out}")
