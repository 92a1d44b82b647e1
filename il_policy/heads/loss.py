"""What the heads share."""

from __future__ import annotations

from torch import Tensor


def masked_mean(error: Tensor, is_pad: Tensor) -> Tensor:
    """Mean of error (B, H, D) over the rows where ``is_pad`` (B, H) is false."""
    keep = (~is_pad)[..., None].expand_as(error)
    return error[keep].mean()
