"""A measured camera pose into config/robot/<name>.yaml, every other line and comment left as it is."""

from __future__ import annotations

import os
import re
from dataclasses import asdict
from pathlib import Path

import numpy as np
import yaml

from il_core.calibrated import CameraCalibration
from il_core.config import from_mapping, load_yaml
from il_core.errors import ConfigError
from il_core.geometry import Array, quat_xyzw_from_matrix
from il_core.spec import RobotSpec

POSITION, ROTATION, ACCOUNT = "p_mount_optical_m", "quat_xyzw_mount_optical", "calibration"


def write_camera_pose(path: Path, camera: str, T_mount_optical: Array, account: CameraCalibration) -> RobotSpec:
    """Replace a camera's pose and its account in a robot's file; atomic, and read again before it counts.

    Args:
        path: The robot's YAML.
        camera: Name of the camera.
        T_mount_optical: Its optical frame in its mount, (4, 4) [m].
        account: How well that was measured.

    Returns:
        The robot as it is now.

    Raises:
        ConfigError: the robot has no such camera, its entry is not one key a line, or the file cannot be written.
    """
    load_yaml(path, RobotSpec).camera(camera)
    values = {
        POSITION: _row(T_mount_optical[:3, 3], 6),
        ROTATION: _row(quat_xyzw_from_matrix(T_mount_optical[:3, :3]), 9),
        ACCOUNT: _flow(account),
    }
    lines = path.read_text().splitlines()
    first, last, indent = _entry(lines, camera, path, values)
    entry = [line for line in lines[first:last] if not re.match(rf"\s*{ACCOUNT}\s*:", line)]
    for key in (POSITION, ROTATION):
        at = [k for k, line in enumerate(entry) if re.match(rf"\s*{key}\s*:\s*\[.*\]\s*(#.*)?$", line)]
        if len(at) != 1:
            raise ConfigError(str(path), _by_hand(camera, values))
        entry[at[0]] = f"{indent}{key}: {values[key]}"
    entry.insert(at[0] + 1, f"{indent}{ACCOUNT}: {values[ACCOUNT]}")
    text = "\n".join([*lines[:first], *entry, *lines[last:]]) + "\n"
    robot = from_mapping(RobotSpec, yaml.safe_load(text), str(path))
    written = robot.camera(camera)
    if not np.allclose(written.T_mount_optical, T_mount_optical, atol=2e-6) or written.calibration != account:
        raise ConfigError(str(path), _by_hand(camera, values))
    fresh = path.with_name(f"{path.name}.new")
    try:
        fresh.write_text(text)
        os.replace(fresh, path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise ConfigError(str(path), f"cannot be written ({error.strerror}); {_by_hand(camera, values)}") from error
    return robot


def _row(numbers: Array, digits: int) -> str:
    return "[" + ", ".join(f"{x:.{digits}f}" for x in numbers) + "]"


def _flow(account: CameraCalibration) -> str:
    """The account on one line; the date in quotes, or YAML would read more than a text."""
    return (
        "{" + ", ".join(f'{k}: "{v}"' if isinstance(v, str) else f"{k}: {v}" for k, v in asdict(account).items()) + "}"
    )


def _entry(lines: list[str], camera: str, path: Path, values: dict[str, str]) -> tuple[int, int, str]:
    """First line and line after the last of a camera's entry, and the indent of its keys."""
    for first, line in enumerate(lines):
        if match := re.match(rf"(\s*)-\s+name\s*:\s*[\"']?{re.escape(camera)}[\"']?\s*(#.*)?$", line):
            depth = len(match.group(1))
            last = first + 1
            while last < len(lines) and (
                not lines[last].strip() or len(lines[last]) - len(lines[last].lstrip()) > depth
            ):
                last += 1
            return first, last, " " * (depth + 2)
    raise ConfigError(str(path), _by_hand(camera, values))


def _by_hand(camera: str, values: dict[str, str]) -> str:
    wanted = "; ".join(f"{k}: {v}" for k, v in values.items())
    return f"the entry of camera '{camera}' is not written one key a line from '- name:' on; put in by hand: {wanted}"
