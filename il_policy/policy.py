"""The trained policy: observations in, action chunk out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from il_core.config import Setup
from il_core.types import ActionChunk, Observation
from il_policy.arrays import ArraySpec
from il_policy.config import TrainConfig
from il_policy.encoders.eyes import blank_pixels, make_eyes
from il_policy.heads import Sizes, make_head
from il_policy.joint_codec import make_codec
from il_policy.models import NO_LAYOUT, Layout
from il_policy.normalizer import MinMaxNormalizer
from il_policy.serving.handover import Ensemble
from il_policy.transforms import ObservationEncoder
from il_policy.translate import ArmTranslator

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

    @classmethod
    def for_arrays(cls, spec: ArraySpec, config: TrainConfig) -> ChunkModel:
        """Build the model whose sizes follow from columns without an arm."""
        return cls(config, spec.horizon, spec.input_dim, spec.action_dim, spec.layout)


class ChunkMaker:
    """A trained model that makes chunks, whatever their numbers mean.

    The noise a diffusion head starts from is drawn once per :meth:`reset` and kept: successive plans
    are then a continuous function of what is seen and stay with one of several ways to do the task,
    where fresh noise would let every plan choose anew.
    """

    def __init__(self, model: ChunkModel, config: TrainConfig, seed: int = 0) -> None:
        """Take a trained model.

        Args:
            model: Network and normalisers.
            config: The settings the model was trained with.
            seed: Of the noise.
        """
        self.model, self.config = model.eval(), config
        self._head = make_head(config)
        self.reset(seed)

    def reset(self, seed: int) -> None:
        """Draw the noise for a new rollout."""
        self._seed = seed
        generator = torch.Generator().manual_seed(seed)
        self._noise = torch.randn((1, *self.model.chunk_shape), generator=generator)

    @property
    def parameter_count(self) -> int:
        """Trainable numbers of the model."""
        return self.model.parameter_count

    @torch.inference_mode()
    def chunks(self, inputs: Tensor, pixels: Mapping[str, Tensor] = NO_PIXELS) -> Tensor:
        """Action rows in the data's units, (B, H, Da).

        Args:
            inputs: Input vectors (B, D), NaN = not seen.
            pixels: What encoders look at, by name, (B, ...).
        """
        cond = self.model.condition(inputs, pixels)
        noise = self._noise.to(cond.device).expand(len(inputs), -1, -1)
        fresh = torch.Generator().manual_seed(self._seed)  # the same chance for every plan of a rollout
        rows = self._head.sample(self.model.network, cond, noise, fresh)
        return self.model.action_norm.inverse(rows).cpu()


class ChunkPolicy(ChunkMaker):
    """Implements ``il_core.ports.Policy`` with a trained model."""

    def __init__(self, setup: Setup, config: TrainConfig, model: ChunkModel, seed: int = 0) -> None:
        """Take a trained model.

        Args:
            setup: Robot and task.
            config: The settings the model was trained with.
            model: Network and normalisers.
            seed: Of the noise.
        """
        self.setup = setup
        self.translator = ArmTranslator(setup, config.action_encoding, config.observed_ticks, config.observe)
        self._ensemble = Ensemble(config.ensemble.plans + 1, config.ensemble.decay)
        super().__init__(model, config, seed)

    def reset(self, seed: int) -> None:
        """Draw the noise for a new rollout and forget earlier plans."""
        super().reset(seed)
        self._ensemble.reset()

    def instruct(self, text: str) -> None:
        """Say what to do, for policies that listen; empty = the task file's instruction."""
        self.translator.instruct(text)

    def warm_up(self) -> None:
        """Run the network a few times: the first calls allocate and are many times slower."""
        pixels = blank_pixels(self.config.observe)
        for _ in range(3):
            self.chunks(torch.zeros(1, self.translator.input_dim), pixels)

    def predict(self, window: Sequence[Observation]) -> ActionChunk:
        """Plan from the last ``n_obs`` observations, oldest first; see :meth:`ArmTranslator.plan`.

        Row j is wanted j + 1 ticks after the newest observation, as in training.

        Raises:
            ShapeError: another number of observations.
            NonFiniteError: the network gave NaN or infinity.
        """
        inputs = torch.from_numpy(self.translator.inputs(window)).float()[None]
        pixels = {name: torch.from_numpy(array)[None] for name, array in self.translator.pixels(window).items()}
        rows = self.chunks(inputs, pixels)[0].numpy().astype(np.float64)
        return self._ensemble.add(self.translator.plan(rows, window[-1]))
