"""Topics of camera drivers that others wrote, as the topics of this project: names only, from config/camera/."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from il_core import topics
from il_core.config import config_dir, load_yaml
from il_core.errors import ConfigError, nearest

PREFIX = "topics_"
_COMPRESSED = ("compressed", "compressedDepth", "theora", "ffmpeg", "zstd")


@dataclass(frozen=True, slots=True)
class CameraTopics:
    """Where a driver publishes; ``{camera}`` stands for the camera's name.

    Attributes:
        color: sensor_msgs/Image in rgb8, bgr8, rgba8 or bgra8.
        depth: sensor_msgs/Image in 16UC1 [mm] or 32FC1 [m], of the size of colour and aligned to it.
        camera_info: sensor_msgs/CameraInfo of colour.
        start: How the driver has to be started for that, for people.
        names: The robot's camera names -> the driver's, where they differ.
    """

    color: str
    depth: str
    camera_info: str
    start: str = ""
    names: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Refuse topics that nothing here reads."""
        for key in ("color", "depth", "camera_info"):
            topic = getattr(self, key)
            if not topic.startswith("/"):
                raise ConfigError("camera topics", f"{key} '{topic}' must be absolute: a driver has its own namespace")
            if topic.rsplit("/", 1)[-1] in _COMPRESSED:
                problem = f"{key} '{topic}' is compressed, which changes what is recorded; name the raw image topic"
                raise ConfigError("camera topics", problem)

    def remaps(self, cameras: Sequence[str]) -> dict[str, str]:
        """This project's topic -> the driver's, for every camera, as ROS remapping rules.

        Raises:
            ConfigError: several cameras would share one topic.
        """
        rules: dict[str, str] = {}
        for camera in cameras:
            name = self.names.get(camera, camera)
            for ours, pattern in (
                (topics.color(camera), self.color),
                (topics.depth(camera), self.depth),
                (topics.camera_info(camera), self.camera_info),
            ):
                rules[ours] = pattern.replace("{camera}", name)
        if len(set(rules.values())) != len(rules):
            problem = f"cameras {list(cameras)} share topics; put {{camera}} into each topic, or give them other names"
            raise ConfigError("camera topics", problem)
        return rules


def known_drivers() -> list[str]:
    """Names :func:`load_camera_topics` knows."""
    return sorted(p.stem.removeprefix(PREFIX) for p in (config_dir() / "camera").glob(f"{PREFIX}*.yaml"))


def load_camera_topics(name: str) -> CameraTopics:
    """Read config/camera/topics_<name>.yaml.

    Raises:
        ConfigError: there is none, or it says what cannot be; lists the drivers there are.
    """
    if name not in known_drivers():
        raise ConfigError("camera driver", f"unknown driver '{name}'; {nearest(name, known_drivers())}")
    return load_yaml(config_dir() / "camera" / f"{PREFIX}{name}.yaml", CameraTopics)
