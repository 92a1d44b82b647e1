"""Brings a graph up in order, says what is not ready and why, and takes it down in reverse; or only watches it."""

from __future__ import annotations

import sys
from dataclasses import dataclass, fields, replace

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.clock import Clock, ClockType
from rclpy.node import Node

from il_cli.ros.managed_client import ManagedClient
from il_cli.ros.topic_monitor import TopicMonitor
from il_core import topics
from il_core.bringup import BringUp, NodeView, TopicView, Transition, Verdict, watched_only
from il_core.clock import SteadyClock
from il_core.graph import NOT_FOR_MANAGER, GraphOptions, graph
from il_core.graph_spec import CLOCK
from il_core.ros import qos
from il_core.ros.diagnostics import Diagnostics, Level, own_statuses
from il_core.ros.node import run, spin
from il_core.ros.params import Parameters, declare

POLL_S, WATCH_S = 0.2, 0.5  # between two looks of a manager, and of one that only watches
REPORT_S = 1.0
DOWN_S = 5.0  # longest wait for one transition on the way down


@dataclass(frozen=True, slots=True)
class BringUpParams:
    """Parameters of bringup_node, besides the options of il_core/graph.py.

    Attributes:
        graph: Which graph is brought up: sim, robot, teleop, record, policy or all.
        manage: Whether nodes are configured and activated; without, they do it themselves and are only watched.
        pictures: Whether pictures are received as well, to measure their rates; that costs processor time.
    """

    graph: str = "record"
    manage: bool = True
    pictures: bool = True


class BringUpNode(Node):
    """Looks, asks BringUp what to do, does it, and tells."""

    def __init__(self) -> None:
        """Read which graph, and begin to watch it.

        Raises:
            ConfigError: there is no such graph, or a parameter is wrong.
        """
        super().__init__("bringup")
        params = declare(self, BringUpParams)
        names = [f.name for f in fields(GraphOptions) if f.name not in NOT_FOR_MANAGER]
        options = Parameters(self, GraphOptions, default=GraphOptions(), names=names).value
        described = graph(params.graph, replace(options, manage=False))
        self._bringup = BringUp(described if params.manage else watched_only(described))
        self._now_ns = SteadyClock().now_ns
        is_simulated = bool(self.get_parameter("use_sim_time").value)
        watched = (*self._bringup.topics, *([CLOCK.strip("/")] if is_simulated else []))
        self._monitor = TopicMonitor(self, watched, self._now_ns, has_pictures=params.pictures)
        self._names = [node.name for node in self._bringup.nodes]
        self._clients_of = {
            n.name: ManagedClient(self, n.name, self._now_ns) for n in self._bringup.nodes if n.is_managed
        }
        self._problems: dict[str, str] = {}
        self._told: dict[str, str] = {}
        period_s = POLL_S if params.manage else WATCH_S
        self._polls, self._report_every = 0, round(REPORT_S / period_s)
        self._diagnostics = Diagnostics(self, "bringup")
        if self._clients_of:
            self.create_subscription(DiagnosticArray, topics.DIAGNOSTICS, self._on_diagnostics, qos.STREAM)
        self._timer = self.create_timer(period_s, self._poll, clock=Clock(clock_type=ClockType.STEADY_TIME))

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        """Keep what a managed node says is wrong with it, and of its past."""
        for name, status in own_statuses(self, msg):
            if name in self._clients_of:
                for value in status.values:
                    if value.key == "was_active":
                        self._clients_of[name].hear(value.value == str(True))
                self._problems[name] = status.message if status.level == DiagnosticStatus.ERROR else ""

    def _poll(self) -> None:
        for client in self._clients_of.values():
            client.poll()
        if self._polls % self._report_every == 0:
            self._monitor.find(self._names)
        heard = self._monitor.views()
        verdict = self._bringup.judge(self._views(), heard)
        for name, step in verdict.steps.items():
            self.get_logger().info(f"{step.value} {name}")
            self._clients_of[name].ask(step)
        self._tell_changes(verdict)
        self._polls += 1
        if self._polls % self._report_every == 0:
            self._report(verdict, heard)

    def _views(self) -> dict[str, NodeView]:
        present = {name for name, space in self.get_node_names_and_namespaces() if space == self.get_namespace()}
        offered = {name for name, _ in self.get_service_names_and_types()}
        views = {}
        for node in self._bringup.nodes:
            missing = tuple(s for s in node.services if self.resolve_service_name(s) not in offered)
            client, is_there = self._clients_of.get(node.name), node.name in present
            if client is None:
                views[node.name] = NodeView(is_there=is_there, services=missing)
            else:
                views[node.name] = client.view(is_there, self._problems.get(node.name, ""), missing)
        return views

    def _tell_changes(self, verdict: Verdict) -> None:
        """Log what became ready, and what is missing, without its running seconds, when it changes."""
        ready = [node.name for node in self._bringup.nodes if node.name not in verdict.reasons]
        kinds = {name: reason.split(",")[0] for name, reason in verdict.reasons.items()}
        for name in ready:
            if name in self._told:
                self.get_logger().info(f"{name} is ready")
        for name, kind in kinds.items():
            if self._told.get(name) != kind:
                self.get_logger().info(verdict.reasons[name])
        self._told = kinds

    def _report(self, verdict: Verdict, heard: dict[str, TopicView]) -> None:
        """Publish the whole, each node that is not ready, and each topic."""
        missing = "; ".join(verdict.reasons.values())
        count = len(self._bringup.nodes)
        values: dict[str, object] = {"nodes": count, "ready": count - len(verdict.reasons)}
        statuses = [("bringup", Level.WARN if missing else Level.OK, missing or f"all {count} nodes are ready", values)]
        for node in self._bringup.nodes:
            reason = verdict.reasons.get(node.name, "")
            level = Level.WARN if reason else Level.OK
            statuses.append((f"bringup: {node.name}", level, reason or "ready", {"is_ready": int(not reason)}))
        expected = self._monitor.expected
        for name, view in heard.items():
            told: dict[str, object] = {
                "rate_hz": "" if view.rate_hz is None else f"{view.rate_hz:.1f}",
                "age_ms": "" if view.age_s is None else f"{1e3 * view.age_s:.1f}",
                "publishers": ", ".join(view.publishers),
            }
            level = Level.STALE if view.silence and name in expected else Level.OK
            statuses.append((f"topic {name}", level, view.words, told))
        self._diagnostics.publish_all(statuses)

    def on_shutdown_safe(self) -> None:
        """Take down what this manager brought up, last first: whoever steers the arm before its controller."""
        self._timer.cancel()
        self._monitor.close()
        for node in reversed(self._bringup.nodes):
            client = self._clients_of.get(node.name)
            if client is None or not client.is_ours:
                continue
            if client.is_active:
                self._down(client, Transition.DEACTIVATE)
            if client.state == "inactive":
                self._down(client, Transition.CLEANUP)

    def _down(self, client: ManagedClient, transition: Transition) -> None:
        """One transition on the way down; a node that does not answer is left behind."""
        self.get_logger().info(f"{transition.value} {client.name}")
        end_ns = self._now_ns() + int(DOWN_S * 1e9)
        client.ask(transition)

        def is_over() -> bool:
            client.poll()
            return client.is_idle or self._now_ns() > end_ns

        spin(self, is_over)


def main() -> None:
    """Run the node."""
    sys.exit(run(BringUpNode))


if __name__ == "__main__":
    main()
