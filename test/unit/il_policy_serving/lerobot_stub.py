"""The part of LeRobot 0.6's public interface that the adapter uses, written anew with the smallest of networks.

What it keeps of the original: where things are imported from, what they are called and given, that pipelines add
``action`` and rewards to every batch, that networks with a history read it from queues under ``observation.images``
while others collect their own pictures, and that what comes out is a normalised chunk (B, H, A).
"""

from __future__ import annotations

import json
import sys
from collections import deque
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType, SimpleNamespace

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

ACTION, STATE, IMAGES = "action", "observation.state", "observation.images"
SCALE = 2.0  # of the unnormalising step
PIPELINES = {"policy_preprocessor.json": "device_processor", "policy_postprocessor.json": "unnormalizer_processor"}


@dataclass
class Config:
    """What a policy's config.json says."""

    type: str
    input_features: dict[str, SimpleNamespace]
    output_features: dict[str, SimpleNamespace]
    n_obs_steps: int
    chunk_size: int
    device: str = "cpu"

    @property
    def image_features(self) -> dict[str, SimpleNamespace]:
        return {name: f for name, f in self.input_features.items() if name.startswith(IMAGES)}


@dataclass
class Heard:
    """What the network was given, for the tests."""

    batches: list[dict] = field(default_factory=list)
    resets: int = 0


class Policy(nn.Module):
    """Chunks that rise by a step from a linear function of what is seen."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config, self.heard = config, Heard()
        size = config.output_features[ACTION].shape[0]
        seen = config.input_features[STATE].shape[0]
        self.weight = nn.Parameter(torch.zeros(size, seen))
        self.step = nn.Parameter(torch.zeros(size))
        self.reset()

    @classmethod
    def from_pretrained(cls, pretrained_name_or_path: str) -> Policy:
        folder = Path(pretrained_name_or_path)
        values = json.loads((folder / "config.json").read_text())
        for name in ("input_features", "output_features"):
            values[name] = {k: SimpleNamespace(shape=tuple(v["shape"])) for k, v in values[name].items()}
        policy = cls(Config(**values))
        policy.load_state_dict(load_file(folder / "model.safetensors"))
        return policy

    def chunk(self, state: Tensor) -> Tensor:
        rows = torch.arange(self.config.chunk_size, dtype=torch.float32)[:, None] * self.step
        return (state @ self.weight.T)[:, None] + rows


class Act(Policy):
    """One tick in; it lists its pictures itself."""

    def reset(self) -> None:
        self.heard.resets += 1
        self._action_queue: deque[Tensor] = deque(maxlen=self.config.chunk_size)

    @torch.no_grad()
    def predict_action_chunk(self, batch: dict) -> Tensor:
        batch = {**batch, IMAGES: [batch[key] for key in self.config.image_features]}
        self.heard.batches.append(batch)
        return self.chunk(batch[STATE])


class Diffusion(Policy):
    """A history of ticks, from queues that are filled elsewhere; everything queued that the batch names is stacked."""

    def reset(self) -> None:
        self.heard.resets += 1
        ticks = self.config.n_obs_steps
        self._queues = {
            name: deque(maxlen=ticks) for name in (STATE, *([IMAGES] if self.config.image_features else []))
        }
        self._queues[ACTION] = deque(maxlen=self.config.chunk_size)

    @torch.no_grad()
    def predict_action_chunk(self, batch: dict) -> Tensor:
        seen = {key: torch.stack(list(self._queues[key]), dim=1) for key in batch if key in self._queues}
        self.heard.batches.append(seen)
        return self.chunk(seen[STATE][:, -1] - 0.5 * seen[STATE][:, 0])


KINDS = {"act": Act, "diffusion": Diffusion}


def populate_queues(queues: dict, batch: dict, exclude_keys: list[str] | None = None) -> dict:
    """Each value to the queue of its name; the first fills it."""
    for name, queue in queues.items():
        if name in batch and name not in (exclude_keys or []):
            queue.append(batch[name])
            while len(queue) < queue.maxlen:
                queue.append(batch[name])
    return queues


class Before:
    """To the device, and into LeRobot's full batch: also what only training has."""

    def __init__(self, device: str) -> None:
        self.device = device

    def __call__(self, data: dict) -> dict:
        assert isinstance(data["task"], list) and all(isinstance(text, str) for text in data["task"])
        moved = {k: v.to(self.device) for k, v in data.items() if isinstance(v, Tensor)}
        return {ACTION: None, "next.reward": 0.0, "next.done": False, "info": {}, "task": data["task"], **moved}


def make_pre_post_processors(policy_cfg: Config, pretrained_path: str, *, preprocessor_overrides: dict) -> tuple:
    """The pipelines of a folder; an override for a step they do not have is an error."""
    steps = json.loads((Path(pretrained_path) / "policy_preprocessor.json").read_text())["steps"]
    unknown = set(preprocessor_overrides) - {step["registry_name"] for step in steps}
    if unknown:
        raise KeyError(f"Override keys {unknown} do not match any step")
    return Before(preprocessor_overrides["device_processor"]["device"]), lambda action: SCALE * action


def installed(monkeypatch) -> None:
    """As if `lerobot` were installed."""
    factory, utils = ModuleType("lerobot.policies.factory"), ModuleType("lerobot.policies.utils")
    factory.get_policy_class = KINDS.__getitem__
    factory.make_pre_post_processors, utils.populate_queues = make_pre_post_processors, populate_queues
    for module in (ModuleType("lerobot"), ModuleType("lerobot.policies"), factory, utils):
        monkeypatch.setitem(sys.modules, module.__name__, module)


def checkpoint(folder: Path, kind: str, state: int, action: int, **changes) -> Path:
    """A ``pretrained_model`` folder whose network has known weights."""
    torch.manual_seed(0)
    shapes = {STATE: (state,), f"{IMAGES}.front": (3, 240, 320), f"{IMAGES}.wrist": (3, 60, 80)}
    config = {
        "type": kind,
        "input_features": {name: {"shape": shape} for name, shape in shapes.items()},
        "output_features": {ACTION: {"shape": (action,)}},
        "n_obs_steps": 2 if kind == "diffusion" else 1,
        "chunk_size": 16,
        **changes,
    }
    size = config["output_features"][ACTION]["shape"][0]
    seen = config["input_features"][STATE]["shape"][0]
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    weights = {"weight": 0.1 * torch.randn(size, seen), "step": torch.full((size,), 0.005)}
    save_file(weights, folder / "model.safetensors")
    for name, step in PIPELINES.items():
        (folder / name).write_text(json.dumps({"name": name, "steps": [{"registry_name": step, "config": {}}]}))
    return folder
