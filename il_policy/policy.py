"""The trained policy: observations in, action chunk out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from il_core.config import Setup
from il_core.geometry import Array, matrix_from_rotation_6d, rotation_6d_from_matrix
from il_core.types import ActionChunk, Observation
from il_policy.config import TrainConfig
from il_policy.encoders.eyes import blank_pixels, make_eyes
from il_policy.encoders.pixels import PixelReader
from il_policy.heads import Sizes, make_head
from il_policy.heads.ensemble import TemporalEnsemble
from il_policy.joint_codec import JointCodec, joint_posture, make_codec
from il_policy.models import NO_LAYOUT, Layout
from il_policy.normalizer import MinMaxNormalizer
from il_policy.transforms import ObservationEncoder

NO_PIXELS: Mapping[str, Tensor] = {}


class ChunkModel(nn.Module):
    """A network with the normalisers of its input and output: all tensors of a checkpoint."""

    def __init__(
        self, config: TrainConfig, horizon: int, input_dim: int, action_dim: int, layout: Layout = NO_LAYOUT
    ) -> None:
        """Build the network a config names, untrained."""
        super().__init__()
        self.chunk_shape = (horizon, action_dim)
        self.eyes = make_eyes(config.observe)
        seen_dim = input_dim + (0 if self.eyes is None else self.eyes.dim)
        self.network = make_head(config).build(config.network, Sizes(horizon, action_dim, seen_dim, layout))
        self.input_norm = MinMaxNormalizer(input_dim)
        self.action_norm = MinMaxNormalizer(action_dim)

    @property
    def parameter_count(self) -> int:
        """Trainable numbers."""
        return sum(p.numel() for p in self.parameters())

    def condition(self, inputs: Tensor, pixels: Mapping[str, Tensor]) -> Tensor:
        """What the network is conditioned on: input vectors (B, D) with NaN = not seen, and what eyes see."""
        device = self.input_norm.centre.device
        known = self.input_norm(inputs.to(device))
        if self.eyes is None:
            return known
        return torch.cat([known, self.eyes({name: p.to(device) for name, p in pixels.items()})], dim=-1)

    @classmethod
    def for_setup(cls, setup: Setup, config: TrainConfig) -> ChunkModel:
        """Build the model whose sizes follow from task and config."""
        encoder = ObservationEncoder(setup, config.observed_ticks, config.observe)
        codec = make_codec(setup, config.action_encoding)
        return cls(config, setup.task.horizon, encoder.dim, codec.dim, encoder.layout)


class ChunkPolicy:
    """Implements ``il_core.ports.Policy`` with a trained model.

    The noise a diffusion head starts from is drawn once per :meth:`reset` and kept: successive plans
    are then a continuous function of what is seen and stay with one of several ways to do the task,
    where fresh noise would let every plan choose anew.
    """

    def __init__(self, setup: Setup, config: TrainConfig, model: ChunkModel, seed: int = 0) -> None:
        """Take a trained model.

        Args:
            setup: Robot and task.
            config: The settings the model was trained with.
            model: Network and normalisers.
            seed: Of the noise.
        """
        self.setup, self.config = setup, config
        self.model = model.eval()
        self._encoder = ObservationEncoder(setup, config.observed_ticks, config.observe)
        self._codec = make_codec(setup, config.action_encoding)
        self._reader = PixelReader(setup, config.observe)
        self._instruction = ""
        self._head = make_head(config)
        self._ensemble = TemporalEnsemble(config.ensemble.plans, config.ensemble.decay, setup.task.dt_ns)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Draw the noise for a new rollout and forget earlier plans."""
        self._seed = seed
        self._ensemble.reset()
        generator = torch.Generator().manual_seed(seed)
        self._noise = torch.randn((1, *self.model.chunk_shape), generator=generator)

    def instruct(self, text: str) -> None:
        """Say what to do, for policies that listen; empty = the task file's instruction."""
        self._instruction = text

    @property
    def parameter_count(self) -> int:
        """Trainable numbers of the model."""
        return self.model.parameter_count

    def warm_up(self) -> None:
        """Run the network a few times: the first calls allocate and are many times slower."""
        pixels = blank_pixels(self.config.observe)
        for _ in range(3):
            self.chunks(torch.zeros(1, self._encoder.dim), pixels)

    @torch.inference_mode()
    def chunks(self, inputs: Tensor, pixels: Mapping[str, Tensor] = NO_PIXELS) -> Tensor:
        """Action rows in the codec's units, (B, H, Da).

        Args:
            inputs: Input vectors (B, D), NaN = not seen.
            pixels: What encoders look at, by name, (B, ...).
        """
        cond = self.model.condition(inputs, pixels)
        noise = self._noise.to(cond.device).expand(len(inputs), -1, -1)
        fresh = torch.Generator().manual_seed(self._seed)  # the same chance for every plan of a rollout
        rows = self._head.sample(self.model.network, cond, noise, fresh)
        return self.model.action_norm.inverse(rows).cpu()

    def predict(self, window: Sequence[Observation]) -> ActionChunk:
        """Plan from the last ``n_obs`` observations, oldest first.

        Row j is wanted j + 1 ticks after the newest observation, as in training. A task that presses
        (``press_m``) gets its targets moved into the surface: stiffness turns that into force.

        Raises:
            ShapeError: another number of observations.
            NonFiniteError: the network gave NaN or infinity.
        """
        now = window[-1]
        inputs = torch.from_numpy(self._encoder.encode(window, self._instruction)).float()[None]
        seen = self._reader.read(now, window[-2] if len(window) > 1 else now)
        pixels = {name: torch.from_numpy(array)[None] for name, array in seen.items()}
        rows = self.chunks(inputs, pixels)[0].numpy().astype(np.float64)
        dt_ns = self.setup.task.dt_ns
        start_ns = now.tick_ns + dt_ns
        if isinstance(self._codec, JointCodec):
            q_des, gripper_des = self._codec.decode(rows, joint_posture(now))
            if self.config.ensemble.plans:
                q_des = self._ensemble.blend(now.tick_ns, q_des)
            return ActionChunk(start_ns, dt_ns, now.tick_ns, q_des=q_des, gripper_des=gripper_des)
        T_base_ee_des, gripper_des = self._codec.decode(rows, now.T_base_ee[:3, 3])
        if self.config.ensemble.plans:
            T_base_ee_des, gripper_des = self._blended(now.tick_ns, T_base_ee_des, gripper_des)
        T_base_ee_des[:, :3, 3] += self.setup.task.press_m * T_base_ee_des[:, :3, 2]  # along the tool's z
        return ActionChunk(
            start_ns=start_ns,
            dt_ns=dt_ns,
            obs_ns=now.tick_ns,
            T_base_ee_des=T_base_ee_des,
            gripper_des=gripper_des,
        )

    def _blended(self, tick_ns: int, T_base_ee_des: Array, gripper_des: Array | None) -> tuple[Array, Array | None]:
        """Targets averaged with those of earlier plans; rotations by their 6-D form."""
        parts = [T_base_ee_des[:, :3, 3], rotation_6d_from_matrix(T_base_ee_des[:, :3, :3])]
        parts += [gripper_des[:, None]] if gripper_des is not None else []
        rows = self._ensemble.blend(tick_ns, np.concatenate(parts, axis=1))
        T = T_base_ee_des.copy()
        T[:, :3, 3], T[:, :3, :3] = rows[:, :3], matrix_from_rotation_6d(rows[:, 3:9])
        return T, rows[:, 9] if gripper_des is not None else None
