"""The features that doubt is scored on: the policy's own input, and whether its cameras agree."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from il_core.config import Setup
from il_core.spec import Mount
from il_core.types import Episode, Observation
from il_policy.observe_config import ObserveConfig
from il_policy.transforms import NOTHING_MORE, ObservationEncoder, locate, tool_pose_at

if TYPE_CHECKING:
    from il_policy.translate import Translator

Array = NDArray[np.float64]
Encode = Callable[[Array, Mapping[str, NDArray[Any]]], NDArray[np.float32]]
DISAGREE_UNIT_M = 0.05  # brings disagreement, in metres, to the size of normalised features
_SCENE = (".visible", ".position.", ".disagreement", "eye.")


def names(setup: Setup, observed_ticks: int, observe: ObserveConfig = NOTHING_MORE) -> tuple[str, ...]:
    """A name for every feature."""
    seen = ObservationEncoder(setup, observed_ticks, observe).names
    return (*seen, *observe.eye_names, *(f"{o.name}.disagreement" for o in setup.task.objects))


def is_scene(setup: Setup, observed_ticks: int, observe: ObserveConfig = NOTHING_MORE) -> NDArray[np.bool_]:
    """Which features tell of the world rather than of the arm, (C,)."""
    return np.array([any(part in name for part in _SCENE) for name in names(setup, observed_ticks, observe)])


def disagreement(setup: Setup, window: Sequence[Observation]) -> Array:
    """How far apart the cameras see each object, in units of ``DISAGREE_UNIT_M``, (objects,).

    0 where fewer than two see it whole: that says nothing against either. A camera that was moved, and one
    whose depth is off, shows here although each of its pictures looks like any other.
    """
    now, previous = window[-1], window[-2] if len(window) > 1 else window[-1]
    cameras = [setup.robot.camera(name) for name in setup.task.cameras if name in now.images]
    found = []
    for thing in setup.task.objects:
        seen = []
        for camera in cameras:
            frame = now.images[camera.name]
            base = np.eye(4) if camera.mount is Mount.BASE else tool_pose_at(frame.stamp_ns, now, previous)
            sighting = locate(frame, base @ camera.T_mount_optical, thing)
            if sighting is not None and not sighting.is_cut:
                seen.append(sighting.p_base)
        gaps = [float(np.linalg.norm(a - b)) for a, b in itertools.combinations(seen, 2)]
        found.append(max(gaps, default=0.0) / DISAGREE_UNIT_M)
    return np.array(found)


def features(cond: NDArray[np.float32], signs: Array) -> Array:
    """Features (C,) of a window whose normalised condition (1, C') and further signs are known."""
    return np.concatenate([cond[0].astype(np.float64), signs])


def episode_features(episode: Episode, translator: Translator[Observation], encode: Encode) -> Array:
    """Features (N, C) of an episode's ticks, made as in serving.

    Args:
        episode: A demonstration.
        translator: Of the policy.
        encode: Input vector (D,) and pictures to condition (1, C').
    """
    n_obs = translator.rhythm.n_obs
    padded = (*episode.observations[:1] * (n_obs - 1), *episode.observations)
    rows = []
    for k in range(len(episode.observations)):
        window = padded[k : k + n_obs]
        cond = encode(translator.inputs(window), translator.pixels(window))
        rows.append(features(cond, translator.signs(window)))
    return np.array(rows)
