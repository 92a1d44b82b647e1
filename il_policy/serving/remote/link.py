"""Messages between two machines that share a key: who speaks is known, nothing is replayed or reordered.

Both sides prove that they hold the key with HMAC-SHA256 over both nonces (challenge and response, as in
ISO/IEC 9798-4); each direction then has a session key of its own. A message is

    length (u32) | sequence number (u64) | payload | HMAC-SHA256(session key, all before)

and is checked before a byte of its payload is read. Pictures travel unencrypted: where that matters, put the
link into WireGuard or an ssh tunnel.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import socket
import stat
import struct
import time
from pathlib import Path

from il_core.errors import ConfigError, DeviceError

MAGIC = b"ILR1"
NONCE = 32
MAC = 32
HEADER = struct.Struct("<IQ")
MAX_MESSAGE_BYTES = 64_000_000  # two ticks of four 720p depth cameras
HANDSHAKE_S = 2.0  # a stranger may not hold a connection longer than this, however slowly it talks
MIN_KEY_BYTES = 16


class LinkError(DeviceError):
    """The link is lost, or the other side does not follow the protocol."""


def make_key(path: Path) -> None:
    """Write a new random key that only its owner may read.

    Raises:
        ConfigError: the file exists, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise ConfigError(f"key {path}", f"cannot be made: {error.strerror}; choose another file") from error
    with os.fdopen(handle, "w") as f:
        f.write(secrets.token_hex(32) + "\n")


def read_key(path: Path) -> bytes:
    """Read a key.

    Raises:
        ConfigError: missing, readable by others, too short or not hexadecimal.
    """
    try:
        mode = path.stat().st_mode
        text = path.read_text(encoding="ascii").strip()
        key = bytes.fromhex(text)
    except OSError as error:
        step = "make one with `il infer-server --make-key FILE` and copy it to both machines"
        raise ConfigError(f"key {path}", f"cannot be read: {error.strerror}; {step}") from error
    except ValueError as error:
        raise ConfigError(f"key {path}", "is not hexadecimal text; copy it again") from error
    if mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigError(f"key {path}", f"others can read it; chmod 600 {path}")
    if len(key) < MIN_KEY_BYTES:
        raise ConfigError(f"key {path}", f"{len(key)} bytes, need {MIN_KEY_BYTES}; make a new one")
    return key


def _mac(key: bytes, *parts: bytes) -> bytes:
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


class Link:
    """One authenticated connection; used by one thread at a time."""

    def __init__(self, connection: socket.socket, send_key: bytes, receive_key: bytes) -> None:
        """Take a connection whose handshake is done; see :func:`as_client` and :func:`as_server`."""
        self._socket = connection
        self._send_key, self._receive_key = send_key, receive_key
        self._sent = self._received = 0
        self._limit_s = HANDSHAKE_S

    def send(self, payload: bytes) -> None:
        """Send one message.

        Raises:
            LinkError: it is too large, or the link is lost.
        """
        if len(payload) > MAX_MESSAGE_BYTES:
            raise LinkError(f"message of {len(payload)} bytes, limit {MAX_MESSAGE_BYTES}; use smaller images")
        header = HEADER.pack(len(payload), self._sent)
        self._sent += 1
        message = header + payload + _mac(self._send_key, header, payload)
        _send(self._socket, message, time.monotonic() + self._limit_s)

    def receive(self) -> bytes:
        """Receive one message.

        Raises:
            LinkError: lost, too slow, too large, out of order, or not from the holder of the key.
        """
        until_s = time.monotonic() + self._limit_s
        header = _receive(self._socket, HEADER.size, until_s)
        length, number = HEADER.unpack(header)
        if length > MAX_MESSAGE_BYTES:
            raise LinkError(f"message of {length} bytes announced, limit {MAX_MESSAGE_BYTES}; closed the link")
        if number != self._received:
            raise LinkError(f"message {number} came, expected {self._received}: replayed or lost; closed the link")
        payload = _receive(self._socket, length, until_s)
        if not hmac.compare_digest(_receive(self._socket, MAC, until_s), _mac(self._receive_key, header, payload)):
            raise LinkError("a message was altered on the way; closed the link")
        self._received += 1
        return payload

    def wait(self, seconds: float) -> None:
        """Longest time that one message may take, in either direction, waiting for it included [s]."""
        self._limit_s = seconds

    def close(self) -> None:
        """End the connection."""
        self._socket.close()


def as_client(connection: socket.socket, key: bytes) -> Link:
    """Prove the key and have it proven.

    Raises:
        LinkError: the server does not hold the key, or does not answer in time.
    """
    until_s = time.monotonic() + HANDSHAKE_S
    mine = secrets.token_bytes(NONCE)
    _send(connection, MAGIC + mine, until_s)
    answer = _receive(connection, len(MAGIC) + NONCE + MAC, until_s)
    theirs, proof = answer[len(MAGIC) : -MAC], answer[-MAC:]
    both = mine + theirs
    if answer[: len(MAGIC)] != MAGIC or not hmac.compare_digest(proof, _mac(key, b"server", both)):
        raise LinkError("the server does not hold this key; copy the same key file to both machines")
    _send(connection, _mac(key, b"client", both), until_s)
    return Link(connection, _mac(key, b"client to server", both), _mac(key, b"server to client", both))


def as_server(connection: socket.socket, key: bytes) -> Link:
    """Have the key proven, and prove it.

    Raises:
        LinkError: the client does not hold the key, or does not answer in time.
    """
    until_s = time.monotonic() + HANDSHAKE_S
    hello = _receive(connection, len(MAGIC) + NONCE, until_s)
    if hello[: len(MAGIC)] != MAGIC:
        raise LinkError("a stranger spoke another protocol")
    mine = secrets.token_bytes(NONCE)
    both = hello[len(MAGIC) :] + mine
    _send(connection, MAGIC + mine + _mac(key, b"server", both), until_s)
    if not hmac.compare_digest(_receive(connection, MAC, until_s), _mac(key, b"client", both)):
        raise LinkError("a client without the key was turned away")
    return Link(connection, _mac(key, b"server to client", both), _mac(key, b"client to server", both))


def _send(connection: socket.socket, data: bytes, until_s: float) -> None:
    """All of it before an instant of ``monotonic``."""
    try:
        connection.settimeout(_left_s(until_s))
        connection.sendall(data)
    except OSError as error:
        raise LinkError(f"link lost while sending: {error}") from error


def _receive(connection: socket.socket, count: int, until_s: float) -> bytes:
    """Exactly so many bytes before an instant of ``monotonic``; a timeout of the socket begins anew with every byte.

    Memory grows with what came, not with what was announced.
    """
    parts, missing = [], count
    while missing:
        try:
            connection.settimeout(_left_s(until_s))
            part = connection.recv(min(missing, 1 << 20))
        except OSError as error:
            raise LinkError(f"link lost while receiving: {error}") from error
        if not part:
            raise LinkError("the other side closed the link")
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


def _left_s(until_s: float) -> float:
    """Time left; a timeout of 0 would mean not to wait at all.

    Raises:
        TimeoutError: there is none.
    """
    left_s = until_s - time.monotonic()
    if left_s <= 0:
        raise TimeoutError("timed out")
    return left_s
