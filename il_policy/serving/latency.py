r"""How late a stream is: cross-correlation of a motion with the stream's own record of it.

Wave something periodic or random at the robot (or let the arm do it): the reference is a signal whose time is
trusted, such as the wanted joint position when it was sent; the measured one is the same motion seen through
the stream, such as the marker's place in the picture. The delay is where they agree best:

.. math:: \hat d = \arg\max_d \ \mathrm{corr}\big(r(t - d),\ m(t)\big),

with the multiple correlation where the stream has several numbers (a picture is a curved function of where the arm is,
which one component cannot follow), refined below one sample by a parabola through the three highest values (Boucher
and Hassab, IEEE TASSP 1981). Universal Manipulation Interface (Chi et al., RSS 2024, appendix) measures its latencies
in the same way.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from il_core.config import load_yaml
from il_core.errors import ConfigError, DeviceError
from il_core.spec import TaskSpec
from il_policy.files import write_durably
from il_policy.serving.config import Actions, ServeConfig

Array = NDArray[np.float64]
GRID_HZ = 1000.0  # both signals are brought to this grid: finer than any delay that matters
LEAST_CORRELATION = 0.8  # below, the signals are not the same motion
LEAST_PEAK = 0.05  # by which the best delay has to beat the usual one: circles and slow motion fit with every delay
PICTURE_COMPONENTS = 3  # more would fit any motion with any delay
LEAST_S = 1.0  # of common time
LEAST_SAMPLES = 16


@dataclass(frozen=True, slots=True)
class Delay:
    """An estimated delay.

    Attributes:
        ms: How much later the measured signal shows the motion [ms].
        correlation: Of the two at that delay, in [-1, 1].
        samples: Samples of the measured signal.
    """

    ms: float
    correlation: float
    samples: int


@dataclass(frozen=True, slots=True)
class Latencies:
    """What `il latency` found; in force where the ``latencies`` of a serving configuration name the file.

    Attributes:
        camera_ms: From an event to the stamp of the picture that shows it, by camera [ms]. Not corrected in serving:
            recordings carry the same late stamps, and a policy must see what it was trained on. Correct the stamps
            where they are made, in the camera's driver, then record.
        state_ms: From the stamp of a joint state to its arrival [ms]. A tick is looked at so much later, when the
            states up to it have come: a dataset has them too.
        action_ms: From a target to the arm's motion [ms]. Plans learned from motion (``actions: motion``) are sent
            ahead by this. Plans learned from targets are not: the arm came as late in the demonstrations.
    """

    camera_ms: dict[str, float]
    state_ms: float = 0.0
    action_ms: float = 0.0

    def __post_init__(self) -> None:
        """Refuse what no machine has."""
        values = [*self.camera_ms.values(), self.state_ms, self.action_ms]
        if not all(-50.0 <= v <= 2000.0 for v in values):
            raise ValueError(f"latencies must be in -50..2000 ms, got {values}")


def estimate(reference: Array, measured: Array, longest_s: float = 1.0) -> Delay:
    """Delay of ``measured`` behind ``reference``.

    Args:
        reference: Times and values, (N, 2) [s, any unit]; times rise.
        measured: The same motion through the stream, times and K numbers of it, (M, 1 + K); sign and scale do not
            matter.
        longest_s: Delays looked for, from 0 to this [s].

    Raises:
        DeviceError: too short, no motion, or not the same motion; says which.
    """
    _require_motion("reference", reference)
    _require_motion("measured", measured)
    begin = max(reference[0, 0] + longest_s, measured[0, 0])
    end = min(reference[-1, 0], measured[-1, 0])
    if end - begin < LEAST_S:
        raise DeviceError(
            f"the signals share {max(0.0, end - begin):.1f} s, need {LEAST_S + longest_s:.1f}; record longer"
        )
    t = np.arange(begin, end, 1 / GRID_HZ)
    seen = np.stack([np.interp(t, measured[:, 0], column) for column in measured[:, 1:].T], axis=1)
    basis, _ = np.linalg.qr(seen - seen.mean(0))
    lags = np.arange(int(longest_s * GRID_HZ) + 1) / GRID_HZ
    moved = (_unit(np.interp(t - d, reference[:, 0], reference[:, 1])) for d in lags)
    scores = np.array([float(np.linalg.norm(basis.T @ x)) for x in moved])
    k = int(scores.argmax())
    if scores[k] < LEAST_CORRELATION:
        raise DeviceError(
            f"best correlation is {scores[k]:.2f}, need {LEAST_CORRELATION}: not the same motion, or too slow"
        )
    if k == len(lags) - 1:
        raise DeviceError(f"the delay is {longest_s:.1f} s or more; raise --longest-s, or check the clocks")
    if scores[k] - np.median(scores) < LEAST_PEAK:
        raise DeviceError(
            f"correlation {scores[k]:.2f} at the best delay, {np.median(scores):.2f} at a usual one: too slow or too "
            "regular; move faster, to and fro and not in circles"
        )
    offset = 0.0
    if 0 < k:
        a, b, c = scores[k - 1 : k + 2]
        curvature = a - 2 * b + c
        offset = float(0.5 * (a - c) / curvature) if curvature < 0 else 0.0
    return Delay(1e3 * (k + offset) / GRID_HZ, float(scores[k]), len(measured))


def _require_motion(name: str, signal: Array) -> None:
    """Refuse what is too short, has no clock, or does not move."""
    if signal.ndim != 2 or signal.shape[1] < 2 or len(signal) < LEAST_SAMPLES:
        raise DeviceError(f"{name} signal has {len(signal)} samples, need {LEAST_SAMPLES}; record longer")
    if not np.isfinite(signal).all() or (np.diff(signal[:, 0]) <= 0).any():
        raise DeviceError(f"{name} signal: times must rise and values be finite; check the clocks")
    if np.ptp(signal[:, 1:], axis=0).max() < 1e-9:
        raise DeviceError(f"{name} signal does not move; move the arm, or what the camera sees")


def _unit(x: Array) -> Array:
    """Without mean, of length 1."""
    x = x - x.mean()
    return x / max(float(np.linalg.norm(x)), 1e-12)


def components(rows: Array, count: int) -> Array:
    """The motions that most of many numbers share: their first principal components over time, (N, count).

    Rows may be tool positions (N, 3), joint positions (N, nq), or pictures made small and flat (N, pixels): what
    moves most in front of a camera is the arm.

    Raises:
        DeviceError: fewer than two rows.
    """
    if rows.ndim != 2 or len(rows) < 2:
        raise DeviceError(f"{len(rows)} samples, need {LEAST_SAMPLES}; check that the stream runs")
    centred = rows - rows.mean(0)
    _, _, directions = np.linalg.svd(centred, full_matrices=False)
    return np.asarray(centred @ directions[:count].T)


def estimate_camera(reference: Array, times: Array, pictures: Array, longest_s: float = 1.0) -> Delay:
    """Delay of a camera behind a reference motion (N, 2), whether it stands or moves with the arm.

    Args:
        reference: As in :func:`estimate`.
        times: Stamps of the pictures, (M,) [s].
        pictures: Rows made by :func:`small`, (M, cells * cells).
        longest_s: Delays looked for [s].

    Raises:
        DeviceError: they do not show the motion; says why.
    """
    return estimate(reference, np.column_stack([times, components(pictures, PICTURE_COMPONENTS)]), longest_s)


def small(rgb: NDArray[np.uint8], cells: int = 16) -> Array:
    """Mean brightness of ``cells`` x ``cells`` parts of a picture, flat, (cells * cells,)."""
    height, width = (n // cells * cells for n in rgb.shape[:2])
    grey = rgb[:height, :width].mean(axis=2)
    return np.asarray(grey.reshape(cells, height // cells, cells, width // cells).mean(axis=(1, 3)).ravel())


def save(path: Path, found: Latencies) -> None:
    """Write the configuration.

    Raises:
        CheckpointError: it cannot be written.
    """
    values = {
        "camera_ms": {k: round(v, 1) for k, v in found.camera_ms.items()},
        "state_ms": round(found.state_ms, 1),
        "action_ms": round(found.action_ms, 1),
    }
    text = "# Measured by `il latency`; docs/serving.md says what is done with each number.\n" + yaml.safe_dump(
        values, sort_keys=False
    )
    write_durably(path, text.encode())


def in_force(config: ServeConfig) -> Latencies | None:
    """The latencies a serving configuration names; None if it names none.

    Raises:
        ConfigError: the file is missing or wrong.
    """
    return load(Path(config.latencies)) if config.latencies else None


def lead_ns(config: ServeConfig, task: TaskSpec) -> int:
    """How far plans are to be sent ahead [ns].

    Raises:
        ConfigError: the file is missing or wrong, or a plan is shorter than that.
    """
    found = in_force(config)
    if found is None or config.actions is not Actions.MOTION:
        return 0
    most_ms = (task.horizon - task.n_execute) * task.dt_ns / 1e6
    if not 0 <= found.action_ms <= most_ms:
        problem = f"action_ms is {found.action_ms}, plans of {task.horizon} rows can be sent ahead by 0..{most_ms:.0f}"
        raise ConfigError(config.latencies, f"{problem} ms; measure again, or train a longer horizon")
    return int(found.action_ms * 1e6)


def wait_ns(config: ServeConfig) -> int:
    """How long after a tick it is looked at, so that the joint states up to it have come [ns]."""
    found = in_force(config)
    return 0 if found is None else max(0, int(found.state_ms * 1e6))


def uses(found: Latencies) -> tuple[str, ...]:
    """What serving does with each number, in words."""
    state = f"state: a tick is looked at {max(0.0, found.state_ms):.1f} ms later, when its joint states have come"
    action = f"action: plans learned from motion (`actions: motion`) are sent {found.action_ms:.0f} ms ahead"
    camera = "camera: nothing, recordings carry the same late stamps; correct them in the driver, then record anew"
    return (state, action, camera) if found.camera_ms else (state, action)


def load(path: Path) -> Latencies:
    """Read the configuration.

    Raises:
        ConfigError: missing file, unknown key, or a value that no machine has.
    """
    return load_yaml(path, Latencies)
