"""A policy learns from a wrench that lies in a dataset on disk; where there is none, `il train` says so at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tiny_world import R_DOWN

from il_cli.main import COMMANDS, run
from il_core.config import Setup, load_setup
from il_core.geometry import pose
from il_core.store.episodes import EpisodeStore
from il_core.types import Episode, Observation, Outcome
from il_policy import checkpoint

QUICK = ["--policy", "bc", "--set", "network.width=32", "--set", "network.depth=1", "--set", "eval_every=1000"]
FELT = ["--set", "observe.wrench=true"]
TICK_NS = 100_000_000


@pytest.fixture
def task(tmp_path: Path, write_felt_task: Callable[..., Path]) -> Path:
    """Drawing with a force sensor: a task file that observes the wrench, and a robot file that has one."""
    return write_felt_task(tmp_path, "draw_symbol")


def seen(k: int, fx: float | None) -> Observation:
    """The tool at rest, pushed along x or not at all; None: nothing measures it."""
    wrench = None if fx is None else np.array([fx, 0.1, -0.2, 0.0, 0.01, 0.0])
    age = {"ee_pose": 0} if fx is None else {"ee_pose": 0, "wrench": 0}
    return Observation(k * TICK_NS, pose([0.45, 0.0, 0.1], R_DOWN), None, {}, age, wrench)


def dataset(path: Path, setup: Setup, pushes: tuple[float | None, ...]) -> Path:
    """Demonstrations of yielding: 30 mm along y, to the side that the push along x tells; nothing else tells it."""
    store = EpisodeStore.create(path, setup)
    for i, fx in enumerate(pushes):
        side = 1.0 if fx is None else np.sign(fx)
        T_des = np.array([pose([0.45, 0.03 * side, 0.1], R_DOWN)] * 10)
        ticks = tuple(seen(k, fx) for k in range(10))
        store.add(Episode(f"push_{i}", ticks, T_des, np.zeros(10), Outcome.SUCCESS, setup.task.rate_hz))
    return store.path


def test_a_policy_acts_on_the_force_it_was_trained_with_from_disk(tmp_path: Path, task: Path) -> None:
    setup = load_setup(str(task))
    data = dataset(tmp_path / "ds", setup, (5.0, -5.0, 4.0, -4.0, 6.0, -6.0))
    train = ["train", str(data), "--task", str(task), "--out", str(tmp_path / "ck"), *QUICK, *FELT]
    quiet = [f"--set=augment.{name}=0" for name in ("tool_m", "jitter_m")]
    fast = ["--set", "steps=300", "--set", "warmup_steps=10", "--set", "learning_rate=0.003"]
    assert run([*train, *quiet, *fast], COMMANDS) == 0
    policy = checkpoint.load(tmp_path / "ck", setup)
    policy.warm_up()
    for fx in (5.0, -5.0):
        plan = policy.predict([seen(0, fx)] * setup.task.n_obs)
        assert np.abs(plan.rows[:5, 1, 3] - 0.03 * np.sign(fx)).max() < 0.01, "both start from one place"


def test_a_dataset_without_a_wrench_is_refused_with_what_to_do(
    tmp_path: Path, task: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    def said(data: Path, *options: str) -> str:
        assert run(["train", str(data), "--out", str(tmp_path / "ck"), *QUICK, *FELT, *options], COMMANDS) == 1
        return " ".join(capfd.readouterr().err.split())

    blind = dataset(tmp_path / "blind", load_setup("draw_symbol"), (None, None))
    words = said(blind)
    assert "observe.wrench: episode 'push_0' has no wrench; task 'draw_symbol' does not observe it" in words
    assert "write 'wrench: true' into it, record, and build the dataset" in words
    assert "was made for spec" in said(blind, "--task", str(task))
    partly = dataset(tmp_path / "partly", load_setup(str(task)), (5.0, None))
    words = said(partly, "--task", str(task))
    assert "episode 'push_1' has no wrench; task 'draw_symbol' observes it" in words
    assert "build the dataset from recordings that hold wrist/wrench" in words
    assert not (tmp_path / "ck").exists()


def test_without_the_wrench_such_a_policy_predicts_nothing(tmp_path: Path, task: Path) -> None:
    setup = load_setup(str(task))
    data = dataset(tmp_path / "ds", setup, (5.0, -5.0))
    train = ["train", str(data), "--task", str(task), "--out", str(tmp_path / "ck"), *QUICK, *FELT]
    assert run([*train, "--set", "steps=1"], COMMANDS) == 0
    policy = checkpoint.load(tmp_path / "ck", setup)
    with pytest.raises(Exception, match="no wrench, but the policy observes it; say 'wrench: true' in the task"):
        policy.predict([replace(seen(0, 5.0), wrench=None)] * setup.task.n_obs)
