"""`il record`: the operator's console of the recorder."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

from il_cli.place import Namespace, SimTime

if TYPE_CHECKING:
    from rich.console import Group

REFRESH_S = 0.1
KEYS = "r start  s stop  y success  n failure  1-5 quality  k keep  K keep anyway  d discard  b redo  q quit"


def record(  # noqa: PLR0913 - options of a command
    count: Annotated[int, typer.Option(min=0, help="Stop after so many are kept; 0 = until q.")] = 0,
    task_text: Annotated[str, typer.Option(help="The task in words, kept with each take.")] = "",
    operator: Annotated[str, typer.Option(help="Who demonstrates.")] = "",
    note: Annotated[list[str] | None, typer.Option(help="key=text, kept with each take; may be repeated.")] = None,
    countdown: Annotated[float | None, typer.Option(min=0, help="Seconds from the key to the first message.")] = None,
    reset: Annotated[float | None, typer.Option(min=0, help="Seconds after a take, to put the scene back.")] = None,
    max_seconds: Annotated[float | None, typer.Option(min=0, help="A take stops by itself after so long.")] = None,
    auto: Annotated[bool | None, typer.Option(help="The next take starts by itself after the reset pause.")] = None,
    keep: Annotated[bool | None, typer.Option(help="Keep a stopped take unasked, unless it is rejected.")] = None,
    cue: Annotated[str, typer.Option(help="What you hear: auto, speech, sound, bell, off.")] = "auto",
    kinesthetic: Annotated[bool, typer.Option(help="Free the arm to be led by the hand; g works the gripper.")] = False,
    namespace: Namespace = "",
    use_sim_time: SimTime = False,
) -> None:
    """Record demonstrations: live rates, losses and warnings, one key per step.

    The graph must run: start it in another terminal with `il up record`. Foot pedals and gamepads work
    the recorder too, through `il teleop`; see config/teleop/buttons.yaml.

    Examples: `il record --count 20 --countdown 3`, `il record --auto --keep --reset 10 --max-seconds 20`,
    `il record --operator Ada --task-text "pour the tea" --note cup=blue`, and `il record --kinesthetic`, after
    which `il replay RECORDING` films the demonstration without the hand.
    """
    from rich.live import Live

    from il_core.config import config_dir, load_yaml
    from il_core.errors import ConfigError
    from il_core.graph import ros_environment
    from il_core.graph_spec import Place
    from il_teleop.buttons import Buttons
    from il_teleop.cue import Player
    from il_teleop.devices.keyboard import Terminal

    keys = load_yaml(config_dir() / "teleop" / "buttons.yaml", Buttons).recorder_keys
    notes = dict(text.partition("=")[::2] for text in note or [])
    if "" in notes or "" in notes.values():
        raise ConfigError("--note", f"expected key=text, got {note}")
    place = Place(namespace, use_sim_time)
    player = Player(cue, ring=_ring)
    os.environ.update(ros_environment(os.environ))  # before ROS starts in this process
    from il_cli.ros.recording_desk import RecordingDesk
    from il_cli.ros.session import Session

    asked = {"countdown_s": countdown, "reset_s": reset, "take_max_s": max_seconds}
    asked |= {"is_automatic": auto, "keeps_automatically": keep}
    with Terminal() as terminal, Session("il_record", place) as session, contextlib.ExitStack() as after:
        desk = RecordingDesk(session, keys, player)
        after.callback(lambda: desk.close(is_complete=0 < count <= desk.kept))
        desk.describe(task_text, operator, {**notes, **({"mode": "kinesthetic"} if kinesthetic else {})})
        desk.set_flow({key: value for key, value in asked.items() if value is not None})
        if kinesthetic:
            after.enter_context(desk.guided())
        with Live(refresh_per_second=10) as live:
            while True:
                live.update(screen(desk.values, desk.answer, desk.kept, count, is_guided=kinesthetic))
                pressed = terminal.keys()
                if "q" in pressed or (count and desk.kept >= count):
                    break
                for key in pressed:
                    desk.press(key)
                desk.refresh()
                time.sleep(REFRESH_S)


def _ring() -> None:
    """Ring the terminal's bell past the live display, which swallows what it cannot draw."""
    if sys.__stdout__ is not None:
        sys.__stdout__.write("\a")
        sys.__stdout__.flush()


def screen(values: Mapping[str, str], answer: str, kept: int, wanted: int, *, is_guided: bool = False) -> Group:
    """The console's picture of a recorder status.

    Args:
        values: Values of the recorder's diagnostics, see ``il_teleop/recorder_report.py``.
        answer: What the recorder said last.
        kept: Recordings kept since the console started.
        wanted: Recordings wanted; 0 = no target.
        is_guided: Whether the arm is led by the hand.
    """
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    marks = [values["state"], values["outcome"]]
    marks += [f"quality {values['quality']}"] if values.get("quality") else []
    marks += ["led by the hand"] if is_guided else []
    table = Table(title=", ".join(marks), title_justify="left")
    for column in ("topic", "received", "lost", "gaps", "rate [Hz]", "age [ms]", "warning"):
        table.add_column(column, justify="left" if column in ("topic", "warning") else "right")
    for topic in (key.split(":", 1)[1] for key in values if key.startswith("received:")):
        cells = [values[f"{name}:{topic}"] for name in ("received", "lost", "gaps", "rate_hz", "age_ms")]
        warning = values.get(f"warning:{topic}", "")
        style = "red" if cells[1] != "0" else "yellow" if warning else "dim" if not cells[4] else ""
        table.add_row(topic, *cells, warning, style=style)
    target = f" of {wanted}" if wanted else ""
    who = ", ".join(values[key] for key in ("operator", "task_text") if values.get(key))
    told = Text(values["message"], style="bold red" if values.get("rejection") or values["state"] == "fault" else "")
    lines = [told, Text(answer), Text(values.get("pending", ""), style="bold"), Text(f"kept {kept}{target}"), Text(who)]
    bar = [ProgressBar(total=wanted, completed=kept)] if wanted else []
    keys = KEYS + ("  g gripper" if is_guided else "")
    return Group(table, *[line for line in lines if line.plain], Text(keys, style="dim"), *bar)
