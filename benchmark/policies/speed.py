"""What a plan costs on one thread, and what a policy server without torch costs to start and to keep."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from benchmark.figures import Figure, figure, not_taken
from benchmark.policies.keep import Keeper
from il_core.config import load_setup

TASK = "pick_place"
UNET = ("network.channels=[256, 448, 640]",)  # just over the 17 million parameters that are asked for
ROUNDS, QUICK_ROUNDS, ROUND_S = 6, 3, 2.0
STARTS, QUICK_STARTS = 5, 3
SERVER_LIMIT_S = 60.0
RUNTIMES = ("onnx", "openvino")


def checkpoint_of(recipe: str, overrides: tuple[str, ...], folder: Path) -> int:
    """An exported checkpoint with the weights it begins with: what they are costs no time.

    Returns:
        Its parameters.
    """
    import torch

    from il_policy import checkpoint
    from il_policy.config import load_train_config
    from il_policy.policy import ChunkModel
    from il_policy.serving.export import export
    from il_policy.serving.loading import torch_policy

    setup, config = load_setup(TASK), load_train_config(recipe, overrides)
    torch.manual_seed(0)
    model = ChunkModel.for_setup(setup, config)
    for norm in (model.input_norm, model.action_norm):
        norm.fit(torch.randn(100, len(norm.centre)).numpy())
    checkpoint.save(folder, model, setup, config, "0" * 64, {})
    export(folder, list(RUNTIMES), torch_policy(folder, None))
    return model.parameter_count


def plan_times(folder: Path, rounds: int) -> dict[tuple[str, bool], float]:
    """Median time of a plan of ten steps at one thread [ms], by runtime and whether it continues a plan before.

    Every plan but a run's first does, by real-time chunking. In turns, so that load hits all alike.
    """
    import torch

    from il_policy.serving.artifact import read_artifact
    from il_policy.serving.backend import open_backend
    from il_policy.serving.choose import time_plans
    from il_policy.serving.loading import torch_policy
    from il_policy.serving.torch_graphs import TorchBackend

    torch.set_num_threads(1)
    artifact = read_artifact(folder)
    backends = {"torch": TorchBackend(torch_policy(folder, None), 1)}
    backends |= {kind: open_backend(kind, folder, artifact, 1) for kind in RUNTIMES}
    found: dict[tuple[str, bool], list[float]] = {(kind, g): [] for kind in backends for g in (False, True)}
    for _ in range(rounds):
        for (kind, is_guided), times in found.items():
            times.append(time_plans(backends[kind], artifact, ROUND_S, is_guided=is_guided).p50_ms)
    return {way: median(times) for way, times in found.items()}


def started(folder: Path, runtime: str, tmp: Path) -> tuple[float, float, bool]:
    """Start ``il infer-server`` on a checkpoint.

    Returns:
        Time until it listens [s], its proportional set size then [MB], and whether torch is loaded.
    """
    key, config = tmp / "key", tmp / f"{runtime}.yaml"
    if not key.exists():
        from il_policy.serving.remote.link import make_key

        make_key(key)
    config.write_text(f"runtime: {runtime}\nthreads: 1\n")
    command = [sys.executable, "-m", "il_cli.main", "infer-server", str(folder), "--key", str(key), "--port", "0"]
    began = time.monotonic()
    process = subprocess.Popen([*command, "--config", str(config)], stdout=subprocess.PIPE, text=True)
    try:
        line = process.stdout.readline() if process.stdout else ""
        ready_s = time.monotonic() - began
        if "listening" not in line:
            raise RuntimeError(f"il infer-server said {line!r} instead of listening")
        maps = Path(f"/proc/{process.pid}/maps").read_text()
        rows = Path(f"/proc/{process.pid}/smaps_rollup").read_text().splitlines()
        pss_kb = next(int(row.split()[1]) for row in rows if row.startswith("Pss:"))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(SERVER_LIMIT_S)
    return ready_s, pss_kb * 1024 / 1e6, "libtorch" in maps


def figures(keeper: Keeper, *, quick: bool) -> list[Figure]:
    """Plan and server."""
    with tempfile.TemporaryDirectory() as name:
        return [*_plan(Path(name) / "unet", quick=quick), *_server(Path(name), quick=quick)]


def _plan(folder: Path, *, quick: bool) -> list[Figure]:
    parameters = checkpoint_of("diffusion_unet", UNET, folder)
    times = plan_times(folder, QUICK_ROUNDS if quick else ROUNDS)
    load = f"load average {os.getloadavg()[0]:.1f}"
    out = [figure("UNet: parameters", parameters / 1e6, "million", ">= 17")]
    for is_guided, name in ((False, "UNet"), (True, "UNet that continues a plan")):
        ms = {kind: times[kind, is_guided] for kind in ("torch", *RUNTIMES)}
        fastest = min(RUNTIMES, key=ms.__getitem__)
        out += [figure(f"{name}: ten steps, one thread, {kind}", ms[kind], "ms") for kind in ms]
        out.append(figure(f"{name}: ten steps, one thread", ms[fastest], "ms", "<= 100", f"{fastest}; {load}"))
        out.append(figure(f"{name}: times faster than eager torch", ms["torch"] / ms[fastest], "", ">= 3.5", fastest))
    return out


def _server(tmp: Path, *, quick: bool) -> list[Figure]:
    if not Path("/proc/self/smaps_rollup").exists():
        return [not_taken("policy server", "needs /proc/<pid>/smaps_rollup of Linux")]
    out, folders = [], {"diffusion": tmp / "mlp", "the UNet": tmp / "unet"}
    checkpoint_of("diffusion", (), folders["diffusion"])
    for name, folder in folders.items():
        for runtime in (*RUNTIMES, "auto"):
            found = [started(folder, runtime, tmp) for _ in range(QUICK_STARTS if quick else STARTS)]
            ready_s, mb = median(f[0] for f in found), median(f[1] for f in found)
            is_bound = name == "diffusion" and runtime in ("onnx", "auto")  # auto is what is served by default
            bounds = ("<= 1.5", "<= 200", "== 0") if is_bound else ("", "", "")
            where = f"server of {name}, {runtime}"
            out.append(figure(f"{where}: ready", ready_s, "s", bounds[0], f"median of {len(found)} starts"))
            out.append(figure(f"{where}: memory (PSS)", mb, "MB", bounds[1]))
            out.append(figure(f"{where}: torch loaded", float(any(f[2] for f in found)), "", bounds[2]))
    shutil.rmtree(tmp / "mlp")
    return out
