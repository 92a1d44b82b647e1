"""What may be set about the depth cameras; values come from config/camera/realsense.yaml."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from il_core.errors import ConfigError, nearest


class Sync(str, Enum):
    """Part a camera plays in hardware synchronisation, in RealSense's words."""

    NONE = "none"
    MASTER = "master"  # gives the pulse
    SLAVE = "slave"  # its depth follows the pulse
    FULL_SLAVE = "full_slave"  # colour follows it too, where the model can


class Holes(str, Enum):
    """What fills a pixel without depth."""

    NONE = "none"
    LEFT = "left"  # its left neighbour
    FARTHEST = "farthest"  # of its neighbours
    NEAREST = "nearest"  # of its neighbours


@dataclass(frozen=True, slots=True)
class FilterConfig:
    """Filters on depth, in the order they run; all off by default: what a filter took away never comes back.

    Attributes:
        decimation: Every so-many-th pixel, by median; 1 is off.
        in_disparity: Smooth 1/depth instead of depth, as stereo noise grows with its square.
        spatial_passes: Passes of the edge-preserving smoothing; 0 is off, at most 5.
        spatial_alpha: Weight of a pixel against its neighbours, in [0.25, 1].
        spatial_delta: Steps above it are edges and kept [device depth units], 1 to 50.
        temporal_alpha: Weight of the newest frame; 1 is off. Smaller smooths, and smears what moves.
        temporal_delta: Changes above it are motion and kept [device depth units], 1 to 100.
        holes: How pixels without depth are filled: a guess, not a measurement.
        min_distance_m: Nearer is no measurement [m]; 0 is off.
        max_distance_m: Farther is no measurement [m]; 0 is off.
    """

    decimation: int = 1
    in_disparity: bool = True
    spatial_passes: int = 0
    spatial_alpha: float = 0.5
    spatial_delta: int = 20
    temporal_alpha: float = 1.0
    temporal_delta: int = 20
    holes: Holes = Holes.NONE
    min_distance_m: float = 0.0
    max_distance_m: float = 0.0

    def __post_init__(self) -> None:
        """Reject what the filters do not take."""
        bounds = {
            "decimation": (1, 8),
            "spatial_passes": (0, 5),
            "spatial_alpha": (0.25, 1.0),
            "spatial_delta": (1, 50),
            "temporal_alpha": (0.0, 1.0),
            "temporal_delta": (1, 100),
            "min_distance_m": (0.0, 16.0),
            "max_distance_m": (0.0, 16.0),
        }
        for key, (low, high) in bounds.items():
            if not low <= getattr(self, key) <= high:
                raise ConfigError("filters", f"{key} must be in [{low}, {high}], got {getattr(self, key)}")
        if self.max_distance_m and self.min_distance_m >= self.max_distance_m:
            raise ConfigError("filters", "min_distance_m must be below max_distance_m")

    @property
    def has_threshold(self) -> bool:
        """Whether distances are limited."""
        return self.min_distance_m > 0 or self.max_distance_m > 0


@dataclass(frozen=True, slots=True)
class DeviceConfig:
    """One camera. Name, colour size and rate are the robot's (config/robot/<arm>.yaml).

    Attributes:
        name: Camera of the robot that this device is.
        serial: Serial number; empty takes the only device connected.
        depth_width: Width of the depth stream before alignment [px].
        depth_height: Height of it [px].
        sync: Part in hardware synchronisation.
        filters: Filters on depth.
    """

    name: str
    serial: str = ""
    depth_width: int = 640
    depth_height: int = 480
    sync: Sync = Sync.NONE
    filters: FilterConfig = FilterConfig()


@dataclass(frozen=True, slots=True)
class RealsenseConfig:
    """All cameras of a robot.

    Attributes:
        cameras: The devices.
        use_global_time: Let the driver map device time to this machine's by asking the device both ways.
        least_delay_ms: Quickest way of a frame from its stamp to its arrival here [ms].
        accept_arrival_stamps: Whether stamps of arrival will do where there are none of exposure.
        silent_ms: Without pictures for so long, a camera counts as lost [ms].
        skew_max_ms: Colour and depth farther apart are not one picture [ms].
        has_external_trigger: Something else gives the slaves their pulse.
        must_be_there: Whether the node refuses to start without every camera; later losses never end it.
    """

    cameras: tuple[DeviceConfig, ...]
    use_global_time: bool = True
    least_delay_ms: float = 0.0
    accept_arrival_stamps: bool = False
    silent_ms: float = 1000.0
    skew_max_ms: float = 20.0
    has_external_trigger: bool = False
    must_be_there: bool = True

    def __post_init__(self) -> None:
        """Reject devices that cannot be told apart, and slaves without a master."""
        where = "cameras"
        if not self.cameras:
            raise ConfigError(where, "none named; add an entry with 'name' and 'serial'")
        for values, what in (([c.name for c in self.cameras], "name"), ([c.serial for c in self.cameras], "serial")):
            if len(set(values)) != len(values):
                raise ConfigError(where, f"two cameras share a {what}: {values}; give each its own")
        if len(self.cameras) > 1 and not all(c.serial for c in self.cameras):
            raise ConfigError(where, "with several cameras each needs its serial; `il doctor` lists those connected")
        if self.least_delay_ms < 0 or min(self.silent_ms, self.skew_max_ms) <= 0:
            raise ConfigError(where, "least_delay_ms must not be negative; silent_ms and skew_max_ms must be positive")
        masters = [c.name for c in self.cameras if c.sync is Sync.MASTER]
        slaves = [c.name for c in self.cameras if c.sync in (Sync.SLAVE, Sync.FULL_SLAVE)]
        if len(masters) + self.has_external_trigger > 1:
            raise ConfigError(where, f"only one may give the pulse: masters {masters}, external trigger as configured")
        if slaves and not masters and not self.has_external_trigger:
            raise ConfigError(where, f"slaves {slaves} wait for a pulse nobody gives; make one camera the master")

    def camera(self, name: str) -> DeviceConfig:
        """Look a camera up by name.

        Raises:
            ConfigError: no such camera; the message lists those there are.
        """
        for camera in self.cameras:
            if camera.name == name:
                return camera
        raise ConfigError("cameras", f"no camera '{name}'; {nearest(name, [c.name for c in self.cameras])}")
