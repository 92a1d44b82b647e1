"""Takes commands from pages: once each, in time, with an answer. Runs in the server's event loop."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from typing import Protocol

from il_cli.console.commands import Command, Entry, Ledger, Verdict
from il_cli.console.state import Board
from il_core.errors import IlError

log = logging.getLogger(__name__)


class Hands(Protocol):
    """Whoever does on the graph what a command says."""

    async def perform(self, command: Command) -> str:
        """Do it.

        Returns:
            What was done, in words, after it was confirmed.

        Raises:
            IlError: it was not done, or nobody confirmed it; says so.
        """
        ...

    def watch(self, cameras: frozenset[str]) -> None:
        """Take the cameras that are shown on some page at present."""
        ...


class Desk:
    """Ledger, hands and board in one place.

    Attributes:
        run: Name of this start of the console; a page that knows another one has to look again.
    """

    def __init__(self, board: Board, hands: Hands, max_age_ns: int, now_ns: Callable[[], int]) -> None:
        """Begin with an empty ledger; ``now_ns`` is the steady clock."""
        self.run = secrets.token_hex(8)
        self.board, self.now_ns = board, now_ns
        self._hands = hands
        self._ledger = Ledger(self.run, max_age_ns)
        self._running: dict[str, asyncio.Task[None]] = {}

    async def take(self, command: Command) -> dict[str, object]:
        """Do a command, or find out why not.

        Returns:
            The answer for the page.
        """
        verdict, entry = self._ledger.admit(command, self.now_ns())
        if verdict is Verdict.RUN:
            # A task of its own: a page that goes away does not leave a command half done.
            self._running[command.id] = asyncio.create_task(self._run(entry))
        task = self._running.get(command.id)
        if verdict in (Verdict.RUN, Verdict.WAIT) and task is not None:
            await asyncio.shield(task)
        if verdict is Verdict.REFUSE:
            self.board.note(command.name, entry.text, ok=False)
        return answer(entry)

    async def _run(self, entry: Entry) -> None:
        command = entry.command
        try:
            if command.name == "target":
                self.board.set_target(int(command.argument))
                ok, text = True, f"target {command.argument}"
            else:
                ok, text = True, await self._hands.perform(command)
        except IlError as error:
            ok, text = False, str(error)
        except Exception as error:  # a page that waits for an answer must get one
            log.exception("command '%s'", command.name)
            ok, text = False, f"not confirmed, the console failed: {error!r}; see its log"
        finally:
            self._running.pop(command.id, None)
        entry.is_done, entry.ok, entry.text = True, ok, text
        self.board.note(command.name, text, ok=ok)

    def recall(self, identity: str) -> dict[str, object]:
        """What became of a command whose answer a page did not get."""
        entry = self._ledger.look(identity)
        if entry is None:
            text = "never arrived: nothing was done"
            return {"kind": "answer", "id": identity, "done": True, "ok": False, "text": text}
        return answer(entry)

    def watch(self, cameras: frozenset[str]) -> None:
        """Take the cameras that are shown on some page."""
        self._hands.watch(cameras)


def answer(entry: Entry) -> dict[str, object]:
    """An entry of the ledger as a page gets it; ``done`` is false while it runs."""
    command = entry.command
    return {
        "kind": "answer",
        "id": command.id,
        "name": command.name,
        "done": entry.is_done,
        "ok": entry.ok,
        "text": entry.text,
    }
