"""`il security`: SROS2 policy of the graph, and whether secure mode can be kept on this machine."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from il_cli.security_check import probe_middleware
from il_core.errors import ConfigError
from il_core.security import KEYSTORE, missing_files

app = typer.Typer(help="Secure mode (SROS2): check it, write its policy.", no_args_is_help=True)


@app.command()
def check() -> None:
    """Say whether secure mode can be kept here; exit status 1 if not.

    Example: il security check
    """
    from il_cli.security_policy import load_connections
    from il_core.graph import ros_environment

    verdict = probe_middleware(ros_environment(os.environ))
    typer.echo(f"middleware: {verdict.words}")
    keystore = os.environ.get(KEYSTORE, "")
    missing = missing_files(Path(keystore), load_connections().processes) if keystore else []
    typer.echo(f"keystore: {keystore or 'none, ' + KEYSTORE + ' is not set'}")
    for path in missing:
        typer.echo(f"  lacks {path}")
    raise typer.Exit(int(not verdict.has_security or not keystore or bool(missing)))


@app.command()
def policy(
    out: Annotated[Path | None, typer.Option(help="File to write; printed if not given.")] = None,
    namespace: Annotated[str, typer.Option(help="Namespace the graph runs in.")] = "/",
    connections: Annotated[Path | None, typer.Option(help="Table to use instead of the project's.")] = None,
) -> None:
    """Write the SROS2 policy: one enclave per process, and only what it uses.

    Example: il security policy --out policy.xml
    """
    from il_cli.security_policy import load_connections, policy_text

    if not namespace.startswith("/"):
        raise ConfigError("--namespace", f"'{namespace}' does not begin with /")
    text = policy_text(load_connections(connections), namespace)
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text)


@app.command()
def observe(
    nodes: Annotated[list[str] | None, typer.Argument(help="Nodes to look at; all if none is named.")] = None,
    out: Annotated[Path | None, typer.Option(help="Table to bring up to date; printed if not given.")] = None,
) -> None:
    """Look at a running graph and note who uses which topic and service.

    Example: il security observe --out config/security/connections.yaml
    """
    from il_cli.ros.observe import observe as look
    from il_cli.security_policy import load_connections
    from il_core.graph import ros_environment

    os.environ.update(ros_environment(os.environ))
    text = load_connections(out).with_observed(look(nodes or ())).text()
    if out is None:
        typer.echo(text, nl=False)
    else:
        out.write_text(text)
