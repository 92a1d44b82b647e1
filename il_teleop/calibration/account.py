"""How far a hand-eye calibration can be believed: spread of the views, views left out, and reasons to refuse it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np

from il_core.calibrated import CameraCalibration
from il_core.geometry import Array, inverse, rotvec_from_matrix
from il_core.spec import Mount
from il_teleop.calibration.config import AcceptConfig
from il_teleop.calibration.solve import CalibrationError, Solution, View, refine, relative_motions, solve

OUTLIER = 3.0  # a view this many times worse than the median is no draw of the same noise
WHERE = {Mount.EE: "tool", Mount.BASE: "base"}


@dataclass(frozen=True, slots=True)
class Spread:
    """How different the views are.

    Attributes:
        rotation_deg: Largest turn between two views [deg].
        second_axis_deg: Root mean square turn about the second most used axis [deg].
    """

    rotation_deg: float
    second_axis_deg: float


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """A calibration and its account; views are counted from 1, in the order they were taken.

    Attributes:
        mount: What the camera is fixed to.
        solution: The result.
        used: Views it rests on.
        left_out: Views that contradict the others.
        spread: How different the views are.
        held_out_mm: Error of the board's place in each used view, predicted without it, (n,) [mm].
        held_out_deg: Error of its rotation, (n,) [deg].
        uncertainty_mm: Standard error of the camera's position [mm].
        uncertainty_deg: Standard error of the camera's rotation [deg].
        problems: Why it must not be used, each with what to do; empty if it may.
    """

    mount: Mount
    solution: Solution
    used: tuple[int, ...]
    left_out: tuple[int, ...]
    spread: Spread
    held_out_mm: Array
    held_out_deg: Array
    uncertainty_mm: float
    uncertainty_deg: float
    problems: tuple[str, ...]

    def calibration(self, now_ns: int) -> CameraCalibration:
        """Its account for config/robot and recordings.

        Args:
            now_ns: Present instant, of the system clock [ns].
        """
        when = datetime.fromtimestamp(now_ns // 1_000_000_000, timezone.utc)
        return CameraCalibration(
            measured_utc=when.strftime("%Y-%m-%dT%H:%M:%SZ"),
            views=len(self.used),
            reprojection_px=round(self.solution.rms_px, 3),
            held_out_mm=round(float(np.median(self.held_out_mm)), 3),
            held_out_deg=round(float(np.median(self.held_out_deg)), 3),
            uncertainty_mm=round(self.uncertainty_mm, 3),
            uncertainty_deg=round(self.uncertainty_deg, 3),
        )

    def require(self) -> Report:
        """Return it if it may be used.

        Raises:
            CalibrationError: it may not; carries every reason.
        """
        if self.problems:
            raise CalibrationError("calibration refused: " + "; ".join(self.problems))
        return self


def spread_of(views: Sequence[View], mount: Mount) -> Spread:
    """How different views are; zero for fewer than two."""
    turns = np.array([rotvec_from_matrix(A[:3, :3]) for A, _ in relative_motions(views, mount)]).reshape(-1, 3)
    if not len(turns):
        return Spread(0.0, 0.0)
    sizes = np.linalg.svd(turns, compute_uv=False) / np.sqrt(len(turns))
    second = sizes[1] if len(sizes) > 1 else 0.0
    return Spread(float(np.degrees(np.linalg.norm(turns, axis=1).max())), float(np.degrees(second)))


def calibrate(views: Sequence[View], mount: Mount, board_centre_m: Array, accept: AcceptConfig) -> Report:
    """Solve, leave out views that contradict the others, and judge the rest.

    Args:
        views: Pictures of one board at rest (in base for a camera on the tool, on the tool for one beside the arm).
        mount: What the camera is fixed to.
        board_centre_m: Middle of the board in its frame, where errors are measured, (3,) [m].
        accept: Which results are believed.

    Raises:
        CalibrationError: the views are too few or too alike to solve anything; says what to do.
    """
    spread = spread_of(views, mount)
    problems = _too_alike(views, spread, accept)
    if problems:
        raise CalibrationError("calibration refused: " + "; ".join(problems))
    used, most_left_out = list(range(len(views))), int(accept.outliers_max * len(views))
    while True:
        chosen = [views[k] for k in used]
        solution = solve(chosen, mount)
        without = _each_left_out(chosen, mount, solution)
        errors = [_error(s, v, mount, board_centre_m) for s, v in zip(without, chosen, strict=True)]
        mm, deg = np.array(errors).T
        worst = _worst(mm, deg, accept)
        if worst is None or len(views) - len(used) >= most_left_out:
            break
        del used[worst]
    spread = spread_of(chosen, mount)
    left_out = tuple(k + 1 for k in range(len(views)) if k not in used)
    shaky_mm, shaky_deg = _jackknife([s.T_mount_optical for s in without], solution.T_mount_optical)
    problems = [*_too_alike(chosen, spread, accept), *_too_bad(solution, mm, deg, worst, used, accept)]
    if shaky_mm > accept.uncertainty_max_mm or shaky_deg > accept.uncertainty_max_deg:
        problems.append(
            f"the camera's pose is uncertain by {shaky_mm:.1f} mm and {shaky_deg:.2f} deg, limits "
            f"{accept.uncertainty_max_mm:g} mm and {accept.uncertainty_max_deg:g} deg: take more views, nearer to the "
            "board and tilted to all sides"
        )
    places = tuple(k + 1 for k in used)
    return Report(mount, solution, places, left_out, spread, mm, deg, shaky_mm, shaky_deg, tuple(problems))


def _too_alike(views: Sequence[View], spread: Spread, accept: AcceptConfig) -> list[str]:
    problems = []
    if len(views) < accept.views_min:
        problems.append(f"{len(views)} views of the board, {accept.views_min} are needed: take more")
    elif spread.rotation_deg < accept.rotation_min_deg:
        problems.append(
            f"no two views are turned by more than {spread.rotation_deg:.0f} deg, {accept.rotation_min_deg:g} are "
            "needed: tilt the tool to the left, right, front and back, the board kept in view"
        )
    elif spread.second_axis_deg < accept.second_axis_min_deg:
        problems.append(
            f"the tool turned about one axis only (about a second one {spread.second_axis_deg:.1f} deg, "
            f"{accept.second_axis_min_deg:g} are needed): tilt it to the other sides too"
        )
    return problems


def _each_left_out(views: Sequence[View], mount: Mount, solution: Solution) -> list[Solution]:
    """One solution without each view, begun at the solution of all."""
    X, Z = solution.T_mount_optical, solution.T_anchor_board
    return [refine([*views[:k], *views[k + 1 :]], mount, X, Z) for k in range(len(views))]


def _error(solution: Solution, view: View, mount: Mount, centre_m: Array) -> tuple[float, float]:
    """Distance of the predicted and the seen board [mm], and the angle between them [deg]."""
    T, seen = solution.T_optical_board(view, mount), view.board.T_optical_board
    apart = (T[:3, :3] - seen[:3, :3]) @ centre_m + T[:3, 3] - seen[:3, 3]
    turned = rotvec_from_matrix(T[:3, :3].T @ seen[:3, :3])
    return 1e3 * float(np.linalg.norm(apart)), float(np.degrees(np.linalg.norm(turned)))


def _worst(mm: Array, deg: Array, accept: AcceptConfig) -> int | None:
    """The view that contradicts the others most, if any does."""
    badness = np.maximum(
        mm / max(OUTLIER * float(np.median(mm)), accept.held_out_max_mm),
        deg / max(OUTLIER * float(np.median(deg)), accept.held_out_max_deg),
    )
    k = int(np.argmax(badness))
    return k if badness[k] > 1.0 else None


def _too_bad(
    solution: Solution, mm: Array, deg: Array, worst: int | None, used: Sequence[int], accept: AcceptConfig
) -> list[str]:
    problems = []
    if solution.rms_px > accept.reprojection_max_px:
        problems.append(
            f"corners miss their prediction by {solution.rms_px:.2f} px (root mean square), limit "
            f"{accept.reprojection_max_px:g}: check that the board is flat and its square_mm measured, that it did "
            "not move, and that camera_info belongs to this lens"
        )
    typical_mm, typical_deg = float(np.median(mm)), float(np.median(deg))
    if typical_mm > accept.held_out_max_mm or typical_deg > accept.held_out_max_deg:
        problems.append(
            f"views left out are predicted with a median error of {typical_mm:.1f} mm and {typical_deg:.2f} deg, "
            f"limits {accept.held_out_max_mm:g} mm and {accept.held_out_max_deg:g} deg: check square_mm, the tool "
            "frame of the URDF, and that nothing is loose"
        )
    if worst is not None:
        problems.append(
            f"view {used[worst] + 1} still contradicts the others ({mm[worst]:.1f} mm, {deg[worst]:.2f} deg) after the "
            "allowed ones were left out: the board or the camera slipped; fix both and start again"
        )
    return problems


def _jackknife(X_without: Sequence[Array], X: Array) -> tuple[float, float]:
    """Standard error of position [mm] and rotation [deg] from solutions that each miss one view.

    B. Efron, "The Jackknife, the Bootstrap and Other Resampling Plans", SIAM 1982, eq. 3.1:
    variance = (n - 1)/n times the sum of squared deviations from their mean.
    """
    n = len(X_without)
    moves = np.array([inverse(X) @ T for T in X_without])
    steps = np.array([np.concatenate([T[:3, 3], rotvec_from_matrix(T[:3, :3])]) for T in moves])
    variance = (n - 1) / n * np.sum((steps - steps.mean(axis=0)) ** 2, axis=0)
    return 1e3 * float(np.sqrt(variance[:3].sum())), float(np.degrees(np.sqrt(variance[3:].sum())))
