"""Networks and heads: padding is invisible, two modes stay two, evaluation is deterministic."""

from __future__ import annotations

import pytest
import torch

from il_policy.config import DiffusionConfig, Head, NetworkConfig, NetworkKind, Prediction, TrainConfig
from il_policy.heads import Sizes, make_head
from il_policy.heads.diffusion import DiffusionHead, signal_levels
from il_policy.layout import Layout
from il_policy.models import make_network

H, D, C = 8, 2, 3
NETWORKS = [
    NetworkConfig(NetworkKind.MLP, width=64, depth=1),
    NetworkConfig(NetworkKind.ROW_MLP, width=64, depth=1),
    NetworkConfig(NetworkKind.UNET1D, channels=(16, 32), kernel=3, groups=4),
    NetworkConfig(NetworkKind.TRANSFORMER, width=32, depth=1, heads=2),
    NetworkConfig(NetworkKind.RNN, width=32, depth=1),
]
HEADS = [head for head in Head if not head.is_trajectory and head is not Head.ONE_STEP]  # that one: test_one_step.py


def config(head: Head, network: NetworkConfig = NETWORKS[0], prediction: Prediction = Prediction.SAMPLE) -> TrainConfig:
    return TrainConfig("test", head, network=network, diffusion=DiffusionConfig(prediction, 50, 10))


@pytest.mark.parametrize("head", HEADS)
@pytest.mark.parametrize("network", NETWORKS, ids=lambda n: n.kind.value)
def test_what_stands_in_padding_has_no_effect_on_the_loss(head: Head, network: NetworkConfig) -> None:
    torch.manual_seed(0)
    c = config(head, network)
    action, cond = torch.randn(4, H, D), torch.randn(4, C)
    net = make_head(c).build(c.network, Sizes(H, D, C))
    make_head(c).fit(net, action)
    is_pad = torch.arange(H).expand(4, H) >= torch.tensor([2, 4, 6, 8])[:, None]
    spoilt = action.masked_fill(is_pad[..., None], 1e3)
    losses = [
        make_head(c).loss(net, a, is_pad, cond, torch.Generator().manual_seed(1)).item() for a in (action, spoilt)
    ]
    assert losses[0] == losses[1]
    nothing = torch.zeros_like(is_pad)
    other = make_head(c).loss(net, spoilt, nothing, cond, torch.Generator().manual_seed(1)).item()
    assert other != losses[0]  # the same content without the marks counts


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


@pytest.mark.parametrize("network", NETWORKS[3:], ids=lambda n: n.kind.value)
def test_networks_that_read_history_see_every_tick_of_it(network: NetworkConfig) -> None:
    torch.manual_seed(0)
    net = make_network(network, H, D, 7, 5, Layout(ticks=2, state_dim=3))
    x, t, cond = torch.randn(1, H, D), torch.zeros(1), torch.randn(1, 7)
    y = net(x, t, cond)
    assert y.shape == (1, H, 5)
    for i in range(7):
        changed = cond.clone()
        changed[0, i] += 1.0
        assert not torch.allclose(net(x, t, changed), y), f"number {i} is not looked at"


@pytest.mark.parametrize("kind", [k for k in NetworkKind if k is not NetworkKind.UNET1D])
def test_a_chunk_of_one_row_is_single_step_cloning(kind: NetworkKind) -> None:
    net = make_network(NetworkConfig(kind, width=32, depth=1), 1, D, C)
    assert net(torch.zeros(2, 1, D), torch.zeros(2), torch.zeros(2, C)).shape == (2, 1, D)


def test_a_horizon_that_cannot_be_halved_is_refused() -> None:
    with pytest.raises(ValueError, match="horizon 6 must be a multiple of 4"):
        make_network(NetworkConfig(NetworkKind.UNET1D, channels=(8, 8, 8)), 6, D, C)


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
