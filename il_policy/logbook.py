"""Where the figures of a training are kept while it runs: TensorBoard beside the checkpoint, W&B where asked for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch.utils.tensorboard import SummaryWriter

from il_core.errors import ConfigError
from il_policy.config import TrainConfig, plain


class Logbook:
    """Writes figures by name; the main process of a training has one."""

    def __init__(self, out: Path, config: TrainConfig, step: int) -> None:
        """Open ``out/tensorboard``, and a run in the W&B project that ``config.wandb`` names.

        Args:
            out: Directory of the checkpoint.
            config: Settings, which W&B shows beside the figures.
            step: Where the training begins; what TensorBoard holds from there on is superseded.

        Raises:
            ConfigError: W&B is asked for and not installed.
        """
        self._run = _wandb_run(config, out) if config.wandb else None
        self._writer = SummaryWriter(str(out / "tensorboard"), purge_step=step)

    def add(self, figures: Mapping[str, float], step: int) -> None:
        """Keep figures of a step; those that are not finite are left out."""
        finite = {name: value for name, value in figures.items() if math.isfinite(value)}
        for name, value in finite.items():
            self._writer.add_scalar(name, value, step)
        if self._run is not None:
            self._run.log(finite, step=step)

    def close(self) -> None:
        """Write out what is left."""
        self._writer.close()
        if self._run is not None:
            self._run.finish()


def _wandb_run(config: TrainConfig, out: Path) -> Any:  # noqa: ANN401 - of a library that need not be there
    """A run named after the folder; resumed trainings are runs of one group."""
    try:
        import wandb
    except ImportError as error:
        problem = "Weights & Biases is not installed: pip install wandb, or leave it empty; TensorBoard is always there"
        raise ConfigError(f"wandb: {config.wandb}", problem) from error
    return wandb.init(project=config.wandb, name=out.name, group=str(out), dir=str(out), config=plain(config))
