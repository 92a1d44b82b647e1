"""How reverse passes of networks are written with operations that ONNX has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch._decomp import core_aten_decompositions, decomposition_table

aten = torch.ops.aten
_EXTRA = (
    "native_group_norm", "native_layer_norm", "mish_backward", "silu_backward", "gelu_backward",
    "_scaled_dot_product", "scaled_dot_product",
)  # fmt: skip


def decompositions() -> dict[Any, Callable[..., Any]]:
    """Table for ``make_fx``: from composite and reverse operations to plain ones."""
    table: dict[Any, Callable[..., Any]] = dict(core_aten_decompositions())
    for operation, rule in decomposition_table.items():
        if operation.name().startswith(tuple(f"aten::{name}" for name in _EXTRA)):
            table[operation] = rule
    table[aten.convolution_backward.default] = convolution_backward
    table[aten.squeeze.dims] = _squeeze
    table[aten._softmax.default] = _softmax
    table[aten.empty_permuted.default] = _empty
    table[aten.mm.default] = product
    return table


def convolution_backward(
    grad: Tensor,
    x: Tensor,
    weight: Tensor,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    mask: Sequence[bool],
) -> tuple[Tensor, None, None]:
    """Gradient with respect to the input: the transposed convolution (or the convolution of a transposed one).

    Weights are constants of the graph, so nothing is derived with respect to them.
    """
    n = len(stride)
    if transposed:
        back = aten.convolution(grad, weight, None, stride, padding, dilation, False, [0] * n, groups)
        return back, None, None
    shapes = zip(x.shape[2:], grad.shape[2:], weight.shape[2:], stride, padding, dilation, strict=True)
    rest = [size - ((g - 1) * s - 2 * p + d * (k - 1) + 1) for size, g, k, s, p, d in shapes]
    return aten.convolution(grad, weight, None, stride, padding, dilation, True, rest, groups), None, None


def product(a: Tensor, b: Tensor) -> Tensor:
    r"""Matrix product, written :math:`(b^\top a^\top)^\top` and as one of a batch.

    OpenVINO 2026.4 makes a fully connected layer of a product whose second factor is a constant, and packs the weights
    of a square layer once: forward and backward pass, where they stand transposed, then compute with the same weights,
    and the gradient is wrong.
    """
    return aten.bmm(b.t().unsqueeze(0), a.t().unsqueeze(0)).squeeze(0).t()


def _softmax(x: Tensor, dim: int, half_to_float: bool) -> Tensor:
    shares = (x - x.amax(dim, keepdim=True)).exp()
    return shares / shares.sum(dim, keepdim=True)


def _squeeze(x: Tensor, dims: Sequence[int]) -> Tensor:
    gone = {d % x.dim() for d in dims}
    return x.reshape([n for i, n in enumerate(x.shape) if i not in gone or n != 1])


def _empty(size: Sequence[int], physical_layout: Sequence[int], **options: Any) -> Tensor:  # noqa: ANN401
    return torch.zeros(size)
