"""Realistic pictures for benchmarks: the simulated scene, drawn once, with a depth camera's noise and holes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from il_core.config import load_setup

WIDTH, HEIGHT, VARIANTS = 640, 480, 6
CAMERAS = ("front", "wrist")
# A D435's colour noise indoors, and its depth noise: 8-pixel-wide disparity noise of 0.08 px at f = 380 px and
# 50 mm baseline, which grows with the square of the distance.
COLOUR_SIGMA = 2.0
DEPTH_SIGMA_PER_M2 = 0.08 / (380.0 * 0.05)
HOLES = 0.02  # share of pixels without a match besides those at edges
EDGE_MM = 25  # a step that large between neighbours leaves a hole


def make(path: Path, seed: int = 0) -> None:
    """Write the pictures: per camera ``<name>_rgb`` (N, H, W, 3) uint8 and ``<name>_mm`` (N, H, W) uint16."""
    from il_sim.camera import Renderer
    from il_sim.scene import build_model
    from il_sim.tasks import make_task

    setup = load_setup("pick_place")
    robot = replace(setup.robot, cameras=tuple(replace(c, width=WIDTH, height=HEIGHT) for c in setup.robot.cameras))
    model = build_model(setup, make_task(setup.task.name))
    renderer = Renderer(model, robot)
    rng = np.random.default_rng(seed)
    arrays: dict[str, np.ndarray] = {}
    qpos = np.array(model.qpos0)
    qpos[: robot.nq] = robot.q_home_rad
    renderer.pose(qpos)
    for camera in CAMERAS:
        frame = renderer.render(camera, 0)
        arrays[f"{camera}_rgb"] = np.stack([_colour(frame.rgb, rng) for _ in range(VARIANTS)])
        arrays[f"{camera}_mm"] = np.stack([_depth(frame.depth_m, rng) for _ in range(VARIANTS)])
    renderer.close()
    np.savez(path, **arrays)


def _colour(rgb: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return np.clip(rgb + rng.normal(0.0, COLOUR_SIGMA, rgb.shape), 0, 255).astype(np.uint8)


def _depth(depth_m: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    noisy = depth_m + rng.normal(0.0, 1.0, depth_m.shape) * DEPTH_SIGMA_PER_M2 * depth_m**2
    mm = np.rint(1e3 * noisy)
    step = np.abs(np.diff(1e3 * depth_m, axis=1, prepend=1e3 * depth_m[:, :1]))
    is_hole = (depth_m == 0) | (step > EDGE_MM) | (rng.random(depth_m.shape) < HOLES)
    return np.where(is_hole, 0, mm).astype(np.uint16)
