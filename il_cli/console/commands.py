"""What the buttons may ask for, and the ledger by which nothing is done twice or late. Pure."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from il_core.errors import ConfigError, nearest
from il_teleop.recorder import OWN_EVENTS, Event

HALT = "halt"
TEXT_MAX = 200  # characters of a task text or a name
COUNT_MAX = 100_000
AHEAD_NS = 500_000_000  # a page's idea of our time is always late; so far ahead it is wrong
RECORDER = "record."
ARGUMENTS = {  # name -> the argument it takes, if any
    HALT: "",
    "resume": "",
    "home": "",
    "policy.load": "",
    "policy.unload": "",
    "policy.start": "",
    "policy.stop": "",
    "say.task_text": "text",
    "say.operator": "text",
    "target": "count",
    **{f"{RECORDER}{event.value}": "" for event in Event if event not in OWN_EVENTS},
}
_ID = re.compile(r"[A-Za-z0-9_-]{8,64}")


@dataclass(frozen=True, slots=True)
class Command:
    """One press of a button.

    Attributes:
        id: Made by the page, the same however often the command is sent.
        name: A key of ARGUMENTS.
        argument: Text or number, as text; empty if it takes none.
        run: Which start of the console the page believes it talks to.
        at_ns: When it was pressed, on the console's steady clock, as far as the page knows [ns].
    """

    id: str
    name: str
    argument: str = ""
    run: str = ""
    at_ns: int = 0


def parse(message: Mapping[str, object]) -> Command:
    """Read a command as a page sends it.

    Raises:
        ConfigError: it is none; says what is wrong.
    """
    identity, name = message.get("id"), message.get("name")
    if not isinstance(identity, str) or not _ID.fullmatch(identity):
        raise ConfigError("command", f"id must be 8 to 64 letters, digits, - or _, got {str(identity)[:80]!r}")
    if not isinstance(name, str) or name not in ARGUMENTS:
        raise ConfigError("command", f"unknown command {str(name)[:80]!r}; {nearest(str(name)[:80], list(ARGUMENTS))}")
    at_ms = message.get("at_ms", 0)
    if isinstance(at_ms, bool) or not isinstance(at_ms, int | float) or not 0 <= at_ms < 1e13:
        raise ConfigError("command", f"at_ms must be milliseconds of the console's clock, got {at_ms!r}")
    run = message.get("run", "")
    return Command(identity, name, _argument(name, message), str(run)[:64], int(at_ms * 1e6))


def _argument(name: str, message: Mapping[str, object]) -> str:
    kind, value = ARGUMENTS[name], message.get("argument")
    if kind == "text":
        if not isinstance(value, str) or len(value) > TEXT_MAX or not value.strip() or not value.isprintable():
            raise ConfigError("command", f"'{name}' needs a text of 1 to {TEXT_MAX} printable characters")
        return value.strip()
    if kind == "count":
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= COUNT_MAX:
            raise ConfigError("command", f"'{name}' needs a whole number from 0 to {COUNT_MAX}, got {value!r}")
        return str(value)
    if value not in (None, ""):
        raise ConfigError("command", f"'{name}' takes no argument, got {str(value)[:80]!r}")
    return ""


class Verdict(Enum):
    """What to do with a command that came in."""

    RUN = "run"
    WAIT = "wait"  # it runs already: its answer will do
    ANSWER = "answer"  # it was done: give the answer again
    REFUSE = "refuse"


@dataclass(slots=True)
class Entry:
    """A command in the ledger; ``is_done`` says whether ``ok`` and ``text`` hold an answer yet."""

    command: Command
    is_done: bool = False
    ok: bool = False
    text: str = ""


class Ledger:
    """Remembers commands by id.

    A command runs once, however often it arrives. One that was pressed longer ago than ``max_age_ns`` is
    refused, so that what a dead network held back does not happen when it returns; a page's clock runs
    late, never early, so that ages come out too long rather than too short. Stopping is never too late,
    and is tried again as long as it failed.
    """

    def __init__(self, run: str, max_age_ns: int, size: int = 512) -> None:
        """Begin empty.

        Args:
            run: Name of this start of the console.
            max_age_ns: Longest way from button to console [ns].
            size: Commands remembered; older ones are too old to be done again anyway.
        """
        self.run, self._max_age_ns, self._size = run, max_age_ns, size
        self._entries: OrderedDict[str, Entry] = OrderedDict()

    def admit(self, command: Command, now_ns: int) -> tuple[Verdict, Entry]:
        """Decide about a command that arrived now [ns, the console's steady clock]."""
        known = self._entries.get(command.id)
        if known is not None:
            if (known.command.name, known.command.argument) != (command.name, command.argument):
                return Verdict.REFUSE, Entry(command, True, False, f"id '{command.id}' belongs to another command")
            if not known.is_done:
                return Verdict.WAIT, known
            if known.ok or command.name != HALT:
                return Verdict.ANSWER, known
        entry = Entry(command)
        problem = "" if command.name == HALT else self._lateness(command, now_ns)
        if problem:
            entry.is_done, entry.text = True, problem
        self._entries[command.id] = entry
        while len(self._entries) > self._size:
            self._entries.popitem(last=False)
        return (Verdict.REFUSE if problem else Verdict.RUN), entry

    def _lateness(self, command: Command, now_ns: int) -> str:
        if command.run != self.run:
            return "not done: the console was started anew meanwhile; look at its state and press again"
        age_ns = now_ns - command.at_ns
        if age_ns > self._max_age_ns:
            return f"not done: it arrived {age_ns / 1e9:.1f} s after it was pressed; press again"
        return "not done: it comes from the future; reload the page" if age_ns < -AHEAD_NS else ""

    def look(self, identity: str) -> Entry | None:
        """What became of a command; None if it never arrived."""
        return self._entries.get(identity)
