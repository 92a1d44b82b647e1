"""Whether secure mode can be kept on this machine, asked before anything is started.

Launch files import this: `ros2` of a Debian package runs on the system's Python, which has the standard library, ROS
and little else.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from il_core.errors import SecurityError
from il_core.security import COMMAND, ENABLE, KEYSTORE, enclave, is_wanted, misfit, missing_files, secured

HOW_TO = "docs/security.md says how"
PROBE_TIMEOUT_S = 60.0
_PROBE = """
import rclpy
rclpy.init()
rclpy.create_node("il_security_probe", enable_rosout=False, start_parameter_services=False)
print("created")
"""
# What middlewares say to an empty enclave: those with DDS-Security miss the files, the others say what they lack.
_MISSES_FILES = re.compile(r"(couldn't|could not) find all security files", re.IGNORECASE)
_LACKS = re.compile(r"[^\n:]*(doesn't have the security|does not have security support|not built with security)[^\n,]*")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the middleware of this machine says to secure mode.

    Attributes:
        has_security: Whether it can.
        words: Its own words, or what is known instead.
    """

    has_security: bool
    words: str


def judge(status: int, output: str) -> Verdict:
    """Read how creating a node with security, but without any key, ended.

    Args:
        status: Exit status of the attempt.
        output: What it printed.
    """
    if _MISSES_FILES.search(output):
        return Verdict(True, "it has DDS-Security")
    if status == 0:
        return Verdict(False, "it ignores ROS_SECURITY_ENABLE: a node without any key was let in")
    if found := _LACKS.search(output):
        return Verdict(False, found.group(0).strip())
    lines = output.strip().splitlines()
    return Verdict(False, f"it cannot be told: {lines[-1] if lines else f'exit status {status}'}")


def probe_middleware(environment: Mapping[str, str]) -> Verdict:
    """Ask the middleware itself, in a child process: a node whose enclave is an empty folder."""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "enclaves" / enclave(COMMAND).lstrip("/")).mkdir(parents=True)
        asked = secured({**environment, ENABLE: "true", KEYSTORE: folder}, COMMAND)
        try:
            done = subprocess.run(
                [sys.executable, "-c", _PROBE],
                env=asked,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                timeout=PROBE_TIMEOUT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Verdict(False, f"it cannot be told: no answer within {PROBE_TIMEOUT_S:.0f} s")
    return judge(done.returncode, done.stdout)


def require_security(environment: Mapping[str, str], nodes: Iterable[str], namespace: str = "") -> None:
    """Refuse to go on where secure mode is asked for and cannot be kept; do nothing where it is not asked for.

    Args:
        environment: Variables that say whether, and where the keystore is.
        nodes: Nodes that will run.
        namespace: Theirs, without slashes around; empty means none.

    Raises:
        SecurityError: no DDS-Security in the middleware, no keystore, files missing in it, or made for another arm.
    """
    if not is_wanted(environment):
        return
    verdict = probe_middleware(environment)
    if not verdict.has_security:
        raise SecurityError(
            f"secure mode was asked for, but the middleware cannot keep it: {verdict.words}; nothing was started. "
            f"Source a ROS 2 from Debian packages, which have DDS-Security, or unset {ENABLE} to run without; {HOW_TO}"
        )
    keystore = environment.get(KEYSTORE, "")
    if not keystore or not Path(keystore).is_dir():
        raise SecurityError(f"secure mode needs {KEYSTORE}, a folder; got '{keystore}'; {HOW_TO} to make one")
    processes = [COMMAND, *nodes]
    if missing := missing_files(Path(keystore), processes):
        raise SecurityError(
            f"keystore {keystore} lacks {len(missing)} files, the first is {missing[0]}; "
            f"make its enclaves with `ros2 security generate_artifacts`; {HOW_TO}"
        )
    domain = environment.get("ROS_DOMAIN_ID") or "0"
    for process in processes:
        permissions = Path(keystore) / "enclaves" / enclave(process).lstrip("/") / "permissions.p7s"
        if why := misfit(permissions.read_text(errors="replace"), process, namespace, domain):
            raise SecurityError(
                f"{permissions} {why}: '{process}' would hear and reach nobody. Make a policy and a keystore for each "
                f"arm (`il security policy --namespace`), or let {KEYSTORE} name the other one; {HOW_TO}"
            )
