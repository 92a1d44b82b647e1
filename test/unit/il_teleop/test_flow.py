"""Countdown, longest take, reset pause, and what the operator hears of them."""

from __future__ import annotations

import io
import os
import stat
import time
import wave
from pathlib import Path

import pytest

from il_core.errors import ConfigError
from il_teleop.cue import Cue, Kind, Player, cue_from, tone
from il_teleop.flow import Flow, FlowConfig, changed
from il_teleop.recorder import Effect, Event, State, Status, step

S = 10**9
TICK_NS = 20_000_000


class Desk:
    """A recorder without a disk: states, flow and a clock."""

    def __init__(self, config: FlowConfig) -> None:
        self.flow, self.status, self.now_ns = Flow(config), Status(), 5 * S
        self.cues: list[tuple[float, Cue]] = []
        self.opened_ns: list[int] = []

    def apply(self, event: Event, reason: str = "") -> None:
        result = step(self.status, event, reason)
        assert result.is_accepted, result.refusal
        self.status = result.status
        self.opened_ns += [self.now_ns] * (Effect.OPEN in result.effects)

    def press(self, event: Event) -> Event | None:
        now = self.flow.ask(event, self.status, self.now_ns)
        if now is not None:
            self.apply(now)
        return now

    def run(self, seconds: float) -> None:
        for _ in range(round(seconds * S / TICK_NS)):
            self.now_ns += TICK_NS
            events, cues = self.flow.tick(self.status, self.now_ns)
            self.cues += [(self.now_ns / S, cue) for cue in cues]
            for event in events:
                self.apply(event)
            if self.status.state in (State.SAVED, State.DISCARDED):
                self.flow.tick(self.status, self.now_ns)
                self.apply(Event.DONE)

    @property
    def kinds(self) -> list[Kind]:
        return [cue.kind for _, cue in self.cues]


def test_without_a_countdown_a_start_is_applied_at_once():
    desk = Desk(FlowConfig())
    assert desk.press(Event.START) is Event.START
    assert desk.status.state is State.RECORDING


def test_a_countdown_says_every_second_and_then_starts():
    desk = Desk(FlowConfig(countdown_s=3.0))
    asked_ns = desk.now_ns
    assert desk.press(Event.START) is None
    desk.run(2.9)
    assert desk.status.state is State.IDLE
    assert desk.flow.text(desk.now_ns) == "starts in 0 s"
    desk.run(0.2)
    assert desk.status.state is State.RECORDING
    assert desk.opened_ns == [asked_ns + 3 * S]
    assert [cue.words for _, cue in desk.cues if cue.kind is Kind.COUNT] == ["3", "2", "1"]


@pytest.mark.parametrize("event", [Event.STOP, Event.DISCARD])
def test_a_countdown_can_be_called_off(event):
    desk = Desk(FlowConfig(countdown_s=3.0))
    desk.press(Event.START)
    desk.run(1.0)
    assert desk.press(event) is None
    desk.run(5.0)
    assert desk.opened_ns == []
    desk.press(Event.START)
    desk.run(3.1)
    assert len(desk.opened_ns) == 1


def test_pressing_start_twice_does_not_start_twice():
    desk = Desk(FlowConfig(countdown_s=1.0))
    desk.press(Event.START)
    desk.press(Event.START)
    desk.run(2.0)
    assert len(desk.opened_ns) == 1


def test_a_take_stops_by_itself_after_its_longest_time():
    desk = Desk(FlowConfig(take_max_s=2.0))
    desk.press(Event.START)
    desk.run(1.9)
    assert desk.status.state is State.RECORDING
    desk.run(0.2)
    assert desk.status.state is State.REVIEW


def test_a_take_begun_again_has_its_whole_time():
    desk = Desk(FlowConfig(take_max_s=2.0))
    desk.press(Event.START)
    desk.run(1.5)
    desk.press(Event.REDO)
    desk.run(1.5)
    assert desk.status.state is State.RECORDING
    assert Cue(Kind.STARTED, "again") in [cue for _, cue in desk.cues]


def test_automatic_takes_follow_each_other_after_the_pause_until_somebody_stops_them():
    desk = Desk(FlowConfig(1.0, 2.0, 1.0, is_automatic=True, keeps_automatically=True))
    desk.press(Event.START)
    desk.run(20.0)
    assert desk.status.saved >= 4
    apart = {round((b - a) / S, 1) for a, b in zip(desk.opened_ns, desk.opened_ns[1:], strict=False)}
    assert apart <= {4.0, 4.1}, "one second of take, two of pause, one of countdown"
    while desk.status.state is not State.IDLE or desk.flow.is_counting_down:
        desk.run(0.1)
    saved = desk.status.saved
    desk.press(Event.STOP)  # in the pause
    desk.run(10.0)
    assert desk.status.saved == saved


@pytest.mark.parametrize("last, kind", [(Event.KEEP, Kind.KEPT), (Event.DISCARD, Kind.DISCARDED)])
def test_a_disk_quicker_than_a_tick_does_not_break_the_chain(last, kind):
    desk = Desk(FlowConfig(reset_s=0.5, is_automatic=True))
    desk.press(Event.START)
    desk.run(0.1)
    desk.press(Event.STOP)
    desk.run(0.1)
    desk.press(last)
    desk.apply(Event.DONE)  # before the next tick
    desk.run(1.0)
    assert kind in desk.kinds
    assert len(desk.opened_ns) == 2


def test_a_start_ends_the_pause_early():
    desk = Desk(FlowConfig(reset_s=60.0))
    desk.press(Event.START)
    desk.press(Event.STOP)
    desk.press(Event.KEEP)
    desk.run(1.0)
    assert "put the scene back, 59 s left" in desk.flow.text(desk.now_ns)
    assert desk.press(Event.START) is Event.START


def test_a_rejected_take_is_never_kept_automatically():
    desk = Desk(FlowConfig(keeps_automatically=True))
    desk.press(Event.START)
    desk.run(0.1)
    desk.press(Event.STOP)
    desk.apply(Event.REJECT, "joint_states: hole of 2000 ms")
    desk.run(1.0)
    assert desk.status.state is State.REVIEW
    assert Kind.REJECTED in desk.kinds


def test_a_fault_calls_everything_off():
    desk = Desk(FlowConfig(countdown_s=1.0))
    desk.press(Event.START)
    desk.run(0.1)
    desk.apply(Event.FAILED, "the disk is full")
    desk.run(3.0)
    assert desk.opened_ns == []
    assert desk.cues[-1][1] == Cue(Kind.FAULT, "fault: the disk is full")


@pytest.mark.parametrize(
    "text, key, value",
    [
        ("countdown_s: 3", "countdown_s", 3.0),
        ("is_automatic: true", "is_automatic", True),
        ("reset_s:2.5", "reset_s", 2.5),
    ],
)
def test_the_flow_can_be_changed_by_text(text, key, value):
    assert getattr(changed(FlowConfig(), text), key) == value


@pytest.mark.parametrize(
    "text, message",
    [
        ("countdown: 3", "did you mean 'countdown_s'"),
        ("countdown_s", "expected '<key>: <value>'"),
        ("countdown_s: -1", "countdown_s must be within 0 and 86400, got -1.0"),
        ("countdown_s: soon", "countdown_s"),
        ("countdown_s: true", "needs a number"),
        ("countdown_s: [", "is no value"),
        ("is_automatic: 3", "is_automatic"),
    ],
)
def test_a_change_that_makes_no_sense_is_refused(text, message):
    with pytest.raises(ConfigError, match=message):
        changed(FlowConfig(), text)


@pytest.mark.parametrize("kind", Kind)
def test_every_cue_has_a_tone_that_any_player_can_read_and_that_begins_and_ends_in_silence(kind):
    with wave.open(io.BytesIO(tone(kind))) as file:
        samples = memoryview(file.readframes(file.getnframes())).cast("h")
        assert file.getnframes() / file.getframerate() < 1.5
    assert max(samples) > 10_000
    assert samples[0] == 0
    assert samples[-1] == 0
    assert len(tone(kind)) < 60_000, "fits into a pipe: playing never waits"


def test_cues_travel_as_text():
    for cue in (Cue(Kind.KEPT, "kept 3"), Cue(Kind.FAULT, "fault: topic: silent")):
        assert cue_from(cue.text) == cue
    with pytest.raises(ConfigError, match="did you mean 'kept'"):
        cue_from("keptt: 3")


def program(folder: Path, name: str, body: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def finder(folder: Path):
    return lambda name: str(folder / name) if (folder / name).exists() else None


def test_the_player_uses_what_is_installed_and_the_bell_otherwise(tmp_path, capsys, monkeypatch):
    Player("auto", finder(tmp_path)).play(Cue(Kind.KEPT, "kept 1"))
    assert capsys.readouterr().out == "\a"
    program(tmp_path, "aplay", f"cat > {tmp_path}/heard.wav")
    program(tmp_path, "espeak-ng", f'echo "$1" > {tmp_path}/said.txt')
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for mode, file in (("auto", "heard.wav"), ("speech", "said.txt")):
        player = Player(mode, finder(tmp_path))
        player.play(Cue(Kind.KEPT, "kept 1"))
        player.close()
        assert (tmp_path / file).exists()
    assert (tmp_path / "heard.wav").read_bytes() == tone(Kind.KEPT)
    assert (tmp_path / "said.txt").read_text() == "kept 1\n"
    assert capsys.readouterr().out == ""


def test_a_player_that_fails_is_replaced_by_the_bell_and_never_waited_for(tmp_path, capsys, monkeypatch):
    program(tmp_path, "aplay", "exit 1")
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    player = Player("sound", finder(tmp_path))
    player.play(Cue(Kind.COUNT, "3"))
    player._running[0].wait(5.0)
    player.play(Cue(Kind.COUNT, "2"))
    assert capsys.readouterr().out == "\a"
    program(tmp_path, "aplay", "sleep 5")
    slow = Player("sound", finder(tmp_path))
    began = time.monotonic()
    slow.play(Cue(Kind.COUNT, "1"))
    assert time.monotonic() - began < 1.0
    slow.close(timeout_s=0.01)


def test_speech_that_nobody_can_speak_is_refused_with_the_way_out(tmp_path):
    with pytest.raises(ConfigError, match="apt install espeak-ng"):
        Player("speech", finder(tmp_path))
    with pytest.raises(ConfigError, match="unknown mode 'loud'"):
        Player("loud")
