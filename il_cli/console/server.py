"""The web server: page and assets, login, the stop by plain HTTP, and the WebSocket."""

from __future__ import annotations

import contextlib
import json
import logging
import socket
import threading
from collections.abc import AsyncIterator, Mapping
from importlib.resources import files

import uvicorn
from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from il_cli.console.auth import COOKIE_DAYS, Guard, Knock
from il_cli.console.commands import HALT, parse
from il_cli.console.config import ConsoleConfig
from il_cli.console.desk import Desk
from il_cli.console.feed import Picture
from il_cli.console.pages import Page
from il_core.errors import ConfigError, DeviceError

log = logging.getLogger(__name__)
ASSETS = {  # path -> file and media type; nothing else is ever served
    "/": ("page.html", "text/html"),
    "/style.css": ("style.css", "text/css"),
    "/app.js": ("app.js", "text/javascript"),
    "/link.js": ("link.js", "text/javascript"),
    "/view.js": ("view.js", "text/javascript"),
    "/login.js": ("login.js", "text/javascript"),
}
OPEN_ASSETS = ("/style.css", "/login.js")  # what the login page needs
BODY_MAX, MESSAGE_MAX = 1024, 16 * 1024  # bytes
START_S = 10.0
# What many proxies add, and none has to: a forwarded port or a plain proxy_pass adds nothing. Only
# is_token_always_required makes sure of the token there.
FORWARDED = ("forwarded", "x-forwarded-for", "x-real-ip", "via")
NO_TOKEN = "there is no token: start the console with --token-always, it is needed behind a proxy"


class ConsoleServer:
    """Serves pages from a thread of its own.

    Attributes:
        port: Where it listens.
        pictures: Newest preview of every camera; whoever makes them puts them here.
    """

    def __init__(self, config: ConsoleConfig, guard: Guard, desk: Desk) -> None:
        """Open the one port.

        Raises:
            DeviceError: the address or port cannot be had.
        """
        self._config, self._guard, self._desk = config, guard, desk
        self._pages: set[Page] = set()
        self.pictures: dict[str, Picture] = {}
        self._socket = _listen(config)
        self.port: int = self._socket.getsockname()[1]
        self._cookie = f"il_console_{self.port}"
        routes = [Route(path, self._asset, methods=["GET"]) for path in ASSETS]
        routes += [Route("/login", self._login, methods=["POST"]), Route("/halt", self._halt, methods=["POST"])]
        app = Starlette(routes=[*routes, WebSocketRoute("/socket", self._page)], lifespan=self._lifespan)
        self._server = uvicorn.Server(
            uvicorn.Config(
                app,
                http="h11",
                ws="websockets-sansio",
                loop="asyncio",
                log_config=None,
                log_level=logging.WARNING,
                access_log=False,
                server_header=False,
                proxy_headers=False,  # who speaks for somebody else has to show the token
                ws_max_size=MESSAGE_MAX,
                ws_ping_interval=5.0,
                ws_ping_timeout=10.0,
                ws_per_message_deflate=False,  # JPEG does not shrink
                limit_concurrency=8 * config.max_pages,
                timeout_graceful_shutdown=1,
                ssl_certfile=config.tls_certificate or None,
                ssl_keyfile=config.tls_key or None,
            )
        )
        self._thread = threading.Thread(target=self._run, name="console", daemon=True)
        self._is_up = threading.Event()

    def start(self) -> None:
        """Begin to serve.

        Raises:
            DeviceError: it did not come up.
        """
        self._thread.start()
        if not self._is_up.wait(START_S):
            raise DeviceError(f"the console's server did not start within {START_S:.0f} s; see its log")

    def close(self) -> None:
        """Close every connection and the port."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(START_S)
        self._socket.close()

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._socket])
        except (SystemExit, OSError) as error:  # uvicorn's way to say that it cannot start
            log.error("the console's server ended: %s", error)

    @contextlib.asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        self._is_up.set()
        yield

    def _knock(self, asked: HTTPConnection) -> Knock:
        """What a request says of itself."""
        scheme, _, bearer = asked.headers.get("authorization", "").partition(" ")
        local = asked.scope.get("server") or ("", 0)
        return Knock(
            peer=asked.client.host if asked.client else "",
            local=str(local[0]),
            host=asked.headers.get("host", ""),
            origin=asked.headers.get("origin"),
            bearer=bearer.strip() if scheme.lower() == "bearer" else "",
            cookie=asked.cookies.get(self._cookie, ""),
            is_forwarded=any(name in asked.headers for name in FORWARDED),
        )

    async def _asset(self, request: Request) -> Response:
        knock, path = self._knock(request), request.url.path
        if problem := self._guard.stranger(knock, needs_origin=False):
            return _refusal(403, problem)
        name, kind = ASSETS[path]
        status = 200
        if path not in OPEN_ASSETS and not self._guard.knows(knock):
            if path != "/":
                return _refusal(401, "the token is needed; open the page")
            name, status = "login.html", 401
        body = files("il_cli.console").joinpath("assets", name).read_bytes()
        return Response(body, status, _headers(knock.host), f"{kind}; charset=utf-8")

    async def _login(self, request: Request) -> Response:
        knock = self._knock(request)
        if problem := self._guard.stranger(knock, needs_origin=True):
            return _refusal(403, problem)
        if not self._guard.knows(knock):
            log.warning("wrong token from %s", knock.peer)
            no_match = "this is not the token; it is printed where the console was started"
            return _refusal(401, no_match if self._guard.cookie else NO_TOKEN)
        response = JSONResponse({"ok": True}, headers=_headers(knock.host))
        if self._guard.cookie:
            response.set_cookie(
                self._cookie,
                self._guard.cookie,
                max_age=COOKIE_DAYS * 86400,
                httponly=True,
                samesite="strict",
                secure=self._config.scheme == "https",
            )
        return response

    async def _halt(self, request: Request) -> Response:
        """The stop button, on a way of its own: it works without the stream."""
        knock = self._knock(request)
        if problem := self._guard.stranger(knock, needs_origin=True):
            return _refusal(403, problem)
        if not self._guard.knows(knock):
            return _refusal(401, "the token is needed; reload the page")
        try:
            command = parse({"id": (await _body(request)).get("id"), "name": HALT})
        except ConfigError as error:
            return _refusal(400, str(error))
        return JSONResponse(await self._desk.take(command), headers=_headers(knock.host))

    async def _page(self, websocket: WebSocket) -> None:
        knock = self._knock(websocket)
        problem = self._guard.stranger(knock, needs_origin=True)
        if not problem and not self._guard.knows(knock):
            problem = "the token is needed"
        if not problem and len(self._pages) >= self._config.max_pages:
            problem = f"{self._config.max_pages} pages are open already"
        if problem:
            log.warning("page from %s refused: %s", knock.peer, problem)
            await websocket.close()  # before it was accepted: the browser gets 403
            return
        await websocket.accept()
        page = Page(websocket, self._desk, self._config, self._watched)
        self._pages.add(page)
        try:
            await page.serve(self.pictures)
        finally:
            self._pages.discard(page)
            self._watched()

    def _watched(self) -> None:
        self._desk.watch(frozenset(camera for page in self._pages for camera in page.cameras))


def _listen(config: ConsoleConfig) -> socket.socket:
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((config.host, config.port))
        listener.listen(64)
    except OSError as error:
        listener.close()
        problem = f"console cannot listen on {config.host}, port {config.port}: {error.strerror}"
        raise DeviceError(f"{problem}; another one may run, or choose --port") from error
    return listener


async def _body(request: Request) -> Mapping[str, object]:
    """The JSON object of a small request.

    Raises:
        ConfigError: too long, or no such thing.
    """
    data = b""
    async for part in request.stream():
        data += part
        if len(data) > BODY_MAX:
            raise ConfigError("request", f"longer than {BODY_MAX} bytes")
    try:
        value = json.loads(data)
    except ValueError:
        value = None
    if not isinstance(value, dict):
        raise ConfigError("request", "expected a JSON object")
    return value


def _headers(host: str) -> dict[str, str]:
    """Of every answer: nothing from elsewhere, no frames around us, nothing kept."""
    sources = f"connect-src 'self' ws://{host} wss://{host}"  # older Safari does not count them as 'self'
    return {
        "Content-Security-Policy": f"default-src 'self'; img-src 'self' blob: data:; {sources}; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cache-Control": "no-store",
    }


def _refusal(status: int, why: str) -> JSONResponse:
    return JSONResponse({"done": True, "ok": False, "text": why}, status)
