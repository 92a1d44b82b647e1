"""Which runtime, and how many threads: measured on this machine at start, not assumed."""

from __future__ import annotations

import importlib.util
import logging
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from il_core.errors import ConfigError, IlError
from il_core.stats import percentiles
from il_policy.encoders.pixels import blank
from il_policy.serving.artifact import Exported
from il_policy.serving.backend import ENCODE, PACKAGES, Backend, open_backend
from il_policy.serving.sampler import Request, sample

log = logging.getLogger(__name__)
CLEARLY = 1.3  # more threads must be this much faster at the 95th percentile: they take cores from others
MAX_PLANS = 50


@dataclass(frozen=True, slots=True)
class Timing:
    """What one way of computing costs per plan.

    Attributes:
        runtime: Its name.
        threads: Its threads.
        p50_ms: Median of a whole plan [ms].
        p95_ms: 95th percentile [ms].
        plans: Plans measured.
    """

    runtime: str
    threads: int
    p50_ms: float
    p95_ms: float
    plans: int

    def __str__(self) -> str:
        """One row of the table."""
        return f"{self.runtime:9s} {self.threads} thread(s)  p50 {self.p50_ms:7.2f} ms  p95 {self.p95_ms:7.2f} ms"


def time_plans(backend: Backend, artifact: Exported, seconds: float) -> Timing:
    """Plan from observations of the real size for a while.

    Args:
        backend: Who computes.
        artifact: Sizes and sampler.
        seconds: How long at most, after two plans that do not count.
    """
    rng = np.random.default_rng(0)
    pictures = {name: picture[None] for name, picture in blank(artifact.observe).items()}
    feeds = {"inputs": rng.normal(size=(1, artifact.input_dim)).astype(np.float32), **pictures}
    request = Request(rng.normal(size=artifact.chunk_shape).astype(np.float32))
    costs: list[float] = []
    until = time.perf_counter() + seconds
    for k in range(MAX_PLANS + 2):
        began = time.perf_counter()
        cond = backend.run(ENCODE, feeds)[0]
        sample(backend, artifact.sampler, cond, request)
        if k >= 2:  # the first calls allocate
            costs.append(1e3 * (time.perf_counter() - began))
        if costs and time.perf_counter() > until:
            break
    p50, p95 = percentiles(costs, 50, 95)
    return Timing(backend.name, backend.threads, p50, p95, len(costs))


def best(timings: Sequence[Timing]) -> Timing:
    """The runtime with the lowest 95th percentile; more than one thread only where clearly faster.

    Raises:
        ConfigError: nothing was measured.
    """
    if not timings:
        raise ConfigError("runtime", "no runtime could be measured; pip install onnxruntime or openvino")
    single = [t for t in timings if t.threads == 1] or list(timings)
    first = min(single, key=lambda t: t.p95_ms)
    many = min(timings, key=lambda t: t.p95_ms)
    return many if many.p95_ms * CLEARLY < first.p95_ms else first


def thread_counts(wanted: int, cores: int) -> tuple[int, ...]:
    """Thread counts to measure: the wanted one, or one and what half of the cores allow."""
    return (wanted,) if wanted else (1, *(n for n in (2, 4) if n <= cores // 2))


def installed(artifact: Exported) -> list[str]:
    """Runtimes that are installed and that the export has graphs for."""
    return [kind for kind in artifact.formats() if importlib.util.find_spec(PACKAGES.get(kind, kind)) is not None]


def measured_backend(
    directory: Path,
    artifact: Exported,
    threads: int,
    seconds: float = 1.0,
    others: Callable[[], list[Backend]] = list,
) -> Backend:
    """Measure what is there, log the table, and open the best.

    Args:
        directory: The checkpoint.
        artifact: Its export.
        threads: 0 = measure.
        seconds: For all measurements together.
        others: Makes further backends to compare, such as torch where it is loaded anyway.

    Raises:
        ConfigError: no runtime works; says why each does not.
    """
    counts = thread_counts(threads, os.cpu_count() or 1)
    kinds = installed(artifact)
    found, refused = others(), []
    for kind in kinds:
        for count in counts:
            try:
                found.append(open_backend(kind, directory, artifact, count))
            except IlError as error:  # one broken runtime must not stop the others
                refused.append(str(error))
    timings = [time_plans(b, artifact, seconds / max(1, len(found))) for b in found]
    if not timings and refused:
        raise ConfigError("runtime", "; ".join(refused))
    chosen = best(timings)
    for timing in timings:
        log.info("runtime %s%s", timing, "  <- chosen" if timing is chosen else "")
    return found[timings.index(chosen)]
