"""Who may use the console: token, and checks against other web sites. Pure but for the token's file."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from il_core.errors import ConfigError

TOKEN_BYTES = 32
MIN_TOKEN = 32  # characters
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
COOKIE_DAYS = 30
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:[0-9]{1,5})?")


@dataclass(frozen=True, slots=True)
class Knock:
    """What one request says of itself.

    Attributes:
        peer: Address it comes from.
        local: Address of ours that it reached.
        host: Header ``Host``, with the port.
        origin: Header ``Origin``; None if there is none.
        bearer: Token of the header ``Authorization: Bearer``; empty if there is none.
        cookie: Value of our cookie; empty if there is none.
        is_forwarded: Whether a proxy says that it speaks for somebody else; a plain one does not say so.
    """

    peer: str
    local: str
    host: str
    origin: str | None = None
    bearer: str = ""
    cookie: str = ""
    is_forwarded: bool = False


class Guard:
    """Decides about requests.

    Host: a browser led here by another site's name (DNS rebinding) carries that name. Origin: a request
    another site's page makes carries that site. Both are checked on loopback too, because a browser on
    this machine is where such pages run.
    """

    def __init__(self, token: str, scheme: str, hosts: tuple[str, ...] = (), *, is_always_asked: bool = False) -> None:
        """Guard with a token.

        Args:
            token: The secret; empty if only this machine can connect and nobody is asked.
            scheme: http or https.
            hosts: Further names of this machine.
            is_always_asked: Whether loopback needs the token too.
        """
        self._token, self._scheme = token.encode(), scheme
        self._hosts = LOOPBACK_NAMES | {name.lower() for name in hosts}
        self._is_always_asked = is_always_asked
        digest = hmac.new(self._token, b"il console cookie 1", hashlib.sha256)
        self.cookie = digest.hexdigest() if token else ""

    def stranger(self, knock: Knock, *, needs_origin: bool) -> str:
        """Why a request comes from another site; empty if it does not.

        Args:
            knock: The request.
            needs_origin: Whether it changes something or opens a stream: then a browser names its origin.
        """
        name = _host_name(knock.host)
        if name not in self._hosts and not (name and name == _plain(knock.local)):
            return f"Host '{knock.host}' is no name of this console; add it to 'hosts' in config/console/"
        if knock.origin is None:
            is_program = self._is_token(knock.bearer)  # no page can set this header unasked
            return "no Origin: open the page in a browser" if needs_origin and not is_program else ""
        expected = f"{self._scheme}://{knock.host}".lower()
        return "" if knock.origin.lower() == expected else f"Origin '{knock.origin}' is another site"

    def knows(self, knock: Knock) -> bool:
        """Whether a request may see and do anything: with the token, or from loopback unless it is always asked.

        What comes from loopback may have come from anywhere: through a forwarded port, or a proxy that adds no header.
        """
        if not self._is_always_asked and not knock.is_forwarded and _is_loopback(knock.peer):
            return True
        by_cookie = bool(self.cookie) and hmac.compare_digest(knock.cookie.encode(), self.cookie.encode())
        return by_cookie or self._is_token(knock.bearer)

    def _is_token(self, text: str) -> bool:
        return bool(self._token) and hmac.compare_digest(text.encode(), self._token)


def _host_name(host: str) -> str:
    """Name or address of a Host header, without port and brackets, in lower case; empty if it is no such header."""
    found = _HOST.fullmatch(host)
    return found[1].strip("[]").lower() if found else ""


def _plain(address: str) -> str:
    """An address; IPv4 in IPv6 as IPv4, without zone."""
    try:
        parsed = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:
        return ""
    mapped = getattr(parsed, "ipv4_mapped", None)
    return str(mapped or parsed)


def _is_loopback(address: str) -> bool:
    plain = _plain(address)
    return bool(plain) and ipaddress.ip_address(plain).is_loopback


def token_path(configured: str) -> Path:
    """Where the token is kept."""
    if configured:
        return Path(configured).expanduser()
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "il_robot" / "console_token"


def read_or_make_token(path: Path) -> str:
    """The token in a file that only its owner can read; a new one if there is no such file.

    It stays the same from start to start, so that tablets stay logged in; delete the file to lock them out.

    Raises:
        ConfigError: others can read the file, it is somebody else's, a link, or holds no token.
    """
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
    except FileExistsError:
        return _read_token(path)
    token = secrets.token_urlsafe(TOKEN_BYTES)
    with os.fdopen(handle, "w") as file:
        os.fchmod(handle, 0o600)  # whatever the umask
        file.write(token + "\n")
    return token


def _read_token(path: Path) -> str:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError as error:
        raise ConfigError(str(path), f"cannot be read as the console's token: {error.strerror}; delete it") from error
    with os.fdopen(handle) as file:
        status = os.fstat(handle)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o077:
            mode = stat.filemode(status.st_mode)
            raise ConfigError(str(path), f"expected a file only you can read (-rw-------), got {mode}; delete it")
        token = file.read(1024).strip()
    if len(token) < MIN_TOKEN or not token.isascii() or not token.isprintable():
        raise ConfigError(str(path), f"holds no token of {MIN_TOKEN} or more characters; delete it, a new one is made")
    return token
