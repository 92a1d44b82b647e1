"""Disturbed pictures and clouds: crops, colours, holes, noise, and a camera that was nudged."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn.functional import affine_grid, grid_sample

from il_policy.config import AugmentConfig

GREY = (0.299, 0.587, 0.114)  # ITU-R BT.601 luma


NO_VIEWS: Mapping[str, Tensor] = {}


def augment_pixels(
    pixels: Mapping[str, Tensor],
    c: AugmentConfig,
    generator: torch.Generator,
    views: Mapping[str, Tensor] = NO_VIEWS,
) -> dict[str, Tensor]:
    """Disturbed copies, by name; each sample and camera by its own amount.

    Colour and depth of one camera move together: a nudge of the camera is drawn once for both.

    Args:
        pixels: What encoders look at.
        c: How much.
        generator: Of the chance.
        views: Place and viewing direction of the cameras of clouds, by camera, (B, 2, 3).
    """
    nudges: dict[str, Tensor] = {}
    disturbed = {}
    for name, tensor in pixels.items():
        kind, camera = name.split(".", 1)
        if kind == "points":
            noisy = tensor if not c.depth_m else cloud_noise(tensor, views[camera], c.depth_m, generator)
            left = noisy if not c.depth_dropout else cloud_dropout(noisy, c.depth_dropout, generator)
            disturbed[name] = nudge_points(left, c.camera_m, c.camera_rad, generator)
            continue
        if camera not in nudges:
            nudges[camera] = draw_nudge(len(tensor), tensor.shape[-1], c.shift_px, c.camera_rad, generator)
        moved = tensor if not (c.shift_px or c.camera_rad) else move(tensor, nudges[camera])
        if kind == "rgb":
            disturbed[name] = colour(moved, c.colour, generator) if c.colour else moved
        else:
            disturbed[name] = depth_noise(moved, c.depth_m, c.depth_dropout, generator)
    return disturbed


def draw_nudge(count: int, side: int, shift_px: float, camera_rad: float, generator: torch.Generator) -> Tensor:
    """Random shifts (uniform) and rotations (normal) as affine matrices of ``affine_grid``, (B, 2, 3).

    Shifts as in Kostrikov et al., "Image augmentation is all you need" (DrQ), ICLR 2021.
    """
    shift = (2.0 * torch.rand(count, 2, generator=generator) - 1.0) * (2.0 * shift_px / side)
    angle = camera_rad * torch.randn(count, generator=generator)
    rows = [angle.cos(), -angle.sin(), shift[:, 0], angle.sin(), angle.cos(), shift[:, 1]]
    return torch.stack(rows, dim=1).view(count, 2, 3)


def move(picture: Tensor, affine: Tensor) -> Tensor:
    """Picture (B, C, H, W) seen from the nudged camera; nearest pixels, so that depth stays depth."""
    grid = affine_grid(affine, list(picture.shape), align_corners=False)
    moved = grid_sample(picture.float(), grid, mode="nearest", padding_mode="border", align_corners=False)
    return moved.to(picture.dtype)


def colour(rgb: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Brightness, contrast and saturation, each by a factor 1 +- strength; (B, 3, H, W) bytes."""
    factor = 1.0 + strength * (2.0 * torch.rand(3, len(rgb), 1, 1, 1, generator=generator) - 1.0)
    x = rgb.float() * factor[0]
    mean = x.mean((1, 2, 3), keepdim=True)
    x = mean + (x - mean) * factor[1]
    grey = (x * torch.tensor(GREY)[:, None, None]).sum(1, keepdim=True)
    return (grey + (x - grey) * factor[2]).clamp(0.0, 255.0).round().to(rgb.dtype)


def depth_noise(depth_m: Tensor, at_1m: float, dropout: float, generator: torch.Generator) -> Tensor:
    r"""Noise that grows with the square of the distance, and holes; missing stays missing, (B, 1, H, W) [m].

    .. math:: \sigma(z) = \sigma_1 z^2

    as stereo cameras have it (Nguyen et al., "Modeling Kinect sensor noise", 3DIMPVT 2012, for the form).
    """
    depth = depth_m.float()
    is_valid = depth > 0
    if at_1m:
        noisy = depth + at_1m * depth.square() * torch.randn(depth.shape, generator=generator)
        depth = torch.where(is_valid, noisy.clamp(min=1e-3), 0.0)
    if dropout:
        depth = torch.where(torch.rand(depth.shape, generator=generator) < dropout, 0.0, depth)
    return depth.to(depth_m.dtype)


def cloud_noise(points: Tensor, view: Tensor, at_1m: float, generator: torch.Generator) -> Tensor:
    r"""Clouds (B, N, 6) with the noise of :func:`depth_noise`: every point moves along the ray that measured it.

    .. math:: p' = o + (p - o) \left(1 + \frac{\epsilon}{z}\right), \qquad z = (p - o) \cdot e_z, \qquad
              \epsilon \sim \mathcal N\big(0, (\sigma_1 z^2)^2\big)

    with the camera at o looking along e_z.

    Args:
        points: Position in base [m], colour.
        view: o and e_z in base, (B, 2, 3).
        at_1m: :math:`\sigma_1`, standard deviation at 1 m [m].
        generator: Of the noise.
    """
    ray = points[..., :3] - view[:, None, 0]
    z = (ray * view[:, None, 1]).sum(-1, keepdim=True)
    stretch = 1.0 + at_1m * z * torch.randn(z.shape, generator=generator)
    return torch.cat([view[:, None, 0] + ray * stretch.clamp(min=0.0), points[..., 3:]], dim=-1)


def cloud_dropout(points: Tensor, dropout: float, generator: torch.Generator) -> Tensor:
    """Clouds (B, N, 6) without part of their points; one that is left stands in, which a set does not notice."""
    is_lost = torch.rand(points.shape[:2], generator=generator) < dropout
    draw = torch.rand(points.shape[:2], generator=generator).masked_fill(is_lost, -1.0)
    stand_in = points[torch.arange(len(points)), draw.argmax(1)]
    return torch.where(is_lost[..., None], stand_in[:, None], points)


def nudge_points(points: Tensor, std_m: float, std_rad: float, generator: torch.Generator) -> Tensor:
    """Clouds (B, N, 6) of a camera whose calibration is off by a small rotation about base and a shift."""
    if not (std_m or std_rad):
        return points
    shift = std_m * torch.randn(len(points), 1, 3, generator=generator)
    w = std_rad * torch.randn(len(points), 1, 3, generator=generator)
    xyz = points[..., :3]
    turned = xyz + torch.linalg.cross(w.expand_as(xyz), xyz)  # first order: the angles are small
    return torch.cat([turned + shift, points[..., 3:]], dim=-1)
