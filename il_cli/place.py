"""Options that say which of several running graphs a command joins."""

from __future__ import annotations

from typing import Annotated

import typer

Namespace = Annotated[str, typer.Option(help="Namespace of the running graph, as for `il up`, such as left.")]
SimTime = Annotated[bool, typer.Option("--use-sim-time", help="Its clock is the simulator's (/clock), as in Gazebo.")]
