"""What each head makes of two equally good ways: those that can, keep them apart; regression averages.

The toy: one observation, and chunks at +0.6 or -0.6. Bounds stated per test; each head trains for a few
seconds. Also for every head: a seed fixes the plan, and a condition that decides is obeyed.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import Tensor, nn

from il_policy.config import (
    ActConfig,
    DiffusionConfig,
    Head,
    IbcConfig,
    NetworkConfig,
    NetworkKind,
    Norm,
    Prediction,
    Sampler,
    Solver,
    TrainConfig,
)
from il_policy.heads import Sizes, make_head
from il_policy.heads.gmm import GmmHead
from il_policy.heads.ibc import knot_matrix
from il_policy.heads.vq import k_means

H, D, C = 8, 2, 3
MLP = NetworkConfig(NetworkKind.MLP, width=64, depth=1)
BASE = TrainConfig("toy", Head.DIFFUSION, MLP, DiffusionConfig(Prediction.SAMPLE, 50, 10))
BASE = replace(
    BASE, ibc=IbcConfig(knots=2, negatives=32), act=ActConfig(width=32, depth=1, latent=4, kl_weight=0.1, is_drawn=True)
)
MULTIMODAL = [Head.GMM, Head.ACT, Head.DIFFUSION, Head.FLOW, Head.IBC, Head.VQ, Head.MOE]
STEPS = {Head.GMM: 400, Head.ACT: 400, Head.DIFFUSION: 700, Head.FLOW: 700, Head.IBC: 800, Head.VQ: 400, Head.MOE: 300}


def learn(c: TrainConfig, action: Tensor, cond: Tensor, steps: int) -> nn.Module:
    """Network after learning pairs of actions (N, H, D) and conditions (N, C)."""
    torch.manual_seed(0)
    head, generator = make_head(c), torch.Generator().manual_seed(0)
    net = head.build(c.network, Sizes(*action.shape[1:], cond.shape[1]))
    head.fit(net, action)
    optimizer = torch.optim.Adam(net.parameters(), 2e-3 if c.network is MLP else 5e-3)
    no_pad = torch.zeros((64, action.shape[1]), dtype=torch.bool)
    for _ in range(steps):
        chosen = torch.randint(0, len(action), (64,), generator=generator)
        loss = head.loss(net, action[chosen], no_pad, cond[chosen], generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return net.eval()


@cache
def learn_two_ways(c: TrainConfig, steps: int) -> nn.Module:
    """Network after learning both ways for one observation; several tests ask for the same."""
    return learn(c, TWO_WAYS, BLANK, steps)


@torch.inference_mode()
def draw(c: TrainConfig, net: nn.Module, cond: Tensor, seed: int = 1) -> Tensor:
    """One chunk per condition, each from noise of its own."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(cond), H, D, generator=generator)
    return make_head(c).sample(net, cond, noise, generator)


LEFT = torch.full((1, H, D), 0.6)
TWO_WAYS, BLANK = torch.cat([LEFT, -LEFT]), torch.zeros(2, C)


@pytest.mark.parametrize(
    ("head", "changes"),
    [(h, {}) for h in MULTIMODAL]
    + [
        (Head.DIFFUSION, {"diffusion": DiffusionConfig(Prediction.EPSILON, 50, 10)}),
        (Head.DIFFUSION, {"diffusion": DiffusionConfig(Prediction.SAMPLE, 50, 50, Sampler.DDPM)}),
        (Head.DIFFUSION, {"network": NetworkConfig(NetworkKind.TRANSFORMER, width=16, depth=1, heads=2)}),
        (Head.GMM, {"network": NetworkConfig(NetworkKind.RNN, width=16, depth=1)}),
    ],
)
def test_two_ways_stay_two(head: Head, changes: dict[str, object]) -> None:
    c = replace(BASE, head=head, **changes)  # type: ignore[arg-type]
    steps = STEPS[head] if c.network is MLP else 300  # those are slower, and learn in fewer
    means = draw(c, learn_two_ways(c, steps), torch.zeros(200, C)).mean((1, 2))
    assert ((means.abs() - 0.6).abs() < 0.15).float().mean() > 0.75, "three of four plans are near a way"
    share = 0.05 if head is Head.IBC else 0.2  # an energy need not be of the same depth at both
    assert share < (means > 0).float().mean() < 1.0 - share, "and both ways are taken"


@pytest.mark.parametrize("norm", list(Norm))
def test_regression_goes_between_two_ways(norm: Norm) -> None:
    c = replace(BASE, head=Head.REGRESSION, norm=norm)
    bound = 0.15 if norm is Norm.L2 else 0.6  # the median of two values is anywhere between them
    assert draw(c, learn_two_ways(c, 100), torch.zeros(1, C)).mean().abs() < bound


@pytest.mark.parametrize("head", [*MULTIMODAL, Head.REGRESSION])
def test_an_observation_that_decides_is_obeyed_and_a_seed_fixes_the_plan(head: Head) -> None:
    act = replace(BASE.act, is_drawn=False, kl_weight=1.0)
    c, cond = replace(BASE, head=head, act=act), torch.tensor([[1.0, 0.0, 0.0], [-1.0, 0.0, 0.0]])
    net = learn(c, TWO_WAYS, cond, STEPS.get(head, 150))
    plans = draw(c, net, cond.repeat(20, 1))
    near = ((plans - TWO_WAYS.repeat(20, 1, 1)).abs().mean((1, 2)) < 0.15).float().mean().item()
    assert near > 0.9, f"only {near:.0%} of the plans go the way that was shown"
    assert torch.equal(draw(c, net, cond, seed=5), draw(c, net, cond, seed=5))


def test_the_style_of_a_demonstration_brings_it_back() -> None:
    c = replace(BASE, head=Head.ACT)
    net = learn_two_ways(c, STEPS[Head.ACT])
    with torch.inference_mode():
        style, _ = net.encoder(TWO_WAYS, BLANK)
        assert (net(torch.zeros_like(TWO_WAYS), style, BLANK) - TWO_WAYS).abs().max() < 0.15


def test_no_component_of_a_mixture_is_wide_enough_for_two_ways() -> None:
    c = replace(BASE, head=Head.GMM)
    head = make_head(c)
    assert isinstance(head, GmmHead)
    net = learn_two_ways(c, STEPS[Head.GMM])
    with torch.inference_mode():
        *_, spread = head.components(net, BLANK, torch.zeros(2, H, D))
    assert c.gmm.min_std <= spread.min() and spread.max() <= c.gmm.max_std
    with pytest.raises(ValueError, match="0 < min_std < max_std"):
        replace(c.gmm, max_std=c.gmm.min_std)


def test_a_mixture_draws_around_its_means_only_when_told_to() -> None:
    quiet = replace(BASE, head=Head.GMM)
    loud = replace(quiet, gmm=replace(quiet.gmm, low_noise=False))
    net = learn_two_ways(quiet, 50)
    assert not torch.equal(draw(quiet, net, BLANK), draw(loud, net, BLANK))


def test_midpoint_integrates_a_curved_flow_better_than_euler() -> None:
    class Field(nn.Module):  # dx/dt = t: the exact end point is x + 1/2
        def forward(self, x: Tensor, t: Tensor, cond: Tensor) -> Tensor:
            return (t / 100.0)[:, None, None].expand_as(x)

    noise, error = torch.zeros(1, H, D), {}
    for solver in Solver:
        head = make_head(replace(BASE, head=Head.FLOW, flow=replace(BASE.flow, steps=4, solver=solver)))
        error[solver] = (head.sample(Field(), torch.zeros(1, C), noise) - 0.5).abs().max().item()
    assert error[Solver.MIDPOINT] < 1e-6 < error[Solver.EULER]


def test_k_means_finds_separate_clusters_without_chance() -> None:
    generator = torch.Generator().manual_seed(0)
    centres = torch.tensor([[0.0, 0.0], [5.0, 0.0], [0.0, 5.0]])
    points = (centres[:, None] + 0.1 * torch.randn(3, 50, 2, generator=generator)).flatten(0, 1)
    found = k_means(points, 3)
    assert torch.cdist(centres, found).min(1).values.max() < 0.05
    assert torch.equal(found, k_means(points, 3))
    assert torch.isfinite(k_means(points[:1], 4)).all(), "fewer points than codes"


def test_every_level_of_codes_leaves_less_over() -> None:
    torch.manual_seed(0)
    c = replace(BASE, head=Head.VQ, vq=replace(BASE.vq, codes=4, levels=3))
    head, action = make_head(c), torch.rand(100, H, D) * 2 - 1
    net = head.build(MLP, Sizes(H, D, C))
    head.fit(net, action)
    codes = head.encode(net, action)  # type: ignore[attr-defined]
    left = [action]
    for level in range(3):
        left.append(left[-1] - net.codes[level][codes[:, level]])
    sizes = [x.square().mean().item() for x in left]
    assert sizes[0] > sizes[1] > sizes[2] > sizes[3]


def test_a_chunk_alone_is_not_told_apart_from_itself() -> None:
    met: list[Tensor] = []

    class Noting(nn.Module):
        def forward(self, chunks: Tensor, t: Tensor, cond: Tensor) -> Tensor:
            met.append(chunks)
            return torch.zeros_like(chunks)

    head = make_head(replace(BASE, head=Head.IBC))
    no_pad = torch.zeros((1, H), dtype=torch.bool)
    head.loss(Noting(), LEFT, no_pad, torch.zeros(1, C), torch.Generator().manual_seed(0))
    true, negatives = met[0][0], met[0][1:]
    assert len(negatives) == BASE.ibc.negatives and true == pytest.approx(LEFT[0], abs=1e-5)
    assert ((negatives - true).abs().amax((1, 2)) > 1e-4).all()


def test_knots_are_joined_by_straight_lines() -> None:
    matrix = knot_matrix(5, 3)
    assert (matrix @ torch.tensor([[0.0], [2.0], [0.0]])).flatten().tolist() == pytest.approx([0, 1, 2, 1, 0])
    assert knot_matrix(5, 1).flatten().tolist() == [1.0] * 5
