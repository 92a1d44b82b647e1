"""Attempts that a person judges: their blind order, their results line by line, and what is left to do."""

from __future__ import annotations

import json
import os
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

from il_cli.compare import Candidate
from il_cli.interventions import Interventions
from il_cli.rehearsal import Attempt
from il_core.config import from_mapping
from il_core.errors import ConfigError

FORMAT = 2
MARKS = range(1, 6)  # poor to perfect, as the recorder's marks


class Verdict(str, Enum):
    """What a person says about an attempt."""

    SUCCESS = "success"
    FAILURE = "failure"
    SKIP = "skip"  # does not count, for a reason that is not the policy's


@dataclass(frozen=True, slots=True)
class Turn:
    """One attempt that is to be made.

    Attributes:
        scene: Number of the scene, from 0.
        policy: Which of the policies; the person does not learn it.
    """

    scene: int
    policy: int


@dataclass(frozen=True, slots=True)
class Trial:
    """One attempt that was made.

    Attributes:
        scene: Number of the scene.
        policy: Which of the policies.
        verdict: What the person said.
        seconds: Duration [s].
        plans: Plans made.
        path: Measured tool positions in base at the ticks, (N, 3) [m].
        score: The person's mark, 1 (poor) to 5 (perfect); None = none was given.
        interventions: What took the arm from the policy; None = nobody told.

    Raises:
        ConfigError: a mark that is none.
    """

    scene: int
    policy: int
    verdict: Verdict
    seconds: float
    plans: int
    path: tuple[tuple[float, ...], ...] = ()
    score: int | None = None
    interventions: Interventions | None = None

    def __post_init__(self) -> None:
        """Refuse marks out of range."""
        if self.score is not None and self.score not in MARKS:
            raise ConfigError("score", f"a mark is 1 to 5, got {self.score}")


def blind_order(policies: int, scenes: int, seed: int) -> list[Turn]:
    """Every policy once at every scene; scenes in order, because a person sets them up, policies shuffled."""
    chance, order = random.Random(seed), []  # noqa: S311 - an order, not a secret
    for scene in range(scenes):
        turns = [Turn(scene, policy) for policy in range(policies)]
        chance.shuffle(turns)
        order += turns
    return order


class TrialLog:
    """Results on disk, one JSON line each, safe at once: an evaluation of hours survives a power cut."""

    def __init__(self, path: Path, about: dict[str, Any]) -> None:
        """Begin, or go on with, the file of an evaluation.

        Args:
            path: The file.
            about: What makes it this evaluation and no other: policies with their digests, task, scenes, seed, limit.

        Raises:
            ConfigError: the file belongs to another evaluation, or is damaged.
        """
        self._path = path
        self.trials: list[Trial] = []
        head = {"format": FORMAT, **about}
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._write(head)
            return
        lines = path.read_text(encoding="utf-8").split("\n")
        torn = lines.pop()  # what follows the last end of line was being written when something stopped it
        values = [_parsed(path, n, line) for n, line in enumerate(lines, start=1)]
        if not values or values[0] != head:
            problem = "holds the results of another evaluation; choose another --out, or delete it"
            raise ConfigError(str(path), problem)
        self.trials = [from_mapping(Trial, value, str(path)) for value in values[1:]]
        if torn:
            with path.open("r+b") as file:
                file.truncate(sum(len(line.encode()) + 1 for line in lines))

    def add(self, trial: Trial) -> None:
        """Keep a result, durably."""
        self._write(asdict(trial) | {"verdict": trial.verdict.value})
        self.trials.append(trial)

    def left(self, order: Sequence[Turn]) -> list[Turn]:
        """Turns without a result yet."""
        done = {(t.scene, t.policy) for t in self.trials}
        return [turn for turn in order if (turn.scene, turn.policy) not in done]

    def _write(self, value: dict[str, Any]) -> None:
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(value, allow_nan=False) + "\n")
            file.flush()
            os.fsync(file.fileno())


def _parsed(path: Path, number: int, line: str) -> dict[str, Any]:
    try:
        value = json.loads(line)
    except ValueError as error:
        raise ConfigError(str(path), f"line {number} is damaged ({error}); delete that line") from error
    if not isinstance(value, dict):
        raise ConfigError(str(path), f"line {number} holds no mapping; delete that line")
    return value


def candidates_of(names: Sequence[str], trials: Sequence[Trial]) -> list[Candidate]:
    """Judged attempts by policy, as reports take them; what was skipped is left out."""
    made = [Candidate(name) for name in names]
    for t in trials:
        if t.verdict is not Verdict.SKIP:
            path = np.array(t.path, dtype=np.float64).reshape(-1, 3)
            is_success = t.verdict is Verdict.SUCCESS
            made[t.policy].attempts[t.scene] = Attempt(
                t.scene, is_success, t.seconds, path, t.plans, interventions=t.interventions, score=t.score
            )
    return made
