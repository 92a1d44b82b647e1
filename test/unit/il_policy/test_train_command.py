"""`il train`: from a dataset folder to a checkpoint, interrupted and resumed; `il serve` refuses early."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from tiny_world import R_DOWN

from il_cli.main import COMMANDS, run
from il_core.config import load_setup
from il_core.geometry import pose
from il_core.store.episodes import EpisodeStore
from il_core.types import Episode, Observation, Outcome
from il_policy import checkpoint
from il_policy.config import Head

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
    assert checkpoint.load(tmp_path / "ck", load_setup(TASK)).config.network.width == 32


def test_a_diffusion_policy_is_distilled_into_one_step_and_others_are_refused(
    dataset: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    quick = ["--set", "steps=10", "--set", "augment.tool_m=0"]
    small = ["--set", "network.width=32", *quick]
    train = ["train", str(dataset), "--out"]
    seen = ["--set", "observe.keypoints=8"]
    assert run([*train, str(tmp_path / "teacher"), "--policy", "diffusion", *small, *seen], COMMANDS) == 0
    distil = ["--policy", "one_step", "--distill", str(tmp_path / "teacher"), *quick]
    assert run([*train, str(tmp_path / "student"), *distil], COMMANDS) == 0
    student = checkpoint.load(tmp_path / "student", load_setup(TASK))
    assert student.config.head is Head.ONE_STEP and student.config.network.width == 32
    assert student.config.observe.keypoints == 8  # what it looks at, and how, is the teacher's too
    assert run([*train, str(tmp_path / "bc"), *QUICK, "--set", "steps=1"], COMMANDS) == 0
    again = [*distil[:3], str(tmp_path / "bc"), *quick]
    assert run([*train, str(tmp_path / "no"), *again], COMMANDS) == 1
    assert "its head is 'regression'; only diffusion and flow can be distilled" in said(capfd)
    assert run([*train, str(tmp_path / "no"), "--policy", "one_step", *quick], COMMANDS) == 1
    assert "use `il train --distill CHECKPOINT`" in said(capfd)


def said(capfd: pytest.CaptureFixture[str]) -> str:
    """Everything on standard error, in one line."""
    return " ".join(capfd.readouterr().err.split())


def test_two_processes_train_one_policy_and_resume_it_bit_for_bit(dataset: Path, tmp_path: Path) -> None:
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes", "2"]
    launch += ["--num_machines", "1", "--mixed_precision", "no", "--dynamo_backend", "no"]
    launch += ["--main_process_port", str(free_port()), str(Path(__file__).with_name("two_processes.py"))]
    out = tmp_path / "ck"
    quick = [*QUICK, "--set", "steps=10", "--set", "wandb=arm"]
    command = [*launch, str(dataset), str(tmp_path), "--out", str(out), *quick]
    told = subprocess.run(command, check=True, timeout=120, stdout=subprocess.PIPE, text=True).stdout
    assert trained_steps(out) == 10
    assert told.count("parameters, 10 steps") == told.count("loss") == 1, "one bar and one result, not one each"
    assert (tmp_path / "wandb_runs").read_text() == "begun\n", "only the main process tells"
    checkpoint.load(out, load_setup(TASK))
    state = load_file(next(out.glob("training-*.safetensors")))
    assert not torch.equal(state["generator.0"], state["generator.1"]), "each draws batches of its own"
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    assert (whole / "rank_0").read_bytes() == (whole / "rank_1").read_bytes(), "both hold the same weights"
    for rank in (0, 1):
        name = f"rank_{rank}"
        assert (whole / name).read_bytes() == (parts / name).read_bytes(), "resumed, it ends bit for bit the same"
    for stem in ("model", "training"):
        assert next(whole.glob(f"{stem}-*")).name == next(parts.glob(f"{stem}-*")).name, "named by their digests"


def free_port() -> int:
    """A TCP port nobody uses at the moment."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


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
