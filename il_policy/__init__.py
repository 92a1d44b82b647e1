"""Episodes in, action chunks out: features from depth cameras, training, checkpoints and serving."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from il_core.config import Setup
    from il_policy.serving.acting import WorkingPolicy
    from il_policy.serving.config import ServeConfig


def load(
    path: Path | str, setup: Setup | None = None, seed: int = 0, config: ServeConfig | None = None
) -> WorkingPolicy:
    """Load a trained policy to use, with or without a robot; see :func:`il_policy.serving.loading.load`.

    Example::

        policy = il_policy.load("outputs/policy")
        policy.reset(seed=0)
        command = policy.act(observation)  # once per tick: follows its plan, plans anew when due
        chunk = policy.predict(window)  # or whole plans, in absolute time
    """
    from il_policy.serving.loading import load as load_policy  # imports cv2 and a runtime: not for everybody

    return load_policy(path, setup, seed, config)


__all__ = ["load"]
