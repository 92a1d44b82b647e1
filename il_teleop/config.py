"""What may vary between two runs of the teleoperation nodes: values of ROS parameters."""

from __future__ import annotations

from dataclasses import dataclass

from il_core.parameters import check_ranges, setting
from il_teleop.device import find
from il_teleop.flow import FlowConfig
from il_teleop.health import RejectRule, WarnRule


@dataclass(frozen=True, slots=True)
class RecorderConfig:
    """Parameters of recorder_node.

    Attributes:
        task: Name in config/task/, or path.
        robot: Name in config/robot/ or path; empty means the task's own.
        root: Folder of the recordings.
        operator: Who demonstrates.
        notes: Free text kept with each recording.
        state_rate_hz: Rate of the joint states [Hz], to see gaps.
        start_timeout_s: Longest wait for a silent topic at start [s].
        silent_s: A required topic without a message for so long is silent [s].
        queue_mb: Most data waiting for the disk [MB].
        rules: File in config/teleop/ with the warnings, the reject rule, and how takes follow each other.
    """

    task: str = "pick_place"
    robot: str = ""
    root: str = "outputs/recordings"
    operator: str = ""
    notes: str = ""
    state_rate_hz: float = setting(1000.0, 1.0, 10_000.0)
    start_timeout_s: float = setting(5.0, 0.1, 600.0, is_dynamic=True)
    silent_s: float = setting(2.0, 0.05, 600.0, is_dynamic=True)
    queue_mb: float = setting(256.0, 1.0, 65_536.0)
    rules: str = "recorder"

    def __post_init__(self) -> None:
        """Reject limits that could never be met."""
        check_ranges(self, "recorder")


@dataclass(frozen=True, slots=True)
class RecorderRules:
    """What config/teleop/recorder.yaml says.

    Attributes:
        warn: When the operator is warned.
        reject: Which takes are useless.
        flow: How one take leads to the next.
    """

    warn: WarnRule
    reject: RejectRule
    flow: FlowConfig


@dataclass(frozen=True, slots=True)
class TeleopConfig:
    """Parameters of teleop_node.

    Attributes:
        task: Name in config/task/, or path.
        robot: Name in config/robot/ or path; empty means the task's own.
        device: What the person moves: a file in il_teleop/devices/.
        layout: Its file in config/teleop/, or a path; empty means the file named like the device.
        pedal: Input device of a foot pedal, such as /dev/input/by-id/...-event-kbd; empty without one.
    """

    task: str = "pick_place"
    robot: str = ""
    device: str = "joy"
    layout: str = ""
    pedal: str = ""

    def __post_init__(self) -> None:
        """Reject unknown devices."""
        find(self.device)
