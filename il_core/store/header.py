"""recording.json: what a recording is, who made it, and what was received and lost."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from il_core.errors import RecordingError
from il_core.spec import CameraSpec
from il_core.store.seal import Reading, read_sealed, seal
from il_core.types import Outcome

FORMAT_VERSION = 1
HEADER_FILE = "recording.json"
_MEND = "`il dataset repair` mends what can be mended"


@dataclass(frozen=True, slots=True)
class TopicRecord:
    """Account of one topic: published = received + lost.

    Attributes:
        type: Message type, such as ``sensor_msgs/msg/JointState``.
        received: Messages on disk.
        lost: Messages not on disk, by cause: ``transport``, ``queue``, ``write``.
        gaps: Holes between header stamps longer than the topic's rate allows.
        seconds: From first to last receive time [s].
    """

    type: str
    received: int
    lost: dict[str, int] = field(default_factory=dict)
    gaps: int = 0
    seconds: float = 0.0

    @property
    def rate_hz(self) -> float:
        """Mean rate while recording [Hz]; 0 if fewer than two messages came."""
        return (self.received - 1) / self.seconds if self.seconds > 0 else 0.0


@dataclass(frozen=True, slots=True)
class RecordingHeader:
    """Everything about a recording but its messages.

    Attributes:
        task: Name of the task.
        robot: Name of the arm.
        spec_digest: Digest of robot, task and URDF.
        created_ns: Start of the recording on the robot's clock [ns].
        name: Folder name, ``<utc>_<id>``; empty until the writer chose it.
        outcome: The operator's judgement.
        operator: Who showed it.
        instruction: The task in words.
        notes: Free text by key.
        clock: Which clock the stamps are on: ``system`` or ``sim``.
        namespace: ROS namespace of the robot; the data file holds absolute topic names.
        urdf_sha256: Digest of the robot description, hex.
        cameras: Calibration of the recorded cameras.
        topics: Account per topic, by the name in ``il_core/topics.py``.
        data_bytes: Size of the MCAP file [B].
        data_crc32: CRC-32 of the MCAP file.
        index_sha256: Digest of metadata.yaml, hex; empty in recordings of release 0.1.
        format_version: Version of this layout.
    """

    task: str
    robot: str
    spec_digest: str
    created_ns: int = 0
    name: str = ""
    outcome: Outcome = Outcome.UNLABELLED
    operator: str = ""
    instruction: str = ""
    notes: dict[str, str] = field(default_factory=dict)
    clock: str = "system"
    namespace: str = "/"
    urdf_sha256: str = ""
    cameras: tuple[CameraSpec, ...] = ()
    topics: dict[str, TopicRecord] = field(default_factory=dict)
    data_bytes: int = 0
    data_crc32: int = 0
    index_sha256: str = ""
    format_version: int = FORMAT_VERSION

    def absolute(self, topic: str) -> str:
        """Name of a topic in the data file: ``joint_states`` -> ``/<namespace>/joint_states``."""
        return topic if topic.startswith("/") else f"{self.namespace.rstrip('/')}/{topic}"


def header_text(header: RecordingHeader) -> str:
    """JSON of a header with its digest; the same header gives the same text."""
    return seal(asdict(header))


def read_header(folder: Path) -> RecordingHeader:
    """Read and check ``recording.json``.

    Raises:
        RecordingError: missing, not JSON, of an unknown version, changed, or with impossible values.
    """
    path = folder / HEADER_FILE
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise RecordingError(folder, _why_missing(folder)) from None
    except OSError as error:
        raise RecordingError(folder, f"{HEADER_FILE} cannot be read ({error}); restore it") from error
    return parse_header(data, folder)


def parse_header(data: bytes, folder: Path) -> RecordingHeader:
    """Header from the text of :func:`header_text`, or of release 0.1, which had no digest.

    Args:
        data: The text.
        folder: The recording, for messages.

    Raises:
        RecordingError: not JSON, of an unknown version, changed, or with impossible values.
    """

    def fail(problem: str) -> RecordingError:
        return RecordingError(folder, f"{HEADER_FILE} {problem}")

    newer = "use the release that wrote it, or a newer one"
    source = str(folder / HEADER_FILE)
    return read_sealed(data, RecordingHeader, Reading(FORMAT_VERSION, source, fail, _MEND, newer))


def _why_missing(folder: Path) -> str:
    """Say what a path without recording.json probably is."""
    if not folder.exists():
        return "no such folder; `il record` makes recordings, `ls` its --root shows those there are"
    if folder.suffix == ".partial":
        return (
            "was never finished (the recorder was killed or is still writing); `il dataset repair` finishes it, "
            "or record it again"
        )
    return f"has no {HEADER_FILE}; give the folder of one recording, <root>/<task>/<utc>_<id>"


def recording_name(task: str, spec_digest: str, created_ns: int) -> str:
    """``<utc>_<id>``: sortable by time; the id keeps two robots' recordings apart."""
    utc = datetime.fromtimestamp(created_ns // 1_000_000_000, tz=timezone.utc)
    identity = hashlib.sha256(f"{task}|{spec_digest}|{created_ns}".encode()).hexdigest()[:6]
    return f"{utc:%Y%m%dT%H%M%S}{created_ns // 1_000_000 % 1000:03d}_{identity}"
