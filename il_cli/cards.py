"""What `il eval` found, kept beside the policies that were tried, however they were tried."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from il_core.errors import CheckpointError
from il_policy.card import run_of, weights_of, write_card
from il_policy.serving.loading import is_lerobot

if TYPE_CHECKING:
    from il_cli.compare import Candidate

Tried = tuple[Path, str]  # folder of a policy, and the digest of its weights when the attempts began


def about_to_try(checkpoints: Sequence[Path]) -> list[Tried]:
    """The policies of an evaluation that begins, each with its weights; LeRobot's have no card and no digest.

    Raises:
        CheckpointError: missing or damaged.
    """
    return [(path, "" if is_lerobot(path) else weights_of(path)) for path in checkpoints]


def keep_cards(tried: Sequence[Tried], candidates: Sequence[Candidate], about: Mapping[str, Any]) -> None:
    """Write every policy's result beside it and say what its card says now; where that fails, say why.

    The result itself is in the report either way: a folder that cannot be written shall not cost an evaluation.

    Args:
        tried: The policies.
        candidates: Their attempts, in the same order.
        about: ``task`` and ``how``, as the report has them.
    """
    for (path, weights), candidate in zip(tried, candidates, strict=True):
        if is_lerobot(path):
            continue
        try:
            if weights_of(path) != weights:
                raise CheckpointError(path, "was trained again meanwhile; run `il eval` again")
            outcomes = {seed: attempt.success for seed, attempt in candidate.attempts.items()}
            card = write_card(path, run_of(about["how"], about["task"], weights, outcomes))
        except CheckpointError as error:
            typer.echo(f"not kept beside the policy: {error}", err=True)
            continue
        for run in card.runs:
            typer.echo(f"{path}: {run.line(weights)}")
