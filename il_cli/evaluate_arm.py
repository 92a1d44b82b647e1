"""`il eval --arm`: a person resets the scene, a policy tries, the person judges, not knowing whose attempt it was."""

from __future__ import annotations

import contextlib
import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from il_cli.evaluate_scenes import Scenes
from il_cli.interventions import Interventions
from il_cli.person import Person
from il_cli.rollouts import timed_path
from il_cli.trials import MARKS, Trial, TrialLog, Turn, Verdict, blind_order, candidates_of
from il_core import topics
from il_core.errors import GraphError
from il_core.graph_spec import Place
from il_core.metrics import in_time

if TYPE_CHECKING:
    from il_cli.evaluate_figures import Paths
    from il_cli.ros.attempt_log import AttemptLog
    from il_cli.ros.homing import Homing
    from il_cli.ros.session import Session

READY_S = 60.0
POLL_S = 0.05
JUDGED = {"y": Verdict.SUCCESS, "n": Verdict.FAILURE, "s": Verdict.SKIP}
ANSWERS = {"y": "yes", "n": "no", "s": "skip, does not count"}
MARKED = {str(mark): {MARKS[0]: "mark: poor", MARKS[-1]: "perfect"}.get(mark, "") for mark in MARKS}


@dataclass(frozen=True, slots=True)
class Try:
    """What an arm did in one attempt.

    Attributes:
        seconds: Duration [s].
        plans: Plans made.
        path: Measured tool positions in base at the ticks, (N, 3) [m].
        interventions: What took the arm from the policy; None = nobody told.
    """

    seconds: float
    plans: int
    path: NDArray[np.float64]
    interventions: Interventions | None = None


def judge_all(log: TrialLog, order: Sequence[Turn], person: Person, attempt: Callable[[Turn, str], Try | None]) -> bool:
    """Make the attempts that are left, and keep what the person says.

    Args:
        log: Results so far.
        order: All attempts.
        person: Who resets and judges; is told scenes and counts, never which policy it is.
        attempt: Makes one, given the question to begin with; None = the person quit.

    Returns:
        Whether all are done.
    """
    left = log.left(order)
    for n, turn in enumerate(left, start=len(order) - len(left) + 1):
        made = attempt(
            turn, f"attempt {n} of {len(order)}: put the scene back as scene {turn.scene}, the arm at its start"
        )
        if made is None:
            return False
        said, score = _judgement(person, made.seconds)
        if said == Person.QUIT:
            return False
        path = tuple(tuple(round(float(x), 5) for x in p) for p in made.path)
        judged = JUDGED[said], made.seconds, made.plans, path, score, made.interventions
        log.add(Trial(turn.scene, turn.policy, *judged))
    return True


def _judgement(person: Person, seconds: float) -> tuple[str, int | None]:
    """What the person answers, and the mark if one was given before; the last one counts."""
    question, score = f"{seconds:.1f} s: did it succeed?", None
    while (said := person.ask(question, ANSWERS | MARKED)) in MARKED:
        score, question = int(said), f"marked {said}; did it succeed?"
    return said, score


def evaluate_arm(
    checkpoints: Sequence[Path],
    task: str,
    scenes: int,
    seed: int,
    limit_s: float,
    shown: Scenes | None,
    out: Path,
    place: Place,
    demonstrations: Path | None = None,
) -> bool:
    """Let policies try on the arm of the graph that runs already; results go on where they ended.

    Args:
        checkpoints: Folders of the policies.
        task: Task, by name or file.
        scenes: How many scenes each policy tries.
        seed: Of the order.
        limit_s: Longest attempt [s].
        shown: Pictures of the scenes; None = the person knows them.
        out: Folder of the results.
        place: Where the graph runs.
        demonstrations: Dataset that the report compares with; None = none.

    Returns:
        Whether all attempts are done; the report is written either way.

    Raises:
        CheckpointError, SpecMismatchError: a policy cannot be served here.
        GraphError: no controller answers, or a policy does not start.
        ConfigError: the results in ``out`` are of another evaluation.
    """
    from il_cli.evaluate_figures import demonstrated
    from il_core.config import load_setup
    from il_core.graph import ros_environment
    from il_policy.serving.loading import check

    setup = load_setup(task)
    for path in checkpoints:
        check(path, setup)
    taught = [] if demonstrations is None else demonstrated(demonstrations, setup.task.rate_hz)
    policies = [{"path": str(path), "weights_sha256": digest_of(path)} for path in checkpoints]
    about = {"task": setup.task.name, "scenes": scenes, "seed": seed, "limit_s": limit_s, "policies": policies}
    log = TrialLog(out / "trials.jsonl", about)
    os.environ.update(ros_environment(os.environ))
    from il_cli.ros.attempt_log import AttemptLog
    from il_cli.ros.homing import Homing
    from il_cli.ros.live_picture import LivePicture
    from il_cli.ros.session import Session

    order = blind_order(len(checkpoints), scenes, seed)
    with Session(place=place) as session, contextlib.ExitStack() as stack:
        live = stack.enter_context(LivePicture(session.node, shown.camera)) if shown is not None else None
        homing, heard = Homing(session, setup.robot), AttemptLog(session.node)
        seat = Seat(session, Person(print), task, limit_s, out, place, homing, heard, setup.task.rate_hz)

        def attempt(turn: Turn, question: str) -> Try | None:
            def while_waiting() -> None:
                if shown is not None and live is not None:
                    shown.show(turn.scene, live.newest())

            return seat.attempt(checkpoints[turn.policy], question, while_waiting)

        is_done = judge_all(log, order, seat.person, attempt)
    report(log, about, setup.task.rate_hz, out, taught)
    return is_done


def digest_of(checkpoint: Path) -> str:
    """Digest of the weights of a checkpoint, of ours or of LeRobot, hex.

    Raises:
        CheckpointError: missing or damaged.
    """
    from il_policy.serving.loading import is_lerobot, weights_sha256

    if not is_lerobot(checkpoint):
        return weights_sha256(checkpoint)
    digest = hashlib.sha256()
    with (checkpoint / "model.safetensors").open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True, slots=True)
class Seat:
    """Where the person sits: beside the arm of a running graph.

    Attributes:
        session: Client of that graph.
        person: Whom to ask.
        task: The task.
        limit_s: Longest attempt [s].
        out: Folder of the results.
        place: Where that graph runs.
        homing: Sends its arm home.
        log: Listens to who drives and to plans.
        rate_hz: Ticks of the task per second [Hz].
    """

    session: Session
    person: Person
    task: str
    limit_s: float
    out: Path
    place: Place
    homing: Homing
    log: AttemptLog
    rate_hz: float

    def attempt(self, checkpoint: Path, question: str, while_waiting: Callable[[], None]) -> Try | None:
        """One attempt of a policy, whose node is started for it; None = the person quit.

        The arm holds before, and after whatever happens.

        Raises:
            GraphError: the policy does not start, or its node died.
        """
        from il_cli.process import Supervisor
        from il_core.graph import GraphOptions, graph

        session = self.session
        options = GraphOptions(
            task=self.task,
            checkpoint=str(checkpoint.resolve()),
            namespace=self.place.namespace,
            use_sim_time=self.place.use_sim_time,
        )
        whole = graph("policy", options)
        alone = replace(whole, nodes=(whole.node("policy"),))
        with Supervisor(alone, self.out / "log") as supervisor:
            session.trigger(topics.CONTROLLER_HOLD)
            answers = {"": "begin; Enter again ends the attempt", "h": "the arm goes home first: keep clear"}
            while (answer := self.person.ask(question, answers, while_waiting)) == "h":
                self._go_home()
            if answer == Person.QUIT:
                return None
            session.wait_status("policy", "ready", READY_S, supervisor.check)
            session.path.clear()
            self.log.begin()
            began = time.monotonic()
            try:
                session.set_bool(topics.POLICY_ENABLE, True)
                while not self.person.has_pressed_enter() and time.monotonic() - began < self.limit_s:
                    supervisor.check()
                    time.sleep(POLL_S)
                seconds, told = time.monotonic() - began, self.log.interventions()
            finally:
                with contextlib.suppress(GraphError):  # a policy that died does not answer; the arm shall hold
                    session.set_bool(topics.POLICY_ENABLE, False, timeout_s=2.0)
                session.trigger(topics.CONTROLLER_HOLD)
        t_s, path = timed_path(list(session.path))
        return Try(seconds, self.log.plans, in_time(t_s, path, 1.0 / self.rate_hz), told)

    def _go_home(self) -> None:
        """Send the arm home; if it does not get there the person is told, and asked again."""
        try:
            self.homing.go()
        except GraphError as error:
            self.person.tell(str(error))


def report(log: TrialLog, about: dict[str, Any], rate_hz: float, out: Path, taught: Paths | None = None) -> None:
    """Write the report of what was judged so far; nothing before every policy was judged once.

    Args:
        log: Results so far.
        about: What the log is about.
        rate_hz: Ticks per second [Hz].
        out: Folder of the report.
        taught: Tool paths of demonstrations at the ticks, (N, 3) [m] each; None = none to compare with.
    """
    from il_cli.cards import keep_cards
    from il_cli.compare import distinct
    from il_cli.demo import machine
    from il_cli.evaluate_report import write

    paths = [Path(p["path"]) for p in about["policies"]]
    candidates = candidates_of(distinct([p.name for p in paths], [str(p) for p in paths]), log.trials)
    if not all(c.attempts for c in candidates):
        return
    skipped = sum(t.verdict is Verdict.SKIP for t in log.trials)
    head = {"task": about["task"], "scenes": about["scenes"], "machine": machine(), "skipped": skipped}
    how = {"how": "on the arm, judged blind by a person"}
    write(out, candidates, taught or [], rate_hz, about["limit_s"], head | how)
    weights = [str(p["weights_sha256"]) for p in about["policies"]]
    keep_cards(list(zip(paths, weights, strict=True)), candidates, head | how)
