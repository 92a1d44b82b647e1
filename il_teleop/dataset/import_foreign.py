"""Somebody else's episodes into a dataset of ours: conversion, names and labels, or a list of what was found."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from il_core.config import Setup
from il_core.errors import ConfigError, EpisodeError, SpecMismatchError
from il_core.store.dataset_header import DatasetHeader, parse_dataset_header
from il_teleop.dataset import lerobot_columns as ours
from il_teleop.dataset import lerobot_format as lr
from il_teleop.dataset import mapping as m
from il_teleop.dataset.build import statistics
from il_teleop.dataset.edit import fresh_dataset
from il_teleop.dataset.foreign import Forward, RawEpisode, episode_from
from il_teleop.dataset.lerobot_in import LeRobotFolder
from il_teleop.dataset.suggest import describe

Progress = Callable[[int, int, str], None]


class Source(Protocol):
    """A place that holds episodes."""

    path: Path
    columns: dict[str, str]
    pictures: tuple[str, ...]

    def __len__(self) -> int:
        """Number of episodes."""
        ...

    def episode(self, i: int) -> RawEpisode:
        """One of them."""
        ...


@dataclass(frozen=True, slots=True)
class ImportReport:
    """What became of the episodes.

    Attributes:
        path: The dataset.
        episodes: Names of those in it.
        rejected: Why the others are not, by name.
    """

    path: Path
    episodes: tuple[str, ...]
    rejected: dict[str, str]


def import_episodes(
    source: Source,
    mapping: m.Mapping | None,
    setup: Setup,
    out: Path,
    forward: Forward | None = None,
    progress: Progress | None = None,
) -> ImportReport:
    """Convert all episodes of a source into a dataset; written whole or not at all.

    Args:
        source: Where they are.
        mapping: What their columns mean; None only for our own exports.
        setup: Robot and task of the dataset.
        out: Its folder, missing or empty.
        forward: Forward kinematics of the robot.
        progress: Told after each episode.

    Raises:
        ConfigError: no mapping, or one that lacks something; lists what was found and suggests one.
        EpisodeError: no episode could be converted, or the disk is full.
        SpecMismatchError: an export of ours for another robot or task.
    """
    header = _our_header(source.path) if mapping is None else None
    if header is not None:
        mapping = own_mapping(source, header, setup)
    if mapping is None:
        raise ConfigError(str(source.path), f"needs a mapping (--map); {describe(source, setup)}")
    try:
        mapping.check(setup.task)
    except ConfigError as error:
        raise ConfigError("mapping", f"{error.problem}; {describe(source, setup)}") from None
    entries = header.episodes if header is not None else ()
    with fresh_dataset(out, setup, {"imported_from": str(source.path)}) as store:
        for i in range(len(source)):
            raw = source.episode(i)
            entry = entries[i] if i < len(entries) else None
            if entry is not None:
                raw = replace(raw, name=entry.name, outcome=entry.outcome)
            try:
                episode = episode_from(raw, mapping, setup, forward)
                if entry is not None:
                    episode = replace(episode, notes=entry.notes)
                where = entry.source if entry is not None else str(source.path)
                words = raw.instruction or None
                store.add(episode, source=where, statistics=statistics(episode), instruction=words)
            except (EpisodeError, ValueError) as error:  # ValueError: a pose or number that is none
                store.reject(raw.name, str(error))
            if progress is not None:
                progress(i + 1, len(source), raw.name)
        if not len(store):
            first = next(iter(store.header.rejected.values()), "it has none")
            raise EpisodeError(source.path, f"none of {len(source)} episodes could be converted; the first: {first}")
        rejected = dict(store.header.rejected)
        names = store.names
    return ImportReport(out, names, rejected)


def _our_header(path: Path) -> DatasetHeader | None:
    """What an export of ours says about its episodes; None if it is none.

    Raises:
        EpisodeError: it is damaged.
    """
    try:
        return parse_dataset_header((path / lr.OURS).read_bytes(), path / lr.OURS)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError) as error:
        raise EpisodeError(path / lr.OURS, f"is damaged ({error}); import with --map instead") from error


def own_mapping(source: Source, header: DatasetHeader, setup: Setup) -> m.Mapping:
    """Mapping of an export of ours.

    Raises:
        SpecMismatchError: it was made for another robot or task.
    """
    if header.spec_digest != setup.digest:
        raise SpecMismatchError(
            f"export {source.path} (robot '{header.robot.name}', task '{header.task.name}')",
            got=header.spec_digest,
            expected=setup.digest,
            next_step="import it for that task, or give --map to say what its columns mean for this one",
        )
    columns, nq = source.columns, setup.robot.nq
    has_arm = ours.VELOCITY in columns
    cameras = {}
    for camera in setup.task.cameras:
        depth = ours.camera_key(camera, depth=True)
        intrinsics = header.episodes[0].intrinsics.get(camera) if header.episodes else None
        cameras[camera] = m.CameraField(ours.camera_key(camera), depth, intrinsics=intrinsics)
    streams = ours.streams_of_stamps(columns)
    return m.Mapping(
        action=m.ActionField((ours.ACTION,), tuple(range(7))),
        q=m.Field((ours.STATE,), tuple(range(nq))) if has_arm else None,
        v=m.Field((ours.VELOCITY,)) if has_arm else None,
        tau=m.Field((ours.EFFORT,)) if has_arm else None,
        gripper=m.Field((ours.STATE,), (nq,)) if has_arm else None,
        ee_pose=m.Field((ours.POSE,)),
        gripper_action=m.Field((ours.ACTION,), (7,)) if header.task.action.gripper else None,
        wrench=m.Field((ours.WRENCH_KEY,)) if ours.WRENCH_KEY in columns else None,
        stiffness=m.Field((ours.STIFFNESS,)) if ours.STIFFNESS in columns else None,
        cameras=cameras,
        intervention=m.Field((ours.INTERVENTION,)) if ours.INTERVENTION in columns else None,
        tick_stamp=m.Field((ours.STAMP + "tick",)),
        stamps={stream: m.Field((column,)) for column, stream in streams.items()},
    )


def open_lerobot(path: Path, mapping: m.Mapping | None) -> LeRobotFolder:
    """Open a LeRobot directory with the paths its mapping gives, if any.

    Raises:
        EpisodeError: no such directory, or not of this format.
    """
    return LeRobotFolder(path, mapping.data_path if mapping else "", mapping.video_path if mapping else "")
