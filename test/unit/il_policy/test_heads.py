"""Networks and heads: padding is invisible, two modes stay two, evaluation is deterministic."""

from __future__ import annotations

import pytest
import torch

from il_policy.config import DiffusionConfig, Head, NetworkConfig, NetworkKind, Prediction, TrainConfig
from il_policy.heads import make_head
from il_policy.heads.diffusion import DiffusionHead, signal_levels
from il_policy.models import make_network

H, D, C = 8, 2, 3
NETWORKS = [
    NetworkConfig(NetworkKind.MLP, width=64, depth=1),
    NetworkConfig(NetworkKind.UNET1D, channels=(16, 32), kernel=3, groups=4),
]


def config(head: Head, network: NetworkConfig = NETWORKS[0], prediction: Prediction = Prediction.SAMPLE) -> TrainConfig:
    return TrainConfig("test", head, network=network, diffusion=DiffusionConfig(prediction, 50, 10))


@pytest.mark.parametrize("head", list(Head))
@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.kind.value)
def test_what_stands_in_padding_has_no_effect_on_the_loss(head: Head, network: NetworkConfig) -> None:
    torch.manual_seed(0)
    c = config(head, network)
    net, action, cond = make_network(c.network, H, D, C), torch.randn(4, H, D), torch.randn(4, C)
    is_pad = torch.arange(H).expand(4, H) >= torch.tensor([2, 4, 6, 8])[:, None]
    spoilt = action.masked_fill(is_pad[..., None], 1e3)
    losses = [
        make_head(c).loss(net, a, is_pad, cond, torch.Generator().manual_seed(1)).item() for a in (action, spoilt)
    ]
    assert losses[0] == losses[1]
    nothing = torch.zeros_like(is_pad)
    other = make_head(c).loss(net, spoilt, nothing, cond, torch.Generator().manual_seed(1)).item()
    assert other > 10 * losses[0]


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.kind.value)
def test_networks_keep_the_shape_of_the_chunk_and_look_at_all_inputs(network: NetworkConfig) -> None:
    torch.manual_seed(0)
    net = make_network(network, H, D, C)
    x, t, cond = torch.randn(3, H, D), torch.arange(3), torch.randn(3, C)
    y = net(x, t, cond)
    assert y.shape == x.shape
    for changed in ((x + 1, t, cond), (x, t + 10, cond), (x, t, cond + 1)):
        assert not torch.allclose(net(*changed), y)


@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.kind.value)
def test_train_and_eval_mode_give_the_same_network(network: NetworkConfig) -> None:
    torch.manual_seed(0)  # no dropout, no batch statistics: nothing may differ
    net, args = make_network(network, H, D, C), (torch.randn(3, H, D), torch.arange(3), torch.randn(3, C))
    assert torch.equal(net.train()(*args), net.eval()(*args))


def test_a_horizon_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(ValueError, match="horizon 6 must be a multiple of 4"):
        make_network(NetworkConfig(NetworkKind.UNET1D, channels=(8, 8, 8)), 6, D, C)


def fit(c: TrainConfig, action: torch.Tensor, steps: int) -> torch.Tensor:
    """Chunks drawn for a blank condition after learning from ``action`` (N, H, D)."""
    torch.manual_seed(0)
    net, head, generator = make_network(c.network, *action.shape[1:], C), make_head(c), torch.Generator()
    optimizer = torch.optim.Adam(net.parameters(), 2e-3)
    for _ in range(steps):
        chosen = action[torch.randint(0, len(action), (128,), generator=generator)]
        blank = torch.zeros(len(chosen), C)
        loss = head.loss(net, chosen, torch.zeros(chosen.shape[:2], dtype=torch.bool), blank, generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        return head.sample(net, torch.zeros(200, C), torch.randn(200, *action.shape[1:], generator=generator))


@pytest.mark.parametrize("prediction", list(Prediction))
def test_diffusion_keeps_two_ways_apart_where_regression_takes_the_mean(prediction: Prediction) -> None:
    left = torch.full((1, H, D), 0.6)
    action = torch.cat([left, -left])
    drawn = fit(config(Head.DIFFUSION, prediction=prediction), action, 700).mean((1, 2))
    assert ((drawn.abs() - 0.6).abs() < 0.15).float().mean() > 0.75
    assert 0.25 < (drawn > 0).float().mean() < 0.75
    mean = fit(TrainConfig("l2", Head.REGRESSION, network=NETWORKS[0], norm="l2"), action, 100).mean((1, 2))
    assert mean.abs().max() < 0.15


@pytest.mark.parametrize("prediction", list(Prediction))
def test_a_perfect_denoiser_gives_the_clean_chunk_back(prediction: Prediction) -> None:
    head = make_head(config(Head.DIFFUSION, prediction=prediction))
    clean, levels = torch.rand(5, H, D) * 1.8 - 0.9, signal_levels(50)

    def oracle(x: torch.Tensor, t: torch.Tensor, cond: torch.Tensor) -> torch.Tensor:
        level = levels[t][:, None, None]
        return clean if prediction is Prediction.SAMPLE else (x - level.sqrt() * clean) / (1 - level).sqrt()

    drawn = head.sample(oracle, torch.zeros(5, C), torch.randn(5, H, D))  # type: ignore[arg-type]
    assert torch.allclose(drawn, clean, atol=1e-4)


def test_noise_takes_over_from_the_signal_without_changing_the_variance() -> None:
    levels, head = signal_levels(100), DiffusionHead(DiffusionConfig(train_steps=100))
    assert levels[0] > 0.999 and levels[-1] < 1e-5
    assert (levels.diff() < 0).all()
    assert levels[49].item() == pytest.approx(0.494, abs=0.005)  # cos^2 crosses one half in the middle
    generator = torch.Generator().manual_seed(0)
    signal, noise = (torch.randn(1000, H, D, generator=generator) for _ in range(2))
    for t in (0, 50, 99):
        assert head.add_noise(signal, noise, torch.full((1000,), t)).var().item() == pytest.approx(1.0, abs=0.05)
