"""A checkpoint into graphs that run without torch, each compared with torch before it is written."""

from __future__ import annotations

import io
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.fx.experimental.proxy_tensor import make_fx
from torch.nn.attention import SDPBackend, sdpa_kernel

from il_core.errors import CheckpointError, ConfigError
from il_policy import checkpoint
from il_policy.config import Head
from il_policy.policy import ChunkMaker
from il_policy.serving import artifact as stored
from il_policy.serving.artifact import ArrayArtifact, Artifact, Exported, StoredFile
from il_policy.serving.backend import ENCODE, GUIDED, ONNX, OPENVINO, Backend, Feeds, Floats, open_backend
from il_policy.serving.gradients import decompositions
from il_policy.serving.rtc import Prefix
from il_policy.serving.sampler import Request, sample
from il_policy.serving.torch_graphs import (
    TorchBackend,
    deterministic,
    examples,
    graphs_of,
    sampler_spec,
    some_pixels,
)
from il_policy.specs import specs_sha256

OPSET = 17  # the newest the torch exporter writes by tracing; both runtimes read it
TOLERANCE = 1e-4  # of a chunk, normalised units: 0.05 mm on a range of 1 m
PULL_TOLERANCE = 1e-3  # of a gradient, whose float32 is coarser, and of which a step takes a part
TRIALS = 3


def export(directory: Path, formats: Sequence[str], policy: ChunkMaker) -> Exported:
    """Write the graphs of a checkpoint beside it.

    Args:
        directory: The checkpoint's folder.
        formats: ``onnx``, ``openvino`` or both.
        policy: The policy, loaded from there.

    Returns:
        What was written, with the measured difference from torch.

    Raises:
        ConfigError: a format is unknown or its package missing.
        CheckpointError: a graph cannot be exported, or differs from torch by more than ``TOLERANCE``.
    """
    unknown = sorted(set(formats) - {ONNX, OPENVINO})
    if unknown or not formats:
        raise ConfigError("--format", f"unknown format {unknown}; options: {ONNX}, {OPENVINO}")
    if policy.config.head is Head.IBC:
        reason = "searches among candidates, and the rounding of another runtime picks another one"
        raise CheckpointError(directory, f"head 'ibc' {reason}; `il serve` takes it with torch")
    norm = policy.model.action_norm
    tensors = {"action_centre": norm.centre.numpy(), "action_half_range": norm.half_range.numpy()}
    artifact = _described(directory, policy, stored.store_tensors(directory, "serving_norm", tensors))
    for name, graph in graphs_of(policy).items():
        try:
            data = onnx_bytes(policy, name, graph)
        except (RuntimeError, ValueError, TypeError, NotImplementedError) as error:
            if name == GUIDED:  # real-time chunking then inpaints without gradients, see sampler.py
                continue
            reason = str(error).splitlines()[0]
            problem = f"graph '{name}' of head '{policy.config.head.value}' cannot be exported: {reason}"
            raise CheckpointError(directory, f"{problem}; `il serve` takes it with torch") from error
        files = {f"{ONNX}/{name}": stored.store(directory, f"serving_{name}", "onnx", data)} if ONNX in formats else {}
        if OPENVINO in formats:
            files |= _openvino(directory, name, data)
        artifact = replace(artifact, graphs={**artifact.graphs, **files})
    errors = {kind: _max_error(directory, artifact, policy, kind) for kind in formats}
    artifact = replace(artifact, max_error=errors)
    stored.save_artifact(directory, artifact)
    return artifact


def _described(directory: Path, policy: ChunkMaker, tensors: StoredFile) -> Exported:
    """An export without graphs."""
    manifest = checkpoint.read_stored(directory)
    about: dict[str, Any] = {
        "format_version": stored.FORMAT_VERSION,
        "weights_sha256": manifest.weights_sha256,
        "chunk_shape": tuple(policy.model.chunk_shape),
        "input_dim": len(policy.model.input_norm.centre),
        "sampler": sampler_spec(policy.config),
        "tensors": tensors,
        "observe": policy.config.observe,
        "ensemble": policy.config.ensemble,
    }
    if isinstance(manifest, checkpoint.ArrayManifest):
        return ArrayArtifact(arrays=manifest.arrays, **about)
    if not isinstance(manifest, checkpoint.Manifest):
        raise TypeError(f"no export for a {type(manifest).__name__}")
    return Artifact(
        spec_digest=manifest.spec_digest,
        task=manifest.task,
        robot=manifest.robot,
        specs_sha256=specs_sha256(manifest.robot, manifest.task),
        action_encoding=policy.config.action_encoding,
        observed_ticks=policy.config.observed_ticks,
        **about,
    )


def onnx_bytes(policy: ChunkMaker, name: str, graph: nn.Module) -> bytes:
    """One graph as an ONNX file."""
    feeds = examples(policy, name)
    arguments = tuple(feeds.values())
    if name == GUIDED:
        # The reverse pass is written out as ordinary operations first: runtimes know no autograd.
        with sdpa_kernel(SDPBackend.MATH):  # of products and softmax: the fused one has no such reverse
            traced = make_fx(torch.func.functionalize(graph, remove="mutations"), decompositions())(*arguments)
        traced.graph.eliminate_dead_code()
        traced.recompile()
        graph = traced
    out = io.BytesIO()
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # the tracer's remarks on constants and its own age
        outputs = ["output", "pull"] if name == GUIDED else ["output"]
        torch.onnx.export(
            graph,
            arguments,
            out,  # type: ignore[arg-type] # the tracing exporter takes a stream
            input_names=list(feeds),
            output_names=outputs,
            opset_version=OPSET,
            dynamo=False,
        )
    return out.getvalue()


def _openvino(directory: Path, name: str, onnx: bytes) -> dict[str, StoredFile]:
    """The same graph in OpenVINO's own format, weights in float32."""
    try:
        import openvino
    except ImportError as error:
        raise ConfigError("--format openvino", "openvino is missing; pip install openvino") from error
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.xml"
        openvino.save_model(openvino.Core().read_model(onnx), path, compress_to_fp16=False)
        xml, weights = path.read_bytes(), path.with_suffix(".bin").read_bytes()
    stem = f"serving_{name}"
    return {
        f"{OPENVINO}/{name}": stored.store(directory, stem, "xml", xml),
        f"{OPENVINO}/{name}.bin": stored.store(directory, stem, "bin", weights),
    }


def _max_error(directory: Path, artifact: Exported, policy: ChunkMaker, kind: str) -> float:
    """Largest difference of whole chunks from torch's, same noise.

    Plans from nothing are compared as a whole, with the training's own sampler. Where there is a graph for plans that
    continue one before, it is compared with torch's at every level that such a plan passes, without following its
    pull: of an untrained network a gradient may amplify rounding from level to level without bound.

    Raises:
        CheckpointError: over the tolerance.
    """
    backend = open_backend(kind, directory, artifact)
    head = TorchBackend(policy)
    beside = _Beside(head, backend)
    rng, worst = np.random.default_rng(0), 0.0
    reference = _reference(policy)
    for k in range(TRIALS):
        inputs = rng.normal(size=(1, artifact.input_dim)).astype(np.float32)
        inputs[0, :: k + 2] = np.nan  # not seen
        noise = rng.normal(size=artifact.chunk_shape).astype(np.float32)
        pixels = some_pixels(policy.config.observe, torch.Generator().manual_seed(k))
        feeds = {"inputs": inputs, **{name: picture.numpy() for name, picture in pixels.items()}}
        cond = backend.run(ENCODE, feeds)[0]
        cond_of_torch = head.run(ENCODE, feeds)[0]
        wanted = reference(torch.from_numpy(cond_of_torch), torch.from_numpy(noise)[None]).numpy()[0]
        got = sample(backend, artifact.sampler, cond, Request(noise))
        worst = _larger(worst, got - wanted)
        if backend.has(GUIDED):
            request = Request(noise, prefix=_some_plan(rng, artifact.chunk_shape, k), beta=0.0)
            sample(beside, artifact.sampler, cond_of_torch, request)
    worst = max(worst, beside.error)
    step = "export another format, or serve it with --runtime torch"
    if not worst <= TOLERANCE:
        what = f"its {kind} graphs differ from torch by {worst:.2g}"
        raise CheckpointError(directory, f"{what}, limit {TOLERANCE}; {step}")
    if not beside.pull_error <= PULL_TOLERANCE:
        what = f"the {kind} graph that continues a plan differs from torch's gradient by {beside.pull_error:.2g}"
        raise CheckpointError(directory, f"{what}, limit {PULL_TOLERANCE}; {step}")
    return worst


def _larger(worst: float, difference: Floats) -> float:
    """The larger error; what is not a number is the largest."""
    error = float(np.abs(difference).max())
    return max(worst, error) if error == error else float("inf")


def _some_plan(rng: np.random.Generator, shape: tuple[int, ...], k: int) -> Prefix:
    """A wandering plan in the range of demonstrated ones, of which the first rows are settled."""
    rows = np.clip(np.cumsum(rng.normal(scale=0.2, size=shape), axis=0), -1.0, 1.0)
    known = max(1, shape[0] - shape[0] // 4)
    return Prefix(rows, min(known, 1 + k), known)


class _Beside:
    """Computes the guided graph with one backend, and notes how far another one is from it on the same inputs.

    Attributes:
        error: Largest difference of a network's output.
        pull_error: Largest difference of a pull, relative to the largest number in it where that exceeds 1.
    """

    def __init__(self, first: Backend, other: Backend) -> None:
        self._first, self._other = first, other
        self.error = self.pull_error = 0.0
        self.name, self.threads, self.device = first.name, first.threads, first.device

    def has(self, graph: str) -> bool:
        return self._first.has(graph)

    def run(self, graph: str, feeds: Feeds) -> tuple[Floats, ...]:
        output, pull = self._first.run(graph, feeds)
        other, other_pull = self._other.run(graph, feeds)
        self.error = _larger(self.error, output - other)
        self.pull_error = _larger(self.pull_error, (pull - other_pull) / max(1.0, float(np.abs(pull).max())))
        return output, pull


class _reference:  # noqa: N801 - used like a function
    """The training's own sampler, without gradients."""

    def __init__(self, policy: ChunkMaker) -> None:
        from il_policy.heads import make_head

        self._network, self._head = policy.model.network, make_head(deterministic(policy.config))

    @torch.no_grad()
    def __call__(self, cond: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        return self._head.sample(self._network, cond, noise)
