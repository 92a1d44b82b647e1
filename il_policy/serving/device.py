"""Where a policy is computed: what of a GPU a runtime can use here, found out without loading torch for it."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable
from functools import cache

from il_core.errors import ConfigError
from il_policy.serving.backend import CPU, CUDA, ONNX, OPENVINO, TORCH
from il_policy.serving.config import Device

CUDA_PROVIDER = "CUDAExecutionProvider"


@cache
def gpu_count() -> int:
    """NVIDIA GPUs that the driver lends to this process; 0 where there is no driver.

    ``CUDA_VISIBLE_DEVICES`` counts: the driver itself looks at it.
    """
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    is_there = driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0
    return count.value if is_there else 0


def _torch_problem() -> str:
    if importlib.util.find_spec("torch") is None:
        return "torch is missing; pip install torch"
    import torch

    if torch.cuda.is_available():
        return ""
    return f"torch {torch.__version__} cannot use it; install a build of torch for CUDA"


def _onnx_problem() -> str:
    if importlib.util.find_spec("onnxruntime") is None:
        return "onnxruntime is missing; pip install onnxruntime-gpu"
    import onnxruntime

    have = onnxruntime.get_available_providers()
    if CUDA_PROVIDER in have:
        return ""
    return (
        f"onnxruntime {onnxruntime.__version__} has {', '.join(have)}, expected {CUDA_PROVIDER}; "
        "pip install onnxruntime-gpu in the place of onnxruntime"
    )


_PROBLEMS: dict[str, Callable[[], str]] = {
    TORCH: _torch_problem,
    ONNX: _onnx_problem,
    OPENVINO: lambda: "openvino knows no CUDA; choose runtime onnx or torch",
}


def problem(runtime: str) -> str:
    """Why a runtime cannot compute on a GPU here; empty if it can."""
    if gpu_count() == 0:
        return "the NVIDIA driver lends 0 GPUs, expected 1 or more; run nvidia-smi to see why"
    return _PROBLEMS[runtime]()


def demand(runtime: str) -> None:
    """Refuse a GPU that a runtime cannot use.

    Raises:
        ConfigError: says what is missing and how to get it.
    """
    reason = problem(runtime)
    if reason:
        raise ConfigError(f"device 'cuda' for runtime '{runtime}'", f"{reason}, or serve with device: cpu")


def places(runtime: str, device: Device) -> tuple[str, ...]:
    """Where a runtime shall compute; several where the faster one is to be measured.

    Raises:
        ConfigError: a GPU was asked for, and it cannot be used.
    """
    if device is Device.CUDA:
        demand(runtime)
        return (CUDA,)
    return (CPU,) if device is Device.CPU or problem(runtime) else (CPU, CUDA)
