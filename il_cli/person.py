"""A person at a terminal: asked with a few known answers, and able to end what runs with Enter."""

from __future__ import annotations

import os
import select
import sys
from collections.abc import Callable, Mapping

WAIT_S = 0.2


class Person:
    """Reads whole lines from a terminal or pipe; a closed one means quit."""

    QUIT = "q"

    def __init__(self, say: Callable[[str], None], fd: int | None = None) -> None:
        """Take where to print, and the file descriptor to read; None = standard input."""
        self._say, self._fd = say, sys.stdin.fileno() if fd is None else fd

    def ask(self, question: str, answers: Mapping[str, str], while_waiting: Callable[[], None] = lambda: None) -> str:
        """One of the answers, asked until one of them is given.

        Args:
            question: What is asked.
            answers: Meaning by letter; the empty one is Enter alone. ``q``, quit, is always one.
            while_waiting: Called a few times a second until the person types.
        """
        choices = "   ".join(f"{key or 'Enter'} {meaning}" for key, meaning in answers.items())
        self._say(question)
        while True:
            self._say(f"  {choices}   q quit")
            while not select.select([self._fd], [], [], WAIT_S)[0]:
                while_waiting()
            line = self._line()
            if line is None or line == self.QUIT:
                return self.QUIT
            if line in answers:
                return line
            self._say(f"  '{line}' is none of these")

    def tell(self, text: str) -> None:
        """Say something that is no question."""
        self._say(f"  {text}")

    def has_pressed_enter(self) -> bool:
        """Whether a line came meanwhile; does not wait."""
        if not select.select([self._fd], [], [], 0.0)[0]:
            return False
        self._line()
        return True

    def _line(self) -> str | None:
        """One line without its end, or None at the end of input; byte by byte, so that nothing is read ahead."""
        line = b""
        while (byte := os.read(self._fd, 1)) not in (b"", b"\n"):
            line += byte
        return None if byte == b"" and not line else line.decode(errors="replace").strip().lower()
