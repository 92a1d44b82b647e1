"""The side with the robot: a policy whose plans come from another machine, or not at all."""

from __future__ import annotations

import math
import socket
from collections.abc import Sequence
from typing import Any

from il_core.config import Setup
from il_core.errors import ConfigError, DeviceError
from il_core.types import ActionChunk, Observation
from il_policy.serving.acting import Report, WorkingPolicy
from il_policy.serving.anytime import LatencyWindow
from il_policy.serving.config import Doubt, ServeConfig
from il_policy.serving.remote.codec import MAX_INSTRUCTION, Arrays, chunk_from, doubt_head, pack, pack_window, unpack
from il_policy.serving.remote.link import Link, LinkError, as_client

ASSUMED_NS = 100_000_000


class RemotePolicy(WorkingPolicy):
    """Implements ``il_core.ports.Policy`` over a link; used by one thread at a time.

    When the link is lost, :meth:`predict` raises and no plan is made: the controller follows the last one to
    its end and holds. The next call connects anew; the server then begins a new rollout.
    """

    def __init__(
        self,
        setup: Setup,
        host: str,
        port: int,
        key: bytes,
        seed: int = 0,
        timeout_s: float = 1.0,
        lead_ns: int = 0,
    ) -> None:
        """Remember where the server is; nothing is sent yet.

        Args:
            setup: Robot and task; the server refuses another.
            host: Name or address.
            port: TCP port.
            key: Shared secret, see :func:`il_policy.serving.remote.link.read_key`.
            seed: Of the noise.
            timeout_s: Longest time to connect, or to wait for a whole plan [s].
            lead_ns: How far plans are to be sent ahead [ns].
        """
        self.setup = setup
        self._address, self._key, self._timeout_s = (host, port), key, timeout_s
        self._seed = seed
        self._link: Link | None = None
        self._instruction = self._told = self._why_sure = ""
        self._doubt: dict[str, Any] | None = None
        self._told_doubt: dict[str, Any] | None = None
        self.lead_ns = lead_ns
        self.latency = LatencyWindow(ASSUMED_NS, lead_ns)
        self.report = Report()
        self._runtime = "remote"

    @property
    def runtime(self) -> str:
        """Who computes."""
        return self._runtime

    @property
    def why_sure(self) -> str:
        """What the server says why its policy never doubts; empty if it can, or was not asked yet."""
        return self._why_sure

    def doubt_as(self, config: ServeConfig) -> None:
        """Ask the server to let doubt lead to what ``config`` says, from the next plan on.

        Where its own settings are stricter they stay; what acted is in the report of every plan.

        Raises:
            ConfigError: to more than a report, and the server's policy never doubts.
        """
        super().doubt_as(config)
        self._doubt = doubt_head(config)

    def reset(self, seed: int = 0) -> None:
        """Begin a new rollout with the next plan."""
        self._seed = seed
        self._forget_acting()
        self.close()

    def warm_up(self) -> None:
        """Connect now, so that a wrong key or task is told at start.

        Raises:
            LinkError: the server is not there or does not hold the key.
            DeviceError: it serves another robot or task.
        """
        self._connected()

    def instruct(self, text: str) -> None:
        """Say what to do from the next plan on; the server's policy refuses it then if it does not listen.

        Raises:
            ConfigError: a text that no server takes.
        """
        if len(text) > MAX_INSTRUCTION:
            raise ConfigError("instruction", f"got {len(text)} letters, at most {MAX_INSTRUCTION} are sent; say less")
        self._instruction = text

    def predict(self, window: Sequence[Observation]) -> ActionChunk:
        """A plan from the server.

        Raises:
            LinkError: no plan came in time; the reason.
            DeviceError: the server refused, in its own words.
        """
        link = self._connected()
        self._tell(link)
        head, arrays = self._ask(link, pack_window(window, self.latency.p95_ns()))
        chunk = self._checked(chunk_from(head, arrays), window[-1])
        try:
            self.report = _report(head.get("report"))
        except LinkError:
            self.close()
            raise
        return chunk

    def _tell(self, link: Link) -> None:
        """Say in the middle of a rollout what has changed: what is to be done, and what doubt leads to."""
        said, doubt = self._instruction, self._doubt
        if self._told != said:
            self._ask(link, pack({"kind": "instruct", "instruction": said}, {}))
            self._told = said
        if self._told_doubt != doubt:
            self._ask(link, pack({"kind": "doubt", "doubt": doubt}, {}))
            self._told_doubt = doubt

    def _checked(self, chunk: ActionChunk, now: Observation) -> ActionChunk:
        """Refuse an answer to another question: plans are followed in absolute time."""
        if chunk.obs_ns != now.tick_ns or chunk.start_ns != now.tick_ns + self.setup.task.dt_ns:
            self.close()
            raise LinkError(f"the plan rests on {chunk.obs_ns}, asked was for {now.tick_ns}; closed the link")
        return chunk

    def _connected(self) -> Link:
        if self._link is not None:
            return self._link
        host, port = self._address
        try:
            connection = socket.create_connection(self._address, timeout=self._timeout_s)
        except OSError as error:
            raise LinkError(f"no inference server at {host}:{port}: {error}; start `il infer-server` there") from error
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            self._link = as_client(connection, self._key)
            self._link.wait(self._timeout_s)
            said, doubt = self._instruction, self._doubt
            start = {"kind": "start", "spec_digest": self.setup.digest, "seed": self._seed, "instruction": said}
            head, _ = self._ask(self._link, pack({**start, "doubt": doubt}, {}))
            self._told, self._told_doubt, self._why_sure = said, doubt, _why_sure(head)
        except BaseException:
            self._link = None
            connection.close()
            raise
        self._runtime = f"remote {head.get('runtime')}"
        return self._link

    def _ask(self, link: Link, message: bytes) -> tuple[dict[str, Any], Arrays]:
        """Send, and read the answer; after any trouble the link is closed, so that answers never shift."""
        try:
            link.send(message)
            head, arrays = unpack(link.receive())
        except LinkError:
            self.close()
            raise
        if head.get("kind") == "error":
            raise DeviceError(f"inference server: {str(head.get('text'))[:500]}")
        return head, arrays

    def close(self) -> None:
        """End the link."""
        if self._link is not None:
            self._link.close()
            self._link = None


def _why_sure(head: dict[str, Any]) -> str:
    """Why the server's policy never doubts; empty if it can.

    Raises:
        LinkError: it does not say.
    """
    text = head.get("why_sure")
    if not isinstance(text, str):
        step = "install the release of this robot there too"
        raise LinkError(f"the inference server does not say whether its policy can doubt (got {text!r}); {step}")
    return text[:500]


def _report(values: object) -> Report:
    """The server's report; it is shown, never acted on.

    Raises:
        LinkError: it does not say what doubt leads to.
    """
    if not isinstance(values, dict):
        raise LinkError("the plan came without a report; install the release of this robot on the server too")

    def number(name: str) -> float:
        value = values.get(name)
        return float(value) if isinstance(value, int | float) else float("nan")

    try:
        act = Doubt(values.get("act"))
    except ValueError as error:
        raise LinkError(f"the report does not say what doubt leads to: {error}") from error
    steps, frozen, known = (int(n) if math.isfinite(n := number(name)) else 0 for name in ("steps", "frozen", "known"))
    is_in_doubt = values.get("is_in_doubt") is True
    return Report(steps, frozen, known, number("score"), is_in_doubt, number("milliseconds"), act, number("limit"))


def parse_address(text: str) -> tuple[str, int]:
    """``host:port`` into its parts.

    Raises:
        ConfigError: not of that form.
    """
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65536:
        raise ConfigError("--remote", f"got '{text}', expected host:port, such as gpu-box:7410")
    return host.strip("[]"), int(port)
