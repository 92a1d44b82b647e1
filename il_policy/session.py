"""When to look and when to plan: the ticks of one run of a policy, without ROS and without threads."""

from __future__ import annotations

from collections import deque

from il_core.align import Aligner
from il_core.clock import tick_ns
from il_core.errors import StaleStreamError
from il_core.spec import TaskSpec
from il_core.types import Observation

Window = tuple[Observation, ...]


class PolicySession:
    """Observes on the task's time grid and hands out a window whenever a plan is due.

    Every tick since the start is observed, also those that passed between two polls, so that windows
    have no gaps. A plan is due every ``n_execute`` ticks; after stale data at the first fresh tick.
    """

    def __init__(self, task: TaskSpec) -> None:
        """Begin stopped."""
        self.task = task
        self.aligner = Aligner(task)
        self.stale_ticks = 0
        self._window: deque[Observation] = deque(maxlen=task.n_obs)
        self._start_ns: int | None = None
        self._tick = self._due_tick = 0

    @property
    def is_running(self) -> bool:
        """Whether ticks are observed."""
        return self._start_ns is not None

    def start(self, now_ns: int) -> None:
        """Begin a run: tick 0 is now, the window is empty."""
        self._start_ns, self._tick, self._due_tick = now_ns, 0, 0
        self._window.clear()

    def stop(self) -> None:
        """End the run."""
        self._start_ns = None

    def poll(self, now_ns: int) -> Window | None:
        """Observe all ticks that are due.

        Before the first tick the first observation is repeated, as in training.

        Returns:
            The last ``n_obs`` observations if a plan is due at the newest tick, else None.

        Raises:
            StaleStreamError: a stream had nothing fresh enough at a tick; the window begins anew.
        """
        if self._start_ns is None:
            return None
        ready: Window | None = None
        while (t_ns := tick_ns(self._start_ns, self._tick, self.task.rate_hz)) <= now_ns:
            k, self._tick = self._tick, self._tick + 1
            self._observe(t_ns)
            if k >= self._due_tick:
                ready, self._due_tick = tuple(self._window), k + self.task.n_execute
        return ready

    def _observe(self, t_ns: int) -> None:
        try:
            observation = self.aligner.observe(t_ns)
        except StaleStreamError:
            self.stale_ticks += 1
            self._window.clear()
            self._due_tick = 0
            raise
        self._window.append(observation)
        while len(self._window) < self.task.n_obs:
            self._window.append(observation)
