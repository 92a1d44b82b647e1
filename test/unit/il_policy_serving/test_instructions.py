"""What a person says reaches the policy that listens, here or on another machine; one that does not says so."""

from __future__ import annotations

import threading
from dataclasses import replace

import numpy as np
import pytest
from serving_world import CONFIGS, make_policy
from test_remote import KEY

import il_policy
from il_core.errors import ConfigError, DeviceError
from il_policy.config import ObserveConfig
from il_policy.serving.config import Handover, Runtime, ServeConfig
from il_policy.serving.remote.client import RemotePolicy
from il_policy.serving.remote.codec import pack, unpack
from il_policy.serving.remote.link import LinkError
from il_policy.serving.remote.server import InferenceServer

ALONE = ServeConfig(runtime=Runtime.TORCH, handover=Handover.NONE)
PUSH = "push the blue ball away"


@pytest.fixture(scope="module")
def listening(setup, tmp_path_factory):
    """A policy that reads an instruction."""
    folder = tmp_path_factory.mktemp("listening")
    make_policy(setup, replace(CONFIGS["bc"], observe=ObserveConfig(language="ngram", language_dim=8)), folder)
    return il_policy.load(folder, setup, config=ALONE)


@pytest.fixture
def server(listening):
    server = InferenceServer(listening, ALONE, KEY, "127.0.0.1", 0)
    threading.Thread(target=server.run, daemon=True).start()
    yield server
    server.close()


def planned(policy, window, text):
    policy.reset()
    policy.instruct(text)
    return policy.predict(window).rows


def test_a_remote_policy_does_what_it_is_told_at_the_start_and_in_between(listening, server, setup, window):
    quiet, told = planned(listening, window, ""), planned(listening, window, PUSH)
    assert np.abs(quiet - told).max() > 1e-6
    robot = RemotePolicy(setup, "127.0.0.1", server.port, KEY)
    robot.instruct(PUSH)
    assert np.array_equal(robot.predict(window).rows, told)
    robot.instruct("")
    assert np.array_equal(robot.predict(window).rows, quiet)  # on the same link, without a new start
    robot.instruct(PUSH)
    robot.reset()
    assert np.array_equal(robot.predict(window).rows, told)
    robot.close()


def test_a_policy_that_does_not_listen_refuses_to_be_told(policies, setup, window):
    deaf = il_policy.load(policies["bc"][0], setup, config=ServeConfig(runtime=Runtime.ONNX))
    words = f"got '{PUSH}', but the policy .*does not listen; train it with observe.language"
    with pytest.raises(ConfigError, match=words):
        deaf.instruct(PUSH)
    deaf.instruct("")  # nothing was asked for
    server = InferenceServer(deaf, ServeConfig(), KEY, "127.0.0.1", 0)
    threading.Thread(target=server.run, daemon=True).start()
    robot = RemotePolicy(setup, "127.0.0.1", server.port, KEY)
    robot.instruct(PUSH)
    with pytest.raises(DeviceError, match=f"inference server: instruction: {words}"):
        robot.warm_up()  # said at start, not in the middle of a run
    robot.instruct("")
    assert robot.predict(window).horizon == 16
    robot.instruct(PUSH)
    with pytest.raises(DeviceError, match=words):
        robot.predict(window)
    server.close()


def test_words_are_bounded_on_both_sides(server, setup):
    robot = RemotePolicy(setup, "127.0.0.1", server.port, KEY)
    with pytest.raises(ConfigError, match="got 1001 letters, at most 1000 are sent"):
        robot.instruct("x" * 1001)
    for said in ("x" * 1001, 3, None):
        link = robot._connected()
        link.send(pack({"kind": "instruct", "instruction": said}, {}))
        head, _ = unpack(link.receive())
        assert head["kind"] == "error" and "expected text of at most 1000 letters" in head["text"]
        with pytest.raises(LinkError):  # who breaks the protocol is not talked to any more
            link.receive()
        robot.close()
