"""What the `il dataset` commands share: errors as sentences, a progress bar, and the robot's kinematics."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from il_core.errors import ConfigError, IlError, RecordingError, nearest
from il_core.types import Outcome

if TYPE_CHECKING:
    from il_control.model import ArmModel
    from il_core.config import Setup
    from il_core.geometry import Array

console = Console()
Task = Annotated[str, typer.Option(help="Task, by name or YAML file.")]
Folder = Annotated[Path, typer.Argument(help="Folder of the dataset.")]
Out = Annotated[Path, typer.Option(help="Folder of the result, missing or empty.")]


@contextmanager
def clear_errors() -> Iterator[None]:
    """One sentence on stderr and exit code 1 instead of a traceback."""
    try:
        yield
    except IlError as error:
        Console(stderr=True).print(f"[red]error:[/] {escape(str(error))}", soft_wrap=True, highlight=False)
        raise typer.Exit(1) from None


@contextmanager
def progress_of(what: str) -> Iterator[Callable[[int, int, str], None]]:
    """A bar that a (done, total, name) callback moves."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as bar:
        row = bar.add_task(what, total=None)
        yield lambda done, total, name: bar.update(row, completed=done, total=total, description=f"{what} {name}")


def say(line: str) -> None:
    """Print a line as it is: names and paths keep their brackets."""
    console.print(line, soft_wrap=True, highlight=False, markup=False)


def left_out(reasons: dict[str, str]) -> None:
    """List what is not in a result, and why."""
    for name, reason in reasons.items():
        console.print(f"[yellow]left out[/] {escape(name)}: {escape(reason)}", soft_wrap=True, highlight=False)


def outcome_of(name: str, option: str) -> Outcome:
    """Outcome of its name.

    Raises:
        ConfigError: there is no such outcome.
    """
    try:
        return Outcome(name)
    except ValueError:
        raise ConfigError(option, f"no outcome '{name}'; {nearest(name, [o.value for o in Outcome])}") from None


def recordings_in(paths: list[Path]) -> list[Path]:
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


def blur(recordings: list[Path], out: Path, model: Path | None) -> None:
    """Copy recordings into a folder with faces blurred, and say what was found in each."""
    from il_teleop.review.blur import blur_recording
    from il_teleop.review.faces import FaceDetector

    detector = FaceDetector.open(model)
    for path in recordings:
        made, found = blur_recording(path, out, detector)
        say(f"{made}: {found.sentence}")


class Kinematics:
    """Forward kinematics of a robot's URDF; the URDF is read when first asked."""

    def __init__(self, setup: Setup) -> None:
        """Remember the robot."""
        self._setup = setup
        self._model: ArmModel | None = None

    def __call__(self, q: Array) -> Array:
        """Tool pose in base, (4, 4) [m], of joint positions (nq,) [rad]."""
        if self._model is None:
            from il_control.model import ArmModel

            self._model = ArmModel(self._setup)
        self._model.update(np.asarray(q, dtype=np.float64), np.zeros(self._setup.robot.nq))
        return self._model.T_base_ee.copy()
