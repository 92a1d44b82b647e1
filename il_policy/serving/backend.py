"""Who computes the graphs of an exported policy: ONNX Runtime or OpenVINO; torch has its own module.

Graphs, all with a batch of one, float32 but for pictures (``rgb.*`` uint8, ``depth.*`` float16):

| graph | inputs | outputs |
|---|---|---|
| ``encode`` | ``inputs`` (1, D), NaN = not seen; pictures by name | ``cond`` (1, C) |
| ``step`` | ``x`` (1, H, A), ``t`` (1,), ``cond`` | network output (1, H, A) |
| ``guided`` | as ``step``, and ``target``, ``weight`` (1, H, A), ``gain``, ``skip`` (1,) | output, pull on x |
| ``whole`` | ``cond``, ``noise`` (1, H, A) | chunk (1, H, A), normalised |

The pull is the gradient that real-time chunking needs, see :mod:`il_policy.serving.rtc`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from il_core.errors import CheckpointError, ConfigError
from il_policy.serving.artifact import Exported, checked

Floats = NDArray[np.float32]
Feeds = Mapping[str, NDArray[Any]]
ENCODE, STEP, GUIDED, WHOLE = "encode", "step", "guided", "whole"
ONNX, OPENVINO, TORCH = "onnx", "openvino", "torch"
CPU, CUDA = "cpu", "cuda"
PACKAGES = {ONNX: "onnxruntime", OPENVINO: "openvino"}


class Backend(Protocol):
    """Computes graphs by name; used by one thread at a time.

    Attributes:
        name: Of the runtime.
        threads: Threads on the processor.
        device: ``cpu`` or ``cuda``.
    """

    name: str
    threads: int
    device: str

    def has(self, graph: str) -> bool:
        """Whether that graph can be computed here."""
        ...

    def run(self, graph: str, feeds: Feeds) -> tuple[Floats, ...]:
        """Outputs of a graph, in the order of the table above."""
        ...


def place_of(backend: Backend) -> str:
    """Where it computes, for people."""
    return "GPU" if backend.device == CUDA else f"{backend.threads} thread(s)"


class _GraphsOf:
    """All graphs of an export, opened in one runtime."""

    name: str

    def __init__(self, directory: Path, artifact: Exported, threads: int = 1, device: str = CPU) -> None:
        """Load all graphs.

        Raises:
            CheckpointError: the export has no graphs of this format, or they are damaged.
            ConfigError: the runtime is not installed, or cannot use the device.
        """
        self.threads, self.device = threads, device
        self._loaded: dict[str, Any] = {}
        self._directory, self._artifact = directory, artifact
        self._prepare()
        for graph, data in _graphs(directory, artifact, self.name).items():
            try:
                self._loaded[graph] = self._load(graph, data)
            except (CheckpointError, ConfigError):
                raise
            except Exception as error:  # the exception classes of the runtimes share no base
                problem = f"graph '{graph}' is refused by {PACKAGES[self.name]}: {error}"
                raise CheckpointError(directory, problem) from error

    def has(self, graph: str) -> bool:
        """Whether the export has it."""
        return graph in self._loaded

    def _prepare(self) -> None:
        """Import the runtime and settle its options."""
        raise NotImplementedError

    def _load(self, graph: str, data: bytes) -> Any:  # noqa: ANN401 - types of the runtime
        """One graph, ready to run."""
        raise NotImplementedError


class OnnxBackend(_GraphsOf):
    """ONNX Runtime, on the processor or on a GPU."""

    name = ONNX

    def _prepare(self) -> None:
        try:
            import onnxruntime
        except ImportError as error:
            raise ConfigError("runtime 'onnx'", "onnxruntime is missing; pip install onnxruntime") from error
        self._session = onnxruntime.InferenceSession
        self._options = onnxruntime.SessionOptions()
        self._options.intra_op_num_threads, self._options.inter_op_num_threads = self.threads, 1
        # A waiting thread that spins takes the core from the control loop beside it.
        self._options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._options.log_severity_level = 3

    def _load(self, graph: str, data: bytes) -> Any:  # noqa: ANN401 - types of the runtime
        if self.device != CUDA:
            return self._session(data, self._options, providers=["CPUExecutionProvider"])
        exact = {"use_tf32": "0"}  # else products have 10 bits, and the parity promise is gone
        session = self._session(data, self._options, providers=[("CUDAExecutionProvider", exact)])
        got = session.get_providers()
        if got[0] != "CUDAExecutionProvider":  # it falls back to the processor without a word
            problem = f"onnxruntime took {got[0]}: CUDA's libraries are missing or too old; see its documentation"
            raise ConfigError("device 'cuda'", f"{problem}, or serve with device: cpu")
        return session

    def run(self, graph: str, feeds: Feeds) -> tuple[Floats, ...]:
        """Outputs; inputs a graph does not use are left away."""
        session = self._loaded[graph]
        wanted = {i.name for i in session.get_inputs()}
        return tuple(session.run(None, {k: v for k, v in feeds.items() if k in wanted}))  # raises if one is missing


class OpenVinoBackend(_GraphsOf):
    """OpenVINO on the CPU."""

    name = OPENVINO

    def _prepare(self) -> None:
        try:
            import openvino
        except ImportError as error:
            raise ConfigError("runtime 'openvino'", "openvino is missing; pip install openvino") from error
        self._core = openvino.Core()
        self._options = {
            "INFERENCE_NUM_THREADS": self.threads,
            "NUM_STREAMS": 1,
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": "f32",  # else bf16 where the CPU has it, and the parity promise is gone
            # 2026.4 fuses Mish into snippets of a wrong size: some graphs end with an error, others with the process.
            "SNIPPETS_MODE": "DISABLE",
        }
        self._inputs: dict[str, set[str]] = {}
        self._weights: list[bytes] = []  # OpenVINO computes from this very memory: it must outlive the model

    def _load(self, graph: str, data: bytes) -> Any:  # noqa: ANN401 - types of the runtime
        weights = checked(self._directory, self._artifact.graphs[f"{OPENVINO}/{graph}.bin"])
        self._weights.append(weights)
        compiled = self._core.compile_model(self._core.read_model(data, weights), "CPU", self._options)
        names = (i.get_names() for i in compiled.inputs)  # an input may have several
        self._inputs[graph] = set().union(*names)
        return compiled.create_infer_request()

    def run(self, graph: str, feeds: Feeds) -> tuple[Floats, ...]:
        """Outputs, copied out of the runtime's own memory."""
        request, wanted = self._loaded[graph], self._inputs[graph]
        used = {k: v for k, v in feeds.items() if k in wanted}
        if len(used) != len(request.model_inputs):  # OpenVINO would take zeros for a missing one, silently
            raise CheckpointError(f"graph '{graph}'", f"needs {len(request.model_inputs)} inputs, got {sorted(used)}")
        request.infer(used)
        return tuple(np.array(request.get_output_tensor(i).data) for i in range(len(request.model_outputs)))


def _graphs(directory: Path, artifact: Exported, kind: str) -> dict[str, bytes]:
    """Checked bytes of every graph of one format."""
    found = {
        key.split("/")[1]: checked(directory, entry)
        for key, entry in artifact.graphs.items()
        if key.startswith(f"{kind}/") and not key.endswith(".bin")
    }
    if not found:
        have = ", ".join(artifact.formats()) or "none"
        raise CheckpointError(
            directory, f"no {kind} graphs, it has {have}; run `il export {directory} --format {kind}`"
        )
    return found


def open_backend(name: str, directory: Path, artifact: Exported, threads: int = 1, device: str = CPU) -> Backend:
    """Open an exported policy in a runtime.

    Raises:
        ConfigError: unknown or missing runtime, or one that cannot use the device.
        CheckpointError: no graphs for it, or damaged ones.
    """
    kinds: dict[str, type[OnnxBackend] | type[OpenVinoBackend]] = {ONNX: OnnxBackend, OPENVINO: OpenVinoBackend}
    if name not in kinds:
        raise ConfigError("runtime", f"unknown runtime '{name}'; options: {', '.join(kinds)}, {TORCH}, auto")
    return kinds[name](directory, artifact, threads, device)
