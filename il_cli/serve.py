"""`il serve`: let a trained policy drive the arm of a running graph; `il infer-server`: make its plans elsewhere."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

from il_cli.place import Namespace, SimTime

Serving = Annotated[str, typer.Option("--config", help="How to serve: name in config/serve/ or a YAML file.")]


def serve(
    checkpoint: Annotated[Path, typer.Argument(help="Folder that `il train` wrote.")],
    task: Annotated[str, typer.Option(help="Task; the checkpoint's own if empty.")] = "",
    robot: Annotated[str, typer.Option(help="Robot; the task's own if empty.")] = "",
    config: Serving = "default",
    remote: Annotated[str, typer.Option(help="host:port of `il infer-server`, which makes the plans.")] = "",
    key: Annotated[Path | None, typer.Option(help="Key file shared with that server.")] = None,
    instruction: Annotated[str, typer.Option(help="What to do, in words; the task file's if empty.")] = "",
    namespace: Namespace = "",
    use_sim_time: SimTime = False,
) -> None:
    """Serve a policy to the graph that runs already, such as `il sim`; it waits for policy/enable.

    An exported checkpoint (`il export`) runs without torch. With --remote the checkpoint only says which task.
    Another instruction later: `ros2 param set /policy instruction 'push the red puck'`.

    Example: il serve outputs/policy

    Example: il serve outputs/policy --instruction 'push the red puck onto the green disc'

    Example: il serve outputs/policy --remote gpu-box:7410 --key ~/.il/key
    """
    from il_core.config import load_setup
    from il_core.errors import ConfigError
    from il_core.graph import GraphOptions, graph, node_environment
    from il_core.security import secured
    from il_policy.card import described
    from il_policy.serving.config import load_serve_config
    from il_policy.serving.loading import check, is_lerobot, task_of
    from il_policy.serving.remote.client import parse_address
    from il_policy.serving.remote.link import read_key

    task = task or task_of(checkpoint)
    check(checkpoint, load_setup(task, robot or None))  # say here and in one line why it cannot be served
    load_serve_config(config)
    for line in () if is_lerobot(checkpoint) else described(checkpoint):
        typer.echo(f"evaluated: {line}")
    extra = ["-p", f"serving:={Path(config).resolve() if config.endswith(('.yaml', '.yml')) else config}"]
    if remote:
        parse_address(remote)
        if key is None:
            raise ConfigError("--remote", "needs --key FILE; make one with `il infer-server --make-key FILE`")
        read_key(key)
        extra += ["-p", f"remote:='{remote}'", "-p", f"key:={key.resolve()}"]
    if instruction:
        extra += ["-p", f"instruction:={json.dumps(instruction)}"]  # quoted as YAML, which ROS reads
    options = GraphOptions(
        task=task, robot=robot, checkpoint=str(checkpoint.resolve()), namespace=namespace, use_sim_time=use_sim_time
    )
    node = graph("policy", options).node("policy")
    typer.echo("loading; once it is ready: ros2 service call /policy/enable std_srvs/srv/SetBool '{data: true}'")
    sys.stdout.flush()
    arguments = [sys.executable, "-m", node.module, *node.ros_arguments, *extra]
    environment = secured(node_environment(os.environ), node.name)
    os.execve(sys.executable, arguments, environment)  # Ctrl-C reaches the node itself


def infer_server(
    checkpoint: Annotated[Path | None, typer.Argument(help="Folder of the policy.")] = None,
    key: Annotated[Path | None, typer.Option(help="Key file shared with the robots.")] = None,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for every network.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="TCP port; 0 takes a free one.")] = 7410,
    config: Serving = "default",
    task: Annotated[str, typer.Option(help="Task; needed for checkpoints of LeRobot, which name none.")] = "",
    robot: Annotated[str, typer.Option(help="Robot; the task's own if empty.")] = "",
    make_key: Annotated[Path | None, typer.Option(help="Only write a new key to this file.")] = None,
) -> None:
    """Make plans for robots elsewhere; only holders of the key are served.

    Every policy that `il serve` takes. Networks of `il train` serve up to 8 robots at once; movement primitives and
    LeRobot's checkpoints remember what they saw, so they serve the robot that began last.

    Messages are authenticated, not encrypted: use a tunnel where pictures are private.

    Example: il infer-server --make-key ~/.il/key

    Example: il infer-server outputs/policy --key ~/.il/key --host 0.0.0.0
    """
    import il_policy
    from il_core.config import load_setup
    from il_core.errors import ConfigError
    from il_policy.serving.config import load_serve_config
    from il_policy.serving.remote.link import make_key as write_key
    from il_policy.serving.remote.link import read_key
    from il_policy.serving.remote.server import InferenceServer

    if make_key is not None:
        write_key(make_key)
        typer.echo(f"{make_key}: copy it to the other machine, readable by its owner only")
        return
    if checkpoint is None or key is None:
        raise ConfigError("il infer-server", "needs a checkpoint and --key FILE; make one with --make-key FILE")
    secret, settings = read_key(key), load_serve_config(config)
    setup = load_setup(task, robot or None) if task else None
    policy = il_policy.load(checkpoint, setup, config=settings)
    policy.warm_up()
    server = InferenceServer(policy, settings, secret, host, port)

    def stop(number: int, frame: FrameType | None) -> None:
        server.close()

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, stop)
    typer.echo(f"{policy.runtime}; listening on {host}:{server.port}")
    sys.stdout.flush()
    server.run()
