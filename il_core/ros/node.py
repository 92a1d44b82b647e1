"""The main() of every executable: start, spin, leave safely, and say in one line what went wrong."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from types import FrameType
from typing import ClassVar

import rclpy
from rclpy.duration import Duration
from rclpy.executors import ExternalShutdownException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from il_core.environment import ros_environment
from il_core.errors import IlError
from il_core.security import enforced

try:
    from rclpy.experimental.events_executor import EventsExecutor as Executor
except ImportError:  # rclpy of Humble, and of Jazzy before 7.1.4; `il doctor` says so
    from rclpy.executors import SingleThreadedExecutor as Executor

__all__ = ["CONTROL_PRIORITY", "RECORDING_PRIORITY", "Executor", "interruptible", "run", "spin", "try_realtime"]
log = logging.getLogger(__name__)

# Real-time priorities, above ordinary threads and below the kernel's own interrupt threads. A recorder
# that is not run for 250 ms loses messages to a full shared-memory queue, and a reliable reader then
# stands still until the next heartbeat, up to 3 s later: so it comes before everything but control.
CONTROL_PRIORITY, RECORDING_PRIORITY = 50, 20
# A finite timeout, because the events executor without one hangs at full load (seen on rclpy 9.1.2);
# short, because signals are acted on between two calls.
SPIN_TIMEOUT_S = 0.1
DELIVERY_S = 0.1  # longest wait at the end for readers to take the last words


def try_realtime(priority: int) -> bool:
    """Ask for SCHED_FIFO; call it before ``rclpy.init`` so that the DDS threads inherit it.

    Args:
        priority: CONTROL_PRIORITY or RECORDING_PRIORITY.

    Returns:
        Whether the kernel granted it.
    """
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(priority))
    except OSError as error:
        log.warning("no real-time permission (%s): cycles may be late; grant rtprio in /etc/security/limits.d", error)
        return False
    return True


class _StopFlag:
    """Set by SIGINT or SIGTERM; the context stays valid, so that a last safe command can be sent."""

    is_interrupting: ClassVar[bool] = False  # see interruptible()

    def __init__(self) -> None:
        self.is_set = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._set)

    def _set(self, number: int, frame: FrameType | None) -> None:
        self.is_set = True
        if _StopFlag.is_interrupting:
            raise KeyboardInterrupt


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """What may take long, and may be left in the middle when the node is told to stop, such as loading a network.

    Raises:
        KeyboardInterrupt: it was told to stop.
    """
    _StopFlag.is_interrupting = True
    try:
        yield
    finally:
        _StopFlag.is_interrupting = False


def run(make_node: Callable[[], Node], *, priority: int | None = None) -> int:
    """Run one node until it is told to stop.

    ``start()`` of the node, if it has one, runs once before its callbacks do; ``on_shutdown_safe()``, if it has
    one, runs at the end, while publishing still works. A node with a method ``spin(should_stop)`` runs its callbacks
    by itself.

    Args:
        make_node: Builds the node; called after ``rclpy.init``.
        priority: Real-time priority to ask for before ROS starts its threads; None asks for none.

    Returns:
        Exit status: 0 after Ctrl-C or SIGTERM, 1 after an error, which is printed as one line.
    """
    logging.basicConfig(level=logging.INFO, format="%(name)s: %(message)s")
    if priority is not None:
        try_realtime(priority)
    for key, value in ros_environment(os.environ).items():  # also under `ros2 run`, where nobody else does
        os.environ.setdefault(key, value)
    os.environ.update(enforced(os.environ))
    rclpy.init(args=sys.argv, signal_handler_options=SignalHandlerOptions.NO)
    stop = _StopFlag()
    node: Node | None = None
    try:
        node = make_node()
        start = getattr(node, "start", None)  # managed nodes: configure and activate
        if start is not None:
            start()
        work = getattr(node, "spin", partial(spin, node))
        work(lambda: stop.is_set)
    except IlError as error:
        print(f"error: {error}", file=sys.stderr, flush=True)
        return 1
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        log.exception("unexpected error; the node stops in its safe state")
        return 1
    finally:
        _leave(node)
    return 0


def spin(node: Node, should_stop: Callable[[], bool]) -> None:
    """Run callbacks of a node until ``should_stop`` says so or the context is shut down."""
    executor = Executor()
    executor.add_node(node)
    try:
        while rclpy.ok() and not should_stop():
            executor.spin_once(timeout_sec=SPIN_TIMEOUT_S)
    finally:
        executor.remove_node(node)


def _leave(node: Node | None) -> None:
    """Send the last safe command, then take the node and the context down."""
    if node is not None:
        safe = getattr(node, "on_shutdown_safe", None)
        if safe is not None and rclpy.ok():
            safe()
        if rclpy.ok():
            _deliver(node)
        node.destroy_node()
    with contextlib.suppress(Exception):  # already shut down from outside: nothing left to do
        rclpy.try_shutdown()


def _deliver(node: Node) -> None:
    """Wait until reliable readers have taken the last words: a message dies with its publisher."""
    end_s = time.monotonic() + DELIVERY_S
    with contextlib.suppress(RuntimeError):  # a middleware that cannot tell
        for publisher in node.publishers:
            publisher.wait_for_all_acked(Duration(seconds=max(0.0, end_s - time.monotonic())))
