"""What the console knows of the graph, and the picture of it that a page gets. Pure; time comes in."""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

from il_core.types import Outcome
from il_teleop.recorder import OWN_EVENTS, Event, State, Status, step

SILENT_NS = 2_500_000_000  # every node of ours speaks twice a second
DOUBT_NS = 3_000_000_000  # a score belongs to a plan; an older one says nothing of now
LEVELS = ("ok", "warn", "error", "stale")
TOPIC_FIELDS = ("received", "lost", "gaps", "rate_hz", "age_ms", "warning")
RECORDER_FIELDS = ("state", "outcome", "quality", "rejection", "operator", "task_text", "pending", "task", "robot")
POLICY_FIELDS = ("runtime", "inference_ms_p50", "latency_ms_p95", "late_chunks")
ACTIONS = 8  # of the newest commands that every page shows


@dataclass(frozen=True, slots=True)
class Heard:
    """One status of /diagnostics or control/source.

    Attributes:
        level: 0 ok, 1 warning, 2 error, 3 stale, as in diagnostic_msgs.
        message: The node's sentence.
        values: What else it says.
        at_ns: When it came, on the steady clock [ns].
    """

    level: int
    message: str
    values: Mapping[str, str]
    at_ns: int


class Board:
    """Takes what nodes say, from any thread, and draws the picture; keeps nothing but the newest.

    Attributes:
        version: Counts up with everything that is heard.
        target: Demonstrations wanted; 0 = no target.
    """

    def __init__(self, cameras: Mapping[str, str], target: int = 0) -> None:
        """Begin with nothing heard.

        Args:
            cameras: Topic of each camera.
            target: Demonstrations wanted.
        """
        self._lock = threading.Lock()
        self._cameras, self.target, self.version = dict(cameras), target, 0
        self._nodes: dict[str, Heard] = {}
        self._drive: Heard | None = None
        self._doubt: tuple[float, int] | None = None
        self._help, self._cue = "", ("", 0)
        self._services: frozenset[str] = frozenset()
        self._seen: dict[str, int] = {}
        self._actions: deque[dict[str, object]] = deque(maxlen=ACTIONS)

    def hear(self, name: str, heard: Heard) -> None:
        """Take a status of a node."""
        with self._lock:
            self._nodes[name] = heard
            self.version += 1

    def hear_drive(self, heard: Heard) -> None:
        """Take who drives, as ``control/source`` tells."""
        with self._lock:
            self._drive = heard
            self.version += 1

    def hear_doubt(self, score: float, at_ns: int) -> None:
        """Take the score of a plan: its distance from what was demonstrated, 1 = the edge."""
        with self._lock:
            self._doubt = (score, at_ns) if math.isfinite(score) else None
            self.version += 1

    def hear_help(self, text: str) -> None:
        """Take why the policy asks for a person; empty if it does not."""
        with self._lock:
            self._help = text
            self.version += 1

    def hear_cue(self, text: str, at_ns: int) -> None:
        """Take what the recorder lets the operator hear."""
        with self._lock:
            self._cue = text, at_ns
            self.version += 1

    def see(self, camera: str, at_ns: int) -> None:
        """Note that a picture of a camera came."""
        self._seen[camera] = at_ns  # pictures have their own way to the page: no new version

    def offer(self, services: frozenset[str]) -> None:
        """Take which services can be called at present."""
        with self._lock:
            self.version += services != self._services
            self._services = services

    def note(self, name: str, text: str, *, ok: bool) -> None:
        """Add an answer to a command to what every page shows."""
        with self._lock:
            self.version += 1
            self._actions.append({"number": self.version, "name": name, "ok": ok, "text": text})

    def set_target(self, count: int) -> None:
        """Change how many demonstrations are wanted."""
        with self._lock:
            self.target = count
            self.version += 1

    def node(self, name: str, now_ns: int) -> Heard | None:
        """What a node says; None if it has fallen silent or never spoke."""
        heard = self._nodes.get(name)
        return heard if heard is not None and now_ns - heard.at_ns <= SILENT_NS else None

    @property
    def cameras(self) -> tuple[str, ...]:
        """Names of the cameras, in the order in which pages number them."""
        return tuple(self._cameras)

    @property
    def drive(self) -> Heard | None:
        """Who drives, as told last."""
        return self._drive

    def picture(self, now_ns: int) -> dict[str, object]:
        """All of it, as plain values; what is silent or was never heard is told so, never guessed."""
        with self._lock:
            recorder, policy = self.node("recorder", now_ns), self.node("policy", now_ns)
            controller, drive = self.node("controller", now_ns), self._drive
            is_told = drive is not None and now_ns - drive.at_ns <= SILENT_NS
            return {
                "nodes": [_node(name, heard, now_ns) for name, heard in sorted(self._nodes.items())],
                "drive": _drive(drive) if drive is not None and is_told else None,
                "stopped": controller.values.get("stopped_why", "") if controller else "",
                "recorder": _recorder(recorder) if recorder else None,
                "topics": _topics(recorder.values) if recorder else [],
                "policy": self._policy(policy, now_ns) if policy else None,
                "cameras": [
                    {"name": name, "topic": topic, "age_s": _age_s(self._seen.get(name), now_ns)}
                    for name, topic in self._cameras.items()
                ],
                "cue": self._cue[0] if now_ns - self._cue[1] <= SILENT_NS else "",
                "target": self.target,
                "actions": list(self._actions),
                "can": sorted(self._offers(recorder, policy)),
            }

    def _policy(self, heard: Heard, now_ns: int) -> dict[str, object]:
        values, doubt = heard.values, self._doubt
        is_planning = values.get("enabled") == "True"
        is_fresh = is_planning and doubt is not None and now_ns - doubt[1] <= DOUBT_NS
        return {
            **{key: values.get(key, "") for key in POLICY_FIELDS},
            "message": heard.message,
            "lifecycle": values.get("lifecycle", "active"),  # a managed node that works does not tell
            "is_planning": is_planning,
            "doubt": doubt[0] if doubt is not None and is_fresh else None,
            "help": self._help,
        }

    def _offers(self, recorder: Heard | None, policy: Heard | None) -> set[str]:
        """Commands that make sense now: somebody would answer, and would not refuse by rule."""
        offers = {"halt", "target"}
        offers |= {name for name, service in SERVICES.items() if service in self._services}
        if recorder is not None:
            offers |= {"say.task_text", "say.operator"}
            offers |= {f"record.{event.value}" for event in accepted(recorder.values)}
        if policy is not None:
            state, is_planning = policy.values.get("lifecycle", "active"), policy.values.get("enabled") == "True"
            offers -= {"policy.load"} if state == "active" else {"policy.unload"} if state == "unconfigured" else set()
            offers -= {"policy.start"} if is_planning else {"policy.stop"}
        else:
            offers -= {"policy.load", "policy.unload", "policy.start", "policy.stop"}
        return offers


SERVICES = {  # command -> the service that must be there; see il_core/topics.py
    "resume": "controller/resume",
    "home": "controller/hold",  # ordered by topic; whoever holds also goes
    "policy.start": "policy/enable",
    "policy.stop": "policy/enable",
    "policy.load": "policy/change_state",
    "policy.unload": "policy/change_state",
}


def accepted(values: Mapping[str, str]) -> set[Event]:
    """Events a recorder would accept, by its own rules; none if it says what we do not know."""
    try:
        quality = int(values["quality"]) if values.get("quality") else None
        status = Status(
            state=State(values["state"]),
            outcome=Outcome(values["outcome"]),
            saved=int(values["saved"]),
            quality=quality,
            rejection=values.get("rejection", ""),
        )
    except (KeyError, ValueError):
        return set()
    events = (event for event in Event if event not in OWN_EVENTS)
    return {event for event in events if (step(status, event).is_accepted and step(status, event).status != status)}


def _age_s(at_ns: int | None, now_ns: int) -> float | None:
    return None if at_ns is None else round(max(0, now_ns - at_ns) / 1e9, 1)


def _node(name: str, heard: Heard, now_ns: int) -> dict[str, object]:
    is_silent = now_ns - heard.at_ns > SILENT_NS
    level = LEVELS[heard.level] if 0 <= heard.level < len(LEVELS) else "error"
    age_s = _age_s(heard.at_ns, now_ns) if is_silent else 0.0  # while it speaks, its age is nobody's concern
    return {"name": name, "level": "silent" if is_silent else level, "message": heard.message, "age_s": age_s}


def _drive(heard: Heard) -> dict[str, str]:
    return {**{key: heard.values.get(key, "") for key in ("source", "before", "claim")}, "cause": heard.message}


def _recorder(heard: Heard) -> dict[str, object]:
    values = heard.values
    counts = {key: int(values[key]) if values.get(key, "").isdigit() else None for key in ("saved", "discarded")}
    return {**{key: values.get(key, "") for key in RECORDER_FIELDS}, **counts, "message": heard.message}


def _topics(values: Mapping[str, str]) -> list[dict[str, str]]:
    names = [key.partition(":")[2] for key in values if key.startswith("received:")]
    return [{"name": name, **{f: values.get(f"{f}:{name}", "") for f in TOPIC_FIELDS}} for name in names]
