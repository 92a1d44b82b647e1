"""Settings of the operator's console; values are in config/console/."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from pathlib import Path

from il_core.config import config_dir, load_yaml
from il_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class ConsoleConfig:
    """Where the console listens, what it may cost, and which service stops the arm.

    Attributes:
        host: Address to listen on; one of this machine's, or 0.0.0.0 for all of them.
        port: TCP port, the only one that is opened; 0 takes a free one.
        hosts: Names, besides this machine's addresses, by which browsers may call the console.
        token_file: File that holds the token; empty = ``$XDG_STATE_HOME/il_robot/console_token``.
        is_token_always_required: Ask for the token on loopback too: where other people have accounts, and behind
            any proxy or forwarded port, whose visitors come from loopback.
        tls_certificate: PEM file; with ``tls_key`` the console speaks https.
        tls_key: PEM file.
        max_pages: Pages open at the same time.
        state_hz: State messages per second and page at most; one a second is sent in any case.
        preview_hz: Pictures per second and camera.
        preview_width_px: Pictures are made this narrow, never wider.
        preview_quality: JPEG quality, 1 to 95.
        preview_limit_kb_s: All pictures of one page together [kB/s].
        command_max_age_s: A command that arrives later than this is refused [s].
        stop_service: std_srvs/Trigger that the stop button calls.
        target_count: Demonstrations wanted; 0 = no target. The page can change it.
    """

    host: str = "127.0.0.1"
    port: int = 8088
    hosts: tuple[str, ...] = ()
    token_file: str = ""
    is_token_always_required: bool = False
    tls_certificate: str = ""
    tls_key: str = ""
    max_pages: int = 8
    state_hz: float = 5.0
    preview_hz: float = 5.0
    preview_width_px: int = 320
    preview_quality: int = 70
    preview_limit_kb_s: float = 500.0
    command_max_age_s: float = 2.0
    stop_service: str = "controller/stop"
    target_count: int = 0

    def __post_init__(self) -> None:
        """Reject what cannot be."""
        try:
            ipaddress.ip_address(self.host)
        except ValueError:
            raise ConfigError("console", f"host '{self.host}' is no address; write 127.0.0.1 or 0.0.0.0") from None
        ranges = {
            "port": (0, 65535),
            "max_pages": (1, 64),
            "state_hz": (1.0, 20.0),
            "preview_hz": (0.2, 15.0),
            "preview_width_px": (64, 1280),
            "preview_quality": (1, 95),
            "preview_limit_kb_s": (20.0, 20_000.0),
            "command_max_age_s": (0.2, 10.0),
            "target_count": (0, 100_000),
        }
        for key, (low, high) in ranges.items():
            if not low <= (got := getattr(self, key)) <= high:
                raise ConfigError("console", f"{key} must be from {low:g} to {high:g}, got {got:g}")
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ConfigError("console", "tls_certificate and tls_key come together, or neither")

    @property
    def scheme(self) -> str:
        """Of the page's address."""
        return "https" if self.tls_certificate else "http"

    @property
    def is_local(self) -> bool:
        """Whether nobody but this machine can connect."""
        return ipaddress.ip_address(self.host).is_loopback


def load_console_config(name: str) -> ConsoleConfig:
    """Read config/console/<name>.yaml, or the file itself if ``name`` is a path to one."""
    path = Path(name) if name.endswith((".yaml", ".yml")) else config_dir() / "console" / f"{name}.yaml"
    return load_yaml(path, ConsoleConfig)
