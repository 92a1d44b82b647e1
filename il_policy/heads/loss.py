"""What the heads share."""

from __future__ import annotations

import torch
from torch import Tensor


def masked_mean(error: Tensor, is_pad: Tensor) -> Tensor:
    """Mean of error (B, H, D) over the rows where ``is_pad`` (B, H) is false."""
    keep = (~is_pad)[..., None].expand_as(error)
    return error[keep].mean()


def row_mean(error: Tensor, is_pad: Tensor) -> Tensor:
    """Mean of error (B, ..., H, D) over each sample's rows that are not padding (B, H), (B, ...)."""
    keep = (~is_pad)[..., None].to(error.dtype)
    for _ in range(error.ndim - 3):
        keep = keep[:, None]
    return (error * keep).sum((-2, -1)) / (keep.sum((-2, -1)) * error.shape[-1]).clamp(min=1.0)


def hold_padding(action: Tensor, is_pad: Tensor) -> Tensor:
    """Chunks (B, H, D) whose padding rows repeat the last row before them: their content cannot leak in."""
    rows = torch.arange(action.shape[1], device=action.device).expand_as(is_pad)
    last = torch.where(is_pad, 0, rows).cummax(dim=1).values  # (B, H): index of the newest valid row
    return action.gather(1, last[..., None].expand_as(action))
