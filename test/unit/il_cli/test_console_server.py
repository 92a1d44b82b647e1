"""The console's server over real HTTP and WebSockets on a free port, with the recorder's own rules behind it."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest

pytest.importorskip("starlette", reason="pip install 'il_robot[console]'")
pytest.importorskip("uvicorn", reason="pip install 'il_robot[console]'")
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from il_cli.console.auth import Guard
from il_cli.console.commands import HALT, Command
from il_cli.console.config import ConsoleConfig
from il_cli.console.desk import Desk
from il_cli.console.feed import Picture
from il_cli.console.preview import preview
from il_cli.console.server import ASSETS, ConsoleServer
from il_cli.console.state import Board, Heard
from il_core.errors import DeviceError, GraphError
from il_teleop.recorder import Event, Status, step

TOKEN = "a-token-of-more-than-32-characters-in-all"
WAIT_S = 5.0


class RecorderHands:
    """Carries out commands by the recorder's rules; slow or broken on demand."""

    def __init__(self, board: Board) -> None:
        self.board, self.status = board, Status()
        self.done: list[str] = []
        self.watched: frozenset[str] = frozenset()
        self.may_go_on = threading.Event()
        self.may_go_on.set()
        self.problem = ""
        self.tell()

    def tell(self) -> None:
        values = {"state": self.status.state.value, "outcome": self.status.outcome.value, "saved": "0"}
        self.board.hear("recorder", Heard(0, self.status.state.value, values, time.monotonic_ns()))

    async def perform(self, command: Command) -> str:
        while not self.may_go_on.is_set():
            await asyncio.sleep(0.01)
        self.done.append(command.name)
        if self.problem:
            raise GraphError(self.problem)
        if command.name == HALT:
            return "the arm holds"
        result = step(self.status, Event(command.name.removeprefix("record.")))
        if result.refusal:
            raise GraphError(result.refusal)
        self.status = result.status
        self.tell()
        return self.status.state.value

    def watch(self, cameras: frozenset[str]) -> None:
        self.watched = cameras


class World:
    """A running server and what is behind it."""

    def __init__(self, *, is_always_asked: bool = False, token: str = TOKEN, **settings: object) -> None:
        config = ConsoleConfig(**{"port": 0, **settings})
        self.board = Board({"front": "/front", "wrist": "/wrist"})
        self.hands = RecorderHands(self.board)
        self.desk = Desk(self.board, self.hands, 2_000_000_000, time.monotonic_ns)
        self.guard = Guard(token, "http", is_always_asked=is_always_asked)
        self.server = ConsoleServer(config, self.guard, self.desk)
        self.server.start()
        self.host = f"127.0.0.1:{self.server.port}"
        self.origin = f"http://{self.host}"

    def ask(self, method: str, path: str, body: bytes = b"", **headers: str) -> tuple[int, bytes, dict[str, str]]:
        connection = http.client.HTTPConnection("127.0.0.1", self.server.port, timeout=WAIT_S)
        try:
            names = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, names)
            answer = connection.getresponse()
            return answer.status, answer.read(), {k.lower(): v for k, v in answer.getheaders()}
        finally:
            connection.close()

    @contextlib.contextmanager
    def open(self, **headers: str) -> Iterator[Tab]:
        options = {"origin": self.origin, "additional_headers": headers, "compression": None}
        with connect(f"ws://{self.host}/socket", **options) as socket:
            yield Tab(socket)

    def until(self, condition, what: str) -> None:
        end = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < end, what
            time.sleep(0.01)


class Tab:
    """A page, as far as the server can tell."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.pictures: list[tuple[int, bytes]] = []
        self.confirms = True
        self.run = ""

    def say(self, **message: object) -> None:
        self.socket.send(json.dumps(message))

    def hear(self, kind: str, **wanted: object) -> dict:
        """The next message of a kind; pictures on the way are kept, all is confirmed."""
        end = time.monotonic() + WAIT_S
        while True:
            data = self.socket.recv(timeout=max(0.01, end - time.monotonic()))
            if isinstance(data, bytes):
                number, camera, _ = struct.unpack("<IHI", data[:10])
                self.pictures.append((camera, data[10:]))
                message = {"kind": "picture", "number": number}
            else:
                message = json.loads(data)
            self.run = message.get("run", self.run)
            if self.confirms and "number" in message:
                self.say(kind="confirm", number=message["number"])
            if message["kind"] == kind and all(message[key] == value for key, value in wanted.items()):
                return message

    def press(self, name: str, identity: str, **changes: object) -> None:
        if not self.run:
            self.hear("state")
        now_ms = time.monotonic_ns() / 1e6
        self.say(**{"kind": "do", "id": identity, "name": name, "run": self.run, "at_ms": now_ms, **changes})


@pytest.fixture(scope="module")
def shared() -> Iterator[World]:
    world = World()
    yield world
    world.server.close()


@pytest.fixture
def world(shared: World) -> World:
    shared.hands.status, shared.hands.problem, shared.hands.done = Status(), "", []
    shared.hands.tell()
    return shared


@pytest.fixture(scope="module")
def locked() -> Iterator[World]:
    world = World(is_always_asked=True)
    yield world
    world.server.close()


def test_the_page_and_all_it_needs_come_from_here(world: World):
    for path in ASSETS:
        status, body, headers = world.ask("GET", path)
        assert status == 200 and body
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        for far in (b"http://", b"https://", b"//cdn", b"<script>", b" onclick", b" style="):
            assert far not in body, f"{path} holds {far!r}: it would not work offline, or not under our policy"
    for path in ("/page.html", "/../auth.py", "/%2e%2e/auth.py", "/assets/app.js", "/login.html"):
        assert world.ask("GET", path)[0] == 404


@pytest.mark.parametrize("path", ["/", "/app.js"])
def test_a_name_of_somebody_else_is_refused(world: World, path: str):
    status, body, _ = world.ask("GET", path, Host="evil.example")
    assert status == 403
    assert b"no name of this console" in body


@pytest.mark.parametrize("origin", ["http://evil.example", "null", ""])
def test_another_site_can_neither_listen_nor_press(world: World, origin: str):
    assert world.ask("POST", "/halt", b'{"id": "halt-0001"}', Origin=origin)[0] == 403
    assert world.ask("POST", "/login", Origin=origin)[0] == 403
    with pytest.raises(InvalidStatus, match="403"), connect(f"ws://{world.host}/socket", origin=origin or None):
        pass
    assert world.hands.done == []


def test_without_the_token_there_is_a_login_page_and_nothing_else(locked: World):
    status, body, _ = locked.ask("GET", "/")
    assert status == 401
    assert b"token" in body and b"app.js" not in body
    assert locked.ask("GET", "/login.js")[0] == 200
    assert locked.ask("GET", "/app.js")[0] == 401
    assert locked.ask("POST", "/halt", b'{"id": "halt-0001"}', Origin=locked.origin)[0] == 401
    with pytest.raises(InvalidStatus, match="403"), locked.open():
        pass
    wrong = locked.ask("POST", "/login", Origin=locked.origin, Authorization="Bearer " + TOKEN[:-1])
    assert wrong[0] == 401 and "set-cookie" not in wrong[2]
    assert locked.hands.done == []


def test_the_token_is_shown_once_then_a_cookie_speaks(locked: World):
    status, _, headers = locked.ask("POST", "/login", Origin=locked.origin, Authorization=f"Bearer {TOKEN}")
    assert status == 200
    cookie = headers["set-cookie"]
    assert "HttpOnly" in cookie and "SameSite=strict" in cookie and TOKEN not in cookie
    pair = cookie.split(";")[0]
    assert b"app.js" in locked.ask("GET", "/", Cookie=pair)[1]
    with locked.open(Cookie=pair) as tab:
        assert tab.hear("state")["recorder"]["state"] == "idle"
    assert locked.ask("POST", "/halt", b'{"id": "halt-0001"}', Cookie=pair)[0] == 403, "a cookie alone may be abused"


def test_who_speaks_for_somebody_else_has_to_show_the_token(world: World):
    assert world.ask("GET", "/", X_Forwarded_For="192.168.1.77")[0] == 401
    assert world.ask("GET", "/", Forwarded="for=192.168.1.77")[0] == 401


def test_a_proxy_that_adds_no_header_cannot_be_told_from_this_machine_unless_the_token_is_always_asked(
    world: World, locked: World
):
    """As docs/console.md says: nginx's plain proxy_pass sends the address it connects to as Host, and nothing else."""
    for of, status in ((world, 200), (locked, 401)):
        asked = of.ask("POST", "/halt", b'{"id": "halt-proxy"}', Origin=of.origin, Connection="close")
        assert asked[0] == status
    assert (world.hands.done, locked.hands.done) == ([HALT], [])


def test_who_needs_a_token_where_none_was_made_is_told_how_to_get_one():
    world = World(token="")
    try:
        status, body, _ = world.ask("POST", "/login", Origin=world.origin, X_Forwarded_For="192.168.1.77")
        assert status == 401 and b"start the console with --token-always" in body
    finally:
        world.server.close()


def test_a_page_sees_the_state_and_its_commands_are_done_once(world: World):
    with world.open() as tab:
        tab.press("record.start", "press-start-1")
        answer = tab.hear("answer")
        assert (answer["ok"], answer["text"]) == (True, "recording")
        assert tab.hear("state", recorder=tab_state("recording"))["actions"][-1]["text"] == "recording"
        tab.press("record.start", "press-start-1")
        assert tab.hear("answer")["text"] == "recording", "the same press: the same answer"
        tab.press("record.start", "press-start-2")
        assert "a recording is running" in tab.hear("answer")["text"]
        tab.press("target", "press-target", argument=12)
        tab.hear("answer")
        assert tab.hear("state")["target"] == 12
    assert world.hands.done == ["record.start", "record.start"]


def tab_state(state: str) -> dict:
    shown = ("quality", "rejection", "operator", "task_text", "pending", "task", "robot")
    rest = {"saved": 0, "discarded": None, "outcome": "unlabelled", "message": state}
    return {**dict.fromkeys(shown, ""), **rest, "state": state}


def test_a_page_that_comes_back_learns_what_became_of_its_command(world: World):
    """The answer is lost with the connection; the command is neither lost nor repeated."""
    world.hands.may_go_on.clear()
    with world.open() as tab:
        tab.press("record.start", "press-lost-1")
        world.until(lambda: world.desk.recall("press-lost-1").get("name") == "record.start", "the command arrived")
    with world.open() as tab:
        tab.say(kind="recall", ids=["press-lost-1", "press-never"])
        answers = {answer["id"]: answer for answer in (tab.hear("answer"), tab.hear("answer"))}
        assert answers["press-lost-1"]["done"] is False
        assert "never arrived: nothing was done" in answers["press-never"]["text"]
        world.hands.may_go_on.set()
        world.until(lambda: world.desk.recall("press-lost-1")["done"], "the command is done")
        tab.say(kind="recall", ids=["press-lost-1"])
        assert tab.hear("answer")["ok"] is True
    assert world.hands.done == ["record.start"]


def test_a_command_that_arrives_late_is_refused(world: World):
    with world.open() as tab:
        now_ms = tab.hear("state")["now_ms"]
        tab.press("record.start", "press-late-1", at_ms=now_ms - 3000.0)
        answer = tab.hear("answer")
        assert not answer["ok"] and "s after it was pressed; press again" in answer["text"]
        tab.press("record.start", "press-old-1", run="an earlier console")
        assert "started anew" in tab.hear("answer")["text"]
        tab.press("record.strat", "press-wrong-1")
        assert "unknown command" in tab.hear("answer")["text"]
    assert world.hands.done == []


def test_the_stop_works_without_the_stream_and_beside_a_command_that_hangs(world: World):
    world.hands.may_go_on.clear()
    with world.open() as tab:
        tab.press("record.start", "press-hangs-1")
        world.until(lambda: world.desk.recall("press-hangs-1").get("name") is not None, "the command arrived")
    world.hands.may_go_on.set()
    body = json.dumps({"id": "halt-http-1"}).encode()
    status, said, _ = world.ask("POST", "/halt", body, Origin=world.origin)
    assert status == 200
    assert json.loads(said)["text"] == "the arm holds"
    world.ask("POST", "/halt", body, Origin=world.origin)
    assert world.hands.done.count("halt") == 1, "one press, one stop"


def test_a_stop_that_failed_says_so_and_is_tried_again(world: World):
    world.hands.problem = "service 'controller/hold' gave no answer"
    body = json.dumps({"id": "halt-fails-1"}).encode()
    said = json.loads(world.ask("POST", "/halt", body, Origin=world.origin)[1])
    assert (said["ok"], said["text"]) == (False, "service 'controller/hold' gave no answer")
    world.hands.problem = ""
    assert json.loads(world.ask("POST", "/halt", body, Origin=world.origin)[1])["ok"] is True
    assert world.hands.done.count("halt") == 2
    for wrong in (b"", b"[]", b'{"id": 5}', b"{" * 5000):
        assert world.ask("POST", "/halt", wrong, Origin=world.origin)[0] == 400


def test_pictures_go_only_to_who_watches_and_wait_for_him(world: World):
    grid = np.arange(480 * 640 * 3, dtype=np.uint32).astype(np.uint8).reshape(480, 640, 3)
    jpeg = preview(grid, 320, 70)
    assert jpeg[:2] == b"\xff\xd8" and len(jpeg) < 80_000
    with world.open() as tab:
        tab.hear("state")
        assert world.hands.watched == frozenset()
        tab.say(kind="watch", cameras=["wrist", "cellar"])
        world.until(lambda: world.hands.watched == {"wrist"}, "watched")
        world.server.pictures["front"] = Picture(1, b"not for you", time.monotonic_ns())
        world.server.pictures["wrist"] = Picture(1, jpeg, time.monotonic_ns())
        tab.hear("picture")
        tab.confirms = False
        world.server.pictures["wrist"] = Picture(2, b"second", time.monotonic_ns())
        unconfirmed = tab.hear("picture")["number"]
        for number in range(3, 9):
            world.server.pictures["wrist"] = Picture(number, b"picture %d" % number, time.monotonic_ns())
            time.sleep(0.06)
        tab.say(kind="confirm", number=unconfirmed)
        tab.hear("picture")
        assert tab.pictures == [(1, jpeg), (1, b"second"), (1, b"picture 8")], "the newest, not the next"
    world.until(lambda: world.hands.watched == frozenset(), "nobody watches any more")


def test_what_is_no_page_is_shown_the_door(world: World):
    for rubbish in ("hello", "[1, 2]", "\x00" * 20_000):
        with world.open() as tab:
            tab.hear("state")
            tab.socket.send(rubbish)
            with pytest.raises((ConnectionClosed, TimeoutError)):
                while True:
                    tab.socket.recv(timeout=WAIT_S)
    with world.open() as tab:
        assert tab.hear("state"), "and the next one is served"


def test_pages_have_a_limit_and_the_port_is_given_back():
    world = World(max_pages=2)
    with world.open() as one, world.open() as two:
        one.hear("state"), two.hear("state")
        with pytest.raises(InvalidStatus, match="403"), world.open():
            pass
        with pytest.raises(DeviceError, match=r"cannot listen on 127.0.0.1, port \d+: Address already in use"):
            World(port=world.server.port)
        world.server.close()
        with pytest.raises(ConnectionClosed):
            while True:
                one.socket.recv(timeout=WAIT_S)
    with socket.socket() as again:
        again.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        again.bind(("127.0.0.1", world.server.port))


def test_only_the_configured_port_is_open(world: World):
    """Of this process, as the kernel sees it; nothing listens on more than loopback."""
    import psutil

    listening = [c.laddr for c in psutil.Process().net_connections("tcp") if c.status == psutil.CONN_LISTEN]
    assert ("127.0.0.1", world.server.port) in listening
    assert {address.ip for address in listening} == {"127.0.0.1"}
