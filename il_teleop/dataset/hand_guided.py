"""Imports hand-guided drawings (.mat of the Panda Co-Manipulation Dataset) as recordings.

The file holds a (1, n) struct ``symbol_data`` with ``pos`` (3, T) [m], ``vel`` (3, T) [m/s] and ``F``
(3, T) [N] of the end effector in the robot's base: no orientation, no gripper, no instants, and no
sampling rate. The rate follows from positions and velocities; see :func:`sample_period`.

The data were drawn behind the robot (x < 0) at 0.26 m height; our arm stands on its table and reaches
to +x. So points are turned by pi about z and lowered until the drawing lies in the table's plane z = 0:

    p_base = T_base_data p_data,   T_base_data = Rot_z(pi), translation (0, 0, -median z of all points)
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.io import loadmat
from scipy.io.matlab import MatReadError

from il_core import topics
from il_core.clock import ManualClock
from il_core.config import Setup
from il_core.errors import EpisodeError, RecordingError
from il_core.geometry import Array, pose
from il_core.store.msgdefs import encoder
from il_core.store.recording import RecordingHeader, RecordingWriter
from il_core.types import Outcome

POINT, WRENCH = "geometry_msgs/msg/PointStamped", "geometry_msgs/msg/WrenchStamped"
WINDOW = 200  # samples per displacement: long enough that the noise of vel averages out
MAX_RESIDUAL = 0.1  # of the displacements; symbol 17 has 0.007 to 0.040
MAX_SPREAD = 0.02  # between the recordings of one file; symbol 17 has 0.6 %
# The file tells no instants: recordings begin at this one, a minute apart.
FIRST_NS, APART_NS = 1_704_067_200_000_000_000, 60_000_000_000  # 2024-01-01T00:00:00Z


_DAMAGE = (  # what scipy raises on bytes or contents that are not as expected
    OSError, ValueError, LookupError, TypeError, EOFError, NotImplementedError, MatReadError, zlib.error,
)  # fmt: skip


@dataclass(frozen=True, slots=True, eq=False)
class Drawing:
    """One hand-guided drawing as it is in the file.

    Attributes:
        p_data: End-effector position, (T, 3) [m].
        v_data: Its velocity, (T, 3) [m/s].
        f_data: Force at the end effector, (T, 3) [N].
        period_s: Sampling period that position and velocity agree on [s].
        residual: Part of the displacements that velocity does not explain, unitless.
    """

    p_data: Array
    v_data: Array
    f_data: Array
    period_s: float
    residual: float


def sample_period(p: Array, v: Array) -> tuple[float, float]:
    r"""Sampling period at which displacements explain velocities best, and how well they agree.

    With :math:`P_i = p_{i+W} - p_i` and :math:`V_i = \sum_{j=i}^{i+W-1} (v_j + v_{j+1}) / 2`
    (trapezoids, W = 200), least squares of :math:`V_i = P_i / \Delta t` gives

    .. math:: \Delta t = \frac{\sum_i P_i \cdot P_i}{\sum_i P_i \cdot V_i}, \qquad
              r = \sqrt{\frac{\sum_i \|P_i - V_i \Delta t\|^2}{\sum_i \|P_i\|^2}}

    Velocities are noisy and positions are not: the other way round (displacements explained by
    velocities) the noise would make the period come out too short.

    Args:
        p: Positions, (T, 3) [m].
        v: Velocities, (T, 3) [m/s].

    Returns:
        Period [s] and relative residual r.

    Raises:
        EpisodeError: too short, no motion, or position and velocity do not belong together.
    """
    if len(p) <= WINDOW:
        raise EpisodeError("hand-guided drawing", f"has {len(p)} samples, need more than {WINDOW}; check the file")
    total = np.concatenate([np.zeros((1, 3)), np.cumsum((v[:-1] + v[1:]) / 2, axis=0)])
    P, V = p[WINDOW:] - p[:-WINDOW], total[WINDOW:] - total[:-WINDOW]
    shared = float((P * V).sum())
    period_s = float((P * P).sum()) / shared if shared > 0 else 0.0
    residual = float(np.linalg.norm(P - V * period_s)) / max(float(np.linalg.norm(P)), 1e-12)
    if not (period_s > 0 and residual <= MAX_RESIDUAL):
        raise EpisodeError(
            "hand-guided drawing",
            f"velocities leave {100 * residual:.0f} % of the motion unexplained "
            f"at {period_s:.3g} s per sample, limit {100 * MAX_RESIDUAL:.0f} %; "
            "pos and vel must be of one recording, in m and m/s",
        )
    return period_s, residual


def read_drawings(mat: Path) -> list[Drawing]:
    """Read a .mat file and find the sampling period of each drawing.

    Raises:
        EpisodeError: missing, no such file, wrong shapes, or periods that disagree by more than 2 %.
    """
    if not mat.is_file():
        raise EpisodeError(mat, "no such file; pass the path of a symbol_<n>.mat (see data/README.md)")
    try:
        content = loadmat(mat, variable_names=["symbol_data"])
        rows = content["symbol_data"][0]
        raw = [[np.asarray(row[key], dtype=np.float64).T for key in ("pos", "vel", "F")] for row in rows]
    except _DAMAGE as error:
        raise EpisodeError(mat, f"is no hand-guided .mat file ({error}); copy it again") from error
    drawings = []
    for i, (p, v, f) in enumerate(raw, start=1):
        if not (p.ndim == 2 and p.shape[1] == 3 and p.shape == v.shape == f.shape and np.isfinite([p, v, f]).all()):
            shapes = f"{p.shape}, {v.shape}, {f.shape}"
            raise EpisodeError(f"{mat} drawing {i}", f"pos, vel, F must be finite (3, T), got transposed {shapes}")
        drawings.append(Drawing(p, v, f, *sample_period(p, v)))
    periods = np.array([d.period_s for d in drawings])
    if len(periods) == 0 or np.ptp(periods) > MAX_SPREAD * periods.mean():
        rates = ", ".join(f"{1 / s:.0f}" for s in periods)
        raise EpisodeError(mat, f"drawings seem sampled at {rates or 'no'} Hz, expected one rate; check pos and vel")
    return drawings


def base_from_data(drawings: list[Drawing]) -> Array:
    """``T_base_data`` of all drawings of a file, (4, 4) [m]; see the module's first lines."""
    z_m = float(np.median(np.concatenate([d.p_data[:, 2] for d in drawings])))
    return pose([0.0, 0.0, -z_m], np.diag([-1.0, -1.0, 1.0]))


def import_hand_guided(
    mat: Path, root: Path, setup: Setup, progress: Callable[[int, int, str], None] | None = None
) -> list[Path]:
    """Write every drawing of a file as a recording of a task.

    Args:
        mat: The file.
        root: Folder of all recordings; they go to ``<root>/<task>/<file>_<number>``.
        setup: Drawing task and robot.
        progress: Told (done, total, name) after each.

    Returns:
        Folders of the recordings, in the file's order.

    Raises:
        EpisodeError: the file is missing, damaged or inconsistent.
        RecordingError: a recording exists already, or the disk is full.
    """
    drawings = read_drawings(mat)
    T_base_data = base_from_data(drawings)
    source = f"{mat.name} sha256 {hashlib.sha256(mat.read_bytes()).hexdigest()}"
    urdf_sha256 = hashlib.sha256(setup.urdf_path.read_bytes()).hexdigest()
    paths = []
    for i, drawing in enumerate(drawings):
        name = f"{mat.stem}_{i + 1}"
        header = RecordingHeader(
            task=setup.task.name,
            robot=setup.robot.name,
            spec_digest=setup.digest,
            created_ns=FIRST_NS + i * APART_NS,
            operator="a person, by hand",
            instruction=setup.task.instruction,
            notes=_notes(drawing, T_base_data, f"{source}, drawing {i + 1} of {len(drawings)}"),
            urdf_sha256=urdf_sha256,
        )
        paths.append(_write(drawing, T_base_data, root, header, name))
        if progress is not None:
            progress(i + 1, len(drawings), name)
    return paths


def _notes(drawing: Drawing, T_base_data: Array, source: str) -> dict[str, str]:
    """What was assumed and found on the way."""
    return {
        "source": f"{source}; Panda Co-Manipulation Dataset, AutoLabModena",
        "T_base_data": json.dumps(T_base_data.tolist()),
        "rate_hz_estimated": f"{1 / drawing.period_s:.2f}, residual {100 * drawing.residual:.1f} %",
        "stamps": "instants are made up: the file has none",
        "orientation": "not measured; the task's quat_xyzw_tool is assumed",
    }


def _write(drawing: Drawing, T_base_data: Array, root: Path, header: RecordingHeader, name: str) -> Path:
    """Write one recording, or nothing."""
    p_base = drawing.p_data @ T_base_data[:3, :3].T + T_base_data[:3, 3]
    f_base = drawing.f_data @ T_base_data[:3, :3].T
    start_ns = header.created_ns
    point, wrench = encoder(POINT), encoder(WRENCH)
    writer = RecordingWriter(root, header, ManualClock(start_ns), name)
    try:
        writer.add_topic(topics.HAND_POSITION, POINT)
        writer.add_topic(topics.HAND_FORCE, WRENCH)
        for k in range(len(p_base)):
            stamp_ns = start_ns + round(k * drawing.period_s * 1e9)
            stamp = dict(zip(("sec", "nanosec"), divmod(stamp_ns, 1_000_000_000), strict=True))
            data = point({"header": {"stamp": stamp, "frame_id": "base"}, "point": _xyz(p_base[k])})
            writer.append(topics.HAND_POSITION, data, stamp_ns, stamp_ns)
            force = {"force": _xyz(f_base[k]), "torque": _xyz(np.zeros(3))}
            data = wrench({"header": {"stamp": stamp, "frame_id": "base"}, "wrench": force})
            writer.append(topics.HAND_FORCE, data, stamp_ns, stamp_ns)
        return writer.commit(Outcome.SUCCESS)
    except RecordingError:
        writer.discard()
        raise


def _xyz(p: Array) -> dict[str, Any]:
    return dict(zip("xyz", map(float, p), strict=True))
