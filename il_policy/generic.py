"""Learning from demonstrations without an arm: any columns in, any columns out, no ROS.

The same networks, heads, checkpoints and runtimes as for an arm. Demonstrations are
:class:`il_core.arrays.ArrayEpisode`, made by hand, or read from robomimic files and LeRobot folders by
``il_teleop.dataset.columns.read_columns``.

Example::

    from il_policy import generic
    from il_policy.config import load_train_config
    from il_teleop.dataset.columns import read_columns

    episodes = read_columns(Path("lift.hdf5"), ["obs/robot0_eef_pos", "obs/object"])
    generic.train(episodes, load_train_config("diffusion"), Path("outputs/lift"))
    policy = generic.load(Path("outputs/lift"))
    action = policy.act({"obs/robot0_eef_pos": ..., "obs/object": ...})  # once per step
    print(generic.evaluate(policy, make_env, episodes=50))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, SupportsFloat

import numpy as np

from il_core.arrays import ArrayEpisode
from il_core.geometry import Array
from il_core.stats import wilson95
from il_policy.arrays import ArrayObservation, ArraySpec, ArrayTranslator, spec_of
from il_policy.serving.config import Handover, ServeConfig
from il_policy.serving.loading import open_machine
from il_policy.serving.planner import Machine, Planner

if TYPE_CHECKING:
    from il_policy.config import TrainConfig
    from il_policy.observe_config import ObserveConfig
    from il_policy.provenance import Source
    from il_policy.train import Progress, TrainResult

SUCCESS_KEYS = ("is_success", "success", "task_success")
WAITING = ServeConfig(handover=Handover.NONE)  # who calls act() waits for the plan: nothing passes meanwhile


class Environment(Protocol):
    """A world to try a policy in: the part of Gymnasium's ``Env`` that is needed."""

    def reset(self, *, seed: int | None = None) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        """Begin anew; what is seen, and notes."""
        ...

    def step(self, action: Any, /) -> tuple[Mapping[str, Any], SupportsFloat, bool, bool, Mapping[str, Any]]:  # noqa: ANN401
        """Do something; what is seen, reward, whether it ended, whether it was cut off, and notes."""
        ...


@dataclass(frozen=True, slots=True)
class Trial:
    """One attempt of a policy.

    Attributes:
        seed: Seed of the environment.
        success: What the environment's notes say under ``is_success``, ``success`` or ``task_success`` at any
            step, or what the judge of :func:`evaluate` says; None if nobody said anything.
        steps: Actions done.
        total_reward: Sum of the rewards.
    """

    seed: int
    success: bool | None
    steps: int
    total_reward: float


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What the attempts of a policy say.

    Attributes:
        trials: All attempts, in order.
        successes: How many succeeded; None if that is not known of any of them. Where it is known of some, the others
            count as failed.
        wilson95: 95 % interval of the success rate; None where ``successes`` is.
        steps_mean: Mean length of an attempt.
        return_mean: Mean sum of the rewards of an attempt.
    """

    trials: tuple[Trial, ...]
    successes: int | None
    wilson95: tuple[float, float] | None
    steps_mean: float
    return_mean: float


class ArrayPolicy(Planner[ArrayObservation]):
    """A policy of columns at work. Used by one thread at a time.

    Attributes:
        spec: What it sees and does.
    """

    def __init__(
        self, spec: ArraySpec, observe: ObserveConfig, machine: Machine, config: ServeConfig, seed: int
    ) -> None:
        """Take what computes; see :func:`load`."""
        self.spec = spec
        super().__init__(machine, ArrayTranslator(spec, observe), config, seed)

    def reset(self, seed: int = 0) -> None:
        """Begin a new rollout."""
        super().reset(seed)
        self._steps = 0

    def act(self, observation: Mapping[str, Any]) -> Array:
        """The action for what is seen now, (A,): call it once per step, in order.

        Args:
            observation: Numbers and pictures by the names of the demonstrations' columns; more does not matter.

        Raises:
            EpisodeError, ShapeError: a column is missing or has another size.
            NonFiniteError: the network gave NaN or infinity.
        """
        tick_ns = self._steps * self.rhythm.dt_ns
        plan, wanted_ns = self.followed(ArrayObservation(tick_ns, observation))
        self._steps += 1
        return plan.at(wanted_ns)


def train(
    episodes: Sequence[ArrayEpisode],
    config: TrainConfig,
    out: Path,
    spec: ArraySpec | None = None,
    *,
    is_resumed: bool = False,
    on_progress: Callable[[Progress], None] = lambda _: None,
    start: Path | None = None,
    teacher: Path | None = None,
    source: Source | None = None,
) -> TrainResult:
    """Train a policy on columns and write its checkpoint.

    Of the settings, those that speak of an arm (``action_encoding``, ``observed_ticks``, noise on the tool,
    depth and clouds) have no meaning here; ``augment.state`` is noise on all columns, ``observe.rgb`` names
    pictures of the episodes. Marks of takes, depth, forces and words are refused: columns have none. Where actions are
    steps rather than places, set ``hold_at_end`` to false: after the end nothing is known.

    Args:
        episodes: Demonstrations with the same columns.
        config: Settings.
        out: Directory of the checkpoint.
        spec: Columns, history and horizon; None = all columns, as :func:`il_policy.arrays.spec_of` has them.
        is_resumed: Go on from what an earlier call left in ``out``.
        on_progress: Told where the training stands, now and then.
        start: Checkpoint whose weights to begin with.
        teacher: Checkpoint of a diffusion or flow policy of these columns, to be done in one step.
        source: Where the demonstrations come from, to be written down.

    Raises:
        EpisodeError: no usable episode, or columns that differ.
        ConfigError: a head or a setting that needs an arm.
        CheckpointError: a checkpoint cannot be written or used.
        TrainingError: the loss is no longer finite; the last checkpoint is kept.
    """
    from il_policy.array_data import ArrayDataset
    from il_policy.train import adapted
    from il_policy.train import train as train_windows

    spec = spec or spec_of(episodes)
    config = adapted(config, teacher) if teacher is not None else config
    dataset = ArrayDataset(episodes, spec, config)
    return train_windows(
        dataset,
        spec,
        config,
        out,
        is_resumed=is_resumed,
        on_progress=on_progress,
        start=start,
        teacher=teacher,
        source=source,
    )


def load(path: Path | str, seed: int = 0, config: ServeConfig = WAITING) -> ArrayPolicy:
    """Load a policy of columns; executes nothing from the files. Torch is needed only if it was never exported.

    Args:
        path: Folder that :func:`train` wrote.
        seed: Of the noise.
        config: How to serve. By default a plan is taken as it comes; where the world goes on while it is made,
            let it join the one before (``handover``).

    Raises:
        CheckpointError: missing, damaged or hostile files, or an arm's policy.
        ConfigError: the runtime asked for is not installed.
    """
    spec, observe, machine = open_machine(Path(path), config)
    return ArrayPolicy(spec, observe, machine, config, seed)


def evaluate(
    policy: ArrayPolicy,
    make_env: Callable[[], Environment],
    episodes: int,
    *,
    max_steps: int = 1000,
    seed: int = 0,
    success: Callable[[float, Mapping[str, Any]], bool] | None = None,
) -> Evaluation:
    """Let a policy act in an environment.

    An attempt ends when the environment ends it, with its first success, or after ``max_steps``. An environment whose
    notes do not speak of success is judged by its rewards alone, ``return_mean``: what reward is a success, only who
    knows the environment can say.

    Args:
        policy: The policy.
        make_env: Makes the environment, once.
        episodes: Attempts; attempt k begins with seed ``seed + k``.
        max_steps: Longest attempt.
        seed: Of the first attempt.
        success: Judge that is asked with reward and notes after every step, in place of the environment's notes:
            ``lambda reward, notes: reward > 0`` where a reward is given for success alone.

    Raises:
        ValueError: no attempt is asked for.
    """
    if min(episodes, max_steps) < 1:
        raise ValueError("episodes and max_steps must be positive")
    env, judge = make_env(), success or _noted
    trials = tuple(_trial(policy, env, seed + k, max_steps, judge) for k in range(episodes))
    is_known = any(t.success is not None for t in trials)
    successes = sum(t.success is True for t in trials) if is_known else None
    interval = None if successes is None else wilson95(successes, episodes)
    steps, rewards = (float(np.mean(v)) for v in ([t.steps for t in trials], [t.total_reward for t in trials]))
    return Evaluation(trials, successes, interval, steps, rewards)


def _noted(_: float, notes: Mapping[str, Any]) -> bool | None:
    """What an environment's notes say of success; None if they do not speak of it."""
    said = [bool(notes[k]) for k in SUCCESS_KEYS if k in notes]
    return any(said) if said else None


def _trial(
    policy: ArrayPolicy,
    env: Environment,
    seed: int,
    max_steps: int,
    judge: Callable[[float, Mapping[str, Any]], bool | None],
) -> Trial:
    policy.reset(seed)
    seen, _ = env.reset(seed=seed)
    total, steps, is_over = 0.0, 0, False
    success: bool | None = None
    while not is_over and steps < max_steps:
        steps += 1
        seen, reward, is_ended, is_cut, notes = env.step(policy.act(seen))
        total += float(reward)
        said = judge(float(reward), notes)
        success = success if said is None else bool(said)
        is_over = success is True or is_ended or is_cut
    return Trial(seed, success, steps, total)
