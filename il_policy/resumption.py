"""What an interrupted training left behind, and whether another one may go on from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from il_core.config import from_mapping
from il_core.errors import CheckpointError, ConfigError
from il_policy import checkpoint
from il_policy.config import TrainConfig, plain
from il_policy.evaluate import OpenLoopError
from il_policy.files import read_sealed
from il_policy.provenance import Origin, Taken

STATE = "training.json"  # beside policy.json; names the tensors to resume from


def comparable(config: TrainConfig) -> dict[str, object]:
    """Settings a resumed training must share; when to stop and whom to tell may differ."""
    return plain(replace(config, steps=1, max_seconds=0.0, threads=1, patience=config.patience and 1, wandb=""))


def read_state(out: Path, config: TrainConfig, data_digest: str) -> dict[str, Any]:
    """What a training left in ``out``.

    Raises:
        CheckpointError: nothing to resume, damaged files, other data or other settings.
    """
    state = read_sealed(out / STATE, checkpoint.AGAIN)
    try:
        before = comparable(from_mapping(TrainConfig, state.get("config"), str(out / STATE)))
    except ConfigError:
        before = None
    for key, theirs, mine in (
        ("data_digest", state.get("data_digest"), data_digest),
        ("config", before, comparable(config)),
    ):
        if theirs != mine:
            problem = f"cannot resume: its {key} is not today's; train anew with another --out"
            raise CheckpointError(out / STATE, problem)
    return state


def origin_of(out: Path, mine: Origin) -> Origin:
    """Where a resumed training comes from: what it began with is not what it goes on from.

    Raises:
        CheckpointError: the checkpoint in ``out`` cannot be read, or learned from another teacher.
    """
    known = checkpoint.read_stored(out).origin
    if known is None:
        return mine
    now, before = mine.parent, known.parent
    if now and before and now.taken is Taken.TEACHER and now.weights_sha256 != before.weights_sha256:
        got = f"the teacher {now.path} has weights {now.weights_sha256[:12]}"
        expected = f"expected those it learned from so far, {before.weights_sha256[:12]} of {before.path}"
        problem = f"cannot resume: {got}, {expected}; distil that one, or train anew with another --out"
        raise CheckpointError(out / STATE, problem)
    return replace(mine, parent=before, eyes_sha256=known.eyes_sha256)


def best_of(state: Mapping[str, Any], where: Path) -> OpenLoopError:
    """Error of the best validation; release 0.1 kept its distance only.

    Raises:
        ConfigError, KeyError: it is not there, or something else is.
    """
    found = state.get("best_val")
    if "best_mm" in state:
        found = {"distance": state["best_mm"], "unit": "mm", "numbers": [], "samples": 0}
    return from_mapping(OpenLoopError, found, str(where))
