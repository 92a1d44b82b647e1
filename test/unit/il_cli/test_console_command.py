"""`il console` says in one line what is wrong before anything is started."""

from __future__ import annotations

import os

import pytest

from il_cli.main import COMMANDS, run


def test_it_explains_itself_with_an_example(capsys):
    assert run(["console", "--help"], COMMANDS) == 0
    said = capsys.readouterr().out
    assert "il console --host 0.0.0.0" in said
    assert "not a safety device" in said


@pytest.mark.parametrize(
    "options, text",
    [
        (["--config", "defualt"], "no such file; did you mean 'default'"),
        (["--task", "pick_plaec"], "pick_place"),
        (["--port", "70000"], "65535"),
    ],
)
def test_what_is_wrong_is_told_before_anything_starts(capsys, options, text):
    assert run(["console", *options], COMMANDS) in (1, 2)
    assert text in capsys.readouterr().err


@pytest.mark.parametrize("words, value", [([], "false"), (["--token-always"], "true")])
def test_the_node_is_told_whether_everybody_needs_the_token(monkeypatch, words, value):
    became = []
    monkeypatch.setattr(os, "execve", lambda path, arguments, environment: became.append(arguments))
    assert run(["console", *words], COMMANDS) == 0
    assert f"token_always:={value}" in became[0]
