"""Inference over a link: the same plans, only for holders of the key, and hostile input ends a connection only."""

from __future__ import annotations

import json
import os
import socket
import struct
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from serving_world import later
from tiny_world import make_setup

import il_policy
from il_core.errors import ConfigError, DeviceError
from il_policy.serving.config import Runtime, ServeConfig
from il_policy.serving.remote import link as links
from il_policy.serving.remote.client import RemotePolicy, parse_address
from il_policy.serving.remote.codec import chunk_from, pack, pack_chunk, pack_window, unpack, window_from
from il_policy.serving.remote.link import HEADER, LinkError, as_client, as_server, make_key, read_key
from il_policy.serving.remote.server import InferenceServer

KEY = bytes(range(32))
CONFIG = ServeConfig(runtime=Runtime.ONNX)


@pytest.fixture(scope="module")
def server(policies):
    served = il_policy.load(policies["flow"][0], config=CONFIG)
    server = InferenceServer(served, CONFIG, KEY, "127.0.0.1", 0)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    yield server
    server.close()
    thread.join(5)
    assert not thread.is_alive()


def client(server, setup, **options):
    return RemotePolicy(setup, "127.0.0.1", server.port, options.pop("key", KEY), **options)


def test_plans_are_those_of_the_policy_on_the_other_side(server, setup, policies, window):
    local, remote = il_policy.load(policies["flow"][0], seed=4, config=CONFIG), client(server, setup, seed=4)
    for k in range(3):
        moved = later(window, 3 * k)
        remote.latency.add(40_000_000)
        local.latency = remote.latency
        mine, theirs = local.predict(moved), remote.predict(moved)
        assert np.array_equal(mine.rows, theirs.rows) and np.array_equal(mine.gripper_des, theirs.gripper_des)
        assert (mine.start_ns, mine.dt_ns, mine.obs_ns) == (theirs.start_ns, theirs.dt_ns, theirs.obs_ns)
    assert remote.report.steps == 10 and remote.report.frozen == 2 and remote.runtime == "remote onnx, 1 thread(s)"


def test_several_robots_share_one_server(server, setup, window):
    robots = [client(server, setup, seed=s) for s in (1, 1, 2)]
    plans = [r.predict(window).rows for r in robots]
    assert np.array_equal(plans[0], plans[1]) and not np.array_equal(plans[0], plans[2])
    for robot in robots:
        robot.close()


def test_another_key_and_another_task_are_refused(server, setup, window):
    with pytest.raises(LinkError, match="the server does not hold this key"):
        client(server, setup, key=b"x" * 32).predict(window)
    with pytest.raises(DeviceError, match="the server's policy was made for spec .*; serve the checkpoint of that"):
        client(server, make_setup(rate_hz=20)).predict(window)


def test_a_lost_link_gives_no_plan_and_the_next_call_connects_anew(policies, setup, window):
    served = il_policy.load(policies["bc"][0], config=CONFIG)
    first = InferenceServer(served, CONFIG, KEY, "127.0.0.1", 0)
    threading.Thread(target=first.run, daemon=True).start()
    robot = client(first, setup, timeout_s=0.5)
    assert robot.predict(window).horizon == 16
    first.close()
    for _ in range(2):
        with pytest.raises(LinkError, match="link lost|closed the link|no inference server"):
            robot.predict(later(window, 1))
    again = InferenceServer(served, CONFIG, KEY, "127.0.0.1", first.port)
    threading.Thread(target=again.run, daemon=True).start()
    assert robot.predict(later(window, 2)).horizon == 16
    again.close()


def test_a_server_that_falls_silent_is_given_up_in_time(setup, window):
    listener = socket.create_server(("127.0.0.1", 0))
    robot = RemotePolicy(setup, "127.0.0.1", listener.getsockname()[1], KEY, timeout_s=0.2)
    with pytest.raises(LinkError, match="link lost while receiving: timed out"):
        robot.predict(window)
    listener.close()


HOSTILE = {
    "another protocol": b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" + b" " * 32,
    "right magic, wrong proof": links.MAGIC + b"n" * 32 + b"p" * 32,
    "nothing": b"",
    "noise": os.urandom(4096),
}


@pytest.mark.parametrize("data", list(HOSTILE.values()), ids=list(HOSTILE))
def test_strangers_get_nothing_and_others_are_served_on(server, setup, window, data):
    stranger = socket.create_connection(("127.0.0.1", server.port))
    stranger.settimeout(5)
    answer = b""
    try:
        stranger.sendall(data)
        stranger.shutdown(socket.SHUT_WR)
        while part := stranger.recv(4096):
            answer += part
    except OSError as error:  # the server has hung up on it already; a timeout would mean it has not
        assert not isinstance(error, TimeoutError)
    assert len(answer) in (0, 4 + 32 + 32)  # at most the server's half of the handshake
    robot = client(server, setup)
    assert robot.predict(window).horizon == 16
    robot.close()


@pytest.mark.parametrize("said", [links.MAGIC, b""], ids=["the right magic", "anything"])
def test_a_stranger_that_talks_slowly_is_hung_up_on_in_time(monkeypatch, said):
    monkeypatch.setattr(links, "HANDSHAKE_S", 0.3)
    mine, theirs = socket.socketpair()
    is_over = threading.Event()

    def trickle():
        mine.sendall(said)
        while not is_over.wait(0.05):  # each byte well within the time that one receive may take
            mine.sendall(b"x")

    slow = threading.Thread(target=trickle)
    slow.start()
    began = time.monotonic()
    try:
        with pytest.raises(LinkError, match="link lost while receiving: timed out"):
            as_server(theirs, KEY)
        assert 0.25 < time.monotonic() - began < 1.2
    finally:
        is_over.set()
        slow.join()


def test_a_message_that_trickles_in_is_given_up_in_time():
    mine, theirs, a, b = pair()
    mine.send(b"hello")
    wire = b.recv(1000)
    theirs.wait(0.2)
    is_over = threading.Event()

    def trickle():
        for k in range(len(wire)):
            if is_over.wait(0.05):
                return
            a.sendall(wire[k : k + 1])

    slow = threading.Thread(target=trickle)
    slow.start()
    with pytest.raises(LinkError, match="link lost while receiving: timed out"):
        theirs.receive()
    is_over.set()
    slow.join()


def pair():
    """Both ends of an authenticated link in this process."""
    a, b = socket.socketpair()
    made = []
    thread = threading.Thread(target=lambda: made.append(as_server(b, KEY)))
    thread.start()
    mine = as_client(a, KEY)
    thread.join()
    return mine, made[0], a, b


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda wire: wire.replace(b"hello", b"hellO"), "altered"),
        (lambda wire: HEADER.pack(5, 7) + wire[12:], "message 7 came, expected 0: replayed or lost"),
        (lambda wire: HEADER.pack(4_000_000_000, 0), "4000000000 bytes announced, limit 64000000"),
        (lambda wire: wire[:-1] + bytes([wire[-1] ^ 1]), "altered"),
    ],
)
def test_altered_misplaced_and_oversized_messages_end_the_link(change, words):
    mine, theirs, a, b = pair()
    mine.send(b"hello")
    a.sendall(change(b.recv(1000)))
    with pytest.raises(LinkError, match=words):
        theirs.receive()


def test_a_replayed_message_ends_the_link():
    mine, theirs, a, b = pair()
    mine.send(b"hello")
    wire = b.recv(1000)
    a.sendall(wire + wire)
    assert theirs.receive() == b"hello"
    with pytest.raises(LinkError, match="message 0 came, expected 1: replayed"):
        theirs.receive()
    with pytest.raises(LinkError, match="limit 64000000; use smaller images"):
        mine.send(bytes(links.MAX_MESSAGE_BYTES + 1))


def test_a_message_of_one_direction_is_not_taken_in_the_other():
    mine, _, a, b = pair()
    mine.send(b"hello")
    b.sendall(b.recv(1000))  # reflected
    with pytest.raises(LinkError, match="altered"):
        mine.receive()


def test_observations_and_plans_survive_the_wire(window, policies):
    got = window_from(*unpack(pack_window(window, 5)))
    for a, b in zip(window, got, strict=True):
        assert a.tick_ns == b.tick_ns and dict(a.age_ns) == b.age_ns and np.array_equal(a.T_base_ee, b.T_base_ee)
        assert np.array_equal(a.arm.q, b.arm.q) and a.arm.gripper == b.arm.gripper
        for name in a.images:
            assert np.array_equal(a.images[name].rgb, b.images[name].rgb)
            assert np.array_equal(a.images[name].depth_m, b.images[name].depth_m)
            assert a.images[name].intrinsics == b.images[name].intrinsics
    plan = il_policy.load(policies["bc"][0], config=CONFIG).predict(window)
    assert np.array_equal(chunk_from(*unpack(pack_chunk(plan, {}))).rows, plan.rows)


def message(head, raw=b""):
    text = json.dumps(head).encode()
    return struct.pack("<I", len(text)) + text + raw


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "not a message of ours"),
        (struct.pack("<I", 1 << 30), "head of 1073741824 bytes, limit 100000"),
        (message([]), "not a message of ours"),
        (message({"arrays": [["a", "|O", [1]]]}, b"x" * 8), "array of type '|O'"),
        (message({"arrays": [["a", "<f8", [1 << 40]]]}), "array of shape"),
        (message({"arrays": [["a", "<f8", [-1]]]}), "array of shape"),
        (message({"arrays": [["a", "<f8", [4]]]}, b"x" * 8), "ends 24 bytes behind the message"),
        (message({"arrays": []}, b"x"), "1 bytes more than the head declares"),
        (message({"arrays": [["a", "|u1", [0]]] * 2000}), "2000 arrays, limit 1000"),
        (struct.pack("<I", 90_000) + b"[" * 90_000, "not a message of ours"),
    ],
)
def test_malformed_messages_are_refused_in_words(data, words):
    with pytest.raises(LinkError, match=words.replace("|", r"\|").replace("[", r"\[")):
        unpack(data)


@given(st.binary(max_size=200), st.integers(0, 400))
@settings(max_examples=200, deadline=None)
def test_no_bytes_do_more_than_be_refused(noise, at):
    good = bytearray(pack({"kind": "plan", "window": []}, {"a": np.zeros((2, 3))}))
    for data in (noise, bytes(good[:at]) + noise + bytes(good[at:])):
        try:
            head, arrays = unpack(data)
            window_from(head, arrays)
        except LinkError:
            pass


@pytest.mark.parametrize("part", [{}, {"tick_ns": 1, "arm": None, "images": {}, "age_ns": {}}, {"tick_ns": "x"}])
def test_a_window_of_nonsense_is_refused(part):
    with pytest.raises(LinkError):
        window_from({"window": [part]}, {"0.pose": np.full((4, 4), np.nan)})


def test_objects_are_not_sent():
    with pytest.raises(LinkError, match="array 'a' is .*, can be sent: <f8, <f4, <u2, |u1"):
        pack({}, {"a": np.array([object()])})


def test_keys_are_made_private_and_read_only_if_they_stayed_so(tmp_path: Path):
    path = tmp_path / "key"
    make_key(path)
    assert len(read_key(path)) == 32 and path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ConfigError, match="cannot be made: File exists"):
        make_key(path)
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="others can read it; chmod 600"):
        read_key(path)
    path.chmod(0o600)
    path.write_text("abcd")
    with pytest.raises(ConfigError, match="2 bytes, need 16"):
        read_key(path)
    path.write_text("not hex")
    with pytest.raises(ConfigError, match="is not hexadecimal"):
        read_key(path)
    with pytest.raises(ConfigError, match="il infer-server --make-key"):
        read_key(tmp_path / "none")


@pytest.mark.parametrize("text", ["gpu", "gpu:", ":1", "gpu:0", "gpu:99999", "gpu:x"])
def test_addresses_are_host_and_port(text):
    assert parse_address("gpu-box:7410") == ("gpu-box", 7410)
    with pytest.raises(ConfigError, match="expected host:port"):
        parse_address(text)
