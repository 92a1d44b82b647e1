"""Service calls out of an event loop: once each, to servers that are surely there, with a limit."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections.abc import Mapping
from typing import Any

from rclpy.node import Node
from rclpy.task import Future

from il_cli.ros.session import MATCH_S
from il_core.errors import GraphError

APPEAR_S = 0.5  # a server that is not there for so long is not waited for: what is pressed now is not done later


class Calls:
    """Clients of a fixed list of services.

    A request that was sent is never sent again: it may have been carried out without an answer.
    """

    def __init__(self, node: Node, kinds: Mapping[str, type]) -> None:
        """Create the clients, so that they find their servers before anything is asked.

        Args:
            node: Whose clients they are; somebody spins it.
            kinds: Service type by name.
        """
        self._clients = {name: node.create_client(kind, name) for name, kind in kinds.items()}
        self._since: dict[str, float] = {}
        self._lock = threading.Lock()

    def ready(self) -> frozenset[str]:
        """Services that are there; call it a few times per second, from any thread."""
        now = time.monotonic()
        with self._lock:
            for name, client in self._clients.items():
                if not client.service_is_ready():
                    self._since.pop(name, None)
                else:
                    self._since.setdefault(name, now)
            return frozenset(self._since)

    async def call(self, name: str, request: object, timeout_s: float) -> Any:  # noqa: ANN401 - any response
        """Call a service.

        Raises:
            GraphError: it is not there, or gave no answer in time.
        """
        await self._wait_matched(name)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[Any] = loop.create_future()

        def hand_over(future: Future) -> None:
            with contextlib.suppress(RuntimeError):  # the loop is gone: nobody waits any more
                loop.call_soon_threadsafe(_settle, done, future)

        future = self._clients[name].call_async(request)
        future.add_done_callback(hand_over)
        try:
            return await asyncio.wait_for(done, timeout_s)
        except asyncio.TimeoutError:
            self._clients[name].remove_pending_request(future)
            problem = f"service '{name}' gave no answer within {timeout_s:g} s: not known whether it was done"
            raise GraphError(f"{problem}; look at the node's state before you press again") from None

    async def ask(self, name: str, request: object, timeout_s: float) -> str:
        """Call a std_srvs service.

        Returns:
            What it says.

        Raises:
            GraphError: no answer, or it refused; carries its words.
        """
        answer = await self.call(name, request, timeout_s)
        if not answer.success:
            raise GraphError(str(answer.message) or f"service '{name}' refused without a word")
        return str(answer.message)

    async def _wait_matched(self, name: str) -> None:
        """Wait until the server has had time to find our channel for the answer, else the answer is lost."""
        end = time.monotonic() + APPEAR_S
        while name not in self.ready():
            if time.monotonic() > end:
                raise GraphError(f"nobody offers service '{name}': nothing was done; is its node up and active?")
            await asyncio.sleep(0.02)
        await asyncio.sleep(max(0.0, self._since.get(name, 0.0) + MATCH_S - time.monotonic()))


def _settle(done: asyncio.Future[Any], future: Future) -> None:
    if done.done():
        return
    error = future.exception()
    if error is not None:
        done.set_exception(GraphError(f"the call failed: {error}"))
    else:
        done.set_result(future.result())
