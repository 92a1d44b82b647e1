"""How a policy is served: one dataclass, values from config/serve/<name>.yaml."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from il_core.config import config_dir, load_yaml
from il_core.parameters import setting
from il_policy.serving.rtc import BETA


class Runtime(str, Enum):
    """Who computes."""

    AUTO = "auto"
    ONNX = "onnx"
    OPENVINO = "openvino"
    TORCH = "torch"


class Device(str, Enum):
    """Where it is computed."""

    AUTO = "auto"  # both are measured where there is a GPU
    CPU = "cpu"
    CUDA = "cuda"


class Actions(str, Enum):
    """What the actions of the demonstrations were."""

    TARGETS = "targets"  # what the arm was asked for; it came behind then as it does now
    MOTION = "motion"  # where the arm was: its targets must go ahead of that


class Handover(str, Enum):
    """How a new plan joins the one before."""

    AUTO = "auto"  # rtc where noise is removed step by step, else blend
    NONE = "none"
    RTC = "rtc"
    BLEND = "blend"
    ENSEMBLE = "ensemble"


class Doubt(str, Enum):
    """What happens when the policy sees what it does not know, mildest first."""

    REPORT = "report"
    SLOW = "slow"
    HOLD = "hold"
    HELP = "help"  # hold, and ask for a person


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """Settings of serving.

    Attributes:
        runtime: Who computes.
        device: Where it is computed; ``auto`` is the processor, or a GPU where one was measured faster.
        threads: Threads of the runtime on the processor. More than one wait for each other: beside a busy core a
            plan then takes many times as long.
        handover: How a new plan joins the one before; one that a policy cannot do is refused.
        beta: Clip of the guidance weight of real-time chunking.
        ensemble_plans: Plans that temporal ensembling averages, the newest included; null = as the policy's recipe
            says, or 4 where that says nothing.
        ensemble_decay: Weight of plan i, oldest first: exp(-decay i); null = as the policy's recipe says, or 0.01.
        deadline_ms: Steps are taken until this [ms]; 0 = half of the time between two plans. A plan later
            than one tick is joined to the one before (``handover``), so this may be longer than a tick.
        min_steps: Fewer denoising steps are never taken: rather late than wrong.
        warm_tau: Level the last plan is noised to for a warm start, in (0, 1); 0 = start from noise.
        latency_ms: Latency assumed until enough plans were measured [ms].
        latencies: File that ``il latency`` wrote: a name beside this file, or a path; empty = none is in force.
        actions: What the actions of the demonstrations were; ``motion`` sends plans ahead by the action latency.
        doubt: What happens above ``doubt_limit``; anything but ``report`` needs a checkpoint that was calibrated. Of
            a robot and its inference server the stricter settings count.
        doubt_limit: Score that counts as unknown; 1 = the calibrated threshold.
        slow_factor: Plans are so many times slower if ``doubt`` is ``slow``.
    """

    runtime: Runtime = Runtime.AUTO
    device: Device = Device.AUTO
    threads: int = 1
    handover: Handover = Handover.AUTO
    beta: float = BETA
    ensemble_plans: int | None = None
    ensemble_decay: float | None = None
    deadline_ms: float = 0.0
    min_steps: int = 5
    warm_tau: float = 0.0
    latency_ms: float = 50.0
    latencies: str = ""
    actions: Actions = Actions.TARGETS
    doubt: Doubt = setting(Doubt.REPORT, is_dynamic=True)
    doubt_limit: float = setting(1.0, 0.001, 1000.0, is_dynamic=True)
    slow_factor: float = setting(3.0, 1.0, 100.0, is_dynamic=True)

    def __post_init__(self) -> None:
        """Check ranges."""
        plans = 1 if self.ensemble_plans is None else self.ensemble_plans
        if not 1 <= self.threads <= 256 or not 1 <= plans <= 1000 or self.min_steps < 1:
            raise ValueError("need threads in 1..256, ensemble_plans in 1..1000 and min_steps >= 1")
        if self.beta <= 0 or self.deadline_ms < 0 or self.latency_ms < 0 or not self.doubt_limit > 0:
            raise ValueError("need beta > 0, deadline_ms >= 0, latency_ms >= 0 and doubt_limit > 0")
        if not 0 <= self.warm_tau < 1:
            raise ValueError(f"warm_tau must be in [0, 1), got {self.warm_tau}")
        if not 1 <= self.slow_factor <= 100:
            raise ValueError(f"slow_factor must be in 1..100, got {self.slow_factor}")
        if self.actions is Actions.MOTION and not self.latencies:
            raise ValueError("actions 'motion' needs latencies: name the file that `il latency` wrote")


def load_serve_config(name: str = "default") -> ServeConfig:
    """Read config/serve/<name>.yaml, or the file itself.

    Raises:
        ConfigError: unknown file, key or value.
    """
    path = Path(name) if name.endswith((".yaml", ".yml")) else config_dir() / "serve" / f"{name}.yaml"
    config = load_yaml(path, ServeConfig)
    return replace(config, latencies=str(_beside(path, config.latencies))) if config.latencies else config


def _beside(path: Path, name: str) -> Path:
    """A file named in another: beside it, else where the program runs."""
    named = Path(name).expanduser()
    named = named if named.suffix in (".yaml", ".yml") else named.with_name(f"{named.name}.yaml")
    beside = path.resolve().parent / named  # an absolute name stays what it is
    return named.resolve() if named.exists() and not beside.exists() else beside
