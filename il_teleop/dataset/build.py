"""Recordings in, dataset out: each recording becomes episodes or is listed with the reason it did not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from il_core.config import Setup
from il_core.errors import ConfigError, EpisodeError, IlError, RecordingError, SpecMismatchError
from il_core.store.episodes import EpisodeStore
from il_core.store.recording import Recording
from il_core.types import Episode
from il_teleop.dataset.align_recording import BuildOptions, episodes_from
from il_teleop.review.decisions import is_kept

Progress = Callable[[int, int, str], None]  # done, total, name of the recording just finished


@dataclass(frozen=True, slots=True)
class BuildReport:
    """What became of each recording.

    Attributes:
        path: Folder of the dataset.
        episodes: Names of the episodes; one per recording, or ``<name>.1``, ... where it had holes.
        rejected: Why a recording is not among them, by name; a different outcome than wanted too.
        damaged: Those of ``rejected`` that are missing or damaged on disk.
    """

    path: Path
    episodes: tuple[str, ...]
    rejected: dict[str, str]
    damaged: tuple[str, ...]


def build(
    recordings: Sequence[Path],
    setup: Setup,
    out: Path,
    options: BuildOptions | None = None,
    progress: Progress | None = None,
    recorded_as: Setup | None = None,
) -> BuildReport:
    """Align recordings to ticks and store them as a dataset.

    Args:
        recordings: Folders of recordings, in the order the episodes shall have.
        setup: Robot and task; every recording must have been made for it.
        out: Folder of the dataset, missing or empty.
        options: Which recordings, and how.
        progress: Told after each recording.
        recorded_as: Robot and task the recordings were made for, if the dataset is for another rate,
            state or choice of cameras; arm, cameras' poses and action must be the same.

    Raises:
        ConfigError: ``recorded_as`` differs in what alignment cannot change.
        SpecMismatchError: a recording was made for another robot or task; nothing is written.
        EpisodeError: no recordings, none usable, or the disk is full.
    """
    options = options or BuildOptions()
    if not recordings:
        raise EpisodeError(out, "no recordings given; make some with `il record`, then name their folders")
    if recorded_as is not None:
        _check_same_arm(recorded_as, setup)
    opened = {path: _open(path, recorded_as or setup) for path in recordings}
    store = EpisodeStore.create(out, setup, _plain(options))
    damaged = []
    for done, (path, recording) in enumerate(opened.items(), start=1):
        try:
            if isinstance(recording, RecordingError):
                raise recording
            _add(store, path, recording, setup, options)
        except RecordingError as error:
            damaged.append(path.name)
            store.reject(path.name, str(error))
        except _RejectedError as error:
            store.reject(path.name, str(error))
        if progress is not None:
            progress(done, len(opened), path.name)
    if not len(store):
        reasons = "; ".join(store.header.rejected.values())
        raise EpisodeError(out, f"none of {len(opened)} recordings gave an episode: {reasons}")
    return BuildReport(out, store.names, dict(store.header.rejected), tuple(damaged))


def _check_same_arm(recorded: Setup, setup: Setup) -> None:
    """Compare what cannot be changed after recording.

    Raises:
        ConfigError: robot, URDF, action or tool orientation differ.
    """
    where = f"task '{setup.task.name}', recorded as '{recorded.task.name}'"
    same_task = replace(setup.task, action=recorded.task.action, quat_xyzw_tool=recorded.task.quat_xyzw_tool)
    if recorded.robot != setup.robot or recorded.urdf_path.resolve() != setup.urdf_path.resolve():
        raise ConfigError(where, f"robot is '{setup.robot.name}', the recordings are of '{recorded.robot.name}'")
    if same_task != setup.task:
        raise ConfigError(where, "'action' or 'quat_xyzw_tool' differ; only rate, state, cameras and ages may")


class _RejectedError(Exception):
    """A recording that gives no episode; the text says why."""


def _open(path: Path, setup: Setup) -> Recording | RecordingError:
    """Open a recording and compare its spec; a damaged one is a value, so that the others are built.

    Raises:
        SpecMismatchError: made for another robot or task.
    """
    try:
        recording = Recording.open(path)
    except RecordingError as error:
        return error
    if recording.header.spec_digest != setup.digest:
        raise SpecMismatchError(
            f"recording {path} (robot '{recording.header.robot}', task '{recording.header.task}')",
            got=recording.header.spec_digest,
            expected=setup.digest,
            next_step="build with the task and robot files it was recorded with, or record it again",
        )
    return recording


def _add(store: EpisodeStore, path: Path, recording: Recording, setup: Setup, options: BuildOptions) -> None:
    """Align one recording and store it.

    Raises:
        _RejectedError: it gives no episode.
        EpisodeError: the dataset cannot be written.
        RecordingError: the data are damaged.
    """
    outcome = recording.header.outcome
    if not is_kept(recording.header):
        raise _RejectedError("it was discarded in review; take it back with `il review <recording> --keep`")
    if outcome not in options.include:
        raise _RejectedError(f"its outcome is {outcome.value}; include it with --include {outcome.value}")
    try:
        episodes = episodes_from(recording, setup, options)
    except RecordingError:
        raise
    except (IlError, ValueError) as error:  # ValueError: a pose or picture that is none
        raise _RejectedError(str(error)) from error
    for episode in episodes:
        words = recording.header.instruction or None
        store.add(episode, source=str(path), statistics=statistics(episode), instruction=words)


def statistics(episode: Episode) -> dict[str, float]:
    """Numbers for a quick look: duration, path, largest step of the action, oldest samples.

    Returns:
        ``seconds`` [s], ``path_m`` travelled by the tool [m], ``action_step_max_mm`` between ticks
        [mm], and ``age_max_ms.<stream>`` [ms].
    """
    p = np.array([o.T_base_ee[:3, 3] for o in episode.observations])
    steps = np.linalg.norm(np.diff(episode.T_base_ee_des[:, :3, 3], axis=0), axis=1)
    ages = {
        f"age_max_ms.{stream}": max(o.age_ns[stream] for o in episode.observations) / 1e6
        for stream in episode.observations[0].age_ns
    }
    return {
        "seconds": len(episode.observations) / episode.rate_hz,
        "path_m": float(np.linalg.norm(np.diff(p, axis=0), axis=1).sum()),
        "action_step_max_mm": float(1e3 * steps.max(initial=0.0)),
        **ages,
    }


def _plain(options: BuildOptions) -> dict[str, str]:
    """Options as text for dataset.json."""
    return {
        "include": ",".join(o.value for o in options.include),
        "idle_keep_s": str(options.idle_keep_s),
        "path_speed_m_s": str(options.path_speed_m_s),
    }
