"""The side with the GPU: plans for every client that holds the key."""

from __future__ import annotations

import logging
import math
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from il_core.errors import DeviceError, IlError, SpecMismatchError
from il_policy.serving.acting import WorkingPolicy
from il_policy.serving.config import ServeConfig
from il_policy.serving.policy import ServedPolicy
from il_policy.serving.remote.codec import MAX_INSTRUCTION, doubt_from, pack, pack_chunk, unpack, window_from
from il_policy.serving.remote.link import Link, LinkError, as_server

log = logging.getLogger(__name__)
MAX_CLIENTS = 8  # also bounds what strangers can occupy, HANDSHAKE_S each
IDLE_S = 30.0  # a client that is silent for so long is gone


class _ToldLatency:
    """The latency the client measured: it alone knows when a plan arrives."""

    def __init__(self) -> None:
        self.ns = 0

    def add(self, latency_ns: int) -> None:
        self.ns = latency_ns

    def p95_ns(self) -> int:
        return self.ns


class InferenceServer:
    """Accepts clients, a thread each; they take turns with the runtime.

    What doubt leads to is what a robot asks for, or what the server's configuration says where that is stricter; every
    report says which. Networks of ours are served to several robots at once. Of other policies, which remember what
    they saw, there is one: it is the robot's that began last.
    """

    def __init__(self, policy: WorkingPolicy, config: ServeConfig, key: bytes, host: str, port: int) -> None:
        """Listen; ``port`` 0 takes any free one.

        Raises:
            LinkError: the address cannot be used.
        """
        self._policy, self._config, self._key = policy, config, key
        self._holder: _ToldLatency | None = None  # whose the one policy is that cannot be shared
        self._turn = threading.Lock()
        self._free = threading.Semaphore(MAX_CLIENTS)
        self._open: set[socket.socket] = set()
        self._is_closed = False
        try:
            self._listener = socket.create_server((host, port), backlog=MAX_CLIENTS)
        except OSError as error:
            raise LinkError(f"cannot listen on {host}:{port}: {error.strerror}; choose another --port") from error
        self.port: int = self._listener.getsockname()[1]

    def run(self) -> None:
        """Serve until :meth:`close`."""
        while not self._is_closed:
            try:
                connection, address = self._listener.accept()
            except OSError:
                if self._is_closed:
                    return
                raise
            if not self._free.acquire(blocking=False):
                log.warning("turned %s away: %d clients already", address[0], MAX_CLIENTS)
                connection.close()
                continue
            threading.Thread(target=self._serve, args=(connection, address[0]), daemon=True).start()

    def close(self) -> None:
        """Stop listening, and end all connections."""
        self._is_closed = True
        for connection in [self._listener, *self._open]:
            try:
                connection.shutdown(socket.SHUT_RDWR)  # wakes a thread that waits in it
            except OSError:
                pass  # it was gone already
            connection.close()

    def _serve(self, connection: socket.socket, who: str) -> None:
        """One client, until it leaves or breaks a rule."""
        self._open.add(connection)
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            link = as_server(connection, self._key)
            link.wait(IDLE_S)
            log.info("%s connected", who)
            self._converse(link)
        except LinkError as error:
            log.info("%s: %s", who, error)
        except Exception:  # thread entry: one client's trouble is not another's
            log.exception("serving %s failed", who)
        finally:
            self._open.discard(connection)
            connection.close()
            self._free.release()

    def _converse(self, link: Link) -> None:
        policy: WorkingPolicy | None = None
        told = _ToldLatency()
        while True:
            head, arrays = unpack(link.receive())
            try:
                if head.get("kind") == "start":
                    policy = self._begin(head, told)
                    link.send(_ready(policy))
                elif head.get("kind") == "instruct" and policy is not None:
                    with self._turn_of(policy, told):
                        policy.instruct(_text(head, "instruction"))
                    link.send(_ready(policy))
                elif head.get("kind") == "doubt" and policy is not None:
                    with self._turn_of(policy, told):
                        policy.doubt_as(doubt_from(head.get("doubt"), self._config))
                    link.send(_ready(policy))
                elif head.get("kind") == "plan" and policy is not None:
                    window = window_from(head, arrays)
                    told.ns = _count(head, "latency_ns")
                    with self._turn_of(policy, told):
                        chunk, report = policy.predict(window), policy.report
                    link.send(pack_chunk(chunk, _plain(asdict(report))))
                else:
                    raise LinkError(f"message '{head.get('kind')}' is not expected now")
            except LinkError as error:
                link.send(pack({"kind": "error", "text": str(error)}, {}))
                raise
            except IlError as error:
                link.send(pack({"kind": "error", "text": str(error)}, {}))

    def _begin(self, head: dict[str, Any], told: _ToldLatency) -> WorkingPolicy:
        """A fresh rollout for a client whose robot and task are those of the policy."""
        wanted, ours = str(head.get("spec_digest")), self._policy.setup.digest
        if wanted != ours:
            step = "serve the checkpoint of that robot and task"
            raise SpecMismatchError("the server's policy", got=ours, expected=wanted, next_step=step)
        seed, text = _count(head, "seed"), _text(head, "instruction")
        config = doubt_from(head.get("doubt"), self._config)
        with self._turn:
            policy: WorkingPolicy = self._policy
            if isinstance(policy, ServedPolicy):
                policy = ServedPolicy(policy.parts, config, seed)
            else:
                policy.doubt_as(config)
                policy.reset(seed)
                self._holder = told
            policy.latency = told
            policy.instruct(text)
        return policy

    @contextmanager
    def _turn_of(self, policy: WorkingPolicy, told: _ToldLatency) -> Iterator[None]:
        """The runtime's time for one client.

        Raises:
            DeviceError: the policy is another robot's by now.
        """
        with self._turn:
            if policy is self._policy and self._holder is not told:
                raise DeviceError("another robot began a run with this policy, which serves one at a time")
            yield


def _ready(policy: WorkingPolicy) -> bytes:
    """The answer to settings that are in force now."""
    return pack({"kind": "ready", "runtime": policy.runtime, "why_sure": policy.why_sure}, {})


def _count(head: dict[str, Any], name: str) -> int:
    value = head.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 62:
        raise LinkError(f"'{name}' is {value!r}, expected a whole number")
    return value


def _text(head: dict[str, Any], name: str) -> str:
    value = head.get(name, "")
    if not isinstance(value, str) or len(value) > MAX_INSTRUCTION:
        raise LinkError(f"'{name}' is {str(value)[:40]!r}, expected text of at most {MAX_INSTRUCTION} letters")
    return value


def _plain(report: dict[str, Any]) -> dict[str, Any]:
    """Numbers that JSON has: an unknown score becomes null."""
    return {k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in report.items()}
