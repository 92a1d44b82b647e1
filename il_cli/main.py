"""The `il` command: finds the command asked for, and turns errors into one sentence and an exit status."""

from __future__ import annotations

import errno
import importlib
import logging
import os
import signal
import sys
from dataclasses import dataclass
from types import FrameType

import typer
from rich.console import Console

from il_core.errors import IlError
from il_core.security import COMMAND, secured


@dataclass(frozen=True, slots=True)
class Entry:
    """Where a command lives.

    Attributes:
        module: Module to import when the command is used, and only then.
        attribute: Function, or Typer app with subcommands.
        summary: One line for ``il --help``.
    """

    module: str
    attribute: str
    summary: str


COMMANDS = {
    "demo": Entry("il_cli.demo", "demo", "Show a task, record it, learn it, and let the arm do it."),
    "doctor": Entry("il_cli.doctor", "doctor", "Say what this machine has, and how to get what it lacks."),
    "sim": Entry("il_cli.sim", "sim", "Start the simulated arm, its cameras and the controller."),
    "gazebo": Entry("il_cli.gazebo", "app", "Write the simulated scene for Gazebo."),
    "up": Entry("il_cli.up", "up", "Start any graph of nodes, as the launch files do."),
    "teleop": Entry("il_cli.teleop", "app", "Move the arm: keyboard, gamepad, SpaceMouse, leader arm, phone, hand."),
    "record": Entry("il_cli.record", "record", "Record demonstrations."),
    "console": Entry("il_cli.console.command", "console", "A page for tablets: cameras, recording, policy, stop."),
    "review": Entry("il_cli.review", "review", "Look at recordings, score them, keep, trim, relabel or delete them."),
    "replay": Entry("il_cli.replay", "replay", "Let the arm repeat a demonstration and record it again."),
    "dataset": Entry("il_cli.dataset", "app", "Build and look into datasets."),
    "train": Entry("il_cli.train", "train", "Train a policy on a dataset."),
    "serve": Entry("il_cli.serve", "serve", "Let a trained policy drive the arm."),
    "export": Entry("il_cli.export", "export", "Write a policy as graphs that run without torch."),
    "calibrate": Entry("il_cli.export", "calibrate", "Measure what a policy knows, so that it tells what it does not."),
    "infer-server": Entry("il_cli.serve", "infer_server", "Make plans for robots elsewhere."),
    "calibrate-camera": Entry("il_cli.calibrate_camera", "calibrate_camera", "Measure where a camera sits."),
    "view": Entry("il_cli.view", "view", "Watch pictures, arm, targets, plans and forces live in Rerun."),
    "latency": Entry("il_cli.latency", "latency", "Measure how late cameras, states and actions are."),
    "robot": Entry("il_cli.robot", "app", "Make a robot's files from a URDF, or show a robot."),
    "security": Entry("il_cli.security", "app", "Secure mode (SROS2): check it, write its policy."),
    "eval": Entry("il_cli.evaluate", "evaluate", "Count how often a policy succeeds."),
}


def main() -> None:
    """Run the command line of this process."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s: %(message)s")
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)  # unwinds the stack, so that supervisors stop their nodes
    os.environ.update(secured(os.environ, COMMAND))  # in secure mode a command has keys of its own
    sys.exit(run(sys.argv[1:], COMMANDS))


def _leave(number: int, frame: FrameType | None) -> None:
    """Turn a termination request into an exception."""
    sys.exit(128 + number)


def run(arguments: list[str], commands: dict[str, Entry]) -> int:
    """Run one command and report what went wrong, if anything, on stderr.

    Args:
        arguments: Command line without the program's name.
        commands: Commands by name.

    Returns:
        Exit status: 0 success, 1 an error explained in one sentence, 2 wrong usage, 130 Ctrl-C.
    """
    try:
        typer.main.get_command(_app(arguments, commands))(arguments, prog_name="il")
    except SystemExit as done:  # how typer reports help, wrong usage, typer.Exit and Ctrl-C
        return done.code if isinstance(done.code, int) else 1
    except IlError as error:
        _complain(f"error: {error}")
        return 1
    except OSError as error:
        _complain(f"error: {_sentence(error)}")
        return 1
    return 0


def _app(arguments: list[str], commands: dict[str, Entry]) -> typer.Typer:
    """An app in which only the command asked for is imported; the others are their summaries."""
    app = typer.Typer(
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        add_completion=False,
        help="Imitation learning on a robot arm.",
    )
    asked = next((a for a in arguments if not a.startswith("-")), None)
    for name, entry in commands.items():
        if name != asked:
            app.command(name, help=entry.summary)(_placeholder)
            continue
        target = getattr(importlib.import_module(entry.module), entry.attribute)
        if isinstance(target, typer.Typer):
            app.add_typer(target, name=name, help=entry.summary)
        else:
            app.command(name)(target)
    return app


def _placeholder() -> None:
    """Stand for a command that was not asked for; never runs."""


def _sentence(error: OSError) -> str:
    """An operating system error in words."""
    where = f" while writing {error.filename}" if error.filename else ""
    if error.errno == errno.ENOSPC:
        return (
            f"no space left on the disk{where}; free some or choose another folder. "
            "Recordings finished earlier are whole"
        )
    return f"{error.filename}: {error.strerror}" if error.filename else str(error)


def _complain(sentence: str) -> None:
    """Print a sentence on stderr, red on a terminal."""
    Console(stderr=True, soft_wrap=True).print(sentence, style="red", markup=False, highlight=False)


if __name__ == "__main__":
    main()
