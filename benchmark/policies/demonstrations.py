"""Demonstrations of scripted operators, recorded in process and aligned one by one, so that no pictures pile up."""

from __future__ import annotations

import shutil
from functools import cache
from pathlib import Path

from benchmark.policies import drawing
from benchmark.policies.keep import Keeper, wait_while_paused
from il_core.config import Setup, load_setup
from il_core.errors import EpisodeError
from il_core.store.episodes import EpisodeStore
from il_core.store.recording import Recording
from il_core.types import Outcome

MOST_FAILED = 0.5  # of all demonstrations: an operator that fails more often cannot show the task
# Raised when a task's scene or operator changes: what was shown and measured before is not the same any more.
EDITIONS = {"reach": 2, "go_around": 2, "push": 2}


@cache
def setup_of(task: str) -> Setup:
    """Robot and task."""
    return load_setup(task)


def edition(task: str) -> int:
    """Which version of its demonstrations is meant; 0 = the first."""
    return EDITIONS.get(task, 0)


def drawing_folder(keeper: Keeper) -> Path:
    """Where drawings are kept."""
    return keeper.work / "datasets" / drawing.TASK


def dataset(keeper: Keeper, task: str, wanted: int) -> Path:
    """Dataset with as many successful demonstrations, recorded where they are missing.

    Raises:
        EpisodeError: the operator fails too often.
    """
    setup, folder = setup_of(task), keeper.work / "datasets" / f"{task}{edition(task) or ''}"
    if task == drawing.TASK:
        return drawing.drawings(drawing_folder(keeper), setup)[0]
    store = EpisodeStore.open(folder, setup.digest) if folder.exists() else EpisodeStore.create(folder, setup)
    seed = len(store) + len(store.header.rejected)
    while len(store) < wanted:
        failed = len(store.header.rejected)
        if failed > 5 and failed > MOST_FAILED * seed:
            raise EpisodeError(folder, f"{failed} of {seed} demonstrations of '{task}' failed: its operator is broken")
        wait_while_paused()
        _show(store, setup, keeper.work / "recording" / task, seed)
        seed += 1
    return folder


def _show(store: EpisodeStore, setup: Setup, tmp: Path, seed: int) -> None:
    """Record one demonstration and keep what a policy learns from."""
    from il_cli.ros.bulk import record_in_process
    from il_teleop.dataset.align_recording import BuildOptions, episodes_from
    from il_teleop.dataset.build import statistics

    shutil.rmtree(tmp, ignore_errors=True)
    path = record_in_process(setup, tmp, range(seed, seed + 1))[0]
    recording = Recording.open(path)
    if recording.header.outcome is Outcome.SUCCESS:
        for episode in episodes_from(recording, setup, BuildOptions()):
            store.add(episode, source=f"scripted operator, seed {seed}", statistics=statistics(episode))
    else:
        store.reject(path.name, f"seed {seed}: {recording.header.outcome.value}")
    shutil.rmtree(tmp)


def first(folder: Path, setup: Setup, count: int):  # noqa: ANN201 - an iterator of episodes
    """The first episodes of a dataset."""
    store = EpisodeStore.open(folder, setup.digest)
    return (store.episode(k) for k in range(min(count, len(store))))
