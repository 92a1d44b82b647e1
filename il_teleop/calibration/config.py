"""What a calibration works with: the board, which pictures are taken, and which results are refused."""

from __future__ import annotations

from dataclasses import dataclass, field

from il_core.errors import ConfigError


@dataclass(frozen=True, slots=True)
class BoardConfig:
    """A ChArUco board: a chessboard whose white squares carry ArUco markers.

    Attributes:
        squares_x: Squares across.
        squares_y: Squares down.
        square_mm: Edge of a square, as measured on the printed board [mm].
        marker_mm: Edge of a marker [mm].
        dictionary: OpenCV's name of the marker dictionary.
    """

    squares_x: int = 7
    squares_y: int = 5
    square_mm: float = 35.0
    marker_mm: float = 26.0
    dictionary: str = "DICT_4X4_50"

    def __post_init__(self) -> None:
        """Refuse boards that cannot be printed or located."""
        if min(self.squares_x, self.squares_y) < 3 or max(self.squares_x, self.squares_y) > 40:
            raise ConfigError("board", f"needs 3 to 40 squares a side, got {self.squares_x} x {self.squares_y}")
        if not 0.0 < self.marker_mm < self.square_mm:
            problem = f"needs 0 < marker_mm < square_mm, got {self.marker_mm} and {self.square_mm}"
            raise ConfigError("board", problem)

    @property
    def size_mm(self) -> tuple[float, float]:
        """Width and height without margins [mm]."""
        return self.squares_x * self.square_mm, self.squares_y * self.square_mm

    @property
    def corners(self) -> int:
        """Inner corners of the chessboard."""
        return (self.squares_x - 1) * (self.squares_y - 1)


@dataclass(frozen=True, slots=True)
class CollectConfig:
    """Which pictures are taken.

    Attributes:
        views: Pictures after which it ends by itself.
        corners_min: Fewest corners of the board a picture must show.
        still_ms: How long before and after the picture the tool must rest [ms].
        still_mm: Most it may move meanwhile [mm].
        still_deg: Most it may turn meanwhile [deg].
        apart_mm: A view counts as new when the tool is this far from those taken [mm],
        apart_deg: or turned this far [deg].
        reprojection_max_px: Board corners must fit the picture this well (root mean square) [px].
    """

    views: int = 20
    corners_min: int = 8
    still_ms: float = 150.0
    still_mm: float = 1.0
    still_deg: float = 0.2
    apart_mm: float = 30.0
    apart_deg: float = 6.0
    reprojection_max_px: float = 1.5

    def __post_init__(self) -> None:
        """Refuse what would take nothing, or anything."""
        if self.views < 3 or self.corners_min < 6:
            raise ConfigError("collect", f"needs views >= 3 and corners_min >= 6, got {self.views}, {self.corners_min}")
        limits = (self.still_ms, self.still_mm, self.still_deg, self.apart_mm, self.apart_deg, self.reprojection_max_px)
        if min(limits) <= 0.0:
            raise ConfigError("collect", "all limits must be positive")


@dataclass(frozen=True, slots=True)
class AcceptConfig:
    """Which results are believed.

    Attributes:
        views_min: Fewest views.
        rotation_min_deg: Two views at least must be turned this far against each other [deg].
        second_axis_min_deg: Root mean square of the turning about the second most used axis [deg]; turned
            about one axis only, the camera may sit anywhere along it.
        reprojection_max_px: Most root mean square error of the corners [px].
        held_out_max_mm: Most median error of the board's predicted place in a view left out [mm].
        held_out_max_deg: The same of its rotation [deg].
        uncertainty_max_mm: Most standard error of the camera's position [mm].
        uncertainty_max_deg: Most standard error of the camera's rotation [deg].
        outliers_max: Largest share of the views that may be left out as outliers.
    """

    views_min: int = 10
    rotation_min_deg: float = 30.0
    second_axis_min_deg: float = 6.0
    reprojection_max_px: float = 2.0
    held_out_max_mm: float = 5.0
    held_out_max_deg: float = 1.0
    uncertainty_max_mm: float = 2.0
    uncertainty_max_deg: float = 0.3
    outliers_max: float = 0.2

    def __post_init__(self) -> None:
        """Refuse limits that would let anything pass."""
        if self.views_min < 3 or not 0.0 <= self.outliers_max < 0.5:
            raise ConfigError("accept", "needs views_min >= 3 and outliers_max in [0, 0.5)")


@dataclass(frozen=True, slots=True)
class HandEyeConfig:
    """config/camera/hand_eye.yaml.

    Attributes:
        board: The board.
        collect: Which pictures are taken.
        accept: Which results are believed.
    """

    board: BoardConfig = field(default_factory=BoardConfig)
    collect: CollectConfig = field(default_factory=CollectConfig)
    accept: AcceptConfig = field(default_factory=AcceptConfig)
