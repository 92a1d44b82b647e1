"""`il train`: learn a policy from a dataset, stoppable and resumable."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.progress import Progress as Bar

    from il_policy.train import Progress, TrainResult

INTERRUPTED = 130  # exit status of a program ended by Ctrl-C


def train(
    dataset: Annotated[Path, typer.Argument(help="Folder that `il dataset build` wrote.")],
    policy: Annotated[
        str, typer.Option(help="Recipe in config/train/ (diffusion, bc, ...) or a YAML file.")
    ] = "diffusion",
    out: Annotated[Path, typer.Option(help="Folder for the checkpoint.")] = Path("outputs/policy"),
    task: Annotated[str, typer.Option(help="Task; the dataset's own if empty.")] = "",
    robot: Annotated[str, typer.Option(help="Robot; the task's own if empty.")] = "",
    set_: Annotated[list[str] | None, typer.Option("--set", help="Change a setting: key=value.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an earlier run in --out stopped.")] = False,
    start: Annotated[
        Path | None, typer.Option("--from", help="Checkpoint, of any task, whose weights to begin with.")
    ] = None,
    distill: Annotated[
        Path | None, typer.Option(help="Diffusion or flow checkpoint of this task, to be done in one step.")
    ] = None,
) -> None:
    """Train a policy on a dataset; Ctrl-C saves what was learned so far.

    Example: il train outputs/dataset --policy diffusion --out outputs/policy --set max_seconds=120

    In several processes: accelerate launch --multi_gpu -m il_cli.main train outputs/dataset --set device=cuda
    """
    is_main = os.environ.get("RANK", "0") == "0"  # of several processes one is enough to look at
    with _interruptible() as should_stop, _bar(is_shown=is_main) as bar:
        follow = _follow(bar)
        result = run(
            dataset,
            policy,
            out,
            task=task,
            robot=robot,
            overrides=tuple(set_ or ()),
            is_resumed=resume,
            on_progress=follow,
            should_stop=should_stop,
            start=start,
            teacher=distill,
        )
    if is_main:
        _tell(result)
    if not result.is_complete:
        raise typer.Exit(INTERRUPTED)


def _tell(result: TrainResult) -> None:
    """What came out, on two lines."""
    typer.echo(result.origin.line())
    val = f", {result.val.line()}" if result.val else ""
    typer.echo(f"{result.path}: {result.parameters} parameters, {result.steps} steps, {result.seconds:.0f} s{val}")
    if not result.is_complete:
        typer.echo("interrupted; go on with --resume")


def run(
    dataset: Path,
    policy: str,
    out: Path,
    *,
    task: str = "",
    robot: str = "",
    overrides: Sequence[str] = (),
    is_resumed: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    start: Path | None = None,
    teacher: Path | None = None,
) -> TrainResult:
    """Train from a dataset folder; see :func:`il_policy.train.train` for the callbacks.

    Raises:
        EpisodeError: no such dataset, or nothing in it to learn from.
        SpecMismatchError: the dataset is of another robot or task.
        CheckpointError: ``out`` cannot be written or resumed from, ``start`` or ``teacher`` cannot be used.
        ConfigError: unknown recipe or setting, or one that this head or these episodes have no use for.
        TrainingError: the loss is no longer finite; the last checkpoint is kept.
    """
    from il_core.config import load_setup
    from il_core.store.dataset_header import DATASET_FILE
    from il_core.store.episodes import EpisodeStore
    from il_policy.config import load_train_config
    from il_policy.dataset import ChunkDataset
    from il_policy.provenance import Source, counted
    from il_policy.train import adapted
    from il_policy.train import train as train_policy

    config = load_train_config(policy, tuple(overrides))
    if teacher is not None:
        config = adapted(config, teacher)
    store = EpisodeStore.open(dataset)
    setup = load_setup(task or store.header.task.name, robot or None)
    store = EpisodeStore.open(dataset, setup.digest)
    entries, digest = store.header.episodes, hashlib.sha256((dataset / DATASET_FILE).read_bytes()).hexdigest()
    samples = ChunkDataset((store.episode(k) for k in range(len(store))), setup, config)
    return train_policy(
        samples,
        setup,
        config,
        out,
        is_resumed=is_resumed,
        on_progress=on_progress,
        should_stop=should_stop,
        start=start,
        teacher=teacher,
        source=Source(str(dataset), digest, counted({e.name: e.notes.get("operator", "") for e in entries})),
    )


def _bar(*, is_shown: bool) -> Bar:
    """The live progress display, or one that shows nothing."""
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (BarColumn(), TextColumn("{task.description}"), TimeElapsedColumn(), TimeRemainingColumn())
    return Progress(TextColumn("train"), *columns, disable=not is_shown)


def _follow(bar: Bar) -> Callable[[Progress], None]:
    """Feed the display from training progress."""
    row = bar.add_task("reading episodes", total=1.0)

    def follow(p: Progress) -> None:
        val = f"  held out {p.val.distance:.3g} {p.val.unit}" if p.val else ""
        bar.update(row, completed=p.fraction, description=f"step {p.step}  loss {p.loss:.4f}{val}")

    return follow


class _interruptible:  # noqa: N801 - reads like the function it replaces
    """First Ctrl-C asks to stop after the current step; a second one ends at once."""

    def __enter__(self) -> Callable[[], bool]:
        self._asked = threading.Event()
        self._before = signal.signal(signal.SIGINT, self._ask)
        return self._asked.is_set

    def _ask(self, number: int, frame: FrameType | None) -> None:
        if self._asked.is_set():
            raise KeyboardInterrupt
        self._asked.set()

    def __exit__(self, *reason: object) -> None:
        signal.signal(signal.SIGINT, self._before)
