"""Which windows are drawn how often: by the operator's marks, and easy episodes first."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from il_core.errors import EpisodeError
from il_core.geometry import Array
from il_policy.config import CurriculumConfig, Difficulty

QUALITY_NOTE = "quality"  # the recorder's mark of a take, 1 (poor) to 5 (perfect)
BEST_MARK = 5
DIFFICULTY_NOTE = "difficulty"  # any number; larger is harder


def quality_weight(name: str, notes: Mapping[str, str], power: float) -> float:
    r"""Weight of an episode: :math:`(m / 5)^p` for a mark m of 1 to 5; an unmarked one counts fully.

    Raises:
        EpisodeError: the mark is no number of 1 to 5.
    """
    text = notes.get(QUALITY_NOTE, "")
    if not text:
        return 1.0
    mark = _number(name, QUALITY_NOTE, text)
    if not 1 <= mark <= BEST_MARK:
        raise EpisodeError(name, f"quality mark {mark:g} is not in 1..{BEST_MARK}; mark it again")
    return float((mark / BEST_MARK) ** power)


def difficulty(name: str, notes: Mapping[str, str], p_base_ee: Array, measure: Difficulty) -> float:
    """How hard an episode is: by its ticks, by the tool's path [m], or as noted.

    Raises:
        EpisodeError: the note is missing or no number.
    """
    if measure is Difficulty.LENGTH:
        return float(len(p_base_ee))
    if measure is Difficulty.PATH:
        return float(np.linalg.norm(np.diff(p_base_ee, axis=0), axis=1).sum())
    if DIFFICULTY_NOTE not in notes:
        raise EpisodeError(name, f"has no note '{DIFFICULTY_NOTE}'; add one, or choose curriculum.measure=length")
    return _number(name, DIFFICULTY_NOTE, notes[DIFFICULTY_NOTE])


def _number(name: str, key: str, text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise EpisodeError(name, f"note '{key}' is '{text}', expected a number")
    return value


class WindowSampler:
    """Draws windows of training episodes."""

    def __init__(
        self, lengths: Sequence[int], weights: Sequence[float], hardness: Sequence[float], config: CurriculumConfig
    ) -> None:
        """Lay out the weights.

        Args:
            lengths: Windows per episode, in the order they are stacked.
            weights: Weight of each episode's windows.
            hardness: Difficulty of each episode.
            config: How many take part when.
        """
        self._config = config
        self._count = sum(lengths)
        repeats = torch.tensor(lengths)
        self._weight = torch.tensor(weights, dtype=torch.float64).repeat_interleave(repeats)
        rank = torch.tensor(np.argsort(np.argsort(hardness, kind="stable")) + 1, dtype=torch.float64)
        self._share = (rank / len(lengths)).repeat_interleave(repeats)  # part of episodes that are no harder
        self._is_uniform = len(set(weights)) <= 1 and config.start >= 1.0

    def part(self, fraction: float) -> float:
        r"""Part of the episodes, easiest first, that take part after a fraction of the training.

        .. math:: \min\big(1,\ s + (1 - s)\,f / u\big)

        Bengio et al., "Curriculum learning", ICML 2009; linear pacing.
        """
        c = self._config
        return 1.0 if c.until == 0 else min(1.0, c.start + (1.0 - c.start) * fraction / c.until)

    def draw(self, batch_size: int, fraction: float, generator: torch.Generator) -> Tensor:
        """Indices of windows, with replacement, (B,)."""
        size = min(batch_size, 4 * self._count)
        if self._is_uniform:
            return torch.randint(0, self._count, (size,), generator=generator)
        bound = max(self.part(fraction), float(self._share.min()))
        weight = torch.where(self._share <= bound + 1e-9, self._weight, 0.0)
        return torch.multinomial(weight, size, replacement=True, generator=generator)
