"""Our noise schedule, DDIM and DDPM steps against the schedulers of the diffusers library."""

from itertools import pairwise

import pytest
import torch
from diffusers import DDIMScheduler, DDPMScheduler

from il_policy.config import DiffusionConfig, Prediction, Sampler
from il_policy.head_config import visited_levels
from il_policy.heads.diffusion import DiffusionHead, signal_levels

TRAIN, INFERENCE = 100, 10


def test_the_schedule_is_the_librarys_squared_cosine():
    theirs = DDPMScheduler(num_train_timesteps=TRAIN, beta_schedule="squaredcos_cap_v2").alphas_cumprod
    torch.testing.assert_close(signal_levels(TRAIN), theirs, atol=1e-6, rtol=0)


def test_noise_is_added_as_in_the_library():
    theirs = DDPMScheduler(num_train_timesteps=TRAIN, beta_schedule="squaredcos_cap_v2")
    head = DiffusionHead(DiffusionConfig(train_steps=TRAIN, inference_steps=INFERENCE))
    action, noise = torch.randn(2, 5, 16, 4, generator=torch.Generator().manual_seed(1))
    t = torch.tensor([0, 10, 50, 98, 99])
    torch.testing.assert_close(head.add_noise(action, noise, t), theirs.add_noise(action, noise, t), atol=1e-6, rtol=0)


@pytest.mark.parametrize("train", [1, 2, 10, 50, 100, 1000])
def test_whatever_the_number_of_steps_they_begin_at_pure_noise_and_get_finer_without_a_repetition(train):
    for steps in range(1, train + 1):
        levels = visited_levels(train, steps)
        assert len(levels) == steps and levels[0] == train - 1 and levels[-1] >= 0
        assert all(lower < upper for upper, lower in pairwise(levels))
    assert visited_levels(train, train) == tuple(reversed(range(train)))
    for steps in range(1, train + 1):
        levels = visited_levels(train, steps, is_noise_estimated=True)
        assert levels[0] == max(9 * train // 10, steps - 1) and levels[-1] >= 0
        assert all(lower < upper for upper, lower in pairwise(levels))


@pytest.fixture
def evenly(monkeypatch):
    """Levels as the library chooses them: it has no quadratic ones, and its steps want them evenly spaced."""

    def spaced(train, steps, **_):
        return tuple(train - 1 - train // steps * i for i in range(steps))

    monkeypatch.setattr("il_policy.heads.diffusion.visited_levels", spaced)


@pytest.mark.usefixtures("evenly")
@pytest.mark.parametrize("prediction", list(Prediction))
def test_sampling_takes_the_librarys_steps(prediction):
    """Both samplers drive the same nonlinear 'network' from the same noise."""
    config = DiffusionConfig(prediction=prediction, train_steps=TRAIN, inference_steps=INFERENCE)
    theirs = DDIMScheduler(
        num_train_timesteps=TRAIN,
        beta_schedule="squaredcos_cap_v2",
        prediction_type=prediction.value,
        clip_sample=True,
        set_alpha_to_one=True,
        timestep_spacing="trailing",
    )
    theirs.set_timesteps(INFERENCE)
    noise = torch.randn(3, 16, 4, generator=torch.Generator().manual_seed(2))

    def network(x, t, cond):
        return torch.tanh(0.7 * x + 0.01 * t[:, None, None] - 0.2)

    x = noise
    for t in theirs.timesteps:
        estimate = network(x, torch.full((3,), int(t)), None)
        # The library derives the noise from the clipped estimate only when asked to, as we always do.
        x = theirs.step(estimate, t, x, use_clipped_model_output=True).prev_sample
    ours = DiffusionHead(config).sample(network, torch.zeros(3, 1), noise)
    torch.testing.assert_close(ours, x, atol=1e-5, rtol=0)


@pytest.mark.usefixtures("evenly")
@pytest.mark.parametrize("inference", [TRAIN, INFERENCE])
@pytest.mark.parametrize("prediction", list(Prediction))
def test_noisy_sampling_takes_the_librarys_steps_and_draws(prediction, inference):
    """All noise levels, and every tenth: the same network, first noise and later draws."""
    config = DiffusionConfig(prediction, train_steps=TRAIN, inference_steps=inference, sampler=Sampler.DDPM)
    theirs = DDPMScheduler(
        num_train_timesteps=TRAIN,
        beta_schedule="squaredcos_cap_v2",
        prediction_type=prediction.value,
        variance_type="fixed_small",
        clip_sample=True,
        timestep_spacing="trailing",
    )
    theirs.set_timesteps(inference)
    noise = torch.randn(3, 16, 4, generator=torch.Generator().manual_seed(2))

    def network(x, t, cond):
        return torch.tanh(0.7 * x + 0.01 * t[:, None, None] - 0.2)

    x, draws = noise, torch.Generator().manual_seed(3)
    for t in theirs.timesteps:
        x = theirs.step(network(x, torch.full((3,), int(t)), None), t, x, generator=draws).prev_sample
    ours = DiffusionHead(config).sample(network, torch.zeros(3, 1), noise, torch.Generator().manual_seed(3))
    torch.testing.assert_close(ours, x, atol=1e-5, rtol=0)
