"""Episodes of columns into training samples; the counterpart of ``dataset`` without an arm."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from il_core.arrays import ArrayEpisode
from il_core.errors import ConfigError, EpisodeError
from il_core.types import Outcome
from il_policy.action_numbers import columns
from il_policy.arrays import ArraySpec, small
from il_policy.augment.pixels import augment_pixels
from il_policy.config import AugmentConfig, Difficulty, Language, TrainConfig
from il_policy.evaluate import OpenLoopError, errors, summed
from il_policy.pictures import on_disk
from il_policy.policy import ChunkMaker, ChunkModel
from il_policy.windows import Batch, EpisodeArrays, Noise, WindowSet, action_rows, spread


def check_settings(config: TrainConfig) -> None:
    """Refuse what columns cannot give.

    Raises:
        ConfigError: a setting in force needs marks, notes, a tool, depth, force sensors or words.
    """
    observe, curriculum = config.observe, config.curriculum
    used = {
        "quality_power": config.quality_power > 0,
        "curriculum.measure": curriculum.start < 1 and curriculum.measure is not Difficulty.LENGTH,
        "observe.depth": bool(observe.depth),
        "observe.points": bool(observe.points),
        "observe.torque": observe.torque,
        "observe.wrench": observe.wrench,
        "observe.language": observe.language != Language.NONE,
    }
    found = [name for name, is_used in used.items() if is_used]
    if found:
        problem = "columns have no marks or notes of takes, tool, depth, sensors of force or words that are looked at"
        step = "leave it as it is by default; forces can be a column, and curriculum.measure can be length"
        raise ConfigError(", ".join(found), f"{problem}; {step}")


class ArrayDataset(WindowSet):
    """Samples of episodes of columns."""

    def __init__(self, episodes: Sequence[ArrayEpisode], spec: ArraySpec, config: TrainConfig) -> None:
        """Encode the episodes that are no failures.

        Args:
            episodes: Demonstrations.
            spec: Their columns.
            config: Which pictures are looked at (``observe.rgb``), and how small.

        Raises:
            EpisodeError: no episode is left, one lacks a column or picture, or pictures do not fit on the disk.
            ConfigError: a setting needs what columns do not have.
        """
        check_settings(config)
        self.spec = spec
        usable = [e for e in episodes if e.outcome in (Outcome.SUCCESS, Outcome.UNLABELLED)]
        if not usable:
            raise EpisodeError("dataset", f"none of {len(episodes)} episodes is a success; record demonstrations")
        self.arrays = on_disk(self._arrays(e, config) for e in usable)

    def _arrays(self, episode: ArrayEpisode, config: TrainConfig) -> EpisodeArrays:
        """One episode; windows before its first step repeat that step, as in acting."""
        n, n_obs = len(episode), self.spec.n_obs
        parts = [episode.observations[c.name] for c in self.spec.columns]
        steps = np.concatenate(parts, axis=1) if parts else np.zeros((n, 0))
        seen = np.maximum(np.arange(n)[:, None] + np.arange(1 - n_obs, 1), 0)
        rows, is_pad = action_rows(n, self.spec.horizon)
        pixels = {}
        for name in config.observe.rgb:
            if name not in episode.pictures:
                raise EpisodeError(episode.name, f"has no pictures '{name}'; it has {sorted(episode.pictures)}")
            pictures = [{name: picture} for picture in episode.pictures[name]]
            pixels[f"rgb.{name}"] = np.stack([small(p, name, config.observe.side, k) for k, p in enumerate(pictures)])
        hardness = float(n) if config.curriculum.start < 1 else 0.0
        inputs = steps[seen].reshape(n, -1)
        return EpisodeArrays(
            episode.name, inputs, np.zeros((n, 0)), episode.action[rows], is_pad, pixels, difficulty=hardness
        )

    def new_model(self, config: TrainConfig) -> ChunkModel:
        """Model for these columns."""
        return ChunkModel.for_arrays(self.spec, config)

    def noise(self, config: AugmentConfig, data: Batch) -> Noise:
        """Noise on columns, actions and pictures; what displaces a tool has no meaning here."""
        std = config.state * spread(data)

        def noisy(batch: Batch, generator: torch.Generator) -> Batch:
            action = batch.action + config.action * torch.randn(batch.action.shape, generator=generator)
            inputs = batch.inputs
            if config.state:
                inputs = inputs + std * torch.randn(inputs.shape, generator=generator)
            return Batch(inputs, action, batch.is_pad, augment_pixels(batch.pixels, config, generator))

        return noisy

    def judge(self, model: ChunkModel, config: TrainConfig, batch: Batch) -> OpenLoopError:
        """Mean error of the executed actions, in the data's own units."""
        error = errors(ChunkMaker(model, config), batch, self.spec.n_execute)
        return summed(error, columns(self.spec.action_dim), len(batch.inputs))
