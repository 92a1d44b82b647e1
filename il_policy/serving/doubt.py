r"""How far an observation is from everything that was demonstrated: a policy that knows when it does not know.

Two scores over the policy's own normalised features f, each divided by its 99th percentile on held-out
demonstrations, so that 1 is the edge of what was shown and one limit fits all policies:

* ``knn``: distance to the k-th nearest demonstrated feature vector, every dimension in units of its spread
  (Sun et al., "Out-of-distribution detection with deep nearest neighbors", ICML 2022);
* ``mahalanobis``: :math:`\sqrt{(f - \mu)^\top \Sigma^{-1} (f - \mu)}` of one Gaussian (Lee et al., NeurIPS 2018),
  cheaper and blunter: demonstrations of a task lie along curves, not in a ball.

Each is taken over all features and over those of the scene alone (where objects are, whether cameras agree);
the larger counts. Otherwise the arm's own motion, most of the features, would hide a cube where none ever was.

A score fades with time, and what is known does not make up for it at once: with the cube in the hand everything
looks as demonstrated, wherever it was taken from. So the largest score so far counts, faded exponentially.

Held out means whole episodes: neighbours of a tick in its own episode would make everything look known.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import Enum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from il_core.config import from_mapping
from il_core.errors import CheckpointError, ConfigError, EpisodeError, ShapeError
from il_policy.files import FORMAT_VERSION, write_sealed
from il_policy.serving import artifact as stored
from il_policy.serving.artifact import StoredFile

Array = NDArray[np.float64]
FILE = "doubt.json"
NEIGHBOURS = 5
QUANTILE = 0.99  # of held-out demonstrations counts as known: one false alarm in a hundred plans
MAX_REFERENCES = 4096  # 10 minutes of ticks at 10 Hz are 6000; a score then costs 0.2 ms
MIN_SPREAD = 0.02  # of a normalised feature: one per cent of its range
MIN_EPISODES = 3
MEMORY_S = 5.0  # doubt about what a run began with fades with this time constant
CLEAR_AT = 0.8  # doubt ends when the score falls below this share of the limit, so that it does not flicker


_TENSORS = ("references", "spread", "mean", "covariance", "groups")


class Kind(str, Enum):
    """Which score is used."""

    KNN = "knn"
    MAHALANOBIS = "mahalanobis"


@dataclass(frozen=True, slots=True)
class Calibration:
    """What doubt.json says.

    Attributes:
        format_version: Of this layout.
        weights_sha256: Digest of the weights whose features these are.
        kind: Score in use.
        thresholds: Raw score that counts as 1, by kind.
        episodes: Episodes it was calibrated on.
        tensors: File with ``references``, ``spread``, ``mean``, ``covariance`` and ``groups``.
        memory_ticks: Time constant with which a score fades [ticks]; 0 = it is forgotten at once.
    """

    format_version: int
    weights_sha256: str
    kind: Kind
    thresholds: dict[str, float]
    episodes: int
    tensors: StoredFile
    memory_ticks: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Detector:
    """Scores feature vectors.

    Attributes:
        references: Demonstrated features in units of ``spread``, (N, C).
        spread: Unit of each dimension, (C,).
        mean: Of the features, (C,).
        covariance: Of the features, (C, C).
        groups: Which features each group looks at, 0 or 1, (G, C).
        thresholds: What counts as 1: distance per kind and group (``knn/0``), and per kind of their maximum.
        kind: Score in use.
        memory_ticks: Time constant with which a score fades [ticks]; 0 = it is forgotten at once.
    """

    references: Array
    spread: Array
    mean: Array
    covariance: Array
    groups: Array
    thresholds: dict[str, float]
    kind: Kind = Kind.KNN
    memory_ticks: float = 0.0

    def distances(self, features: Array, kind: Kind) -> Array:
        """Distance (G, M) of features (M, C) by group, in the kind's own unit.

        Raises:
            ShapeError: another number of features.
        """
        if features.ndim != 2 or features.shape[1] != len(self.spread):
            raise ShapeError("features", expected=f"(M, {len(self.spread)})", got=features.shape)
        found = []
        for group in self.groups > 0:
            if kind is Kind.MAHALANOBIS:
                d = (features - self.mean)[:, group]
                solved = np.linalg.solve(self.covariance[np.ix_(group, group)], d.T)
                found.append(np.sqrt(np.maximum((d * solved.T).sum(1), 0.0)))
            else:
                found.append(_kth_distance((features / self.spread)[:, group], self.references[:, group]))
        return np.array(found)

    def raw(self, features: Array, kind: Kind) -> Array:
        """Larger of the groups' distances, each in units of its threshold, (M,)."""
        units = np.array([self.thresholds[f"{kind.value}/{g}"] for g in range(len(self.groups))])
        return (self.distances(features, kind) / units[:, None]).max(0)

    def score(self, features: Array) -> float:
        """Score of one feature vector (C,); above 1 is beyond what was demonstrated."""
        if not np.isfinite(features).all():
            return float("inf")
        return float(self.raw(features[None].astype(np.float64), self.kind)[0] / self.thresholds[self.kind.value])


def _kth_distance(points: Array, references: Array) -> Array:
    """Distance to the k-th nearest reference, (M,)."""
    k = min(NEIGHBOURS, len(references)) - 1
    square = (points**2).sum(1)[:, None] - 2 * points @ references.T + (references**2).sum(1)
    return np.sqrt(np.maximum(np.partition(square, k, axis=1)[:, k], 0.0))


def _fit(features: Array, groups: Array, seed: int) -> tuple[Array, Array, Array, Array, Array]:
    """References, spread, mean, covariance and groups of demonstrated features (N, C)."""
    spread = np.maximum(features.std(0), MIN_SPREAD)
    rng = np.random.default_rng(seed)
    chosen = features if len(features) <= MAX_REFERENCES else rng.choice(features, MAX_REFERENCES, replace=False)
    floor = MIN_SPREAD**2 * np.eye(features.shape[1])  # so that constant features stay finite
    return chosen / spread, spread, features.mean(0), np.atleast_2d(np.cov(features.T)) + floor, groups


def calibrate(
    episodes: Sequence[Array],
    kind: Kind = Kind.KNN,
    scene: NDArray[np.bool_] | None = None,
    folds: int = 5,
    seed: int = 0,
    memory_ticks: float = 0.0,
) -> Detector:
    """Fit to all episodes; thresholds from distances of episodes left out of the fit in turn.

    Args:
        episodes: Features of each demonstration, (N_i, C).
        kind: Score to use.
        scene: Which features are of the scene, (C,) bool; None or none = all in one group.
        folds: Parts the episodes are divided into.
        seed: Of the choice of references and parts.
        memory_ticks: Time constant with which a score fades [ticks]; thresholds are those of remembered scores.

    Raises:
        EpisodeError: too few episodes to hold any out.
    """
    if len(episodes) < MIN_EPISODES:
        raise EpisodeError("calibration", f"{len(episodes)} episodes, need {MIN_EPISODES}; record more demonstrations")
    groups = np.ones((1, episodes[0].shape[1]))
    if scene is not None and scene.any():
        groups = np.stack([groups[0], scene.astype(np.float64)])
    order = np.random.default_rng(seed).permutation(len(episodes))
    held: dict[Kind, list[Array]] = {k: [] for k in Kind}
    for part in np.array_split(order, min(folds, len(episodes))):
        rest = np.concatenate([e for i, e in enumerate(episodes) if i not in part])
        partial = Detector(*_fit(rest, groups, seed), {})
        for k in Kind:
            held[k] += [partial.distances(episodes[i], k) for i in part]
    thresholds: dict[str, float] = {}
    for k in Kind:
        distances = np.concatenate(held[k], axis=1)  # (G, all held-out ticks)
        units = np.maximum(np.quantile(distances, QUANTILE, axis=1), 1e-9)
        thresholds |= {f"{k.value}/{g}": float(unit) for g, unit in enumerate(units)}
        told = [remembered((d / units[:, None]).max(0), memory_ticks) for d in held[k]]
        thresholds[k.value] = float(np.quantile(np.concatenate(told), QUANTILE))
    return Detector(*_fit(np.concatenate(list(episodes)), groups, seed), thresholds, kind, memory_ticks)


def remembered(scores: Array, memory_ticks: float) -> Array:
    r"""Largest score so far, faded, of scores (N,) of successive ticks: :math:`r_k = \max(s_k, e^{-1/m} r_{k-1})`."""
    keep = np.exp(-1.0 / memory_ticks) if memory_ticks > 0 else 0.0
    told, before = np.empty(len(scores)), 0.0
    for k, score in enumerate(scores):
        told[k] = before = max(float(score), keep * before)
    return told


def save(directory: Path, detector: Detector, weights_sha256: str, episodes: int) -> None:
    """Write the calibration beside its checkpoint; an older one is replaced."""
    tensors = {k: getattr(detector, k).astype(np.float32) for k in _TENSORS}
    entry = stored.store_tensors(directory, "doubt", tensors)
    found = Calibration(
        FORMAT_VERSION, weights_sha256, detector.kind, detector.thresholds, episodes, entry, detector.memory_ticks
    )
    write_sealed(directory / FILE, stored.plain(asdict(found)))
    for path in directory.glob("doubt-*.safetensors"):
        if path.name != entry.name:
            path.unlink(missing_ok=True)


def _groups(tensors: dict[str, Array]) -> int:
    return len(tensors.get("groups", ()))


def load(directory: Path, weights_sha256: str) -> Detector | None:
    """Read the calibration of a checkpoint; None if it was never calibrated.

    Raises:
        CheckpointError: damaged, or calibrated for other weights.
    """
    path = directory / FILE
    if not path.exists():
        return None
    try:
        found = from_mapping(Calibration, stored.read_sealed(path, "run `il calibrate` again"), str(path))
    except ConfigError as error:
        raise CheckpointError(path, f"{error.problem}; run `il calibrate` again") from error
    if found.weights_sha256 != weights_sha256:
        raise CheckpointError(path, "made for other weights; run `il calibrate` again")
    tensors = {k: v.astype(np.float64) for k, v in stored.read_tensors(directory, found.tensors).items()}
    kinds = {f"{k.value}{suffix}" for k in Kind for suffix in ("", *(f"/{g}" for g in range(_groups(tensors))))}
    if set(tensors) != set(_TENSORS) or set(found.thresholds) != kinds:
        raise CheckpointError(path, f"holds {sorted(tensors)}; run `il calibrate` again")
    return Detector(**tensors, thresholds=found.thresholds, kind=found.kind, memory_ticks=found.memory_ticks)


class Watch:
    """Turns scores into doubt, with memory and hysteresis.

    Attributes:
        limit: Score that is doubt; may change at any time.
        is_in_doubt: Whether the last score was.
    """

    def __init__(self, limit: float, memory_ns: float = 0.0) -> None:
        """Begin without doubt.

        Args:
            limit: Score that is doubt.
            memory_ns: Time constant with which a score fades [ns]; 0 = it is forgotten at once.
        """
        self.limit, self._memory_ns = limit, memory_ns
        self._score, self._at_ns = 0.0, 0
        self.is_in_doubt = False

    def remember(self, score: float, tick_ns: int) -> float:
        """The larger of a score and what has not faded yet; what is not finite counts, but is not remembered."""
        faded = 0.0
        if self._memory_ns > 0 and tick_ns > self._at_ns:
            faded = self._score * float(np.exp((self._at_ns - tick_ns) / self._memory_ns))
        if not np.isfinite(score):
            return score
        self._score, self._at_ns = max(score, faded), tick_ns
        return self._score

    def see(self, score: float) -> bool:
        """Whether the policy is in doubt now; NaN counts as doubt."""
        self.is_in_doubt = not score <= (CLEAR_AT if self.is_in_doubt else 1.0) * self.limit
        return self.is_in_doubt


def auroc(known: Array, unknown: Array) -> float:
    r"""Probability that an unknown observation scores above a known one, ties half: :math:`U / (n m)`.

    Hanley and McNeil, Radiology 1982.

    Raises:
        ValueError: one of them is empty.
    """
    if len(known) == 0 or len(unknown) == 0:
        raise ValueError("AUROC needs scores of both kinds")
    ordered = np.sort(known)
    below, upto = np.searchsorted(ordered, unknown, "left"), np.searchsorted(ordered, unknown, "right")
    return float((below + upto).mean() / 2 / len(known))
