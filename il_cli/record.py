"""`il record`: the operator's console of the recorder."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from rich.console import Group

    from il_cli.ros.session import Session
    from il_teleop.recorder import Event

REFRESH_S = 0.1
ATTACH_S = 10.0
KEYS = "r start   s stop   y success   n failure   k keep   d discard   q quit"


def record(
    count: Annotated[int, typer.Option(min=0, help="Stop after so many are kept; 0 = until q.")] = 0,
) -> None:
    """Record demonstrations: live rates and losses, one key per step.

    The graph must run: start it in another terminal with `il up record`.

    Example: il record --count 20
    """
    from rich.live import Live

    from il_cli.ros.session import Session
    from il_core.graph import ros_environment
    from il_teleop.devices.keyboard import Terminal

    os.environ.update(ros_environment(os.environ))  # before ROS starts in this process
    with Terminal() as terminal, Session("il_record") as session:
        kept_before = int(_attach(session)["saved"])
        answer = "ready"
        with Live(refresh_per_second=10) as live:
            while True:
                values = session.diagnostics["recorder"]
                kept = int(values["saved"]) - kept_before
                live.update(screen(values, answer, kept, count))
                if count and kept >= count:
                    break
                keys = terminal.keys()
                if "q" in keys:
                    break
                for key in keys:
                    answer = _press(session, key) or answer
                time.sleep(REFRESH_S)


def _attach(session: Session) -> dict[str, str]:
    """Wait for the recorder's first status.

    Raises:
        GraphError: no recorder is running.
    """
    what = "topic '/diagnostics' carries nothing from node 'recorder': start the graph with `il up record`"
    session.wait(lambda: "recorder" in session.diagnostics, ATTACH_S, what)
    return session.diagnostics["recorder"]


def _press(session: Session, key: str) -> str:
    """Call the service of a key.

    Returns:
        What the recorder said, or nothing if the key means nothing.
    """
    from il_core.errors import GraphError
    from il_teleop.devices.keyboard import EVENT_KEYS

    if key not in EVENT_KEYS:
        return ""
    try:
        return session.trigger(service_of(EVENT_KEYS[key]), timeout_s=30.0)
    except GraphError as error:
        return str(error)


def service_of(event: Event) -> str:
    """Name of the recorder's service for an event."""
    return f"recorder/{event.value}"


def screen(values: Mapping[str, str], answer: str, kept: int, wanted: int) -> Group:
    """The console's picture of a recorder status.

    Args:
        values: Values of the recorder's diagnostics, see ``il_teleop/recorder_report.py``.
        answer: What the recorder said last.
        kept: Recordings kept since the console started.
        wanted: Recordings wanted; 0 = no target.
    """
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    table = Table(title=f"{values['state']}, {values['outcome']}", title_justify="left")
    for column in ("topic", "received", "lost", "gaps", "rate [Hz]", "age [ms]"):
        table.add_column(column, justify="left" if column == "topic" else "right")
    for topic in (key.split(":", 1)[1] for key in values if key.startswith("received:")):
        cells = [values[f"{name}:{topic}"] for name in ("received", "lost", "gaps", "rate_hz", "age_ms")]
        style = "red" if cells[1] != "0" else "dim" if not cells[4] else ""
        table.add_row(topic, *cells, style=style)
    target = f" of {wanted}" if wanted else ""
    lines = [Text(values["message"]), Text(answer), Text(f"kept {kept}{target}"), Text(KEYS, style="dim")]
    bar = [ProgressBar(total=wanted, completed=kept)] if wanted else []
    return Group(table, *lines, *bar)
