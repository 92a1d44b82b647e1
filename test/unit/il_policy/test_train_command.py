"""`il train`: from a dataset folder to a checkpoint, interrupted and resumed; `il serve` refuses early."""

from __future__ import annotations

import os
import re
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
from tiny_world import R_DOWN

import il_policy
from il_cli.main import COMMANDS, run
from il_core.config import load_setup
from il_core.geometry import pose
from il_core.store.episodes import EpisodeStore
from il_core.types import Episode, Observation, Outcome

TASK = "draw_symbol"
QUICK = ["--policy", "bc", "--set", "network.width=32", "--set", "eval_every=10"]


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Five straight lines of 20 ticks."""
    store = EpisodeStore.create(tmp_path / "dataset", load_setup(TASK))
    for i in range(5):
        path = np.array([pose([0.4 + 0.004 * k, 0.01 * i, 0.0], R_DOWN) for k in range(21)])
        seen = tuple(Observation(k * 100_000_000, T, None, {}, {"ee_pose": 0}) for k, T in enumerate(path[:-1]))
        store.add(Episode(f"line_{i}", seen, path[1:], np.zeros(20), Outcome.SUCCESS, 10))
    return store.path


def test_a_dataset_becomes_a_checkpoint(dataset: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["train", str(dataset), "--out", str(tmp_path / "ck"), *QUICK, "--set", "steps=20"], COMMANDS) == 0
    assert "20 steps" in capsys.readouterr().out
    assert il_policy.load(tmp_path / "ck", load_setup(TASK)).config.network.width == 32


def test_ctrl_c_saves_what_was_learned_and_resume_goes_on(dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "ck"
    command = ["train", str(dataset), "--out", str(out), *QUICK, "--set", "steps=100000"]
    is_over = threading.Event()

    def interrupt_once_it_trains() -> None:
        while not is_over.wait(0.01):
            if (out / "policy.json").exists():
                os.kill(os.getpid(), signal.SIGINT)
                return

    thread = threading.Thread(target=interrupt_once_it_trains)
    thread.start()
    try:
        assert run(command, COMMANDS) == 130
    finally:
        is_over.set()
        thread.join()
    steps = int(trained_steps(out))
    assert 10 <= steps < 100_000
    assert run([*command[:-1], f"steps={steps + 5}", "--resume"], COMMANDS) == 0
    assert int(trained_steps(out)) == steps + 5


def trained_steps(out: Path) -> float:
    """Steps a checkpoint says it was trained for."""
    from il_policy.checkpoint import read_manifest

    return read_manifest(out).metrics["steps"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nowhere"], "no such folder; make a dataset with `il dataset build`"),
        (["DATASET", "--policy", "difusion"], "difusion.yaml: no such file; did you mean 'diffusion'"),
        (["DATASET", "--set", "stps=1"], "unknown key 'stps'; did you mean 'steps'"),
        (["DATASET", "--task", "pick_place"], "was made for spec .* this robot and task are"),
        (
            ["DATASET", "--out", "/dev/null/ck", "--policy", "bc", "--set", "steps=1"],
            "folder cannot be created: Not a directory; choose another --out",
        ),
    ],
)
def test_what_cannot_be_trained_is_refused_in_one_sentence(
    arguments: list[str], words: str, dataset: Path, capfd: pytest.CaptureFixture[str]
) -> None:

    assert run(["train", *(str(dataset) if a == "DATASET" else a for a in arguments)], COMMANDS) == 1
    assert re.search(words, " ".join(capfd.readouterr().err.split()))


def test_serving_what_is_no_checkpoint_is_refused(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(["serve", str(tmp_path)], COMMANDS) == 1
    assert "give the directory that `il train` wrote" in " ".join(capfd.readouterr().err.split())
