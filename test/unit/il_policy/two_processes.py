"""What each of two processes of one training does; started by ``accelerate launch`` in test_train_command.py.

Arguments: the dataset, a folder for the results, and the arguments of ``il train`` that follow.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch

from il_cli.main import COMMANDS, run
from il_core.config import load_setup
from il_core.store.episodes import EpisodeStore
from il_policy.config import load_train_config
from il_policy.dataset import ChunkDataset
from il_policy.trainer import Trainer

STEPS, STOP = 10, 4


def resumed(dataset: Path, out: Path) -> None:
    """Train once without a break and once with one, in both processes."""
    store = EpisodeStore.open(dataset)
    setup = load_setup(store.header.task.name)
    config = load_train_config("diffusion", ("network.width=32", "network.depth=1", f"steps={STEPS}", "patience=9"))
    config = replace(config, batch_size=8)
    samples = ChunkDataset([store.episode(k) for k in range(len(store))], setup, config)

    def go(folder: Path, until: int, *, is_resumed: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        trainer = Trainer(samples, setup, config, folder)
        if is_resumed:
            trainer.resume()
        while trainer.step < until:
            trainer.train_step()
            if trainer.step % STOP == 0:
                trainer.validate()
        trainer.save()
        trainer.processes.agree(0.0)  # nobody reads before the main process has written
        digest = torch.cat([p.detach().flatten() for p in trainer.model.parameters()]).numpy().tobytes()
        (folder / f"rank_{trainer.processes.rank}").write_bytes(digest)

    go(out / "whole", STEPS)
    go(out / "parts", STOP)
    go(out / "parts", STEPS, is_resumed=True)


def note_runs(out: Path) -> None:
    """Put a W&B in place that notes who begins a run."""

    def init(**_: object) -> SimpleNamespace:
        with (out / "wandb_runs").open("a") as file:
            file.write("begun\n")
        return SimpleNamespace(log=lambda *_, **__: None, finish=lambda: None)

    fake = ModuleType("wandb")
    fake.init = init  # type: ignore[attr-defined]
    sys.modules["wandb"] = fake


if __name__ == "__main__":
    torch.set_num_threads(1)
    results = Path(sys.argv[2])
    resumed(Path(sys.argv[1]), results)
    note_runs(results)
    sys.exit(run(["train", sys.argv[1], *sys.argv[3:]], COMMANDS))
