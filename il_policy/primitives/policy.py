"""A fitted trajectory behind the same port as the networks: observations in, action chunk out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple

import numpy as np
import torch
from torch import Tensor, nn

from il_core.config import Setup
from il_core.errors import ConfigError, EpisodeError
from il_core.geometry import Array
from il_core.types import ActionChunk, Observation
from il_policy.config import ActionEncoding, AugmentConfig, Language, TrainConfig
from il_policy.dataset import ChunkDataset
from il_policy.evaluate import OpenLoopError, summed
from il_policy.primitives import PRIMITIVES
from il_policy.primitives.base import Primitive, resample
from il_policy.tool_codec import ActionCodec
from il_policy.transforms import ObservationEncoder

SAMPLES = 101  # phase steps of the fit: more than the ticks of a typical demonstration
TICKS = "ticks"


class TrajectoryModel(nn.Module):
    """The arrays of a trajectory as tensors: all of a checkpoint."""

    def __init__(self, arrays: Mapping[str, Tensor]) -> None:
        """Take the primitive's arrays and ``ticks``, the length of a run (1,)."""
        super().__init__()
        for name, tensor in arrays.items():
            self.register_buffer(name, tensor)

    @property
    def parameter_count(self) -> int:
        """Fitted numbers."""
        return sum(t.numel() for t in self.state_dict().values())


def context_indices(encoder: ObservationEncoder) -> list[int]:
    """Numbers of the input vector that tell where things are when a run begins: tool and objects."""
    return [i for i, n in enumerate(encoder.names) if (n.startswith("ee_position") and "@0" in n) or ".position." in n]


def check_settings(config: TrainConfig) -> None:
    """Refuse what a fit of whole trajectories cannot heed: it weighs all demonstrations alike, in one go.

    Raises:
        ConfigError: such a setting is in force.
    """
    usual, observe = AugmentConfig(), config.observe
    noisy = any(a > b for a, b in zip(astuple(config.augment), astuple(usual), strict=True))
    told = observe.torque or observe.wrench or observe.language != Language.NONE
    used = {
        "quality_power": config.quality_power > 0,
        "curriculum.start": config.curriculum.start < 1,
        "patience": config.patience > 0,
        "ensemble.plans": config.ensemble.plans > 0,
        "augment": noisy,
        "observe": observe.has_pixels or told,
    }
    found = [name for name, is_used in used.items() if is_used]
    if found:
        problem = f"head {config.head.value} fits whole trajectories in one go and has no use for it"
        raise ConfigError(", ".join(found), f"{problem}; leave it as it is by default, or take a head with a network")


def demonstration(dataset: ChunkDataset, i: int) -> tuple[Array, Array]:
    """Context (C,) and absolute targets (N, Da) of an episode.

    Raises:
        EpisodeError: an object is not seen when it begins.
    """
    a = dataset.arrays[i]
    context = a.inputs[0, context_indices(dataset.encoder)]
    if not np.isfinite(context).all():
        raise EpisodeError(a.name, "an object is not seen when it begins; record it anew, or use another head")
    targets = a.actions[:, 0].copy()
    if dataset.codec.is_relative:
        targets[:, :3] += a.p_base_ee
    return context, targets


def fit_trajectory(
    dataset: ChunkDataset, episodes: Sequence[int], setup: Setup, config: TrainConfig
) -> TrajectoryModel:
    """Fit the primitive a config names to whole episodes.

    Raises:
        EpisodeError: fewer than two episodes, or one begins without seeing an object.
        ConfigError: the actions are joint postures.
    """
    chosen = list(episodes)
    if config.action_encoding.is_joint:
        raise ConfigError(f"head {config.head.value}", "fits tool poses; set action_encoding=absolute_v1")
    if len(chosen) < 2:
        raise EpisodeError("dataset", f"{len(chosen)} episodes are too few for a trajectory; record at least two")
    seen = [demonstration(dataset, i) for i in chosen]
    contexts, rows = np.array([context for context, _ in seen]), [targets for _, targets in seen]
    trajectories = np.array([resample(r, SAMPLES) for r in rows])
    settings = {"dmp": config.dmp, "promp": config.promp, "gmr": config.gmr}[config.head.value]
    fitted = PRIMITIVES[config.head].fit(contexts, trajectories, settings, config.seed)
    arrays = {name: torch.from_numpy(array).float() for name, array in fitted.arrays.items()}
    arrays[TICKS] = torch.tensor([float(np.mean([len(r) for r in rows]))])
    return TrajectoryModel(arrays)


class TrajectoryPolicy:
    """Implements ``il_core.ports.Policy``: plans once per run, then reads off the time since.

    The first window after :meth:`reset` begins the run; a window older than the last one begins anew.
    """

    def __init__(self, setup: Setup, config: TrainConfig, model: TrajectoryModel, seed: int = 0) -> None:
        """Take a fitted model.

        Raises:
            ValueError: the model's arrays are not those of the config's primitive.
        """
        self.setup, self.config, self.model = setup, config, model
        arrays = {name: tensor.double().numpy() for name, tensor in model.state_dict().items()}
        ticks = arrays.pop(TICKS, np.zeros(1))
        if ticks.shape != (1,) or not 2 <= ticks[0] <= 1_000_000:
            raise ValueError(f"'{TICKS}' must be one number in 2..1000000")
        self._ticks = round(float(ticks[0]))
        self._primitive: Primitive = PRIMITIVES[config.head](arrays)
        self._encoder = ObservationEncoder(setup, config.observed_ticks, config.observe)
        self._codec = ActionCodec(setup.task, ActionEncoding.ABSOLUTE_V1)
        self._context = context_indices(self._encoder)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Forget the run; nothing is left to chance, ``seed`` is for the common signature."""
        self._rows: Array | None = None
        self._start_ns = self._last_ns = 0

    @property
    def parameter_count(self) -> int:
        """Fitted numbers."""
        return self.model.parameter_count

    def warm_up(self) -> None:
        """Plan once: the first call allocates."""
        self._primitive.plan(np.zeros(len(self._context)), self._ticks)

    def trajectory(self, context: Array) -> Array:
        """Rows for the whole run, one per tick, absolute, (N, Da)."""
        return self._primitive.plan(context, self._ticks)

    def error(self, dataset: ChunkDataset, episodes: Sequence[int]) -> OpenLoopError:
        """How far the targets are from those of episodes, at equal phase."""
        differences = []
        for i in episodes:
            context, targets = demonstration(dataset, i)
            differences.append(self.trajectory(context) - resample(targets, self._ticks))
        return summed(torch.from_numpy(np.concatenate(differences)), self._codec.numbers, len(differences))

    def predict(self, window: Sequence[Observation]) -> ActionChunk:
        """The next ``horizon`` rows of the run; at its end the last one stays.

        Raises:
            EpisodeError: an object is not seen at the beginning of the run.
        """
        now, task = window[-1], self.setup.task
        if self._rows is None or now.tick_ns < self._last_ns:
            context = self._encoder.encode(window)[self._context]
            if not np.isfinite(context).all():
                problem = "an object is not seen, but the trajectory depends on where it is; put it into view"
                raise EpisodeError(f"observation at {now.tick_ns}", problem)
            self._rows, self._start_ns = self.trajectory(context), now.tick_ns
        self._last_ns = now.tick_ns
        k = round((now.tick_ns - self._start_ns) / task.dt_ns)
        rows = self._rows[np.minimum(np.arange(k, k + task.horizon), len(self._rows) - 1)]
        T_base_ee_des, gripper_des = self._codec.decode(rows, np.zeros(3))
        T_base_ee_des[:, :3, 3] += task.press_m * T_base_ee_des[:, :3, 2]  # along the tool's z
        return ActionChunk(
            start_ns=now.tick_ns + task.dt_ns,
            dt_ns=task.dt_ns,
            obs_ns=now.tick_ns,
            T_base_ee_des=T_base_ee_des,
            gripper_des=gripper_des,
            k_p_des=self._codec.stiffness(rows),
        )
