"""Carries out what the recorder's states ask for: opens, fills, keeps and removes recordings."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from concurrent.futures import Future, wait
from dataclasses import replace
from pathlib import Path
from typing import Any

from il_core.errors import IlError, RecordingError
from il_core.ports import Clock
from il_core.store.recording import RecordingHeader, RecordingWriter
from il_teleop.health import RejectRule, rejection
from il_teleop.recorder import Effect, Event, State, Status, resolve, step
from il_teleop.take import Take, how_to_mend
from il_teleop.topic_stats import TopicStats


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
        rule: RejectRule | None = None,
    ) -> None:
        """Start idle.

        Args:
            root: Folder of the recordings.
            header: What all recordings of this session share.
            stats: Account per topic.
            queue_bytes: Most bytes waiting for the disk.
            clock: The robot's clock.
            rule: Which takes are rejected; None rejects none.
        """
        self.status = Status()
        self.stats = stats
        self.header = header
        self.last_kept: Path | None = None
        self._root, self._queue_bytes, self._clock, self._rule = root, queue_bytes, clock, rule
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

    def describe(self, *, operator: str | None = None, instruction: str | None = None) -> None:
        """Say who shows what, for the take in progress and all that follow; None leaves it as it is."""
        header = self.header
        self.header = replace(
            header,
            operator=header.operator if operator is None else operator,
            instruction=header.instruction if instruction is None else instruction,
        )

    def note(self, key: str, text: str) -> None:
        """Keep a text with the take in progress and all that follow; an empty one ends that."""
        notes = {k: v for k, v in self.header.notes.items() if k != key}
        self.header = replace(self.header, notes={**notes, key: text} if text else notes)

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
        event = resolve(self.status.state, event)
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
        elif Effect.CLOSE in result.effects and self.status.state is State.REVIEW:
            self._judge()
        return answer

    def _judge(self) -> None:
        """Apply the reject rule to the take that has just ended."""
        reason = rejection(self.stats.values(), self._rule) if self._rule is not None else ""
        if reason:
            self.status = step(self.status, Event.REJECT, reason).status

    def fail(self, reason: str) -> None:
        """Go to fault; what was being recorded is set aside for a repair, earlier recordings are untouched."""
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
                    take = self._current()
                    self._after(take, take.flush(), answer, lambda _: self._stopped())
            elif effect is Effect.COMMIT:
                self._after(self._current(), self._commit(), answer, self._kept)
            elif effect is Effect.SET_ASIDE:
                self._is_receiving = False
                doomed, self._take = self._take, None
                if doomed is not None:
                    self._after(doomed, doomed.set_aside(), answer, self._rescued)
            elif effect is Effect.REMOVE:
                self._is_receiving = False
                doomed, self._take = self._take, None
                if doomed is not None:  # what comes after it answers, if something does
                    removal: Future[str] = answer if effect is effects[-1] else Future()
                    self._after(doomed, doomed.remove(), removal, lambda _: self._removed())

    def _commit(self) -> Future[Path]:
        """Finish the take with all that is known of it."""
        status, take, header = self.status, self._current(), self.header
        notes = {"sync": json.dumps({name: s.synchronisation() for name, s in self.stats.items()})}
        if status.quality is not None:
            notes["quality"] = str(status.quality)
        if status.rejection:
            notes["kept_in_spite_of" if status.is_kept_anyway else "rejected"] = status.rejection
        old = self.last_kept if status.is_replacement else None
        if old is not None:
            notes["replaces"] = old.name
        said = {"operator": header.operator, "instruction": header.instruction, "notes": {**header.notes, **notes}}
        return take.commit(status.final_outcome, said, replaces=old)

    def _current(self) -> Take:
        if self._take is None:
            raise RecordingError(self._root, "no take in progress")
        return self._take

    def _after(self, take: Take, job: Future[Any], answer: Future[str], sentence: Callable[[Any], str]) -> None:
        """When a job of a take's writer thread is done, answer; if it failed, go to fault."""

        def finish(done: Future[Any]) -> None:
            error = done.exception()
            if error is None:
                answer.set_result(sentence(done.result()))
                return
            self.fail(str(error))  # a take that still receives or waits for review is set aside
            if take is self._take:
                self._take = None
            answer.set_exception(error)

        self._jobs.append((job, finish))

    def _open(self) -> str:
        writer = RecordingWriter(self._root, self.header, self._clock)
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
        if self.status.rejection:
            return f"stopped: {self.status.rejection}; rejected: redo it, or keep it without a label, or keep anyway"
        return f"stopped: {received} messages, {lost} lost; keep or discard"

    def _kept(self, path: Path) -> str:
        status, self._take, self.last_kept = self.status, None, path
        is_rejected = bool(status.rejection) and not status.is_kept_anyway
        outcome = "rejected" if is_rejected else status.final_outcome.value
        self.status = step(status, Event.DONE).status
        return f"kept as {outcome}: {path}"

    def _rescued(self, partial: Path) -> str:
        sentence = how_to_mend(partial) if partial.exists() else "nothing was recorded yet"
        if self.status.state is State.FAULT:
            self.status = replace(self.status, reason=f"{self.status.reason}; {sentence}")
        return sentence

    def _removed(self) -> str:
        if self.status.state is State.DISCARDED:  # else removed because of a fault, which stays
            self.status = step(self.status, Event.DONE).status
        return "discarded"
