"""Launch actions that end in order: a process is asked to end when those started after it are gone."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from typing import Any

from launch.actions import ExecuteProcess
from launch.events import matches_action
from launch.events.process import ShutdownProcess
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

from il_core.security import ENCLAVE, enclave, enforced, is_wanted
from launch import LaunchContext, Substitution

SIGTERM_S = "10"  # launch's own 5 s are too few for a recorder's fsync, and for any node of an overloaded machine
_PREFIX_KEY = "launch-prefix"


class InOrder:
    """Mixed into launch's process actions, before them; :func:`chain` tells each which ones are later.

    launch asks all its processes to end at the same moment. Here what commands an arm ends before what holds the
    arm, and that before the arm, as with `il up`. launch's own steps follow for each: SIGINT, then SIGTERM and SIGKILL
    after its ``sigterm_timeout`` and ``sigkill_timeout``.
    """

    def __init__(self, **arguments: Any) -> None:  # noqa: ANN401 - those of the action
        """Make the action, with a session of its own unless a ``prefix`` is given, and more time to end."""
        arguments.setdefault("prefix", _Apart())
        arguments.setdefault("sigterm_timeout", LaunchConfiguration("sigterm_timeout", default=SIGTERM_S))
        super().__init__(**arguments)
        self.later: Sequence[Any] = ()
        self._awaited: Any = None

    def _shutdown_process(self, context: LaunchContext, *, send_sigint: bool) -> list[Any] | None:
        """Called by launch to end the process; a launch that does not would end it at once, as any other."""
        futures = [process.get_asyncio_future() for process in self.later]
        running = next((f for f in futures if f is not None and not f.done()), None)
        if running is None:  # whoever asked: the process is in a session of its own, no Ctrl-C reached it
            actions: list[Any] | None = super()._shutdown_process(context, send_sigint=True)  # type: ignore[misc]
            return actions
        if running is not self._awaited:
            self._awaited = running
            again = ShutdownProcess(process_matcher=matches_action(self))
            running.add_done_callback(lambda _: context.emit_event_sync(again))
        return None


class OrderedNode(InOrder, Node):
    """A ROS node that ends in order, with the enclave of its name in secure mode.

    Attributes:
        given_name: Its ``name``, empty where it has none.
    """

    def __init__(self, *, name: str = "", **arguments: Any) -> None:  # noqa: ANN401 - those of the action
        """Make the action."""
        if name:
            wanted = {**enforced(os.environ), ENCLAVE: enclave(name)} if is_wanted(os.environ) else {}
            arguments |= {"name": name, "additional_env": {**(arguments.get("additional_env") or {}), **wanted}}
        super().__init__(**arguments)
        self.given_name = name


class OrderedProcess(InOrder, ExecuteProcess):
    """Any other process that ends in order, such as a simulator of somebody else."""


class _Apart(Substitution):
    """The command prefix of :func:`apart`, known when launch knows its arguments."""

    def perform(self, context: LaunchContext) -> str:
        """The prefix."""
        return apart(context) or str(context.launch_configurations.get(_PREFIX_KEY, ""))


def chain(processes: Sequence[Any]) -> None:
    """Let processes end in the opposite order of this one."""
    for k, process in enumerate(processes):
        process.later = processes[k + 1 :]


def apart(context: LaunchContext) -> str | None:
    """Command prefix of a process that only launch ends, and that the kernel ends when launch is gone.

    In a session of its own no Ctrl-C of the terminal reaches it: that would end all processes at once. None leaves
    it to a prefix of the user's (``launch-prefix:=...``), for a debugger.
    """
    tools = [shutil.which(tool) for tool in ("setpriv", "setsid")]  # util-linux, on every Debian and Ubuntu
    if _PREFIX_KEY in context.launch_configurations or None in tools:
        return None
    return f"{tools[0]} --pdeathsig TERM {tools[1]}"
