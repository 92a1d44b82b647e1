"""Writes docs/reference/ and the SROS2 policy from the code: `python -m docs.generate`; `--check` only compares."""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import typer

from docs import settings_tables, topic_tables
from docs.markdown import code, page, prose, table
from il_cli.main import COMMANDS
from il_cli.security_policy import POLICY, load_connections, policy_text

HERE = Path(__file__).parent


FILES = (
    ("config/robot", "An arm, beside its URDF and SRDF.", "il_core.spec", "RobotSpec"),
    ("config/task", "A task: what is observed and what an action is.", "il_core.spec", "TaskSpec"),
    ("config/control", "Gains, limits and timeouts of the controller.", "il_control.config", "ControlConfig"),
    ("config/train", "How a policy is trained.", "il_policy.config", "TrainConfig"),
    ("config/serve", "How a policy is served.", "il_policy.serving.config", "ServeConfig"),
    ("outputs/latency.yaml", "What `il latency` measured.", "il_policy.serving.latency", "Latencies"),
    ("config/teleop/buttons.yaml", "What buttons mean.", "il_teleop.buttons", "Buttons"),
    ("config/teleop/retarget.yaml", "How wishes become targets.", "il_teleop.retarget", "RetargetConfig"),
    ("config/teleop/recorder.yaml", "What the recorder accepts.", "il_teleop.config", "RecorderRules"),
    ("config/camera/realsense.yaml", "RealSense cameras.", "il_teleop.cameras.config", "RealsenseConfig"),
    ("config/camera/topics_*.yaml", "Topics of other camera drivers.", "il_core.camera_topics", "CameraTopics"),
    ("config/camera/hand_eye.yaml", "Calibration of cameras.", "il_teleop.calibration.config", "HandEyeConfig"),
    ("config/console", "The operator's console.", "il_cli.console.config", "ConsoleConfig"),
    ("config/sim/randomise.yaml", "What --randomise varies.", "il_sim.randomise", "Randomisation"),
    ("config/gazebo", "Gazebo in the simulator's place.", "il_sim.gazebo.config", "GazeboConfig"),
    ("config/security/connections.yaml", "Who uses which topic.", "il_cli.security_policy", "ConnectionTable"),
    ("Mapping of a data set", "`il dataset import --map`.", "il_teleop.dataset.mapping", "Mapping"),
    ("Mapping of a bag", "`il dataset import-bag --map`.", "il_teleop.dataset.bag_in", "BagMapping"),
)
"""Kinds of YAML files: title, what it is, and the dataclass it is read into."""


def commands() -> Iterator[tuple[str, Any]]:
    """Every command of `il` with its full name, in the order of `il --help`; groups after their subcommands' parent."""
    for name, entry in COMMANDS.items():
        target = getattr(importlib.import_module(entry.module), entry.attribute)
        app = typer.Typer(add_completion=False)
        if isinstance(target, typer.Typer):
            app.add_typer(target, name=name)
        else:
            app.command(name)(target)
        built: Any = typer.main.get_command(app)
        yield from _walk("il", built if isinstance(target, typer.Typer) else _named(built, name))


def _named(command: Any, name: str) -> Any:  # noqa: ANN401 - typer's command objects have no public type
    command.name = name
    return command


def _walk(prefix: str, command: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - as above
    name = command.name
    full = f"{prefix} {name}" if name and name != "il" and not prefix.endswith(f" {name}") else prefix
    if full != "il":
        yield full, command
    for inner in getattr(command, "commands", {}).values():
        yield from _walk(full, inner)


def cli_page() -> str:
    """Every command with its arguments and options."""
    return page(
        "Commands",
        "What `il COMMAND --help` says. Every command ends with 0 on success, 1 after an error told in one sentence, "
        "2 after wrong usage and 130 after Ctrl-C.",
        [_command(name, command) for name, command in commands()],
    )


def _command(name: str, command: Any) -> str:  # noqa: ANN401 - as above
    rows = []
    for p in command.params:
        if p.name == "help":
            continue
        names = ", ".join(code(o) for o in [*p.opts, *p.secondary_opts])
        if not p.opts[0].startswith("-"):
            names = code(p.name.upper())
        rows.append([names, _default(p), prose(getattr(p, "help", None) or "")])
    text = inspect.cleandoc(command.help or "").split("\f")[0]
    lines = [_example(line) for line in text.splitlines()]
    return "\n\n".join(p for p in (f"## {name}", "\n".join(lines), table(["option", "default", "meaning"], rows)) if p)


def _example(line: str) -> str:
    """A line of help; examples become code."""
    before, mark, command = line.partition("Example: ")
    return f"{before}Example: `{command}`" if mark else line


def _default(parameter: Any) -> str:  # noqa: ANN401 - as above
    if parameter.required:
        return "required"
    value = parameter.default
    if value is None or value == "" or value == () or value == [] or callable(value):
        return ""
    if isinstance(value, bool):
        return "on" if value else ""
    if isinstance(value, tuple | list):
        return code(" ".join(str(getattr(v, "value", v)) for v in value))
    return code(getattr(value, "value", value))


def parameters_page() -> str:
    """Every node and its parameters."""
    found = settings_tables.node_parameters()
    sections = []
    for node in settings_tables.executables():
        sections.append(f"## {node}\n\n{settings_tables.parameter_table(found.get(node, []))}")
    return page(
        "Parameters of the nodes",
        "Set them with `-p name:=value` of `ros2 run`, or through the arguments of the launch files and of `il up`. "
        "A value of another type or out of range ends the node with a sentence that names it. "
        "Unless it says otherwise here, a parameter is read when the node starts or is configured.",
        sections,
    )


def configuration_page() -> str:
    """Every key of every YAML file."""
    roots = [(title, what, _find(module, name)) for title, what, module, name in FILES]
    for device in _devices():
        roots.append((f"config/teleop/{device[0]}.yaml", "Settings of this device.", device[1]))
    return page(
        "Keys of the configuration files",
        "An unknown, missing or mistyped key is refused with file and key. Numbers are in the unit their name ends in.",
        settings_tables.configuration_sections(roots),
    )


def _find(module: str, name: str) -> type:
    kind: type = getattr(importlib.import_module(module), name)
    return kind


def _devices() -> list[tuple[str, type]]:
    """Devices that have a layout file: name and the dataclass it is read into."""
    found = []
    for path in sorted((HERE.parent / "il_teleop" / "devices").glob("[a-z]*.py")):
        module = importlib.import_module(f"il_teleop.devices.{path.stem}")
        layouts = [k for n, k in vars(module).items() if n.endswith("Layout") and k.__module__ == module.__name__]
        if (HERE.parent / "config" / "teleop" / f"{path.stem}.yaml").is_file() and layouts:
            found.append((path.stem, layouts[0]))
    return found


def topics_page() -> str:
    """Every topic and service, and what each node uses."""
    return page(
        "Topics and services",
        "Names are relative, so that a namespace can be put in front. Who uses what was seen in a running graph "
        "(`il security observe`); `option` marks what depends on a parameter, a device or a command.",
        [
            "## Topics",
            topic_tables.topic_table(),
            "## Services",
            topic_tables.service_table(),
            "## Quality of service",
            "Profiles of [il_core/ros/qos.py](../../il_core/ros/qos.py):",
            topic_tables.qos_table(),
            "## By node",
            topic_tables.node_table(),
        ],
    )


PAGES: dict[str, Callable[[], str]] = {
    "docs/reference/commands.md": cli_page,
    "docs/reference/parameters.md": parameters_page,
    "docs/reference/configuration.md": configuration_page,
    "docs/reference/topics.md": topics_page,
    f"config/{POLICY}": lambda: policy_text(load_connections()),
}
"""What makes each file, by its place in the project."""


def main(arguments: list[str]) -> int:
    """Write the files, or say which are out of date.

    Returns:
        Exit status: 1 with `--check` and a page that differs.
    """
    stale = []
    for name, make in PAGES.items():
        text, path = make(), HERE.parent / name
        if not path.is_file() or path.read_text() != text:
            stale.append(name)
            if "--check" not in arguments:
                path.write_text(text)
    print(f"{'out of date' if '--check' in arguments else 'written'}: {', '.join(stale) or 'none'}")
    return int("--check" in arguments and bool(stale))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
