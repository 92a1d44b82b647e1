"""Observations and plans as bytes: a JSON head and raw arrays with declared type and shape; nothing executable."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from il_core.errors import IlError
from il_core.types import ActionChunk, ArmState, CameraFrame, Intrinsics, Observation
from il_policy.serving.config import Doubt, ServeConfig
from il_policy.serving.remote.link import LinkError

LENGTH = struct.Struct("<I")
DTYPES = ("<f8", "<f4", "<u2", "|u1")
MAX_HEAD_BYTES = 100_000
MAX_ARRAYS = 1000
MAX_INSTRUCTION = 1000  # letters: a sentence or two
Arrays = dict[str, NDArray[Any]]


def pack(head: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """A message of plain values and arrays of the types in ``DTYPES``.

    Raises:
        LinkError: an array of another type.
    """
    described, raw = [], []
    for name, array in arrays.items():
        dtype = array.dtype.newbyteorder("<").str
        if dtype not in DTYPES:
            raise LinkError(f"array '{name}' is {dtype}, can be sent: {', '.join(DTYPES)}")
        described.append([name, dtype, list(array.shape)])
        raw.append(np.ascontiguousarray(array, dtype).tobytes())
    text = json.dumps({**head, "arrays": described}, allow_nan=False).encode()
    return b"".join([LENGTH.pack(len(text)), text, *raw])


def unpack(data: bytes) -> tuple[dict[str, Any], Arrays]:
    """Inverse of :func:`pack`; arrays are read-only views.

    Raises:
        LinkError: anything that :func:`pack` would not have written.
    """
    try:
        (length,) = LENGTH.unpack_from(data)
        if length > MAX_HEAD_BYTES:
            raise LinkError(f"head of {length} bytes, limit {MAX_HEAD_BYTES}")
        head = json.loads(data[LENGTH.size : LENGTH.size + length])
        described = head.pop("arrays")
        if len(described) > MAX_ARRAYS:
            raise LinkError(f"{len(described)} arrays, limit {MAX_ARRAYS}")
        arrays, at = {}, LENGTH.size + length
        for name, dtype, shape in described:
            array, at = _array(data, at, dtype, shape)
            arrays[str(name)] = array
    except (struct.error, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise LinkError(f"not a message of ours: {error!r}") from error
    if at != len(data):
        raise LinkError(f"{len(data) - at} bytes more than the head declares")
    return head, arrays


def _array(data: bytes, at: int, dtype: object, shape: object) -> tuple[NDArray[Any], int]:
    """One array and where the next begins."""
    if dtype not in DTYPES or not isinstance(shape, list) or len(shape) > 4:
        raise LinkError(f"array of type {dtype!r} and shape {shape!r}; allowed: {', '.join(DTYPES)}, 4 dimensions")
    if not all(isinstance(n, int) and not isinstance(n, bool) and 0 <= n <= 1 << 24 for n in shape):
        raise LinkError(f"array of shape {shape!r}")
    kind = np.dtype(str(dtype))
    end = at + math.prod(shape) * kind.itemsize
    if end > len(data):
        raise LinkError(f"array of shape {shape} ends {end - len(data)} bytes behind the message")
    return np.frombuffer(data[at:end], kind).reshape(shape), end


def pack_window(window: Sequence[Observation], latency_ns: int) -> bytes:
    """The observations a plan is asked for."""
    head: list[dict[str, Any]] = []
    arrays: Arrays = {}
    for k, o in enumerate(window):
        arrays[f"{k}.pose"] = o.T_base_ee
        images = {}
        for name, frame in o.images.items():
            arrays[f"{k}.rgb.{name}"], arrays[f"{k}.depth.{name}"] = frame.rgb, frame.depth_m
            i = frame.intrinsics
            images[name] = [frame.stamp_ns, i.width, i.height, i.fx, i.fy, i.cx, i.cy]
        arm = None
        if o.arm is not None:
            arm = [o.arm.stamp_ns, o.arm.gripper]
            arrays[f"{k}.arm"] = np.stack([o.arm.q, o.arm.v, o.arm.tau])
        if o.wrench is not None:
            arrays[f"{k}.wrench"] = o.wrench
        head.append({"tick_ns": o.tick_ns, "age_ns": dict(o.age_ns), "arm": arm, "images": images})
    return pack({"kind": "plan", "latency_ns": latency_ns, "window": head}, arrays)


def window_from(head: Mapping[str, Any], arrays: Arrays) -> tuple[Observation, ...]:
    """Inverse of :func:`pack_window`.

    Raises:
        LinkError: values that are no observations.
    """
    try:
        return tuple(_observation(k, part, arrays) for k, part in enumerate(head["window"]))
    except LinkError:
        raise
    except (IlError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise LinkError(f"the window is not made of observations: {error}") from error


def _observation(k: int, part: Mapping[str, Any], arrays: Arrays) -> Observation:
    pose = np.array(arrays[f"{k}.pose"], np.float64)
    if pose.shape != (4, 4) or not np.isfinite(pose).all():
        raise LinkError(f"pose of tick {k} has shape {pose.shape}, expected finite (4, 4)")
    arm = None
    if part["arm"] is not None:
        q, v, tau = arrays[f"{k}.arm"]
        arm = ArmState(int(part["arm"][0]), q, v, tau, float(part["arm"][1]))
    images = {}
    for name, (stamp_ns, width, height, *pinhole) in part["images"].items():
        fx, fy, cx, cy = (float(x) for x in pinhole)
        intrinsics = Intrinsics(int(width), int(height), fx, fy, cx, cy)
        rgb, depth = arrays[f"{k}.rgb.{name}"], arrays[f"{k}.depth.{name}"]
        images[str(name)] = CameraFrame(int(stamp_ns), str(name), rgb, depth, intrinsics)
    ages = {str(key): int(age) for key, age in part["age_ns"].items()}
    wrench = arrays.get(f"{k}.wrench")
    if wrench is not None and wrench.shape != (6,):
        raise LinkError(f"wrench of tick {k} has shape {wrench.shape}, expected (6,)")
    return Observation(int(part["tick_ns"]), pose, arm, images, ages, wrench)


def pack_chunk(chunk: ActionChunk, report: Mapping[str, Any]) -> bytes:
    """A plan and how it came about."""
    arrays: Arrays = {"rows": chunk.rows}
    if chunk.gripper_des is not None:
        arrays["gripper"] = chunk.gripper_des
    if chunk.k_p_des is not None:
        arrays["stiffness"] = chunk.k_p_des
    times = {"start_ns": chunk.start_ns, "dt_ns": chunk.dt_ns, "obs_ns": chunk.obs_ns}
    return pack({"kind": "chunk", "is_joint": chunk.q_des is not None, **times, "report": dict(report)}, arrays)


def chunk_from(head: Mapping[str, Any], arrays: Arrays) -> ActionChunk:
    """Inverse of :func:`pack_chunk`; the chunk checks itself.

    Raises:
        LinkError: values that are no plan.
    """
    try:
        start_ns, dt_ns, obs_ns = (int(head[k]) for k in ("start_ns", "dt_ns", "obs_ns"))
        rows, gripper, k_p = arrays["rows"], arrays.get("gripper"), arrays.get("stiffness")
        if head["is_joint"]:
            return ActionChunk(start_ns, dt_ns, obs_ns, q_des=rows, gripper_des=gripper)
        return ActionChunk(start_ns, dt_ns, obs_ns, T_base_ee_des=rows, gripper_des=gripper, k_p_des=k_p)
    except (IlError, KeyError, ValueError, TypeError) as error:
        raise LinkError(f"the answer is not a plan: {error}") from error


def doubt_head(config: ServeConfig) -> dict[str, Any]:
    """What doubt leads to, as plain values."""
    return {"act": config.doubt.value, "limit": config.doubt_limit, "slow_factor": config.slow_factor}


def doubt_from(values: object, own: ServeConfig) -> ServeConfig:
    """A server's own settings with what a robot asks for where that is stricter; None = it asks for nothing.

    Raises:
        LinkError: values that no configuration has.
    """
    if values is None:
        return own
    if not isinstance(values, dict):
        raise LinkError(f"'doubt' is {values!r}, expected settings")
    acts = list(Doubt)
    try:
        limit, factor = float(values["limit"]), float(values["slow_factor"])
        asked = replace(own, doubt=Doubt(values["act"]), doubt_limit=limit, slow_factor=factor)
    except (KeyError, TypeError, ValueError) as error:
        raise LinkError(f"'doubt' is not made of settings: {error}") from error
    if own.doubt is Doubt.REPORT:
        return asked
    stricter = max(asked.doubt, own.doubt, key=acts.index)
    slowest = max(factor, own.slow_factor) if asked.doubt is own.doubt else own.slow_factor
    return replace(asked, doubt=stricter, doubt_limit=min(limit, own.doubt_limit), slow_factor=slowest)
