"""Secure mode (DDS-Security as ROS 2 uses it): environment of a process, and what its keystore must hold."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path

ENABLE = "ROS_SECURITY_ENABLE"
KEYSTORE = "ROS_SECURITY_KEYSTORE"
STRATEGY = "ROS_SECURITY_STRATEGY"
ENCLAVE = "ROS_SECURITY_ENCLAVE_OVERRIDE"
ROOT = "/il_robot"
"""Path in front of the enclaves of all our processes."""
COMMAND = "il"
"""Last part of the enclave that the `il` command itself uses."""
COMMAND_NODES = (
    "calibrate_camera",
    "il_calibrate",
    "il_observer",
    "il_record",
    "il_replay",
    "il_session",
    "il_teleop",
    "il_watch",
    "latency",
    "view",
)
"""Names under which the `il` command joins a graph; a policy allows a node's own services under its name only."""

# What rmw reads from an enclave (ROS 2 DDS-Security Integration, "Enclave"); the first is the CA of identities.
ENCLAVE_FILES = (
    "identity_ca.cert.pem",
    "cert.pem",
    "key.pem",
    "permissions_ca.cert.pem",
    "governance.p7s",
    "permissions.p7s",
)


def is_wanted(environment: Mapping[str, str]) -> bool:
    """Whether these variables ask for secure mode.

    ROS 2 itself reads only the exact word ``true`` and is silently insecure with ``True``; here both ask for it.
    """
    return environment.get(ENABLE, "").strip().lower() == "true"


def enclave(node: str) -> str:
    """Enclave of a process of ours, by the name of its node."""
    return f"{ROOT}/{node}"


def enforced(environment: Mapping[str, str]) -> dict[str, str]:
    """Variables to add where secure mode is asked for: "go on insecurely if a file is missing" is never right."""
    return {ENABLE: "true", STRATEGY: "Enforce"} if is_wanted(environment) else {}


def secured(environment: Mapping[str, str], node: str) -> dict[str, str]:
    """Variables for a process: in secure mode its own enclave, and enforcement.

    Args:
        environment: Variables it would get otherwise.
        node: Name of its node, or COMMAND.

    Returns:
        A copy, changed only in secure mode.
    """
    if not is_wanted(environment):
        return dict(environment)
    return {**environment, **enforced(environment), ENCLAVE: enclave(node)}


def missing_files(keystore: Path, nodes: Iterable[str]) -> list[Path]:
    """Files that a keystore lacks for these nodes, empty when it is complete."""
    folders = [keystore / "enclaves" / enclave(node).lstrip("/") for node in nodes]
    return [folder / name for folder in folders for name in ENCLAVE_FILES if not (folder / name).is_file()]


def misfit(permissions: str, node: str, namespace: str, domain: str) -> str:
    """Why permissions are another arm's: DDS would keep the node alone in the graph, without a word.

    Args:
        permissions: Text of ``permissions.p7s``, which is signed but not encrypted.
        node: Name of the node; COMMAND may speak in every namespace.
        namespace: Of the node, without slashes around; empty means none.
        domain: ROS domain, as in ROS_DOMAIN_ID.

    Returns:
        A clause, empty where the permissions fit or cannot be told.
    """
    ids = re.findall(r"<id>\s*(\d+)\s*</id>", permissions)
    if ids and domain not in ids:
        return f"is for ROS_DOMAIN_ID {', '.join(sorted(set(ids)))}, not {domain}"
    made_for = re.findall(rf"<topic>rr/(?:(\S+)/)?{node}/get_parametersReply</topic>", permissions)
    if node == COMMAND or not made_for or namespace in made_for:
        return ""
    return f"is for namespace '{made_for[0]}', not '{namespace}'"
