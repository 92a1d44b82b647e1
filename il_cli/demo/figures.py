"""The figures of the demo's report."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

mpl.use("Agg")  # no display needed
import matplotlib.pyplot as plt  # noqa: E402 - the backend must be chosen first

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from il_cli.demo.report import Measured

Path3 = NDArray[Any]
"""Positions, (N, 3) [m]."""
DEMO, GOOD, BAD, HELD_OUT = "#9db4c0", "#2a9d8f", "#d1495b", "#222222"


def png(image: NDArray[np.uint8]) -> bytes:
    """An RGB image as PNG bytes."""
    buffer = io.BytesIO()
    plt.imsave(buffer, image, format="png")
    return buffer.getvalue()


def depth_picture(depth_m: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Depth in colours, near is bright; invalid pixels are black, (H, W, 3)."""
    valid = depth_m > 0
    if not valid.any():
        return np.zeros((*depth_m.shape, 3), dtype=np.uint8)
    near, far = np.percentile(depth_m[valid], [1, 99])
    shade = 1.0 - np.clip((depth_m - near) / max(float(far - near), 1e-6), 0.0, 1.0)
    coloured = (plt.get_cmap("viridis")(shade)[..., :3] * 255).astype(np.uint8)
    coloured[~valid] = 0
    return coloured


def _bytes(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, bbox_inches="tight")
    plt.close(figure)
    return buffer.getvalue()


def picture(m: Measured) -> bytes:
    """One picture of the whole run: cameras, paths of demos and rollouts, drawn symbol."""
    figure = plt.figure(figsize=(13, 7))
    grid = figure.add_gridspec(2, 4, width_ratios=[1, 1, 1.5, 1.1], wspace=0.35)
    for k, (caption, image) in enumerate(list(m.pictures.items())[:4]):
        axes = figure.add_subplot(grid[k // 2, k % 2])
        axes.imshow(image)
        axes.set_title(caption, fontsize=9)
        axes.axis("off")
    shown = m.record.get("episodes", 0)
    title = f"{shown} demonstrations (grey), {len(m.rollout_paths)} rollouts"
    _paths(figure.add_subplot(grid[:, 2], projection="3d"), m.demo_paths, m.rollout_paths, title)
    _drawing(figure.add_subplot(grid[:, 3]), m)
    return _bytes(figure)


def tool_paths(shown: list[Path3], tried: list[tuple[Path3, bool]], title: str) -> bytes:
    """Tool paths of demonstrations and of attempts with their success, in space."""
    figure = plt.figure(figsize=(6, 5))
    _paths(figure.add_subplot(projection="3d"), shown, tried, title)
    return _bytes(figure)


def _paths(axes: Any, shown: list[Path3], tried: list[tuple[Path3, bool]], title: str) -> None:  # noqa: ANN401
    """Into axes of matplotlib, whose 3-D kind is untyped."""
    for path in shown:
        axes.plot(*path.T, color=DEMO, linewidth=0.6)
    for path, success in tried:
        axes.plot(*path.T, color=GOOD if success else BAD, linewidth=1.0)
    axes.set_title(title, fontsize=9)
    axes.set_xlabel("x [m]")
    axes.set_ylabel("y [m]")
    axes.tick_params(labelsize=7)
    axes.set_box_aspect((1, 1, 0.8))


def _drawing(axes: Axes, m: Measured) -> None:
    """The symbol, seen from above."""
    styles = {"held out": (HELD_OUT, 2.0, "-"), "drawn": (GOOD, 2.0, "-")}
    for name, path in m.drawing.items():
        colour, width, style = styles.get(name, (DEMO, 0.8, "-"))
        axes.plot(1e3 * path[:, 0], 1e3 * path[:, 1], style, color=colour, linewidth=width, label=name)
    axes.set_aspect("equal")
    axes.set_xlabel("x [mm]")
    axes.set_ylabel("y [mm]")
    axes.set_title("hand-guided symbol", fontsize=9)
    axes.legend(fontsize=7)


def drawing(m: Measured) -> bytes:
    """The symbol alone."""
    figure, axes = plt.subplots(figsize=(6, 7))
    _drawing(axes, m)
    return _bytes(figure)


def loss(m: Measured) -> bytes:
    """Training and validation loss over steps."""
    figure, axes = plt.subplots(figsize=(7, 3.5))
    rows = np.array(m.loss, dtype=np.float64).reshape(-1, 3)
    axes.semilogy(rows[:, 0], rows[:, 1], label="training", color=DEMO)
    seen = np.isfinite(rows[:, 2])
    axes.semilogy(rows[seen, 0], rows[seen, 2], "o-", label="validation", color=GOOD, markersize=3)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.legend()
    return _bytes(figure)


def paths_3d(m: Measured) -> str:
    """Interactive paths as an HTML fragment that carries its own script."""
    import plotly.graph_objects as go

    figure = go.Figure()
    named = [(p, DEMO, "demonstration") for p in m.demo_paths]
    named += [(p, GOOD if ok else BAD, "rollout") for p, ok in m.rollout_paths]
    named += [(p, HELD_OUT, name) for name, p in m.drawing.items() if name in ("held out", "drawn")]
    for path, colour, name in named:
        x, y, z = np.asarray(path).T
        line = {"color": colour, "width": 3}
        figure.add_trace(go.Scatter3d(x=x, y=y, z=z, mode="lines", line=line, name=name, showlegend=False))
    figure.update_layout(height=600, margin={"l": 0, "r": 0, "t": 0, "b": 0}, scene={"aspectmode": "data"})
    return str(figure.to_html(full_html=False, include_plotlyjs=True))
