r"""An energy of observation and chunk; plans are its minimum, found by search.

.. math:: \mathcal L = -\log \frac{e^{-E(o, a)}}{e^{-E(o, a)} + \sum_j e^{-E(o, \tilde a_j)}}

Florence et al., "Implicit behavioral cloning", CoRL 2021: InfoNCE training (eq. 2) and the derivative-free
optimiser of its appendix B.1. A search over whole chunks would drown in dimensions, so it moves a few knots
and the chunk is interpolated between them. The energy is the distance of a chunk from what the network
would make of it, which is bounded below and grows outwards (Salimans and Ho, "Should EBMs model the energy
or the score?", 2021):

.. math:: E(o, a) = \frac{1}{2 w^2}\,\overline{(a - f_\theta(a, o))^2}
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import interpolate

from il_policy.head_config import IbcConfig
from il_policy.heads.base import ChunkHead
from il_policy.heads.chance import choose, uniforms
from il_policy.heads.loss import hold_padding

WIDTH = 0.1  # normalised units: how far a chunk is from credible when its energy has grown by one half
BOUND = 1.05  # candidates lie in [-BOUND, BOUND]: a little beyond the data, as in the paper


def knot_matrix(horizon: int, knots: int) -> Tensor:
    """Linear interpolation between knots as a matrix, (H, K)."""
    if knots == 1:
        return torch.ones(horizon, 1)
    return interpolate(torch.eye(knots)[None], size=horizon, mode="linear", align_corners=True)[0].T.contiguous()


class IbcHead(ChunkHead):
    """Learns to tell demonstrated chunks from others, then searches for the most credible one."""

    def __init__(self, config: IbcConfig) -> None:
        """Take the settings."""
        self._config = config

    def _matrix(self, like: Tensor) -> Tensor:
        horizon = like.shape[1]
        return knot_matrix(horizon, min(self._config.knots, horizon)).to(like.device)

    @staticmethod
    def energy(network: nn.Module, matrix: Tensor, knots: Tensor, cond: Tensor) -> Tensor:
        """Energy of candidates (B, N, K, D) for conditions (B, C), (B, N), never negative."""
        b, n = knots.shape[:2]
        chunks = (matrix @ knots).flatten(0, 1)
        t = torch.zeros(b * n, device=cond.device)
        wanted = network(chunks, t, cond.repeat_interleave(n, dim=0))
        return (chunks - wanted).square().mean((1, 2)).view(b, n) / (2.0 * WIDTH**2)

    def loss(
        self, network: nn.Module, action: Tensor, is_pad: Tensor, cond: Tensor, generator: torch.Generator
    ) -> Tensor:
        """InfoNCE against uniform chunks, disturbed demonstrations, and those of the batch.

        A chunk of the batch may meet itself. That pulls nowhere: m copies make the gradient of the loss by its energy
        1 - (1 + m) p, p its softmax, which vanishes where 1 - p did without them.
        """
        matrix = self._matrix(action)
        true = torch.linalg.pinv(matrix) @ hold_padding(action, is_pad)  # (B, K, D): least squares
        b, near, others = len(true), self._config.negatives // 2, self._config.negatives // 8
        others = others if b > 1 else 0  # alone there is no other observation
        uniform = 2.0 * torch.rand((b, self._config.negatives, *true.shape[1:]), generator=generator) - 1.0
        scale = self._config.noise * torch.rand((b, near, 1, 1), generator=generator)
        disturbed = scale * torch.randn((b, near, *true.shape[1:]), generator=generator)
        foreign = torch.randint(0, b, (b, others), generator=generator)
        candidates = torch.cat(
            [
                true[:, None],
                BOUND * uniform[:, near + others :].to(action.device),
                true[:, None] + disturbed.to(action.device),
                true[foreign.to(action.device)],
            ],
            dim=1,
        )
        energies = self.energy(network, matrix, candidates, cond)
        return -(-energies).log_softmax(1)[:, 0].mean()

    def sample(
        self, network: nn.Module, cond: Tensor, noise: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Minimum of the energy near a candidate drawn by exp(-E), in ever smaller neighbourhoods.

        The paper redraws all candidates in every round, which multiplies a small preference for one way
        until nothing else is left; one draw keeps the ways in proportion.
        """
        generator = generator or torch.Generator().manual_seed(0)
        c, matrix = self._config, self._matrix(noise)
        shape = (len(cond), c.samples, matrix.shape[1], noise.shape[2])
        knots = BOUND * (2.0 * torch.rand(shape, generator=generator) - 1.0).to(cond.device)
        rows = torch.arange(len(cond), device=cond.device)
        best = knots[rows, choose(-self.energy(network, matrix, knots, cond), uniforms(noise, 1)[:, 0])]
        for i in range(c.iterations):
            around = c.noise * c.shrink**i * torch.randn(shape, generator=generator).to(cond.device)
            around[:, 0] = 0.0  # what is best so far stays a candidate
            knots = (best[:, None] + around).clamp(-BOUND, BOUND)
            best = knots[rows, self.energy(network, matrix, knots, cond).argmin(1)]
        return matrix @ best
