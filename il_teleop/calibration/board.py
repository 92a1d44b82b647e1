"""A ChArUco board: where it is in a picture, and how it is printed in true size."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from il_core.errors import ConfigError, DeviceError, ShapeError, nearest
from il_core.geometry import Array, matrix_from_rotvec, pose
from il_core.types import Intrinsics
from il_teleop.calibration.config import BoardConfig

MARGIN_MM = 10.0
DISTORTIONS = ("plumb_bob", "rational_polynomial")  # whose coefficients ROS and OpenCV have in one order
PIXELS_PER_MM = 12  # 305 dpi: as fine as office printers, and whole pixels for squares of whole millimetres
_SIGNATURE_BYTES, _IHDR_BYTES = 8, 25


@dataclass(frozen=True, slots=True, eq=False)
class Sighting:
    """The board in one picture.

    Attributes:
        points_board_m: Corners seen, in the board's frame (x right, y down the print), (n, 3) [m].
        rays: Where they are seen: x/z and y/z in the optical frame, lens distortion undone, (n, 2).
        focal_px: Mean focal length, which turns errors of rays into pixels [px].
        T_optical_board: Pose of the board in the optical frame, (4, 4) [m].
        rms_px: Root mean square distance between seen and projected corners [px].
    """

    points_board_m: Array
    rays: Array
    focal_px: float
    T_optical_board: Array
    rms_px: float


class Board:
    """Finds a board in pictures."""

    def __init__(self, config: BoardConfig) -> None:
        """Make the board.

        Raises:
            ConfigError: unknown dictionary, or one with fewer markers than the board has.
        """
        self.config = config
        names = [n for n in dir(cv2.aruco) if n.startswith("DICT_")]
        if config.dictionary not in names:
            problem = f"unknown dictionary '{config.dictionary}'; {nearest(config.dictionary, names)}"
            raise ConfigError("board", problem)
        dictionary = cv2.aruco.getPredefinedDictionary(getattr(cv2.aruco, config.dictionary))
        markers, known = config.squares_x * config.squares_y // 2, len(dictionary.bytesList)
        if markers > known:
            raise ConfigError("board", f"'{config.dictionary}' has {known} markers, this board needs {markers}")
        size = (config.squares_x, config.squares_y)
        self._board = cv2.aruco.CharucoBoard(size, config.square_mm / 1e3, config.marker_mm / 1e3, dictionary)
        self._detector = cv2.aruco.CharucoDetector(self._board)
        self._corners_m = np.asarray(self._board.getChessboardCorners(), dtype=np.float64).reshape(-1, 3)

    @property
    def centre_m(self) -> Array:
        """Middle of the board in its frame, (3,) [m]."""
        return np.array([*self.config.size_mm, 0.0]) / 2e3

    def find(self, rgb: NDArray[np.uint8], lens: Intrinsics, least: int) -> Sighting | None:
        """Look for the board.

        Args:
            rgb: Picture, (H, W, 3).
            lens: Its intrinsics, with the distortion of the lens.
            least: Fewest corners that will do.

        Returns:
            What was seen, or None: fewer corners, or all on one line.

        Raises:
            ShapeError: the picture has another size than the intrinsics are for.
            DeviceError: unknown distortion model.
        """
        if rgb.shape != (lens.height, lens.width, 3):
            raise ShapeError("picture", expected=f"({lens.height}, {lens.width}, 3)", got=rgb.shape)
        corners, ids, _, _ = self._detector.detectBoard(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY))
        if ids is None or len(ids) < max(6, least):
            return None
        points = self._corners_m[np.asarray(ids).ravel()]
        if np.linalg.matrix_rank(points[:, :2] - points[0, :2], tol=1e-6) < 2:
            return None
        return _sighting(points, _rays(np.asarray(corners, dtype=np.float64), lens), (lens.fx + lens.fy) / 2)

    def image(self, square_px: int) -> NDArray[np.uint8]:
        """Grey picture of the board with a white margin of about 10 mm, (H, W).

        Args:
            square_px: Edge of a square; all squares get this many, so that none is rounded [px].
        """
        size = (self.config.squares_x * square_px, self.config.squares_y * square_px)
        drawn = np.asarray(self._board.generateImage(size, marginSize=0, borderBits=1))
        return np.pad(drawn, round(MARGIN_MM * square_px / self.config.square_mm), constant_values=255).astype(np.uint8)

    def write(self, path: Path) -> tuple[float, float]:
        """Write the board for printing, in true size.

        Args:
            path: ``.pdf`` or ``.png``.

        Returns:
            Width and height of the sheet [mm].

        Raises:
            ConfigError: another kind of file.
        """
        if path.suffix not in (".pdf", ".png"):
            raise ConfigError(str(path), f"a board is written as .pdf or .png, not '{path.suffix}'")
        path.parent.mkdir(parents=True, exist_ok=True)
        square_px = round(PIXELS_PER_MM * self.config.square_mm)
        grey, pixel_mm = self.image(square_px), self.config.square_mm / square_px
        height_mm, width_mm = (n * pixel_mm for n in grey.shape)
        path.write_bytes(_pdf(grey, width_mm, height_mm) if path.suffix == ".pdf" else _png(grey, pixel_mm))
        return width_mm, height_mm


def _rays(seen_px: Array, lens: Intrinsics) -> Array:
    """Where pixels look: x/z and y/z in the optical frame, the lens's distortion undone, (n, 2).

    Raises:
        DeviceError: unknown distortion model.
    """
    if lens.distortion and lens.distortion_model not in DISTORTIONS:
        raise DeviceError(
            f"camera_info has distortion model '{lens.distortion_model}', known are {', '.join(DISTORTIONS)}; "
            "calibrate on a rectified image, or with a driver that gives one of these"
        )
    camera = np.array([[lens.fx, 0.0, lens.cx], [0.0, lens.fy, lens.cy], [0.0, 0.0, 1.0]])
    coefficients = np.array(lens.distortion, dtype=np.float64) if lens.distortion else None
    return np.asarray(cv2.undistortPoints(seen_px.reshape(-1, 1, 2), camera, coefficients), np.float64).reshape(-1, 2)


def _sighting(points: Array, rays: Array, focal_px: float) -> Sighting | None:
    """Pose of the plane from its points: both solutions of the planar problem, the better one refined."""
    eye = np.eye(3)
    n, rotations, shifts, _ = cv2.solvePnPGeneric(points, rays.reshape(-1, 1, 2), eye, None, flags=cv2.SOLVEPNP_IPPE)
    best: tuple[float, Array] | None = None
    for k in range(n):
        turn, shift = cv2.solvePnPRefineLM(points, rays.reshape(-1, 1, 2), eye, None, rotations[k], shifts[k])
        T = pose(np.ravel(shift), matrix_from_rotvec(np.ravel(turn)))
        p = points @ T[:3, :3].T + T[:3, 3]
        if p[:, 2].min() <= 0.0:
            continue
        rms = float(np.sqrt(np.mean(np.sum((p[:, :2] / p[:, 2:] - rays) ** 2, axis=1))))
        if best is None or rms < best[0]:
            best = rms, T
    return None if best is None else Sighting(points, rays, focal_px, best[1], best[0] * focal_px)


def _png(grey: NDArray[np.uint8], pixel_mm: float) -> bytes:
    """PNG that says its resolution (chunk pHYs, pixels per metre)."""
    data = cv2.imencode(".png", grey)[1].tobytes()
    per_metre = round(1000.0 / pixel_mm)
    body = b"pHYs" + struct.pack(">IIB", per_metre, per_metre, 1)
    chunk = struct.pack(">I", 9) + body + struct.pack(">I", zlib.crc32(body))
    head = _SIGNATURE_BYTES + _IHDR_BYTES
    return data[:head] + chunk + data[head:]


def _pdf(grey: NDArray[np.uint8], width_mm: float, height_mm: float) -> bytes:
    """One page of that size with the picture on all of it (PDF 1.4; user space is 1/72 inch)."""
    width, height = (mm * 72.0 / 25.4 for mm in (width_mm, height_mm))
    pixels = zlib.compress(grey.tobytes(), 9)
    draw = f"q {width:.4f} 0 0 {height:.4f} 0 0 cm /Board Do Q".encode()
    image = (
        f"<< /Type /XObject /Subtype /Image /Width {grey.shape[1]} /Height {grey.shape[0]} /ColorSpace /DeviceGray "
        f"/BitsPerComponent 8 /Filter /FlateDecode /Length {len(pixels)} >>"
    )
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R /ViewerPreferences << /PrintScaling /None >> >>",
        b"<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {width:.4f} {height:.4f}] /Contents 4 0 R "
        "/Resources << /XObject << /Board 5 0 R >> >> >>".encode(),
        b"<< /Length %d >>\nstream\n%b\nendstream" % (len(draw), draw),
        b"%b\nstream\n%b\nendstream" % (image.encode(), pixels),
    ]
    out, offsets = bytearray(b"%PDF-1.4\n"), []
    for number, content in enumerate(objects, 1):
        offsets.append(len(out))
        out += b"%d 0 obj\n%b\nendobj\n" % (number, content)
    table = len(out)
    rows = b"".join(b"%010d 00000 n \n" % at for at in offsets)
    out += b"xref\n0 %d\n0000000000 65535 f \n%b" % (len(objects) + 1, rows)
    out += b"trailer << /Size %d /Root 1 0 R >>\nstartxref\n%d\n%%%%EOF\n" % (len(objects) + 1, table)
    return bytes(out)
