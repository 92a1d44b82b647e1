"""What the console of `il record` says to the recorder and the controller, and hears from them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from queue import Empty, SimpleQueue

from sensor_msgs.msg import JointState
from std_msgs.msg import String

from il_cli.ros.session import Session
from il_core import topics
from il_core.config import load_setup
from il_core.errors import ConfigError, GraphError
from il_core.ros import qos
from il_core.ros.convert import opening_msg
from il_core.wire import JointMap
from il_teleop.cue import Player, cue_from
from il_teleop.recorder import Event, service_of

ATTACH_S, ANSWER_S, TOLD_S = 10.0, 90.0, 5.0
QUALITY_KEYS = {str(mark): Event(f"quality_{mark}") for mark in range(1, 6)}


class RecordingDesk:
    """Keys into services, texts into topics, cues into sound; never waits for an answer while drawing."""

    def __init__(self, session: Session, keys: Mapping[str, Event], player: Player) -> None:
        """Wait for the recorder.

        Raises:
            GraphError: no recorder is running.
        """
        self._session, self._player = session, player
        self._keys = {**keys, **QUALITY_KEYS}
        what = "topic '/diagnostics' carries nothing from node 'recorder': start the graph with `il up record`"
        session.wait(lambda: "recorder" in session.diagnostics, ATTACH_S, what)
        self._kept_before = int(self.values["saved"])
        self.answer = "ready"
        # Two: a start that counts down must not keep a stop from being heard.
        self._pool = ThreadPoolExecutor(2)
        self._answers: list[Future[str]] = []
        self._cues: SimpleQueue[str] = SimpleQueue()
        session.node.create_subscription(String, topics.RECORDER_CUE, lambda msg: self._cues.put(msg.data), qos.STREAM)
        self._texts = {
            name: session.node.create_publisher(String, name, qos.STREAM)
            for name in (
                topics.RECORDER_TASK_TEXT,
                topics.RECORDER_OPERATOR,
                topics.RECORDER_NOTE,
                topics.RECORDER_FLOW,
            )
        }
        self._notes: list[str] = []
        self._flow_before: dict[str, str] = {}
        self._grip: tuple[JointMap, float] | None = None

    @property
    def values(self) -> Mapping[str, str]:
        """The recorder's newest status."""
        return self._session.diagnostics["recorder"]

    @property
    def kept(self) -> int:
        """Takes kept since the console started."""
        return int(self.values["saved"]) - self._kept_before

    def describe(self, task_text: str, operator: str, notes: Mapping[str, str]) -> None:
        """Tell the recorder who shows what; empty texts change nothing.

        Raises:
            GraphError: it does not show them.
        """
        if task_text:
            self._say(topics.RECORDER_TASK_TEXT, task_text, "task_text", task_text)
        if operator:
            self._say(topics.RECORDER_OPERATOR, operator, "operator", operator)
        for key, text in notes.items():
            self._notes.append(key)
            self._say(topics.RECORDER_NOTE, f"{key}: {text}", f"note:{key}", text)

    def set_flow(self, flow: Mapping[str, float | bool]) -> None:
        """Set countdown, pause and what happens by itself."""
        for key, value in flow.items():
            self._flow_before.setdefault(key, self.values.get(f"flow:{key}", ""))
            text = str(value).lower() if isinstance(value, bool) else f"{value:g}"
            self._say(topics.RECORDER_FLOW, f"{key}: {text}", f"flow:{key}", text)

    def _say(self, topic: str, text: str, key: str, wanted: str) -> None:
        """Say it until the recorder shows it: it may not have found this publisher yet."""
        for _ in range(3):
            self._texts[topic].publish(String(data=text))
            with contextlib.suppress(GraphError):
                return self._session.wait(lambda: self.values.get(key, "") == wanted, TOLD_S / 3, "the recorder")
        raise GraphError(f"the recorder did not take '{text}' on '{topic}'; see its log")

    @contextlib.contextmanager
    def guided(self) -> Iterator[None]:
        """Free the arm to be led by the hand meanwhile.

        Raises:
            GraphError: the controller refuses; carries its words.
        """
        task, robot = self.values["task"], self.values["robot"]
        self._grip = JointMap(load_setup(task, robot).robot), 1.0
        self._grippers = self._session.node.create_publisher(JointState, topics.TELEOP_GRIPPER, qos.STREAM)
        self.answer = self._session.set_bool(topics.claim("guiding"), True)
        try:
            yield
        finally:
            self._session.set_bool(topics.claim("guiding"), False)

    def press(self, key: str) -> None:
        """Act on a key; one that means nothing does nothing."""
        if key == "g" and self._grip is not None:
            joints, opening = self._grip
            self._grip = joints, 1.0 - opening
            self._grippers.publish(opening_msg(self._session.now_ns(), 1.0 - opening, joints))
        elif key in self._keys:
            self._answers.append(self._pool.submit(self._call, self._keys[key]))

    def _call(self, event: Event) -> str:
        try:
            return self._session.trigger(service_of(event), timeout_s=ANSWER_S)
        except GraphError as error:
            return str(error)

    def refresh(self) -> None:
        """Take the answers that have come, and play the cues."""
        for future in [f for f in self._answers if f.done()]:
            self._answers.remove(future)
            self.answer = future.result()
        with contextlib.suppress(Empty):
            while True:
                text = self._cues.get_nowait()
                with contextlib.suppress(ConfigError):  # a newer recorder may know cues we do not
                    self._player.play(cue_from(text))

    def close(self, *, is_complete: bool) -> None:
        """Leave the recorder as it was found, and let sounds end.

        Args:
            is_complete: Whether all that was wanted is kept: a take that began by itself since is one too many.
        """
        for key, text in self._flow_before.items():
            self._texts[topics.RECORDER_FLOW].publish(String(data=f"{key}: {text}"))
        for key in self._notes:
            self._texts[topics.RECORDER_NOTE].publish(String(data=f"{key}: "))
        is_surplus = is_complete and self.values["state"] == "recording"
        if is_surplus or self.values.get("pending"):
            self._call(Event.DISCARD)
        self._player.close()
        self._pool.shutdown(wait=False, cancel_futures=True)
