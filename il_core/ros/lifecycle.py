"""The base of our managed nodes: the standard transitions, reasons for what fails, and nothing left behind."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn

from il_core.errors import IlError
from il_core.ros.diagnostics import Diagnostics, Level
from il_core.ros.params import Parameters

log = logging.getLogger(__name__)

T = TypeVar("T")
UNCONFIGURED, INACTIVE, ACTIVE, FINALIZED = "unconfigured", "inactive", "active", "finalized"
REPORT_S = 0.5
_WAITS = {UNCONFIGURED: "waits to be configured", INACTIVE: "waits to be activated", FINALIZED: "ends"}


@dataclass(frozen=True, slots=True)
class ManagedParams:
    """Parameters of every managed node.

    Attributes:
        autostart: Whether the node configures and activates itself at start; without, it waits for a manager.
    """

    autostart: bool = True


class ManagedNode(LifecycleNode):
    """A node with the life cycle of ROS 2: unconfigured, inactive, active, finalized.

    A subclass fills in :meth:`configure`, :meth:`activate`, :meth:`deactivate` and :meth:`release`. What it creates
    in the first two (subscriptions, services, timers, clients, publishers) is destroyed when the state is left.
    An IlError raised in them means that the transition failed, and why: the node stays where it was and
    says so in its log and on /diagnostics. Anything else is a fault of the program: what there is is released and the
    node is unconfigured.

    Attributes:
        diagnostics: The node's status.
        problem: Why the last transition failed; empty if it did not.
        is_leaving: Whether the process is about to end.
    """

    def __init__(self, name: str) -> None:
        """Join the graph, unconfigured; declare parameters here, and use them in :meth:`configure`."""
        super().__init__(name)
        self.diagnostics = Diagnostics(self, name)
        self.problem = ""
        self.is_leaving = False
        self._error: Exception | None = None
        self._was_active = False  # since it was configured: tells a manager that somebody deactivated it
        self._is_starting = self._is_begun = False  # is_begun: activating it was at least tried
        self._configured: list[Any] = []  # entities that cleaning up destroys
        self._activated: list[Any] = []  # and those that deactivating does
        self._autostart = Parameters(self, ManagedParams).value.autostart
        # On the steady clock: a paused simulation must not silence the node.
        self.create_timer(REPORT_S, self.tell_state, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def configure(self) -> None:
        """Load and check what is needed, warm up, start to listen; nothing is sent yet.

        Raises:
            IlError: something is missing; the node stays unconfigured.
        """

    def activate(self) -> None:
        """Begin to work.

        Raises:
            IlError: it cannot; the node stays inactive.
        """

    def deactivate(self) -> None:
        """Stop working, safely; may be called when only half of :meth:`activate` was done."""

    def release(self) -> None:
        """Give back what :meth:`configure` took; may be called when only half of it was done."""

    def report(self) -> None:
        """Publish the status while active; called twice a second."""

    @property
    def state(self) -> str:
        """Where the node is, such as ``active``."""
        return str(self._state_machine.current_state[1])

    def parameters(self, kind: type[T], on_change: Callable[[T], None] | None = None) -> Parameters[T]:
        """Declare parameters that change while the node is unconfigured, or any time if they say so.

        Raises:
            ConfigError: a value has another type or is out of range.
        """
        return Parameters(self, kind, is_open=lambda: self.state == UNCONFIGURED, on_change=on_change)

    def start(self) -> None:
        """Configure and activate if the parameter ``autostart`` says so; the main() of every node calls it.

        Raises:
            IlError: that failed, and without a manager nobody will try again.
        """
        if not self._autostart:
            return
        self._is_starting = True
        for trigger in (self.trigger_configure, self.trigger_activate):
            if trigger() != TransitionCallbackReturn.SUCCESS:
                raise self._error or IlError(f"node '{self.get_name()}' could not start; see its log")
        self._is_starting = False

    def on_shutdown_safe(self) -> None:
        """Leave as if told to shut down, while publishing still works."""
        self.is_leaving = True
        if self.state in (UNCONFIGURED, INACTIVE, ACTIVE):
            self.trigger_shutdown()

    def on_configure(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition of the life cycle: unconfigured to inactive."""

        def act() -> None:
            with self._collecting(self._configured):
                self.configure()

        return self._attempt("configure", act, self._undo_configure)

    def on_activate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition of the life cycle: inactive to active."""

        def act() -> None:
            self._is_begun = True
            with self._collecting(self._activated):
                self.activate()

        result = self._attempt("activate", act, self._undo_activate)
        self._was_active |= result == TransitionCallbackReturn.SUCCESS
        return result

    def on_deactivate(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition of the life cycle: active to inactive."""
        return self._attempt("deactivate", self._undo_activate)

    def on_cleanup(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition of the life cycle: inactive to unconfigured."""
        self._was_active = False
        return self._attempt("clean up", self._undo_configure)

    def on_shutdown(self, state: LifecycleState) -> TransitionCallbackReturn:
        """Transition of the life cycle: from anywhere to finalized, safely."""

        def leave() -> None:
            try:
                if state.label == ACTIVE:
                    self._undo_activate()
            finally:
                if state.label != UNCONFIGURED:
                    self._undo_configure()

        return self._attempt("shut down", leave)

    def on_error(self, state: LifecycleState) -> TransitionCallbackReturn:
        """A transition met what nobody foresaw: leave everything, however far it came."""
        for step in (*([self.deactivate] if self._is_begun else []), self.release):
            try:
                step()
            except Exception:  # the other step still has to be taken
                log.exception("node '%s': and leaving it failed too", self.get_name())
        self._is_begun = False
        self._destroy(self._activated)
        self._destroy(self._configured)
        return TransitionCallbackReturn.SUCCESS

    def _undo_configure(self) -> None:
        self.release()
        self._destroy(self._configured)

    def _undo_activate(self) -> None:
        self.deactivate()
        self._is_begun = False
        self._destroy(self._activated)

    def _attempt(
        self, name: str, act: Callable[[], None], undo: Callable[[], None] | None = None
    ) -> TransitionCallbackReturn:
        """Carry out a transition; if it fails, keep the reason and undo what was done of it."""
        self.problem, self._error = "", None
        try:
            try:
                act()
            except IlError as error:
                self._fail(f"cannot {name}: {error}", error)
                if undo is not None:
                    undo()
                return TransitionCallbackReturn.FAILURE
        except Exception as error:  # rclpy would swallow it
            self._fail(f"cannot {name}: {error!r}", error)
            if not self._is_starting:
                log.exception("node '%s' cannot %s", self.get_name(), name)
            return TransitionCallbackReturn.ERROR
        return TransitionCallbackReturn.SUCCESS

    def _fail(self, problem: str, error: Exception) -> None:
        self.problem, self._error = problem, error
        if not self._is_starting:  # else main() says it, once
            self.get_logger().error(problem)
            self.tell_state()

    def tell_state(self) -> None:
        """Say how it goes, or what the node waits for."""
        if self.state == ACTIVE:
            self.report()
            return
        level = Level.ERROR if self.problem else Level.WARN
        text = self.problem or f"{self.state}: {_WAITS.get(self.state, 'in between')}"
        self.diagnostics.publish(level, text, {"lifecycle": self.state, "was_active": self._was_active})

    def _entities(self) -> Iterator[Any]:
        for entities in (self.timers, self.services, self.clients, self.subscriptions, self.publishers):
            yield from entities

    @contextmanager
    def _collecting(self, made: list[Any]) -> Iterator[None]:
        """Note what is created meanwhile."""
        before = {id(entity) for entity in self._entities()}
        try:
            yield
        finally:
            made += [entity for entity in self._entities() if id(entity) not in before]

    def _destroy(self, made: list[Any]) -> None:
        """Destroy entities and forget them."""
        ways = (
            (self.timers, self.destroy_timer),
            (self.services, self.destroy_service),
            (self.clients, self.destroy_client),
            (self.subscriptions, self.destroy_subscription),
            (self.publishers, self.destroy_publisher),
        )
        doomed = {id(entity) for entity in made}
        made.clear()
        for entities, destroy in ways:
            for entity in [e for e in entities if id(e) in doomed]:
                destroy(entity)
