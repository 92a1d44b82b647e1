"""When a policy looks and plans, and what its worker delivers."""

from __future__ import annotations

import threading
import time
from dataclasses import replace

import pytest
from tiny_world import HOME, R_DOWN, make_setup

from il_core.errors import DeviceError, NonFiniteError, StaleStreamError
from il_core.geometry import pose
from il_core.types import ActionChunk, EePose
from il_policy.session import PolicySession, Window
from il_policy.worker import InferenceWorker

MS = 1_000_000
WAIT_S = 5.0


@pytest.fixture
def session() -> PolicySession:
    return PolicySession(make_setup(state=("ee_position",), cameras=(), objects=(), n_execute=4).task)


def feed(session: PolicySession, t_ns: int) -> None:
    session.aligner.push_ee_pose(EePose(t_ns, pose(HOME, R_DOWN)))


def ticks(window: Window | None) -> list[int]:
    return [o.tick_ns // MS for o in window or ()]


def test_plans_are_due_every_n_execute_ticks_and_windows_have_no_gaps(session: PolicySession) -> None:
    session.start(0)
    due = []
    for ms in range(0, 1000, 10):
        feed(session, ms * MS)
        due.append(ticks(session.poll(ms * MS)))
    assert [d for d in due if d] == [[0, 0], [300, 400], [700, 800]]


def test_ticks_missed_by_a_late_poll_are_still_observed(session: PolicySession) -> None:
    session.start(0)
    for ms in range(0, 850, 10):
        feed(session, ms * MS)
    assert ticks(session.poll(845 * MS)) == [700, 800]
    assert session.poll(849 * MS) is None


def test_a_silent_stream_gives_no_window_and_a_fresh_one_starts_anew(session: PolicySession) -> None:
    session.start(0)
    feed(session, 0)
    assert ticks(session.poll(0)) == [0, 0]
    with pytest.raises(StaleStreamError, match="stream 'ee_pose': newest sample is 100 ms old, limit 50 ms"):
        session.poll(100 * MS)
    assert session.stale_ticks == 1
    feed(session, 200 * MS)
    assert ticks(session.poll(200 * MS)) == [200, 200]


def test_a_new_run_forgets_the_old_window(session: PolicySession) -> None:
    for start_ms in (0, 50):
        session.start(start_ms * MS)
        feed(session, start_ms * MS)
        assert ticks(session.poll(start_ms * MS)) == [start_ms, start_ms]
    session.stop()
    assert session.poll(10**9) is None


class SlowPolicy:
    """Plans when it is allowed to; row 0 tells from which observation."""

    def __init__(self) -> None:
        self.allowed, self.entered = threading.Semaphore(0), threading.Semaphore(0)
        self.seeds: list[int] = []
        self.error: Exception | None = None
        self.reset_error: Exception | None = None

    def reset(self, seed: int) -> None:
        self.seeds.append(seed)
        if self.reset_error is not None:
            raise self.reset_error

    def predict(self, window: Window) -> ActionChunk:
        self.entered.release()
        self.allowed.acquire(timeout=WAIT_S)
        if self.error is not None:
            raise self.error
        t = window[-1].tick_ns
        return ActionChunk(t + 1, 1, t, T_base_ee_des=pose(HOME, R_DOWN)[None])


class Rig:
    """A worker over a slow policy, and what it delivered."""

    def __init__(self, session: PolicySession) -> None:
        feed(session, 0)
        self._observation = session.aligner.observe(0)
        self.policy, self.got, self.arrived = SlowPolicy(), list[int](), threading.Semaphore(0)
        self.delivery_error: Exception | None = None
        self.worker = InferenceWorker(self.policy, self._deliver, seed=10)  # type: ignore[arg-type]

    def _deliver(self, chunk: ActionChunk) -> None:
        if self.delivery_error is not None:
            raise self.delivery_error
        self.got.append(chunk.obs_ns)
        self.arrived.release()

    def submit(self, tick_ns: int) -> None:
        self.worker.submit((replace(self._observation, tick_ns=tick_ns),))

    def submit_and_enter(self, tick_ns: int) -> None:
        self.submit(tick_ns)
        assert self.policy.entered.acquire(timeout=WAIT_S)


def test_the_newest_window_wins_while_inference_is_busy(session: PolicySession) -> None:
    rig = Rig(session)
    rig.worker.begin()
    rig.submit_and_enter(1)
    for tick_ns in (2, 3, 4):
        rig.submit(tick_ns)
    rig.policy.allowed.release(2)
    assert rig.arrived.acquire(timeout=WAIT_S) and rig.arrived.acquire(timeout=WAIT_S)
    rig.worker.close()
    assert rig.got == [1, 4]
    assert rig.worker.replaced == 2


def test_a_plan_of_an_ended_run_is_never_delivered(session: PolicySession) -> None:
    rig = Rig(session)
    rig.worker.begin()
    rig.submit_and_enter(1)
    rig.worker.end()
    rig.worker.begin()
    rig.policy.allowed.release()
    rig.submit_and_enter(2)
    rig.policy.allowed.release()
    assert rig.arrived.acquire(timeout=WAIT_S)
    rig.worker.close()
    assert rig.got == [2]
    assert rig.policy.seeds == [11, 12]


def test_a_failing_inference_is_told_and_the_next_one_is_tried(session: PolicySession) -> None:
    rig = Rig(session)
    rig.worker.begin()
    rig.policy.error = NonFiniteError("ActionChunk.T_base_ee_des", 3)
    rig.submit_and_enter(1)
    rig.policy.allowed.release()
    rig.submit_and_enter(2)
    assert "non-finite value at flat index 3" in rig.worker.failure
    rig.policy.error = None
    rig.policy.allowed.release()
    assert rig.arrived.acquire(timeout=WAIT_S)
    assert rig.worker.failure == ""
    rig.worker.close()
    assert rig.got == [2]


def wait_for_failure(rig: Rig, words: str) -> None:
    until = time.monotonic() + WAIT_S
    while words not in rig.worker.failure and time.monotonic() < until:
        time.sleep(0.002)
    assert words in rig.worker.failure


def test_a_plan_that_cannot_be_delivered_is_told_and_the_next_one_is_tried(session: PolicySession) -> None:
    rig = Rig(session)
    rig.worker.begin()
    rig.delivery_error = AssertionError("no such kind of plan")
    rig.submit_and_enter(1)
    rig.policy.allowed.release()
    wait_for_failure(rig, "inference failed: AssertionError('no such kind of plan')")
    rig.delivery_error = None
    rig.submit_and_enter(2)
    rig.policy.allowed.release()
    assert rig.arrived.acquire(timeout=WAIT_S)
    rig.worker.close()
    assert rig.got == [2] and rig.worker.failure == "" and rig.worker.chunks == 1


def test_a_policy_that_cannot_begin_is_told_and_begins_with_the_next_window(session: PolicySession) -> None:
    rig = Rig(session)
    rig.worker.begin()
    rig.policy.reset_error = DeviceError("no link")
    rig.submit(1)
    wait_for_failure(rig, "no link")
    rig.policy.reset_error = None
    rig.submit_and_enter(2)
    rig.policy.allowed.release()
    assert rig.arrived.acquire(timeout=WAIT_S)
    rig.worker.close()
    assert rig.policy.seeds == [11, 11] and rig.got == [2]


def test_what_went_wrong_in_an_ended_run_is_no_failure_of_the_new_one(session: PolicySession) -> None:
    rig = Rig(session)
    rig.worker.begin()
    rig.policy.error = DeviceError("of the first run")
    rig.submit_and_enter(1)
    rig.worker.begin()
    rig.policy.allowed.release()
    rig.submit_and_enter(2)  # the first has ended
    assert rig.worker.failure == ""
    rig.policy.error = None
    rig.policy.allowed.release()
    assert rig.arrived.acquire(timeout=WAIT_S)
    rig.worker.close()
    assert rig.got == [2]
