"""Carries out what the recorder's states ask for: opens, fills, keeps and removes recordings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

from il_core.errors import IlError, RecordingError
from il_core.ports import Clock
from il_core.store.recording import RecordingHeader, RecordingWriter
from il_teleop.recorder import Effect, Event, State, Status, TopicStats, step
from il_teleop.take import Take


class RefusedError(IlError):
    """The recorder cannot do that now; the message says what to do first."""


class RecordingSession:
    """One recorder: its status, its topics' accounts and the take in progress.

    All methods are called from one thread; answers complete in :meth:`handle` or :meth:`poll`.
    """

    def __init__(
        self,
        root: Path,
        header: RecordingHeader,
        stats: Mapping[str, TopicStats],
        queue_bytes: int,
        clock: Clock,
    ) -> None:
        """Start idle.

        Args:
            root: Folder of the recordings.
            header: What all recordings of this session share.
            stats: Account per topic.
            queue_bytes: Most bytes waiting for the disk.
            clock: The robot's clock.
        """
        self.status = Status()
        self.stats = stats
        self._root, self._header, self._queue_bytes, self._clock = root, header, queue_bytes, clock
        self._take: Take | None = None
        self._is_receiving = False
        self._jobs: list[tuple[Future[Any], Callable[[Future[Any]], None]]] = []

    @property
    def backlog_bytes(self) -> int:
        """Bytes waiting for the disk."""
        return self._take.backlog_bytes if self._take else 0

    @property
    def path(self) -> Path | None:
        """Folder of the take in progress."""
        return self._take.writer.path if self._take else None

    def receive(self, topic: str, data: bytes, now_ns: int) -> None:
        """Note a message, and take it while recording; never blocks."""
        self.stats[topic].arrive(now_ns)
        if self._is_receiving and self._take is not None:
            self._take.receive(topic, data, now_ns)

    def lose(self, topic: str, count: int) -> None:
        """Count messages that the middleware says it lost; only those of a recording matter."""
        if self._is_receiving:
            self.stats[topic].lose("transport", count)

    def handle(self, event: Event) -> Future[str]:
        """Apply an operator's wish.

        Returns:
            Completed with a sentence for the operator, or with the error that prevented it.
        """
        answer: Future[str] = Future()
        result = step(self.status, event)
        if result.refusal:
            answer.set_exception(RefusedError(result.refusal))
            return answer
        self.status = result.status
        try:
            self._carry_out(result.effects, answer)
        except IlError as error:
            self.fail(str(error))
            answer.set_exception(error)
        if not result.effects:
            answer.set_result(f"{event.value}: recorder is {self.status.state.value}")
        return answer

    def fail(self, reason: str) -> None:
        """Go to fault; what was being recorded is removed, earlier recordings are untouched."""
        result = step(self.status, Event.FAILED, reason)
        self.status = result.status
        self._carry_out(result.effects, Future())

    def poll(self, wait_s: float = 0.0) -> None:
        """Complete what the writer thread has finished, and notice if it failed.

        Args:
            wait_s: Longest wait for what the writer thread was asked to do.
        """
        wait([job for job, _ in self._jobs], timeout=wait_s)
        for entry in [e for e in self._jobs if e[0].done()]:
            self._jobs.remove(entry)
            job, finish = entry
            finish(job)
        take = self._take
        if take is not None and take.error is not None and self.status.state in (State.RECORDING, State.REVIEW):
            self.fail(str(take.error))

    def close(self, timeout_s: float = 30.0) -> str:
        """End the session: keep a recording that waits for review, remove one half recorded.

        Returns:
            A sentence for the log.
        """
        if self.status.state not in (State.RECORDING, State.REVIEW):
            return "recorder closed"
        is_whole = self.status.state is State.REVIEW
        answer = self.handle(Event.KEEP if is_whole else Event.DISCARD)
        self.poll(timeout_s)
        if not answer.done():
            return f"recorder closed; the disk did not answer within {timeout_s:.0f} s"
        return f"recorder closed; {answer.exception() or answer.result()}"

    def _carry_out(self, effects: tuple[Effect, ...], answer: Future[str]) -> None:
        """Do what a step asks for; the last effect answers."""
        for effect in effects:
            if effect is Effect.OPEN:
                answer.set_result(self._open())
            elif effect is Effect.CLOSE:
                self._is_receiving = False
                if effect is effects[-1]:
                    self._after(self._current().flush(), answer, lambda _: self._stopped())
            elif effect is Effect.COMMIT:
                job = self._current().commit(self.status.outcome, {})
                self._after(job, answer, self._kept)
            elif effect is Effect.REMOVE:
                self._is_receiving = False
                take, self._take = self._take, None
                if take is not None:
                    self._after(take.remove(), answer, lambda _: self._removed())

    def _current(self) -> Take:
        if self._take is None:
            raise RecordingError(self._root, "no take in progress")
        return self._take

    def _after(self, job: Future[Any], answer: Future[str], sentence: Callable[[Any], str]) -> None:
        """When a job of the writer thread is done, answer; if it failed, go to fault."""

        def finish(done: Future[Any]) -> None:
            error = done.exception()
            if error is None:
                answer.set_result(sentence(done.result()))
                return
            self._take = None
            self.fail(str(error))
            answer.set_exception(error)

        self._jobs.append((job, finish))

    def _open(self) -> str:
        writer = RecordingWriter(self._root, self._header, self._clock)
        try:
            self._take = Take(writer, self.stats, self._queue_bytes)
        except IlError:
            writer.discard()
            raise
        self._is_receiving = True
        return f"recording {writer.path}"

    def _stopped(self) -> str:
        received = sum(s.received for s in self.stats.values())
        lost = sum(s.lost_total for s in self.stats.values())
        return f"stopped: {received} messages, {lost} lost; keep or discard"

    def _kept(self, path: Path) -> str:
        outcome = self.status.outcome.value
        self._take = None
        self.status = step(self.status, Event.DONE).status
        return f"kept as {outcome}: {path}"

    def _removed(self) -> str:
        if self.status.state is State.DISCARDED:  # else removed because of a fault, which stays
            self.status = step(self.status, Event.DONE).status
        return "discarded"
