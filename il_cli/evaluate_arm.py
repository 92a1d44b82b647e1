"""`il eval --arm`: a person resets the scene, a policy tries, the person judges, not knowing whose attempt it was."""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from il_cli.person import Person
from il_cli.trials import Trial, TrialLog, Turn, Verdict, blind_order, candidates_of
from il_core import codec, topics
from il_core.errors import ConfigError, GraphError
from il_core.graph_spec import Place

if TYPE_CHECKING:
    from il_cli.ros.homing import Homing
    from il_cli.ros.session import Session

READY_S = 60.0
POLL_S = 0.05
KEEP_EVERY = 10  # tool poses come at 100 Hz, 10 a second draw the same path
OVERLAY_S = 0.5
JUDGED = {"y": Verdict.SUCCESS, "n": Verdict.FAILURE, "s": Verdict.SKIP}
PAGE = (
    "<!doctype html><meta charset='utf-8'><meta http-equiv='refresh' content='1'><title>scene</title>"
    "<h1>scene {scene}: move things until both pictures are one</h1><img src='{picture}' width='960'>"
)


@dataclass(frozen=True, slots=True)
class Try:
    """What an arm did in one attempt.

    Attributes:
        seconds: Duration [s].
        plans: Plans made.
        path: Measured tool positions in base, (N, 3) [m].
    """

    seconds: float
    plans: int
    path: NDArray[np.float64]


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
        said = person.ask(
            f"{made.seconds:.1f} s: did it succeed?", {"y": "yes", "n": "no", "s": "skip, does not count"}
        )
        if said == Person.QUIT:
            return False
        path = tuple(tuple(round(float(x), 5) for x in p) for p in made.path)
        log.add(Trial(turn.scene, turn.policy, JUDGED[said], made.seconds, made.plans, path))
    return True


def overlaid(wanted: NDArray[np.uint8], live: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Two pictures of one size, half and half, (H, W, 3): what lies right coincides.

    Raises:
        ConfigError: different sizes.
    """
    if wanted.shape != live.shape:
        raise ConfigError("--scenes", f"pictures are {wanted.shape}, the camera's are {live.shape}; use that camera")
    return ((wanted.astype(np.uint16) + live) // 2).astype(np.uint8)


class Scenes:
    """Wanted first pictures of the scenes, from the first ticks of a dataset's episodes."""

    def __init__(self, dataset: Path, camera: str, out: Path) -> None:
        """Open the dataset.

        Raises:
            EpisodeError: missing or damaged.
        """
        from il_core.store.episodes import EpisodeStore

        self._store, self.camera, self._out = EpisodeStore.open(dataset), camera, out
        self.page = out / "scene.html"
        self._shown_at = 0.0

    def wanted(self, scene: int) -> NDArray[np.uint8]:
        """Picture of a scene (H, W, 3); with fewer episodes than scenes they are used again.

        Raises:
            ConfigError: the dataset has no such camera.
        """
        images = self._store.episode(scene % len(self._store)).observations[0].images
        if self.camera not in images:
            raise ConfigError("--camera", f"the dataset has no '{self.camera}'; it has {', '.join(sorted(images))}")
        return images[self.camera].rgb

    def show(self, scene: int, live: NDArray[np.uint8] | None) -> None:
        """Write the page that a browser shows, with the live picture laid over, at most twice a second."""
        if time.monotonic() - self._shown_at < OVERLAY_S:
            return
        self._shown_at = time.monotonic()
        wanted = self.wanted(scene)
        partial = self._out / "scene.png.partial"
        partial.write_bytes(codec.encode_rgb(wanted if live is None else overlaid(wanted, live)))
        os.replace(partial, self._out / "scene.png")
        self.page.write_text(PAGE.format(scene=scene, picture="scene.png"))


def evaluate_arm(
    checkpoints: Sequence[Path],
    task: str,
    scenes: int,
    seed: int,
    limit_s: float,
    shown: Scenes | None,
    out: Path,
    place: Place,
) -> bool:
    """Let policies try on the arm of the graph that runs already; results go on where they ended.

    Returns:
        Whether all attempts are done; the report is written either way.

    Raises:
        CheckpointError, SpecMismatchError: a policy cannot be served here.
        GraphError: no controller answers, or a policy does not start.
        ConfigError: the results in ``out`` are of another evaluation.
    """
    from il_core.config import load_setup
    from il_core.graph import ros_environment
    from il_policy.serving.loading import check, weights_sha256

    setup = load_setup(task)
    for path in checkpoints:
        check(path, setup)
    policies = [{"path": str(path), "weights_sha256": weights_sha256(path)} for path in checkpoints]
    about = {"task": setup.task.name, "scenes": scenes, "seed": seed, "policies": policies}
    log = TrialLog(out / "trials.jsonl", about)
    os.environ.update(ros_environment(os.environ))
    from il_cli.ros.homing import Homing
    from il_cli.ros.live_picture import LivePicture
    from il_cli.ros.session import Session

    order = blind_order(len(checkpoints), scenes, seed)
    with Session(place=place) as session, contextlib.ExitStack() as stack:
        live = stack.enter_context(LivePicture(session.node, shown.camera)) if shown is not None else None
        seat = Seat(session, Person(print), task, limit_s, out, place, Homing(session, setup.robot))

        def attempt(turn: Turn, question: str) -> Try | None:
            def while_waiting() -> None:
                if shown is not None and live is not None:
                    shown.show(turn.scene, live.newest())

            return seat.attempt(checkpoints[turn.policy], question, while_waiting)

        is_done = judge_all(log, order, seat.person, attempt)
    report(log, about, setup.task.rate_hz, out)
    return is_done


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
    """

    session: Session
    person: Person
    task: str
    limit_s: float
    out: Path
    place: Place
    homing: Homing

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
            began = time.monotonic()
            try:
                session.set_bool(topics.POLICY_ENABLE, True)
                while not self.person.has_pressed_enter() and time.monotonic() - began < self.limit_s:
                    supervisor.check()
                    time.sleep(POLL_S)
                seconds = time.monotonic() - began
            finally:
                with contextlib.suppress(GraphError):  # a policy that died does not answer; the arm shall hold
                    session.set_bool(topics.POLICY_ENABLE, False, timeout_s=2.0)
                session.trigger(topics.CONTROLLER_HOLD)
            plans = int(session.diagnostics.get("policy", {}).get("chunks", "0"))
        path = np.array([pose.T_base_ee[:3, 3] for pose in session.path[::KEEP_EVERY]]).reshape(-1, 3)
        return Try(seconds, plans, path)

    def _go_home(self) -> None:
        """Send the arm home; if it does not get there the person is told, and asked again."""
        try:
            self.homing.go()
        except GraphError as error:
            self.person.tell(str(error))


def report(log: TrialLog, about: dict[str, Any], rate_hz: float, out: Path) -> None:
    """Write report.json and report.html of what was judged so far; nothing before every policy was judged once."""
    from il_cli.compare import distinct, to_json
    from il_cli.demo import machine
    from il_cli.evaluate_page import page

    paths = [Path(p["path"]) for p in about["policies"]]
    candidates = candidates_of(distinct([p.name for p in paths], [str(p) for p in paths]), log.trials)
    if not all(c.attempts for c in candidates):
        return
    skipped = sum(t.verdict is Verdict.SKIP for t in log.trials)
    head = {"task": about["task"], "scenes": about["scenes"], "machine": machine(), "skipped": skipped}
    values = to_json(candidates, [], rate_hz, {**head, "how": "on the arm, judged blind by a person"})
    out.mkdir(parents=True, exist_ok=True)
    (out / "report.json").write_text(json.dumps(values, indent=2, allow_nan=False) + "\n")
    (out / "report.html").write_text(page(values, candidates, []))
