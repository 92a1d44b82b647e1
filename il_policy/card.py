"""How often a policy succeeded, kept beside its weights: evaluation.json of a checkpoint; needs no torch.

One entry per task and way of running; a newer one takes its place. An entry says which weights were tried: after
another training it is stale, is said to be so, and is dropped when the new weights are evaluated.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from il_core.config import from_mapping
from il_core.errors import CheckpointError, ConfigError
from il_core.stats import wilson95
from il_policy.config import as_plain
from il_policy.files import FORMAT_VERSION, read_sealed, write_sealed
from il_policy.provenance import git_revision, machine_name, now_utc

FILE = "evaluation.json"
AGAIN = "delete it and run `il eval` again"


@dataclass(frozen=True, slots=True)
class Run:
    """One evaluation.

    Attributes:
        how: How it was run, in words, such as ``over ROS, in real time``.
        task: Name of the task.
        weights_sha256: Digest of the weights that were tried, hex.
        attempts: Attempts that count.
        successes: How many of them succeeded.
        wilson95: Wilson's 95 % interval of the success rate.
        seeds: Of the scenes, one per attempt; on an arm, numbers of the scenes.
        commit: Revision of the code, or ``unknown``.
        machine: Where it ran.
        date_utc: When it ended, ISO 8601.
    """

    how: str
    task: str
    weights_sha256: str
    attempts: int
    successes: int
    wilson95: tuple[float, ...]
    seeds: tuple[int, ...]
    commit: str
    machine: str
    date_utc: str

    def __post_init__(self) -> None:
        """Reject counts that cannot be."""
        if not 0 <= self.successes <= self.attempts or self.attempts != len(self.seeds) or len(self.wilson95) != 2:
            counts = f"{self.successes} of {self.attempts} at {len(self.seeds)} scenes"
            raise ValueError(f"{counts}, interval {self.wilson95}: no evaluation says that")

    def line(self, weights_sha256: str) -> str:
        """The result in words, marked if these are not the weights that were tried."""
        lo, hi = self.wilson95
        rate = f"{self.successes} of {self.attempts} ({lo:.0%} to {hi:.0%})"
        stale = "" if self.weights_sha256 == weights_sha256 else " - stale: other weights, run `il eval` again"
        return f"{self.task}, {self.how}: {rate}, {self.date_utc[:10]}, commit {self.commit[:8]}{stale}"


@dataclass(frozen=True, slots=True)
class Card:
    """What evaluation.json says.

    Attributes:
        runs: Evaluations, one per task and way of running.
        format_version: Of this layout.
    """

    runs: tuple[Run, ...]
    format_version: int = FORMAT_VERSION


def run_of(how: str, task: str, weights_sha256: str, outcomes: Mapping[int, bool]) -> Run:
    """An evaluation that ended just now on this machine.

    Args:
        how: How it was run, in words.
        task: Name of the task.
        weights_sha256: Digest of the weights, hex.
        outcomes: Success by seed of the scene; not empty.

    Raises:
        ValueError: no attempt was made.
    """
    successes, n = sum(outcomes.values()), len(outcomes)
    if not n:
        raise ValueError("no attempt was made")
    about = (git_revision(), machine_name(), now_utc())
    return Run(how, task, weights_sha256, n, successes, wilson95(successes, n), tuple(sorted(outcomes)), *about)


def write_card(directory: Path, run: Run) -> Card:
    """Keep an evaluation beside the policy, in place of the last one of its kind; stale ones are dropped.

    Raises:
        CheckpointError: the card there is damaged, or the folder cannot be written.
    """
    before = read_card(directory).runs

    def stays(other: Run) -> bool:
        return other.weights_sha256 == run.weights_sha256 and (other.how, other.task) != (run.how, run.task)

    card = Card((*(other for other in before if stays(other)), run))
    write_sealed(directory / FILE, as_plain(asdict(card)))
    return card


def read_card(directory: Path) -> Card:
    """Read what is known of a policy; empty if it was never evaluated.

    Raises:
        CheckpointError: damaged.
    """
    path = directory / FILE
    if not path.exists():
        return Card(())
    try:
        return from_mapping(Card, read_sealed(path, AGAIN, oldest=FORMAT_VERSION), str(path))
    except ConfigError as error:
        raise CheckpointError(path, f"{error.problem} (in {error.source}); {AGAIN}") from error


def weights_of(directory: Path) -> str:
    """Digest of the weights that a checkpoint, or the export of one, was made of, hex.

    Raises:
        CheckpointError: missing or damaged.
    """
    name = "policy.json" if (directory / "policy.json").exists() else "serving.json"
    found = read_sealed(directory / name, "train again").get("weights_sha256")
    if not isinstance(found, str):
        raise CheckpointError(directory / name, "names no weights; copy it again or train again")
    return found


def described(directory: Path) -> Sequence[str]:
    """One line per evaluation of a checkpoint, for people; stale ones say so.

    Raises:
        CheckpointError: damaged.
    """
    runs = read_card(directory).runs
    weights = weights_of(directory) if runs else ""
    return [run.line(weights) for run in runs]
