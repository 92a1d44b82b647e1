"""Episodes in, action chunks out: features from depth cameras, training, checkpoints and serving."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from il_core.config import Setup
    from il_policy.policy import ChunkPolicy


def load(path: Path | str, setup: Setup, seed: int = 0) -> ChunkPolicy:
    """Load a trained policy for a robot and task; see :func:`il_policy.checkpoint.load`."""
    from il_policy.checkpoint import load as load_checkpoint  # imports torch: seconds

    return load_checkpoint(path, setup, seed)


__all__ = ["load"]
