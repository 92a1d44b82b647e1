"""Asks a running graph which node uses which topic and service."""

from __future__ import annotations

import time
from collections.abc import Collection

import rclpy
from rclpy.context import Context
from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.signals import SignalHandlerOptions

from il_cli.security_policy import Connections, relative_name
from il_core.errors import GraphError

OBSERVER = "il_observer"
POLL_S = 0.2
SETTLED = 5  # equal answers in a row: discovery brings endpoints one by one


def observe(nodes: Collection[str] = (), timeout_s: float = 20.0) -> dict[str, Connections]:
    """See what the nodes of a running graph use, once the picture no longer changes.

    Args:
        nodes: Nodes to wait for and to look at; empty: all that are there.
        timeout_s: Longest wait [s].

    Raises:
        GraphError: a node does not appear, or the graph keeps changing.
    """
    context = Context()
    rclpy.init(context=context, signal_handler_options=SignalHandlerOptions.NO)
    # Without any service of its own: in secure mode one would be allowed in the namespace of the keys only.
    silent = [Parameter("start_type_description_service", value=False)]
    observer = Node(
        OBSERVER,
        context=context,
        enable_rosout=False,
        start_parameter_services=False,
        parameter_overrides=silent,
    )
    try:
        return _settled(observer, nodes, time.monotonic() + timeout_s)
    finally:
        observer.destroy_node()
        rclpy.try_shutdown(context=context)


def _settled(observer: Node, nodes: Collection[str], end: float) -> dict[str, Connections]:
    same, last = 0, None
    while same < SETTLED:
        if time.monotonic() > end:
            missing = sorted(set(nodes) - set(last or {}))
            problem = f"nodes {missing} do not appear" if missing else "it keeps changing, or holds no node"
            raise GraphError(
                f"the graph cannot be observed: {problem}; start it with `il up`, in the same ROS_DOMAIN_ID"
            )
        time.sleep(POLL_S)
        seen = _snapshot(observer, nodes)
        is_whole = bool(seen) and not set(nodes) - set(seen)
        same, last = (same + 1 if is_whole and seen == last else 0), seen
    return last or {}


def _snapshot(observer: Node, nodes: Collection[str]) -> dict[str, Connections]:
    seen: dict[str, Connections] = {}
    for name, namespace in observer.get_node_names_and_namespaces():
        if name == OBSERVER or name.startswith("_") or (nodes and name not in nodes):
            continue
        try:
            answers = [
                ask(name, namespace)
                for ask in (
                    observer.get_publisher_names_and_types_by_node,
                    observer.get_subscriber_names_and_types_by_node,
                    observer.get_service_names_and_types_by_node,
                    observer.get_client_names_and_types_by_node,
                )
            ]
        except rclpy.node.NodeNameNonExistentError:  # it has just left
            continue
        plain = [{relative_name(full, name, namespace): types[0] for full, types in answer} for answer in answers]
        seen[name] = seen.get(name, Connections()) | Connections(*plain)
    return seen
