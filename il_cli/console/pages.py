"""One connected page: its feed out, its commands in."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import struct
from collections.abc import Callable, Coroutine, Mapping

from starlette.websockets import WebSocket, WebSocketDisconnect

from il_cli.console.commands import parse
from il_cli.console.config import ConsoleConfig
from il_cli.console.desk import Desk
from il_cli.console.feed import Feed, Picture
from il_core.errors import ConfigError

log = logging.getLogger(__name__)
TICK_S = 0.05
GONE = (WebSocketDisconnect, RuntimeError, OSError)  # how starlette and the socket say that nobody is there
PICTURE_HEAD = struct.Struct("<IHI")  # number to confirm, index of the camera, age [ms]; the page reads the same


class Page:
    """A WebSocket with a page at its other end."""

    def __init__(self, socket: WebSocket, desk: Desk, config: ConsoleConfig, on_watch: Callable[[], None]) -> None:
        """Take an accepted socket; ``on_watch`` is told when the page shows other cameras."""
        self._socket, self._desk, self._on_watch = socket, desk, on_watch
        self._feed = Feed(config, desk.now_ns())
        self._turn = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def cameras(self) -> tuple[str, ...]:
        """What the page shows at present."""
        return self._feed.cameras

    async def serve(self, pictures: Mapping[str, Picture]) -> None:
        """Talk to the page until it goes away or confirms nothing any more.

        Args:
            pictures: Newest preview of every camera, changed by others meanwhile.
        """
        sender = asyncio.create_task(self._send_all(pictures))
        listener = asyncio.create_task(self._listen())
        try:
            ended, _ = await asyncio.wait({sender, listener}, return_when=asyncio.FIRST_COMPLETED)
            for task in ended:
                if (error := task.exception()) is not None and not isinstance(error, GONE):
                    log.error("a page is closed", exc_info=error)
        finally:
            for task in (sender, listener, *self._tasks):  # commands go on: see Desk.take
                task.cancel()
            await asyncio.gather(sender, listener, *self._tasks, return_exceptions=True)
            with contextlib.suppress(Exception):  # most often it is gone already
                await self._socket.close()

    async def _send_all(self, pictures: Mapping[str, Picture]) -> None:
        board, feed, now_ns = self._desk.board, self._feed, self._desk.now_ns
        while not feed.is_lost(now_ns()):
            number = feed.state_due(board.version, now_ns())
            if number is not None:
                state = {"kind": "state", "number": number, "run": self._desk.run, "now_ms": now_ns() / 1e6}
                await self._send({**state, **board.picture(now_ns())})
            while (due := feed.picture_due(pictures, now_ns())) is not None:
                number, camera = due
                picture = pictures[camera]
                age_ms = max(0, now_ns() - picture.taken_ns) // 1_000_000
                head = PICTURE_HEAD.pack(number, board.cameras.index(camera), min(age_ms, 0xFFFFFFFF))
                async with self._turn:
                    await self._socket.send_bytes(head + picture.jpeg)
            await asyncio.sleep(TICK_S)

    async def _send(self, message: Mapping[str, object]) -> None:
        async with self._turn:
            await self._socket.send_text(json.dumps(message, allow_nan=False))

    async def _listen(self) -> None:
        while True:
            try:
                message = json.loads(await self._socket.receive_text())
            except (WebSocketDisconnect, KeyError, RuntimeError, ValueError):
                return  # gone, or it speaks something else
            if not isinstance(message, dict):
                return
            self._hear(message)

    def _hear(self, message: dict[str, object]) -> None:
        kind = message.get("kind")
        if kind == "confirm" and isinstance(number := message.get("number"), int):
            self._feed.confirm(number)
        elif kind == "watch" and isinstance(names := message.get("cameras"), list):
            self._feed.watch(self._known(names))
            self._on_watch()
        elif kind == "recall" and isinstance(ids := message.get("ids"), list):
            for identity in ids[:64]:
                self._begin(self._send(self._desk.recall(str(identity))))
        elif kind == "do":
            self._begin(self._do(message))

    def _known(self, names: list[object]) -> tuple[str, ...]:
        cameras = self._desk.board.cameras
        return tuple(name for name in cameras if name in names)

    def _begin(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _do(self, message: dict[str, object]) -> None:
        try:
            command = parse(message)
        except ConfigError as error:
            said = {"kind": "answer", "id": str(message.get("id"))[:64], "done": True, "ok": False, "text": str(error)}
            await self._send(said)
            return
        with contextlib.suppress(*GONE):  # the page asks again when it is back
            await self._send(await self._desk.take(command))
