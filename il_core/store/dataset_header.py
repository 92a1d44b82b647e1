"""dataset.json: what a dataset is made for, and what its episodes are."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from pathlib import Path

from il_core.errors import EpisodeError
from il_core.spec import RobotSpec, TaskSpec
from il_core.store.seal import Reading, read_sealed, seal
from il_core.types import Intrinsics, Outcome

FORMAT_VERSION = 1
DATASET_FILE = "dataset.json"
COPY_FILE = "dataset.copy.json"  # the same once more, for `il dataset repair`


@dataclass(frozen=True, slots=True)
class EpisodeEntry:
    """What dataset.json says about one episode.

    Attributes:
        name: Name of the recording it comes from, and of its file.
        length: Number of ticks.
        outcome: The operator's judgement.
        rate_hz: Tick rate [Hz].
        file_sha256: Digest of the Parquet file, hex.
        file_bytes: Its size [B].
        file_crc32: Its CRC-32, which finds a flipped bit; 0 in datasets of release 0.1.
        source: Folder of the recording it was built from.
        instruction: The task in words.
        notes: Free text by key.
        intrinsics: Pinhole parameters per camera.
        statistics: Numbers for a quick look, unit in the key.
    """

    name: str
    length: int
    outcome: Outcome
    rate_hz: int
    file_sha256: str
    file_bytes: int
    file_crc32: int = 0
    source: str = ""
    instruction: str = ""
    notes: dict[str, str] = field(default_factory=dict)
    intrinsics: dict[str, Intrinsics] = field(default_factory=dict)
    statistics: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DatasetHeader:
    """Content of dataset.json.

    Attributes:
        spec_digest: Digest of robot, task and URDF, hex.
        robot: The arm.
        task: The task.
        episodes: One entry per episode, in the order they were added.
        rejected: Why a recording is not among the episodes, by its name.
        options: How the dataset was built, by key.
        format_version: Version of this layout.
    """

    spec_digest: str
    robot: RobotSpec
    task: TaskSpec
    episodes: tuple[EpisodeEntry, ...] = ()
    rejected: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION


def dataset_text(header: DatasetHeader) -> str:
    """JSON of a header with its digest; the same header gives the same text.

    Nothing is said of a wrench where none is observed, so that datasets without one stay what they were.
    """
    values = asdict(header)
    for part, key, default in (("robot", "wrench_sensor", None), ("task", "wrench", False)):
        if values[part][key] == default:
            del values[part][key]
    return seal(values)


def read_dataset_header(folder: Path, name: str = DATASET_FILE) -> DatasetHeader:
    """Read and check dataset.json, or its copy.

    Raises:
        EpisodeError: missing, not JSON, of an unknown version, changed, or with impossible values.
    """
    path = folder / name
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        problem = f"holds no {name}" if folder.is_dir() else "no such folder"
        raise EpisodeError(folder, f"{problem}; make a dataset with `il dataset build`") from None
    except OSError as error:
        raise EpisodeError(path, f"cannot be read ({error}); {_MEND}") from error
    return parse_dataset_header(data, path)


_MEND = "`il dataset repair` mends what can be mended, or build the dataset again from its recordings"


def parse_dataset_header(data: bytes, path: Path) -> DatasetHeader:
    """Header from the text of :func:`dataset_text`, or of release 0.1, which had no digest.

    Args:
        data: The text.
        path: Its file, for messages.

    Raises:
        EpisodeError: not JSON, of an unknown version, changed, or with impossible values.
    """

    def fail(problem: str) -> EpisodeError:
        return EpisodeError(path, problem)

    newer = "build the dataset again from its recordings"
    return read_sealed(data, DatasetHeader, Reading(FORMAT_VERSION, str(path), fail, _MEND, newer))
