"""Commands of the console: nothing is done twice, nothing late, and nothing that was not asked for."""

from __future__ import annotations

import pytest

from il_cli.console.commands import ARGUMENTS, Ledger, Verdict, parse
from il_core.errors import ConfigError
from il_teleop.recorder import OWN_EVENTS, Event

S = 1_000_000_000


def press(name: str = "record.start", identity: str = "press-0001", at_ms: float = 10_000.0, **more: object):
    return parse({"id": identity, "name": name, "run": "run", "at_ms": at_ms, **more})


@pytest.fixture
def ledger() -> Ledger:
    return Ledger("run", max_age_ns=2 * S, size=4)


def finish(entry, *, ok: bool, text: str = "done"):
    entry.is_done, entry.ok, entry.text = True, ok, text


def test_a_command_runs_once_however_often_it_arrives(ledger):
    verdict, entry = ledger.admit(press(), 10 * S)
    assert verdict is Verdict.RUN
    assert ledger.admit(press(), 10 * S) == (Verdict.WAIT, entry)
    finish(entry, ok=True, text="recording")
    for now_s in (10, 11, 500):
        verdict, again = ledger.admit(press(), now_s * S)
        assert (verdict, again.text) == (Verdict.ANSWER, "recording")


def test_a_refused_command_is_not_tried_again_by_itself(ledger):
    _, entry = ledger.admit(press(), 10 * S)
    finish(entry, ok=False, text="refused")
    assert ledger.admit(press(), 10 * S)[0] is Verdict.ANSWER
    assert ledger.admit(press(identity="press-0002"), 10 * S)[0] is Verdict.RUN, "a new press is a new wish"


@pytest.mark.parametrize("now_ms, verdict", [(11_999, Verdict.RUN), (12_001, Verdict.REFUSE), (9_400, Verdict.REFUSE)])
def test_what_the_network_held_back_is_not_done_late(ledger, now_ms, verdict):
    got, entry = ledger.admit(press(), now_ms * 1_000_000)
    assert got is verdict
    if verdict is Verdict.REFUSE:
        assert "not done" in entry.text
        assert ledger.admit(press(), 10 * S)[0] is Verdict.ANSWER, "and stays refused"


def test_a_page_of_an_earlier_console_has_to_look_again(ledger):
    verdict, entry = ledger.admit(parse({"id": "press-0001", "name": "home", "run": "old", "at_ms": 10_000}), 10 * S)
    assert verdict is Verdict.REFUSE
    assert "started anew" in entry.text


def test_stopping_is_never_too_late_and_is_tried_until_it_worked(ledger):
    halt = parse({"id": "halt-0001", "name": "halt"})
    verdict, entry = ledger.admit(halt, 999 * S)
    assert verdict is Verdict.RUN
    assert ledger.admit(halt, 999 * S)[0] is Verdict.WAIT
    finish(entry, ok=False, text="no answer")
    verdict, entry = ledger.admit(halt, 1000 * S)
    assert verdict is Verdict.RUN
    finish(entry, ok=True)
    assert ledger.admit(halt, 1001 * S)[0] is Verdict.ANSWER


def test_an_id_belongs_to_one_command(ledger):
    ledger.admit(press(), 10 * S)
    verdict, entry = ledger.admit(press("record.discard"), 10 * S)
    assert verdict is Verdict.REFUSE
    assert "belongs to another command" in entry.text
    assert ledger.look("press-0001").command.name == "record.start"


def test_it_forgets_the_oldest_which_are_too_old_to_be_done_again(ledger):
    for k in range(6):
        _, entry = ledger.admit(press(identity=f"press-000{k}", at_ms=1000.0 * k), k * S)
        finish(entry, ok=True)
    assert ledger.look("press-0001") is None
    assert ledger.look("press-0005") is not None
    assert ledger.admit(press(identity="press-0000", at_ms=0.0), 6 * S)[0] is Verdict.REFUSE


def test_every_operators_event_has_a_command_and_the_recorders_own_have_none():
    for event in Event:
        assert (f"record.{event.value}" in ARGUMENTS) == (event not in OWN_EVENTS)


@pytest.mark.parametrize(
    "message, text",
    [
        ({"name": "home"}, "id must be 8 to 64"),
        ({"id": "../../etc", "name": "home"}, "id must be 8 to 64"),
        ({"id": "press-0001", "name": "record.strat"}, "unknown command 'record.strat'.*record.start"),
        ({"id": "press-0001", "name": "record.done"}, "unknown command"),
        ({"id": "press-0001", "name": ["halt"]}, "unknown command"),
        ({"id": "press-0001", "name": "home", "at_ms": "now"}, "at_ms must be"),
        ({"id": "press-0001", "name": "home", "at_ms": float("nan")}, "at_ms must be"),
        ({"id": "press-0001", "name": "home", "at_ms": True}, "at_ms must be"),
        ({"id": "press-0001", "name": "home", "argument": "fast"}, "'home' takes no argument"),
        ({"id": "press-0001", "name": "say.operator", "argument": "a\nb"}, "printable"),
        ({"id": "press-0001", "name": "say.operator", "argument": "x" * 201}, "1 to 200"),
        ({"id": "press-0001", "name": "say.operator", "argument": "  "}, "needs a text"),
        ({"id": "press-0001", "name": "target", "argument": -1}, "whole number"),
        ({"id": "press-0001", "name": "target", "argument": 2.5}, "whole number"),
    ],
)
def test_what_is_no_command_is_refused_in_words(message, text):
    with pytest.raises(ConfigError, match=text):
        parse(message)


def test_texts_and_counts_come_through():
    assert parse({"id": "press-0001", "name": "say.operator", "argument": " Ada Λ "}).argument == "Ada Λ"
    assert parse({"id": "press-0001", "name": "target", "argument": 20}).argument == "20"
