"""Which runtime, and where: measured on this machine at start, not assumed.

The number of threads is not measured: at start a machine is idle, and what is clearly faster then waits for
itself many times as long once a control loop keeps a core busy. It is one unless the configuration says otherwise.
"""

from __future__ import annotations

import importlib.util
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from il_core.errors import ConfigError, IlError
from il_core.stats import percentiles
from il_policy.data_config import EnsembleConfig
from il_policy.encoders.pixels import blank
from il_policy.observe_config import ObserveConfig
from il_policy.serving.artifact import Exported
from il_policy.serving.backend import ENCODE, PACKAGES, TORCH, Backend, open_backend, place_of
from il_policy.serving.config import Device, Handover, Runtime, ServeConfig
from il_policy.serving.device import places, problem
from il_policy.serving.joining import chosen
from il_policy.serving.levels import SamplerSpec
from il_policy.serving.sampler import Request, sample, some_prefix

log = logging.getLogger(__name__)
NO_ENSEMBLE = EnsembleConfig()
MAX_PLANS = 30
MEASURE_S = 0.6  # for all measurements together: a server shall be ready in 1.5 s


@dataclass(frozen=True, slots=True)
class Sizes:
    """What must be known to plan from nothing; an export says it too.

    Attributes:
        chunk_shape: Rows and numbers per row.
        input_dim: Length of the input vector.
        sampler: How noise becomes a chunk.
        observe: Pictures.
        ensemble: How the recipe wants successive plans averaged.
    """

    chunk_shape: tuple[int, ...]
    input_dim: int
    sampler: SamplerSpec
    observe: ObserveConfig
    ensemble: EnsembleConfig = NO_ENSEMBLE


@dataclass(frozen=True, slots=True)
class Timing:
    """What one way of computing costs per plan.

    Attributes:
        runtime: Its name.
        place: ``GPU``, or its threads.
        p50_ms: Median of a whole plan [ms].
        p95_ms: 95th percentile [ms].
        plans: Plans measured.
    """

    runtime: str
    place: str
    p50_ms: float
    p95_ms: float
    plans: int

    def __str__(self) -> str:
        """One row of the table."""
        return f"{self.runtime:9s} {self.place:12s}  p50 {self.p50_ms:7.2f} ms  p95 {self.p95_ms:7.2f} ms"


def time_plans(backend: Backend, sizes: Sizes | Exported, seconds: float, *, is_guided: bool = False) -> Timing:
    """Plan from observations of the real size for a while.

    Args:
        backend: Who computes.
        sizes: Sizes and sampler.
        seconds: How long at most, after two plans that do not count.
        is_guided: Whether every plan continues one before, by real-time chunking: that is another, dearer graph.
    """
    rng = np.random.default_rng(0)
    pictures = {name: picture[None] for name, picture in blank(sizes.observe).items()}
    feeds = {"inputs": rng.normal(size=(1, sizes.input_dim)).astype(np.float32), **pictures}
    prefix = some_prefix(sizes.chunk_shape) if is_guided else None
    request = Request(rng.normal(size=sizes.chunk_shape).astype(np.float32), prefix=prefix)
    costs: list[float] = []
    until = time.perf_counter() + seconds
    for k in range(MAX_PLANS + 2):
        began = time.perf_counter()
        cond = backend.run(ENCODE, feeds)[0]
        sample(backend, sizes.sampler, cond, request)
        if k >= 2:  # the first calls allocate
            costs.append(1e3 * (time.perf_counter() - began))
        if costs and time.perf_counter() > until:
            break
    p50, p95 = percentiles(costs, 50, 95)
    return Timing(backend.name, place_of(backend), p50, p95, len(costs))


def is_guided(config: ServeConfig, recipe: Sizes | Exported) -> bool:
    """Whether every plan but a run's first continues one before by real-time chunking."""
    return chosen(config, recipe.sampler, recipe.ensemble) is Handover.RTC


def fastest(
    found: Sequence[Backend], sizes: Sizes | Exported, seconds: float = MEASURE_S, *, is_guided: bool = False
) -> Backend:
    """The one with the lowest 95th percentile of the plans that will be served; a single one is not measured.

    Args:
        found: What is there.
        sizes: Sizes and sampler.
        seconds: For all measurements together.
        is_guided: Whether plans continue one another by real-time chunking.

    Raises:
        ConfigError: nothing is there.
    """
    if not found:
        raise ConfigError("runtime", "none can be used; pip install onnxruntime or openvino")
    if len(found) == 1:
        return found[0]
    timings = [time_plans(b, sizes, seconds / len(found), is_guided=is_guided) for b in found]
    k = int(np.argmin([t.p95_ms for t in timings]))
    for timing in timings:
        log.info("runtime %s%s", timing, "  <- chosen" if timing is timings[k] else "")
    return found[k]


def installed(artifact: Exported) -> list[str]:
    """Runtimes that are installed and that the export has graphs for."""
    return [kind for kind in artifact.formats() if importlib.util.find_spec(PACKAGES.get(kind, kind)) is not None]


def measured_backend(
    directory: Path,
    artifact: Exported,
    config: ServeConfig,
    others: Callable[[], list[Backend]] = list,
) -> Backend:
    """Open what the configuration allows, measure it where there is a choice, log the table, and take the fastest.

    Args:
        directory: The checkpoint.
        artifact: Its export.
        config: Runtime, device, threads.
        others: Makes further backends to compare where any runtime will do, such as torch.

    Raises:
        ConfigError: no runtime works; says why each does not.
        CheckpointError: the only one asked for has no graphs, or damaged ones.
    """
    is_free = config.runtime is Runtime.AUTO
    kinds = installed(artifact) if is_free else [config.runtime.value]
    found, refused = others() if is_free else [], list[IlError]()
    for kind in kinds:
        try:
            where = places(kind, config.device)
        except ConfigError as error:
            refused.append(error)
            continue
        for place in where:
            try:
                found.append(open_backend(kind, directory, artifact, config.threads, place))
            except IlError as error:  # one broken runtime must not stop the others
                refused.append(error)
    if found:
        for reason in refused:
            log.warning("left out: %s", reason)
        return fastest(found, artifact, is_guided=is_guided(config, artifact))
    if is_free and config.device is Device.CUDA:
        refused.append(ConfigError("torch", problem(TORCH)))
    if len(refused) == 1:
        raise refused[0]
    raise ConfigError("runtime", "; ".join(map(str, refused)))
