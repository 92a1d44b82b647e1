"""Episodes into training samples: input vectors once per tick, action windows on demand."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from il_core import topics
from il_core.config import Setup
from il_core.errors import ConfigError, EpisodeError
from il_core.types import Episode, Observation, Outcome
from il_policy.augment.pixels import augment_pixels
from il_policy.config import AugmentConfig, TrainConfig
from il_policy.curriculum import difficulty, quality_weight
from il_policy.encoders.pixels import PixelReader
from il_policy.evaluate import OpenLoopError, open_loop
from il_policy.joint_codec import Codec, JointCodec, joint_targets, make_codec
from il_policy.pictures import on_disk
from il_policy.policy import ChunkModel, ChunkPolicy
from il_policy.transforms import GRIPPER, JITTER, STATE, TOOL, ObservationEncoder
from il_policy.windows import Batch, EpisodeArrays, WindowSet, action_rows, spread

__all__ = ["Augmenter", "Batch", "ChunkDataset", "EpisodeArrays", "episode_arrays"]
INSTRUCTION_NOTE = "instruction"  # the task in words, where an episode's differs from the task file's


def episode_arrays(
    episode: Episode, encoder: ObservationEncoder, codec: Codec, reader: PixelReader | None = None
) -> EpisodeArrays:
    """Encode one episode with the very code that runs on the robot.

    Windows before the first tick repeat the first observation, as the policy node does when it is
    enabled; rows after the last tick repeat the last target and are marked as padding.

    Raises:
        EpisodeError: the episode was aligned at another rate than the task's.
    """
    if episode.rate_hz != encoder.task.rate_hz:
        expected = f"the task's {encoder.task.rate_hz} Hz; build the dataset again"
        raise EpisodeError(episode.name, f"aligned at {episode.rate_hz} Hz, expected {expected}")
    n, n_obs, horizon = len(episode.observations), encoder.task.n_obs, encoder.task.horizon
    first = episode.observations[:1] * (n_obs - 1)
    padded = (*first, *episode.observations)
    said = episode.notes.get(INSTRUCTION_NOTE, "")
    inputs = np.array([encoder.encode(padded[k : k + n_obs], said) for k in range(n)])
    p_base_ee = np.array([o.T_base_ee[:3, 3] for o in episode.observations])
    rows, is_pad = action_rows(n, horizon)
    if isinstance(codec, JointCodec):
        actions = joint_targets(episode, codec, horizon)
    else:
        T_des, g_des = episode.T_base_ee_des[rows], episode.gripper_des[rows]
        k_p = None if episode.k_p_des is None else episode.k_p_des[rows]
        actions = codec.encode(T_des, g_des, p_base_ee[:, None, :], k_p)
    pixels, views = ({}, {}) if reader is None else (_of_all(episode, reader.read), _of_all(episode, reader.views))
    return EpisodeArrays(episode.name, inputs, p_base_ee, actions, is_pad, pixels, views=views)


def _of_all(
    episode: Episode, read: Callable[[Observation, Observation], Mapping[str, NDArray[Any]]]
) -> dict[str, NDArray[Any]]:
    """What is read of all ticks, stacked by name."""
    before = (episode.observations[0], *episode.observations)
    seen = [read(now, previous) for previous, now in zip(before, episode.observations, strict=False)]
    return {name: np.stack([s[name] for s in seen]) for name in seen[0]}


class ChunkDataset(WindowSet):
    """Samples of an arm's episodes; input vectors are computed once, here."""

    def __init__(
        self,
        episodes: Iterable[Episode],
        setup: Setup,
        config: TrainConfig,
        on_episode: Callable[[int], None] = lambda _: None,
    ) -> None:
        """Encode the successful episodes.

        Args:
            episodes: Demonstrations, read one at a time; those judged a failure are left out.
            setup: Robot and task.
            config: Encoding of actions and observed ticks.
            on_episode: Told after each episode how many were read; pictures take a while.

        Raises:
            EpisodeError: no episode is left, or their pictures do not fit on the disk.
            ConfigError: the wrench shall be observed, and an episode has none.
        """
        self.setup = setup
        self.encoder = ObservationEncoder(setup, config.observed_ticks, config.observe)
        self._reader = PixelReader(setup, config.observe) if config.observe.has_pixels else None
        self.codec = make_codec(setup, config.action_encoding)
        self._read = 0
        self.arrays = on_disk(self._usable(episodes, config, on_episode))
        if not self.arrays:
            raise EpisodeError("dataset", f"none of {self._read} episodes is a success; record demonstrations")

    def _usable(
        self, episodes: Iterable[Episode], config: TrainConfig, on_episode: Callable[[int], None]
    ) -> Iterator[EpisodeArrays]:
        """Episodes to learn from, one at a time."""
        for self._read, episode in enumerate(episodes, start=1):
            if episode.outcome in (Outcome.SUCCESS, Outcome.UNLABELLED):
                yield self._judged(episode, config)
            on_episode(self._read)

    def _judged(self, episode: Episode, config: TrainConfig) -> EpisodeArrays:
        """One episode as numbers, with what its notes say about it."""
        if config.observe.wrench and episode.observations[0].wrench is None:
            raise ConfigError("observe.wrench", f"episode '{episode.name}' has no wrench; {self._wrench_remedy()}")
        arrays = episode_arrays(episode, self.encoder, self.codec, self._reader)
        weight = quality_weight(episode.name, episode.notes, config.quality_power) if config.quality_power else 1.0
        c = config.curriculum
        hardness = difficulty(episode.name, episode.notes, arrays.p_base_ee, c.measure) if c.start < 1 else 0.0
        return replace(arrays, weight=weight, difficulty=hardness)

    def _wrench_remedy(self) -> str:
        """What to do about a dataset that lacks the wrench a policy shall observe."""
        task = f"task '{self.setup.task.name}'"
        if not self.setup.task.wrench:
            return f"{task} does not observe it: write 'wrench: true' into it, record, and build the dataset"
        return f"{task} observes it: build the dataset from recordings that hold {topics.WRIST_WRENCH}"

    def new_model(self, config: TrainConfig) -> ChunkModel:
        """Model for robot and task."""
        return ChunkModel.for_setup(self.setup, config)

    def noise(self, config: AugmentConfig, data: Batch) -> Augmenter:
        """Noise that keeps inputs and targets consistent."""
        return Augmenter(self.encoder, self.codec, config, data)

    def judge(self, model: ChunkModel, config: TrainConfig, batch: Batch) -> OpenLoopError:
        """Open-loop error of the plans that a policy of this model makes."""
        return open_loop(ChunkPolicy(self.setup, config, model), batch)

    @property
    def horizon(self) -> int:
        """Rows per chunk."""
        return self.encoder.task.horizon


class Augmenter:
    """Noise that keeps inputs and relative targets consistent with each other.

    The tool is displaced while the world and the targets stay: positions of the tool grow by the
    displacement, object positions seen from it and relative targets shrink by it. So the policy is
    taught the way back to the demonstrated path from beside it, which plain cloning never sees. Noise on the
    newest joint positions is taken off relative joint targets for the same reason.
    """

    def __init__(self, encoder: ObservationEncoder, codec: Codec, config: AugmentConfig, data: Batch) -> None:
        """Take the layout of inputs and actions, and the spread of every number from the training data."""
        s = encoder.sensitivity()
        self._tool = torch.from_numpy(s[TOOL].T).float()  # (3, D)
        independent = config.jitter_m * s[JITTER] + config.gripper * s[GRIPPER]
        self._independent = torch.from_numpy(independent).float()
        self._independent += config.state * torch.from_numpy(s[STATE]).float() * spread(data)
        self._joints: list[int] = []  # where the newest posture is, if targets are seen from it
        if isinstance(codec, JointCodec) and codec.is_difference and config.state:
            self._joints = [i for i, n in enumerate(encoder.names) if n.startswith("q.") and n.endswith("@0")]
        self._is_relative = codec.is_relative
        self._tool_m, self._config = config.tool_m, config

    def __call__(self, batch: Batch, generator: torch.Generator) -> Batch:
        """Noisy copy of a batch."""
        shift = self._tool_m * torch.randn(len(batch.inputs), 3, generator=generator)
        inputs = batch.inputs + shift @ self._tool
        noise = self._independent * torch.randn(inputs.shape, generator=generator)
        inputs = inputs + noise
        action = batch.action.clone()
        if self._is_relative:
            action[..., :3] -= shift[:, None, :]
        if self._joints:
            action[..., : len(self._joints)] -= noise[:, None, self._joints]
        if self._config.action:
            action += self._config.action * torch.randn(action.shape, generator=generator)
        pixels = augment_pixels(batch.pixels, self._config, generator, batch.views)
        return Batch(inputs, action, batch.is_pad, pixels, batch.views)
