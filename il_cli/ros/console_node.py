"""console_node: the operator's page between the graph and a browser."""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

import psutil
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rclpy.node import Node
from std_msgs.msg import Float64, String

from il_cli.console.auth import Guard, read_or_make_token, token_path
from il_cli.console.config import ConsoleConfig, load_console_config
from il_cli.console.desk import Desk
from il_cli.console.feed import Picture
from il_cli.console.server import ConsoleServer
from il_cli.console.state import Board, Heard
from il_cli.ros.console_hands import GraphHands
from il_cli.ros.console_previews import Previews
from il_core import topics
from il_core.camera_topics import load_camera_topics
from il_core.clock import SteadyClock
from il_core.config import load_setup
from il_core.graph import CAMERA_NODE
from il_core.ros import qos
from il_core.ros.diagnostics import own_statuses
from il_core.ros.node import run
from il_core.ros.params import declare

LOOK_S = 0.5  # how often it is looked which services there are


@dataclass(frozen=True, slots=True)
class ConsoleParams:
    """Parameters of console_node.

    Attributes:
        task: Name in config/task/, or path: whose cameras are shown.
        robot: Name in config/robot/ or path, whose home is gone to; empty means the task's own.
        cameras: Driver of config/camera/topics_<name>.yaml whose topics carry the pictures; empty means ours.
        settings: Name in config/console/, or path.
        host: Address to listen on; empty means that of the settings.
        port: TCP port; negative means that of the settings, 0 a free one.
        target: Demonstrations wanted; negative means that of the settings.
        token_always: Whether the token is asked for on loopback too, whatever the settings say.
    """

    task: str = "pick_place"
    robot: str = ""
    cameras: str = ""
    settings: str = "default"
    host: str = ""
    port: int = -1
    target: int = -1
    token_always: bool = False

    def config(self) -> ConsoleConfig:
        """The settings with what the parameters change.

        Raises:
            ConfigError: a file is missing or wrong, or a value cannot be.
        """
        config = load_console_config(self.settings)
        return replace(
            config,
            host=self.host or config.host,
            port=config.port if self.port < 0 else self.port,
            target_count=config.target_count if self.target < 0 else self.target,
            is_token_always_required=self.token_always or config.is_token_always_required,
        )


class ConsoleNode(Node):
    """Puts what it hears on the board; the server shows the board and hands commands to the graph."""

    def __init__(self) -> None:
        """Join the graph and open the page.

        Raises:
            IlError: a file is wrong, others can read the token, or the port is taken.
        """
        super().__init__("console")
        params = declare(self, ConsoleParams)
        config = params.config()
        setup = load_setup(params.task, params.robot or None)
        names = setup.task.cameras
        is_foreign = params.cameras not in ("", CAMERA_NODE)
        theirs = load_camera_topics(params.cameras).remaps(names) if is_foreign else {}
        ours = {name: topics.color(name) for name in names}
        cameras = {name: self.resolve_topic_name(theirs.get(topic, topic)) for name, topic in ours.items()}
        needs_token = config.is_token_always_required or not config.is_local
        self._token_path = token_path(config.token_file) if needs_token else None
        self._token = read_or_make_token(self._token_path) if self._token_path is not None else ""
        guard = Guard(self._token, config.scheme, config.hosts, is_always_asked=config.is_token_always_required)
        self._steady_ns = SteadyClock().now_ns
        self._board = Board(cameras, config.target_count)
        place = self.get_name() + "_previews", self.get_namespace()
        self._previews = Previews(*place, cameras, config, self._on_picture)
        self._hands = GraphHands(self, self._board, setup.robot, config.stop_service, self._previews.want)
        desk = Desk(self._board, self._hands, int(config.command_max_age_s * 1e9), self._steady_ns)
        self._config = config
        self._server = ConsoleServer(config, guard, desk)
        self.create_subscription(DiagnosticArray, topics.DIAGNOSTICS, self._on_diagnostics, qos.STREAM)
        self.create_subscription(DiagnosticArray, topics.CONTROL_SOURCE, self._on_source, qos.STREAM)
        self.create_subscription(Float64, topics.POLICY_DOUBT, self._on_doubt, qos.LATEST)
        self.create_subscription(String, topics.POLICY_HELP, self._on_help, qos.LATCHED)
        self.create_subscription(String, topics.RECORDER_CUE, self._on_cue, qos.STREAM)
        self.create_timer(LOOK_S, self._look)

    def start(self) -> None:
        """Serve, and say where."""
        self._server.start()
        for line in self._addresses():
            print(line, flush=True)

    def _addresses(self) -> list[str]:
        config, port, scheme = self._config, self._server.port, self._config.scheme
        if config.host in ("0.0.0.0", "::"):
            found = (a.address for group in psutil.net_if_addrs().values() for a in group if a.family.name == "AF_INET")
            hosts = sorted(found)
        else:
            hosts = [f"[{config.host}]" if ":" in config.host else config.host]
        secret = f"#token={self._token}" if self._token else ""
        free = () if config.is_token_always_required else ("127.",)  # where nobody is asked for it
        lines = [f"console: {scheme}://{host}:{port}/{'' if host.startswith(free) else secret}" for host in hosts]
        if self._token:
            lines.append(f"token: {self._token} (also in {self._token_path})")
        return lines

    def _on_diagnostics(self, msg: DiagnosticArray) -> None:
        for name, status in own_statuses(self, msg):
            self._board.hear(name, self._heard(status))

    def _on_source(self, msg: DiagnosticArray) -> None:
        for status in msg.status:
            self._board.hear_drive(self._heard(status))

    def _heard(self, status: DiagnosticStatus) -> Heard:
        level = status.level[0] if isinstance(status.level, bytes) else int(status.level)
        return Heard(level, status.message, {kv.key: kv.value for kv in status.values}, self._steady_ns())

    def _on_doubt(self, msg: Float64) -> None:
        self._board.hear_doubt(msg.data, self._steady_ns())

    def _on_help(self, msg: String) -> None:
        self._board.hear_help(msg.data)

    def _on_cue(self, msg: String) -> None:
        self._board.hear_cue(msg.data, self._steady_ns())

    def _on_picture(self, camera: str, picture: Picture) -> None:
        self._board.see(camera, picture.taken_ns)
        self._server.pictures[camera] = picture

    def _look(self) -> None:
        self._board.offer(self._hands.calls.ready())

    def on_shutdown_safe(self) -> None:
        """Close pages and port; the arm and the recorder go on as they are."""
        self._server.close()
        self._previews.close()


def main() -> None:
    """Entry point of the executable."""
    sys.exit(run(ConsoleNode))


if __name__ == "__main__":
    main()
