"""The trained policy: observations in, action chunk out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from il_core.config import Setup
from il_core.types import ActionChunk, Observation
from il_policy.config import TrainConfig
from il_policy.heads import make_head
from il_policy.models import make_network
from il_policy.normalizer import MinMaxNormalizer
from il_policy.transforms import ActionCodec, ObservationEncoder


class ChunkModel(nn.Module):
    """A network with the normalisers of its input and output: all tensors of a checkpoint."""

    def __init__(self, config: TrainConfig, horizon: int, input_dim: int, action_dim: int) -> None:
        """Build the network a config names, untrained."""
        super().__init__()
        self.chunk_shape = (horizon, action_dim)
        self.network = make_network(config.network, horizon, action_dim, input_dim)
        self.input_norm = MinMaxNormalizer(input_dim)
        self.action_norm = MinMaxNormalizer(action_dim)

    @classmethod
    def for_setup(cls, setup: Setup, config: TrainConfig) -> ChunkModel:
        """Build the model whose sizes follow from task and config."""
        encoder = ObservationEncoder(setup, config.observed_ticks)
        codec = ActionCodec(setup.task, config.action_encoding)
        return cls(config, setup.task.horizon, encoder.dim, codec.dim)


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
        self._encoder = ObservationEncoder(setup, config.observed_ticks)
        self._codec = ActionCodec(setup.task, config.action_encoding)
        self._head = make_head(config)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Draw the noise for a new rollout."""
        generator = torch.Generator().manual_seed(seed)
        self._noise = torch.randn((1, *self.model.chunk_shape), generator=generator)

    @property
    def parameter_count(self) -> int:
        """Trainable numbers of the network."""
        return sum(p.numel() for p in self.model.network.parameters())

    def warm_up(self) -> None:
        """Run the network a few times: the first calls allocate and are many times slower."""
        for _ in range(3):
            self.chunks(torch.zeros(1, self._encoder.dim))

    @torch.inference_mode()
    def chunks(self, inputs: Tensor) -> Tensor:
        """Action rows in the codec's units for input vectors (B, D) with NaN = not seen, (B, H, Da)."""
        device = self.model.input_norm.centre.device
        cond = self.model.input_norm(inputs.to(device))
        noise = self._noise.to(device).expand(len(inputs), -1, -1)
        return self.model.action_norm.inverse(self._head.sample(self.model.network, cond, noise)).cpu()

    def predict(self, window: Sequence[Observation]) -> ActionChunk:
        """Plan from the last ``n_obs`` observations, oldest first.

        Row j is wanted j + 1 ticks after the newest observation, as in training. A task that presses
        (``press_m``) gets its targets moved into the surface: stiffness turns that into force.

        Raises:
            ShapeError: another number of observations.
            NonFiniteError: the network gave NaN or infinity.
        """
        now = window[-1]
        inputs = torch.from_numpy(self._encoder.encode(window)).float()[None]
        rows = self.chunks(inputs)[0].numpy().astype(np.float64)
        T_base_ee_des, gripper_des = self._codec.decode(rows, now.T_base_ee[:3, 3])
        T_base_ee_des[:, :3, 3] += self.setup.task.press_m * T_base_ee_des[:, :3, 2]  # along the tool's z
        dt_ns = self.setup.task.dt_ns
        return ActionChunk(
            start_ns=now.tick_ns + dt_ns,
            dt_ns=dt_ns,
            obs_ns=now.tick_ns,
            T_base_ee_des=T_base_ee_des,
            gripper_des=gripper_des,
        )
