"""Recordings into datasets: alignment, imports and checks, one job a file."""

from il_teleop.dataset.align_recording import BuildOptions
from il_teleop.dataset.build import BuildReport, build

__all__ = ["BuildOptions", "BuildReport", "build"]
