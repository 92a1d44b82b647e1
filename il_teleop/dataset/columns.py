"""robomimic files and LeRobot folders as plain columns, for policies without an arm of ours."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from il_core.arrays import ArrayEpisode, LazyPictures
from il_core.errors import EpisodeError, nearest
from il_teleop.dataset.foreign import RawEpisode
from il_teleop.dataset.lerobot_in import LeRobotFolder
from il_teleop.dataset.robomimic import RobomimicFile

ACTIONS = ("actions", "action")
_OBSERVED = ("obs/", "observation")


def read_columns(
    path: Path, observations: Sequence[str] = (), action: str = "", pictures: Sequence[str] = ()
) -> list[ArrayEpisode]:
    """Read all demonstrations of a robomimic HDF5 file, or of a LeRobotDataset folder (v2 or v3).

    Args:
        path: The file or folder.
        observations: Columns of numbers that a policy sees; none = all below ``obs/``, or that begin with
            ``observation``.
        action: Column of what was done; empty = ``actions`` or ``action``.
        pictures: Keys of colour pictures; they are read when somebody asks for them. Their names lose what is common:
            ``obs/agentview_image`` becomes ``agentview_image``, ``observation.images.top`` becomes ``top``.

    Raises:
        EpisodeError: unreadable, damaged or hostile data, or no such column; says which there are.
        ConfigError: the library that reads this format is missing.
    """
    source = LeRobotFolder(path) if path.is_dir() else RobomimicFile(path)
    known = list(source.columns)
    chosen = list(observations) or [c for c in known if c.startswith(_OBSERVED) and c not in source.pictures]
    acted = action or next((a for a in ACTIONS if a in known), "")
    for column in (*chosen, acted):
        if column not in known:
            raise EpisodeError(path, f"has no column '{column}'; {nearest(column or 'action', known)}")
    if not chosen and not pictures:
        raise EpisodeError(path, f"says of no column that it is observed; name some of {sorted(known)}")
    keys = {picture_name(key): key for key in pictures}
    if missing := [key for key in pictures if key not in source.pictures]:
        raise EpisodeError(path, f"has no pictures '{missing[0]}'; {nearest(missing[0], list(source.pictures))}")
    return [_episode(source.episode(i), chosen, acted, keys) for i in range(len(source))]


def _episode(raw: RawEpisode, observations: Sequence[str], action: str, keys: Mapping[str, str]) -> ArrayEpisode:
    return ArrayEpisode(
        raw.name,
        {column: raw.numbers(column) for column in observations},
        raw.numbers(action),
        LazyPictures(tuple(keys), lambda name: np.stack(list(raw.rgb(keys[name])))),
        raw.rate_hz,
        raw.outcome,
        raw.instruction,
    )


def picture_name(key: str) -> str:
    """Short name of a picture, of letters, digits and underscores."""
    return re.sub(r"\W+", "_", re.split(r"[./]", key)[-1])
