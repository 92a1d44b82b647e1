"""One demonstration on its way to disk: a bounded queue between the receiver and one writer thread."""

from __future__ import annotations

import os
import shutil
import threading
import time
import zlib
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

from il_core.errors import RecordingError
from il_core.store.box_files import give_back, lend
from il_core.store.header import header_text
from il_core.store.recording import RecordingWriter
from il_core.types import Outcome
from il_core.wire import header_stamp_ns_from_cdr
from il_teleop.topic_stats import TopicStats

AT_ONCE = 64  # messages between two looks at the clock
IDLE_S = 0.005  # the writer looks for work 200 times a second: cheaper than waking it per message

_Message = tuple[str, bytes, int, int, int]  # the last: CRC-32 of the bytes


class Take:
    """Receives messages on one thread, writes them on another, and counts what is lost between.

    All methods are for the receiving thread; the futures are completed by the writer thread.
    """

    def __init__(self, writer: RecordingWriter, stats: Mapping[str, TopicStats], queue_bytes: int) -> None:
        """Announce the topics and start the writer thread.

        Args:
            writer: An open recording.
            stats: Accounts, by topic; set to zero here.
            queue_bytes: Most bytes waiting for the disk; what comes beyond is counted as lost.

        Raises:
            RecordingError: the disk is full.
        """
        self.writer = writer
        self.error: Exception | None = None
        self._stats = stats
        self._queue_bytes = queue_bytes
        self._queue: deque[_Message | Callable[[], None]] = deque()
        self._put_bytes = 0  # written by the receiving thread only
        self._done_bytes = 0  # written by the writer thread only
        for topic, topic_stats in stats.items():
            topic_stats.begin()
            writer.add_topic(topic, topic_stats.plan.type)
        types = {topic: topic_stats.plan.type for topic, topic_stats in stats.items()}
        self._box = lend(writer.data_path, header_text(writer.header), types)  # what is received outlives this process
        self._is_removed = False
        self._is_running = True
        self._thread = threading.Thread(target=self._run, name="recording-writer", daemon=True)
        self._thread.start()

    @property
    def backlog_bytes(self) -> int:
        """Bytes waiting for the disk."""
        return self._put_bytes - self._done_bytes

    def receive(self, topic: str, data: bytes, log_ns: int) -> None:
        """Take one message; never blocks.

        Args:
            topic: An announced topic.
            data: Serialised message whose first field is a Header.
            log_ns: Receive time [ns].
        """
        stats = self._stats[topic]
        if self.backlog_bytes + len(data) > self._queue_bytes:
            stats.lose("queue")
            return
        stamp_ns = header_stamp_ns_from_cdr(data)
        stats.take(stamp_ns, log_ns)
        crc32 = zlib.crc32(data)
        if self._box is not None:
            self._box.put(topic, data, log_ns, stamp_ns, crc32)
        self._put_bytes += len(data)
        self._queue.append((topic, data, log_ns, stamp_ns, crc32))

    def flush(self) -> Future[None]:
        """Completed when all that was received is the kernel's, and survives the end of this process."""
        return self._call(self.writer.flush)

    def commit(
        self, outcome: Outcome, said: Mapping[str, Any] | None = None, replaces: Path | None = None
    ) -> Future[Path]:
        """Finish the recording; completed with its folder, or the error that prevented it.

        Args:
            outcome: The operator's judgement.
            said: Fields of the header that were not known at the start.
            replaces: Recording to be removed once this one is safely on disk.
        """
        return self._end(lambda: self._commit(outcome, said or {}, replaces))

    def remove(self) -> Future[None]:
        """Remove the recording; completed when it is gone."""
        self._is_removed = True
        return self._end(self.writer.discard)

    def set_aside(self) -> Future[Path]:
        """Leave the recording unfinished, for a repair; completed with its folder, which is gone if it was empty."""
        return self._end(self.writer.set_aside)

    def _commit(self, outcome: Outcome, said: Mapping[str, Any], replaces: Path | None) -> Path:
        """Finish; what cannot be finished is left for a repair."""
        try:
            if self.error is not None:
                raise self.error
            counts = self.writer.counts
            account = {topic: stats.record(counts[topic]) for topic, stats in self._stats.items()}
            self.writer.header = replace(self.writer.header, **said)
            path = self.writer.commit(outcome, None, account)
        except Exception as error:
            partial = self.writer.set_aside()
            if not partial.exists():
                raise
            raise RecordingError(partial, f"could not be finished ({error}); {how_to_mend(partial)}") from error
        if replaces is not None:
            remove_recording(replaces)
        return path

    def _end(self, action: Callable[[], object]) -> Future:
        """Run the last action on the writer thread; then the black box is free for another take."""
        box, self._box = self._box, None

        def run() -> object:
            try:
                return action()
            finally:
                self._is_running = False
                if box is not None:
                    give_back(box)

        return self._call(run)

    def _call(self, action: Callable[[], object]) -> Future:
        """Run an action on the writer thread after all messages so far."""
        future: Future[object] = Future()

        def run() -> None:
            try:
                result = action()
            except Exception as error:  # noqa: BLE001 - thread entry: handed to whoever waits
                future.set_exception(error)
            else:
                future.set_result(result)

        self._queue.append(run)
        return future

    def _run(self) -> None:
        queue = self._queue
        while self._is_running:
            self._keep_fresh()
            if not queue:
                time.sleep(IDLE_S)
            for _ in range(min(len(queue), AT_ONCE)):
                item = queue.popleft()
                if isinstance(item, tuple):
                    self._write(item)
                else:
                    item()

    def _keep_fresh(self) -> None:
        """Let no message wait in memory for long; see CHUNK_AGE_NS."""
        if self.error is None and not self._is_removed:
            try:
                self.writer.keep_fresh()
            except RecordingError as error:
                self.error = error

    def _write(self, message: _Message) -> None:
        """Write one message; after the first failure nothing more is tried."""
        if self.error is None and not self._is_removed:
            try:
                self.writer.append(*message)
            except Exception as error:  # noqa: BLE001 - thread entry: the node asks for it and goes to fault
                self.error = error
        self._done_bytes += len(message[1])


def how_to_mend(partial: Path) -> str:
    """What to do about a recording that was not finished."""
    return f"what was recorded is kept: `il dataset repair {partial}`"


def remove_recording(path: Path) -> None:
    """Remove a finished recording; interrupted, it counts as unfinished, never as half a recording."""
    doomed = path.with_name(f"{path.name}.removed.partial")
    try:
        os.rename(path, doomed)
    except FileNotFoundError:
        return  # somebody else removed it
    shutil.rmtree(doomed, ignore_errors=True)
