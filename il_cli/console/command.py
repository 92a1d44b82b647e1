"""`il console`: the operator's page for a running graph."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from il_core.graph import GraphOptions

DEFAULT = GraphOptions()
NODE, MODULE = "console", "il_cli.ros.console_node"


def console(
    task: Annotated[str, typer.Option(help="Task, by name or YAML file: whose cameras are shown.")] = DEFAULT.task,
    robot: Annotated[str, typer.Option(help="Robot, by name or YAML file; the task's own if empty.")] = DEFAULT.robot,
    cameras: Annotated[str, typer.Option(help="Camera driver, as for `il up`.")] = DEFAULT.cameras,
    namespace: Annotated[str, typer.Option(help="Namespace of the graph, as for `il up`.")] = DEFAULT.namespace,
    count: Annotated[int, typer.Option(min=-1, help="Demonstrations wanted; -1 = as in the settings.")] = -1,
    host: Annotated[
        str, typer.Option(help="Address to listen on; 0.0.0.0 for tablets, which then need the token.")
    ] = "",
    port: Annotated[int, typer.Option(min=-1, max=65535, help="TCP port; -1 = as in the settings.")] = -1,
    token_always: Annotated[
        bool,
        typer.Option("--token-always", help="Ask for the token on this machine too: behind a proxy or forwarded port."),
    ] = False,
    config: Annotated[str, typer.Option(help="Settings: name in config/console/ or a YAML file.")] = "default",
) -> None:
    """Serve the operator's page until Ctrl-C: cameras, recording, policy, state of every node, stop.

    The graph runs elsewhere and may come and go. The page is for people; it is not a safety device.

    Example: il console --task pick_place --count 20

    Example: il console --host 0.0.0.0
    """
    from il_cli.console.config import load_console_config
    from il_core.config import load_setup
    from il_core.environment import node_environment
    from il_core.errors import ConfigError
    from il_core.graph_spec import NodeSpec
    from il_core.node_params import Parameter
    from il_core.security import secured

    if missing := [name for name in ("starlette", "uvicorn", "websockets") if find_spec(name) is None]:
        raise ConfigError("il console", f"needs {', '.join(missing)}: pip install 'il_robot[console]'")
    load_setup(task, robot or None)  # say here and in one line what is wrong
    load_console_config(config)
    settings = str(Path(config).resolve()) if config.endswith((".yaml", ".yml")) else config
    given = {"task": task, "robot": robot, "cameras": cameras, "settings": settings, "host": host}
    parameters = {key: value for key, value in given.items() if value}
    values: dict[str, Parameter] = {**parameters, "port": port, "target": count, "token_always": token_always}
    node = NodeSpec(NODE, MODULE, values, namespace=namespace.strip("/"))
    arguments = [sys.executable, "-m", node.module, *node.ros_arguments]
    os.execve(sys.executable, arguments, secured(node_environment(os.environ), NODE))  # Ctrl-C reaches the node
