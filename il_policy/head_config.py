"""Settings of the heads: one section each, read only by the head of that name."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

MAX_COUNT = 4096  # modes, codes, samples: more is a typing error


class Head(str, Enum):
    """What makes chunks out of observations; every value but the first names a section of settings."""

    REGRESSION = "regression"
    GMM = "gmm"
    ACT = "act"
    DIFFUSION = "diffusion"
    FLOW = "flow"
    ONE_STEP = "one_step"
    IBC = "ibc"
    VQ = "vq"
    MOE = "moe"
    DMP = "dmp"
    PROMP = "promp"
    GMR = "gmr"

    @property
    def is_trajectory(self) -> bool:
        """Whether it fits whole trajectories without a network."""
        return self in (Head.DMP, Head.PROMP, Head.GMR)


class Norm(str, Enum):
    """Distance of the regression head."""

    L1 = "l1"
    L2 = "l2"
    HUBER = "huber"


class Prediction(str, Enum):
    """What the denoiser estimates; names of diffusers' ``prediction_type``."""

    EPSILON = "epsilon"
    SAMPLE = "sample"


class Sampler(str, Enum):
    """How noise is removed."""

    DDIM = "ddim"  # deterministic given the first noise
    DDPM = "ddpm"  # fresh noise in every step


class Solver(str, Enum):
    """How the flow is integrated."""

    EULER = "euler"  # one evaluation per step
    MIDPOINT = "midpoint"  # two, and an error that falls with the square of the step


class Distillation(str, Enum):
    """How the one-step student learns from its teacher."""

    TRAJECTORY = "trajectory"  # the teacher's end point for the same noise
    CONSISTENCY = "consistency"  # its own answer one teacher step further on


def _check(holds: bool, problem: str) -> None:
    if not holds:
        raise ValueError(problem)


@dataclass(frozen=True, slots=True)
class GmmConfig:
    """Mixture of Gaussians over chunks.

    Attributes:
        modes: Components.
        min_std: Least standard deviation in training, in normalised units; keeps the likelihood bounded.
        max_std: Largest one. A wider component would cover several ways, and its mean lies between them.
        low_noise: Whether plans are the mean of the chosen component instead of a draw from it.
    """

    modes: int = 5
    min_std: float = 0.03
    max_std: float = 0.1
    low_noise: bool = True

    def __post_init__(self) -> None:
        """Check ranges."""
        is_sound = 1 <= self.modes <= MAX_COUNT and 0 < self.min_std < self.max_std
        _check(is_sound, "need 1 <= modes <= 4096 and 0 < min_std < max_std")


@dataclass(frozen=True, slots=True)
class ActConfig:
    """Conditional variational autoencoder.

    Attributes:
        latent: Numbers of the style variable.
        kl_weight: Weight of its divergence from the prior.
        width: Width of the encoder that sees demonstrated chunks, in training only.
        depth: Its blocks.
        is_drawn: Whether the style is drawn once per rollout; else it is the prior's mean, zero.
    """

    latent: int = 32
    kl_weight: float = 10.0
    width: int = 128
    depth: int = 2
    is_drawn: bool = False

    def __post_init__(self) -> None:
        """Check ranges."""
        _check(0 < self.latent <= MAX_COUNT and self.kl_weight >= 0, "need 0 < latent <= 4096 and kl_weight >= 0")
        _check(0 < self.width <= MAX_COUNT and self.width % 4 == 0, "width must be a multiple of 4, at most 4096")
        _check(0 < self.depth <= 64, "depth must be in 1..64")


@dataclass(frozen=True, slots=True)
class DiffusionConfig:
    """Noise schedule.

    Attributes:
        prediction: What the network estimates.
        train_steps: Noise levels in training.
        inference_steps: Steps per chunk.
        sampler: How they are taken.
    """

    prediction: Prediction = Prediction.SAMPLE
    train_steps: int = 100
    inference_steps: int = 10
    sampler: Sampler = Sampler.DDIM

    def __post_init__(self) -> None:
        """Check the order of the two step counts."""
        if not 1 <= self.inference_steps <= self.train_steps <= 10_000:
            raise ValueError("need 1 <= inference_steps <= train_steps <= 10000")


def visited_levels(train_steps: int, steps: int, *, is_noise_estimated: bool = False) -> tuple[int, ...]:
    r"""Noise levels at which the n = ``steps`` denoising steps i begin, noisiest first.

    .. math:: t_i = \max\left(\operatorname{round}\left(t_0\,(1 - i / n)^2\right),\ n - 1 - i\right), \quad t_0 = T - 1

    The quadratic choice of Song et al., "Denoising diffusion implicit models", 2021, appendix D.2: dense where little
    noise is left and the chunk gets its details. The first level is always the noisiest, as that is what pure noise
    is; a network that is told a lower one takes noise for signal, the more so the fewer the steps (Lin et al., "Common
    diffusion noise schedules and sample steps are flawed", 2024, section 3.3). No level is visited twice.

    Where the network estimates the noise, few steps begin at :math:`t_0 = \lfloor 0.9\,T \rfloor`: at the last levels
    hardly anything of the chunk is left to divide by, and every error of the estimate becomes the chunk's whole range.
    """
    first = 9 * train_steps // 10 if is_noise_estimated else train_steps - 1
    return tuple(max(round(first * (1 - i / steps) ** 2), steps - 1 - i) for i in range(steps))


@dataclass(frozen=True, slots=True)
class FlowConfig:
    """Straight paths from noise to data.

    Attributes:
        steps: Integration steps per chunk.
        solver: How a step is taken.
    """

    steps: int = 10
    solver: Solver = Solver.EULER

    def __post_init__(self) -> None:
        """Check ranges."""
        _check(1 <= self.steps <= 10_000, "steps must be in 1..10000")


@dataclass(frozen=True, slots=True)
class OneStepConfig:
    """A student that does in one step what its teacher does in many.

    Attributes:
        teacher: Head of the teacher; its own section says how the teacher samples.
        method: How the student learns.
    """

    teacher: Head = Head.DIFFUSION
    method: Distillation = Distillation.TRAJECTORY

    def __post_init__(self) -> None:
        """Only what removes noise in steps can teach."""
        _check(self.teacher in (Head.DIFFUSION, Head.FLOW), "teacher must be diffusion or flow")


@dataclass(frozen=True, slots=True)
class IbcConfig:
    """Energy of a chunk, and the search for its minimum.

    Attributes:
        knots: Rows searched; the chunk is interpolated between them. Search suffers from dimensions.
        negatives: Counter-examples per demonstrated chunk.
        samples: Candidates of the search.
        iterations: Rounds of the search.
        noise: Standard deviation of the first round's noise, in normalised units.
        shrink: Factor on the noise from round to round.
    """

    knots: int = 4
    negatives: int = 64
    samples: int = 256
    iterations: int = 6
    noise: float = 0.33
    shrink: float = 0.5

    def __post_init__(self) -> None:
        """Check ranges."""
        counts = (self.knots, self.negatives, self.samples, self.iterations)
        _check(all(1 <= n <= MAX_COUNT for n in counts), "counts must be in 1..4096")
        _check(self.noise > 0 and 0 < self.shrink <= 1, "need noise > 0 and 0 < shrink <= 1")


@dataclass(frozen=True, slots=True)
class VqConfig:
    """Codes of chunks.

    Attributes:
        codes: Codes per level.
        levels: Levels; each codes what the ones before left over.
        offset_weight: Weight of the continuous correction.
        focus: Exponent of the focal loss: codes predicted well count less.
    """

    codes: int = 16
    levels: int = 2
    offset_weight: float = 10.0
    focus: float = 2.0

    def __post_init__(self) -> None:
        """Check ranges."""
        _check(1 <= self.codes <= MAX_COUNT and 1 <= self.levels <= 8, "need codes in 1..4096, levels in 1..8")
        _check(self.offset_weight >= 0 and self.focus >= 0, "offset_weight and focus must not be negative")


@dataclass(frozen=True, slots=True)
class MoeConfig:
    """Experts, each a network of its own, and a gate that chooses.

    Attributes:
        experts: How many.
        std: How far from a chunk an expert may be and still count as its author, normalised units.
        gate_width: Hidden width of the gate.
    """

    experts: int = 4
    std: float = 0.2
    gate_width: int = 64

    def __post_init__(self) -> None:
        """Check ranges."""
        _check(1 <= self.experts <= 64 and self.std > 0, "need experts in 1..64 and std > 0")
        _check(1 <= self.gate_width <= MAX_COUNT, "gate_width must be in 1..4096")


@dataclass(frozen=True, slots=True)
class PrimitiveConfig:
    """A trajectory fitted to few demonstrations (dmp, promp, gmr).

    Attributes:
        basis: Basis functions per dimension (dmp, promp), or components (gmr).
        ridge: Regularisation of the fit.
    """

    basis: int = 20
    ridge: float = 1e-6

    def __post_init__(self) -> None:
        """Check ranges."""
        _check(2 <= self.basis <= 512 and self.ridge >= 0, "need basis in 2..512 and ridge >= 0")
