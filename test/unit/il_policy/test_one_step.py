"""One step instead of ten: the student gives the teacher's chunks, and cannot be trained without one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_head_modes import BASE, BLANK, TWO_WAYS, C, D, H, draw, learn_two_ways

from il_core.errors import CheckpointError
from il_policy.config import Distillation, Head, OneStepConfig, Prediction, Sampler
from il_policy.heads import Sizes, make_head
from il_policy.transfer import distilled


@pytest.mark.parametrize("teacher", [Head.DIFFUSION, Head.FLOW])
@pytest.mark.parametrize("method", list(Distillation))
def test_one_step_gives_what_the_teacher_gives_in_ten(teacher: Head, method: Distillation) -> None:
    taught = replace(BASE, head=teacher)
    network = learn_two_ways(taught, 700)
    c = replace(taught, head=Head.ONE_STEP, one_step=OneStepConfig(teacher, method))
    student = make_head(c).build(c.network, Sizes(H, D, C))
    student.load_state_dict(network.state_dict())
    head, generator = make_head(c, network), torch.Generator().manual_seed(0)
    optimizer = torch.optim.Adam(student.parameters(), 1e-3)
    no_pad = torch.zeros((64, H), dtype=torch.bool)
    for _ in range(500):
        action = TWO_WAYS[torch.randint(0, 2, (64,), generator=generator)]
        loss = head.loss(student, action, no_pad, torch.zeros(64, C), generator)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    mine, theirs = draw(c, student, torch.zeros(200, C)), draw(taught, network, torch.zeros(200, C))
    untrained = draw(c, network, torch.zeros(200, C))  # the teacher's own first step
    assert ((mine.mean((1, 2)) > 0) == (theirs.mean((1, 2)) > 0)).float().mean() > 0.9, "same noise, same way"
    error, before = ((x - theirs).abs().mean() for x in (mine, untrained))
    assert error < (0.12 if method is Distillation.TRAJECTORY else 0.35) < before


def test_a_teacher_that_samples_with_fresh_noise_teaches_the_map_it_has_without() -> None:
    network = learn_two_ways(BASE, 700)
    losses = []
    for sampler in Sampler:
        c = replace(BASE, head=Head.ONE_STEP, diffusion=replace(BASE.diffusion, sampler=sampler))
        generator, no_pad = torch.Generator().manual_seed(3), torch.zeros((2, H), dtype=torch.bool)
        losses.append(make_head(c, network).loss(network, TWO_WAYS, no_pad, BLANK, generator).item())
    assert losses[0] == losses[1] > 0


def test_a_student_without_a_teacher_is_refused_in_words() -> None:
    c = replace(BASE, head=Head.ONE_STEP)
    net = make_head(c).build(c.network, Sizes(H, D, C))
    with pytest.raises(ValueError, match="learns from a teacher; use `il train --distill CHECKPOINT`"):
        make_head(c).loss(net, TWO_WAYS, torch.zeros((2, H), dtype=torch.bool), BLANK, torch.Generator())


def test_a_teacher_that_estimates_noise_is_refused() -> None:
    noisy = replace(BASE, diffusion=replace(BASE.diffusion, prediction=Prediction.EPSILON))
    with pytest.raises(CheckpointError, match=r"one step cannot make a chunk; distil .* diffusion\.prediction=sample"):
        distilled(BASE, noisy, Path("teacher"))
    assert distilled(BASE, replace(noisy, head=Head.FLOW), Path("teacher")).one_step.teacher is Head.FLOW


def test_only_what_removes_noise_in_steps_can_teach() -> None:
    with pytest.raises(ValueError, match="teacher must be diffusion or flow"):
        OneStepConfig(Head.GMM)
