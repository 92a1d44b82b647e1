"""Inference in a thread of its own: the newest window wins, and a stopped run stays silent."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Protocol

from il_core.errors import IlError
from il_core.stats import percentiles
from il_core.types import ActionChunk
from il_policy.session import Window

log = logging.getLogger(__name__)
KEEP = 1000  # inference times behind the percentiles


class Planner(Protocol):
    """What a worker runs: a policy here or on another machine."""

    def reset(self, seed: int) -> None:
        """Begin a new rollout."""
        ...

    def predict(self, window: Window) -> ActionChunk:
        """Plan from the last observations, oldest first."""
        ...


class InferenceWorker:
    """One thread, one waiting window; what arrives while another waits replaces it.

    A run is named by a number. Results of an earlier run are never delivered, nor told as failures of a later one:
    :meth:`begin` and :meth:`end` return only when no delivery is under way. Whatever goes wrong, in planning or in
    delivering, ends neither thread nor run: the next window is tried.

    Attributes:
        chunks: Plans delivered.
        replaced: Windows that were replaced before anybody planned from them.
        failure: Why the newest plan of the run could not be made or delivered; empty if it could.
    """

    def __init__(self, policy: Planner, deliver: Callable[[ActionChunk], None], seed: int = 0) -> None:
        """Start the thread.

        Args:
            policy: Used by this thread only, from now on.
            deliver: Gets every chunk of the current run, called in the worker's thread.
            seed: Run n draws its noise from ``seed + n``.
        """
        self._policy, self._deliver, self._seed = policy, deliver, seed
        self._condition = threading.Condition()
        self._waiting: Window | None = None
        self._run = 0
        self._is_active = self._is_closed = False
        self._times_ms: deque[float] = deque(maxlen=KEEP)
        self.chunks = self.replaced = 0
        self.failure = ""
        self._thread = threading.Thread(target=self._loop, name="inference", daemon=True)
        self._thread.start()

    def begin(self) -> None:
        """Start a new run."""
        with self._condition:
            self._run, self._waiting, self._is_active, self.failure = self._run + 1, None, True, ""

    def end(self) -> None:
        """End the run; nothing is delivered after this returns."""
        with self._condition:
            self._waiting, self._is_active = None, False

    def submit(self, window: Window) -> None:
        """Ask for a plan; a window that still waits is replaced and counted."""
        with self._condition:
            self.replaced += self._waiting is not None
            self._waiting = window
            self._condition.notify()

    def close(self) -> None:
        """End the thread."""
        with self._condition:
            self._is_active, self._is_closed = False, True
            self._condition.notify()
        self._thread.join()

    def times_ms(self) -> tuple[float, float]:
        """Median and 99th percentile of the inference time [ms]; NaN before the first."""
        with self._condition:
            times = list(self._times_ms)
        p50, p99 = percentiles(times, 50, 99) if times else (float("nan"), float("nan"))
        return p50, p99

    def _loop(self) -> None:
        seeded_run = 0
        while True:
            with self._condition:
                self._condition.wait_for(lambda: self._is_closed or self._waiting is not None)
                if self._is_closed:
                    return
                window, self._waiting, run = self._waiting, None, self._run
            if window is None:
                continue
            try:
                if run != seeded_run:
                    self._policy.reset(self._seed + run)
                    seeded_run = run
                self._infer(window, run)
            except IlError as error:
                self._fail(run, str(error))
            except Exception as error:  # thread entry: say why, and leave the arm to the tracker, which holds
                log.exception("inference failed")
                self._fail(run, f"inference failed: {error!r}; the log of this node has the whole story")

    def _fail(self, run: int, reason: str) -> None:
        """Keep the reason why there is no plan, unless it is of a run that is over."""
        with self._condition:
            if self._is_active and run == self._run:
                self.failure = reason

    def _infer(self, window: Window, run: int) -> None:
        """One plan, delivered if it is still wanted."""
        began = time.perf_counter()
        chunk = self._policy.predict(window)
        with self._condition:
            self._times_ms.append(1e3 * (time.perf_counter() - began))
            if self._is_active and run == self._run:
                self.failure = ""
                self._deliver(chunk)
                self.chunks += 1
