"""`il export`: a policy that runs without torch; `il calibrate`: a policy that knows what it was shown."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def export(
    checkpoint: Annotated[Path, typer.Argument(help="Folder that `il train` wrote.")],
    format_: Annotated[str, typer.Option("--format", help="onnx, openvino, or both: onnx,openvino.")] = "onnx,openvino",
) -> None:
    """Write graphs that ONNX Runtime or OpenVINO run, beside the checkpoint; each is compared with torch.

    Example: il export outputs/policy --format openvino
    """
    from il_policy.serving.export import export as write
    from il_policy.serving.loading import exportable

    artifact = write(checkpoint, [f.strip() for f in format_.split(",") if f.strip()], exportable(checkpoint))
    for kind, error in artifact.max_error.items():
        graphs = sorted(key.split("/")[1] for key in artifact.graphs if key.startswith(kind) and "." not in key)
        typer.echo(f"{checkpoint}: {kind} ({', '.join(graphs)}), at most {error:.1e} from torch")


def calibrate(
    checkpoint: Annotated[Path, typer.Argument(help="Folder of the policy.")],
    dataset: Annotated[Path, typer.Argument(help="Folder of the dataset it was trained on.")],
    kind: Annotated[str, typer.Option(help="Score: knn or mahalanobis.")] = "knn",
) -> None:
    """Measure how far held-out demonstrations are from the others: what is farther, the policy does not know.

    Example: il calibrate outputs/policy outputs/dataset
    """
    from il_core.errors import ConfigError
    from il_core.store.episodes import EpisodeStore
    from il_core.types import Outcome
    from il_policy.serving import doubt
    from il_policy.serving.features import episode_features, is_scene
    from il_policy.serving.loading import torch_policy, weights_sha256
    from il_policy.serving.planner import feeds_of
    from il_policy.serving.torch_graphs import TorchBackend

    if kind not in {k.value for k in doubt.Kind}:
        raise ConfigError("--kind", f"got '{kind}', options: {', '.join(k.value for k in doubt.Kind)}")
    policy = torch_policy(checkpoint, None)
    store = EpisodeStore.open(dataset, policy.setup.digest)
    episodes = (store.episode(k) for k in range(len(store)))
    backend, config = TorchBackend(policy), policy.config

    def encode(inputs: Any, pixels: Any) -> Any:  # noqa: ANN401 - arrays
        return backend.run("encode", feeds_of(inputs, pixels))[0]

    usable = (e for e in episodes if e.outcome in (Outcome.SUCCESS, Outcome.UNLABELLED))
    known = [episode_features(e, policy.translator, encode) for e in usable]
    scene = is_scene(policy.setup, config.observed_ticks, config.observe)
    memory_ticks = doubt.MEMORY_S * policy.setup.task.rate_hz
    detector = doubt.calibrate(known, doubt.Kind(kind), scene, memory_ticks=memory_ticks)
    doubt.save(checkpoint, detector, weights_sha256(checkpoint), len(known))
    raw = ", ".join(f"{k} {v:.2f}" for k, v in detector.thresholds.items() if k.startswith(kind))
    typer.echo(f"{checkpoint}: calibrated on {len(known)} episodes; {raw} count as 1")
