"""Serve a checkpoint of Hugging Face LeRobot where `lerobot` is installed: the same plans in absolute time.

What LeRobot does not write down must fit by agreement: ``observation.state`` is the task's state of one tick in
the order of ``TaskSpec.state``, images are called ``observation.images.<camera>``, and an action row is either
joint positions [rad] and an opening in [0, 1], or the absolute tool position, 6-D rotation and opening that
``TaskSpec.action`` names. Sizes are compared; a wrong one is refused.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from il_core.config import Setup
from il_core.errors import CheckpointError, ConfigError, DeviceError, NonFiniteError, ShapeError
from il_core.types import ActionChunk, Observation
from il_policy.config import ActionEncoding
from il_policy.serving import handover, joining
from il_policy.serving.acting import Report, WorkingPolicy
from il_policy.serving.anytime import LatencyWindow
from il_policy.serving.artifact import read_json
from il_policy.serving.backend import TORCH
from il_policy.serving.config import Handover, ServeConfig
from il_policy.serving.device import places
from il_policy.serving.latency import lead_ns
from il_policy.tool_codec import ActionCodec
from il_policy.transforms import ObservationEncoder

STATE, IMAGES, ACTION = "observation.state", "observation.images.", "action"
PICTURES = "observation.images"  # all of them, in networks with a history
PIPELINES = ("policy_preprocessor.json", "policy_postprocessor.json")


def check_folder(directory: Path) -> str:
    """Type of the policy in a folder, which may hold nothing that runs code.

    Raises:
        CheckpointError: no LeRobot policy, weights that are not safetensors, or a processor named by a Python
            class instead of one that LeRobot registered.
    """
    kind = read_json(directory / "config.json").get("type")
    if not isinstance(kind, str):
        raise CheckpointError(directory, "config.json names no policy type; give LeRobot's folder pretrained_model")
    if not (directory / "model.safetensors").exists():
        raise CheckpointError(directory, "has no model.safetensors; other weight formats can run code")
    for name in PIPELINES:
        steps = read_json(directory / name).get("steps", [])
        for step in steps if isinstance(steps, list) else [{}]:
            if not isinstance(step, dict) or not isinstance(step.get("registry_name"), str) or "class" in step:
                text = json.dumps(step)[:80]
                raise CheckpointError(directory / name, f"step {text} is no registered processor; it could be any code")
    return kind


class LeRobotPolicy(WorkingPolicy):
    """Implements ``il_core.ports.Policy``; used by one thread at a time."""

    def __init__(self, directory: Path, setup: Setup, config: ServeConfig, seed: int = 0) -> None:
        """Load a ``pretrained_model`` folder.

        Raises:
            CheckpointError: not a safe LeRobot checkpoint.
            ConfigError: lerobot is not installed, the GPU asked for cannot be used, the sizes do not fit the task, or
                a hand-over or an act of doubt is asked for that it cannot do.
        """
        self._kind, self._instruction = check_folder(directory), ""
        self._handover = joining.chosen_plain(config)
        try:
            from lerobot.policies.factory import (  # type: ignore[import-not-found] # optional
                get_policy_class,
                make_pre_post_processors,
            )
            from lerobot.policies.utils import populate_queues  # type: ignore[import-not-found] # optional
        except ImportError as error:
            step = "`pip install lerobot` (it brings its own torch: use an environment of its own)"
            raise ConfigError(f"checkpoint {directory}", f"is of LeRobot, which is missing here: {step}") from error
        torch.set_num_threads(config.threads)
        self.setup = setup
        self._device = places(TORCH, config.device)[-1]  # its networks are large: a GPU is not measured, but taken
        self.check_doubt(config.doubt)
        self._policy: Any = get_policy_class(self._kind).from_pretrained(str(directory)).eval()
        overrides = {"device_processor": {"device": self._device}}
        self._policy.to(self._device)
        self._before, self._after = make_pre_post_processors(
            self._policy.config, str(directory), preprocessor_overrides=overrides
        )
        self._populate = populate_queues
        self._encoder = ObservationEncoder(setup)
        self._codec = ActionCodec(setup.task, ActionEncoding.ABSOLUTE_V1)
        self._check_sizes(directory)
        self.lead_ns = lead_ns(config, setup.task)
        self.latency = LatencyWindow(int(config.latency_ms * 1e6), self.lead_ns)
        self.report = Report()
        self.reset(seed)

    def _check_sizes(self, directory: Path) -> None:
        """Compare state, cameras and action with the task."""
        features = self._policy.config.input_features
        wanted = sum(name.endswith("@0") for name in self._encoder.names)
        where = f"checkpoint {directory}"
        for name, feature in features.items():
            if name == STATE and tuple(feature.shape) != (wanted,):
                raise ConfigError(where, f"{STATE} has {feature.shape}, the task's state has {wanted} numbers")
            if name != STATE and name.removeprefix(IMAGES) not in self.setup.task.cameras:
                raise ConfigError(where, f"reads '{name}', the task has cameras {list(self.setup.task.cameras)}")
        size = tuple(self._policy.config.output_features[ACTION].shape)[0]
        joints = self.setup.robot.nq + int(self.setup.task.action.gripper)
        if size not in (self._codec.dim, joints):
            raise ConfigError(
                where, f"acts with {size} numbers, expected {self._codec.dim} (tool) or {joints} (joints)"
            )
        self._size, self._is_joint = size, size != self._codec.dim
        ticks = int(getattr(self._policy.config, "n_obs_steps", 1))
        if ticks > self.setup.task.n_obs:
            raise ConfigError(where, f"looks at {ticks} ticks, the task's n_obs is {self.setup.task.n_obs}")

    @property
    def runtime(self) -> str:
        """Who computes."""
        return f"lerobot {self._kind}, torch on {self._device}"

    def reset(self, seed: int = 0) -> None:
        """Begin a new rollout."""
        torch.manual_seed(seed)
        self._policy.reset()
        self._previous: ActionChunk | None = None
        self._forget_acting()

    def instruct(self, text: str) -> None:
        """Say what to do from the next plan on; empty = the task file's instruction. Not all of its policies listen."""
        self._instruction = text

    def warm_up(self) -> None:
        """Nothing: a first plan needs a picture, which only the robot has."""

    @torch.no_grad()
    def predict(self, window: Sequence[Observation]) -> ActionChunk:
        """Plan from the last ``n_obs`` observations, oldest first; joined to the last plan by blending.

        Raises:
            DeviceError: a camera is missing from the observation.
            ShapeError: LeRobot gave something that is not a chunk, or one that ends before the next plan.
            NonFiniteError: its network gave NaN or infinity.
        """
        began = time.perf_counter()
        queues = getattr(self._policy, "_queues", None) or {}
        batch: dict[str, Any] = {}
        for observation in window:  # policies with a history plan from queues that only their own loop fills
            batch = self._stacked(self._before(self._batch(observation)), queues)
            self._populate(queues, batch, exclude_keys=[ACTION])
        chunks = self._after(self._policy.predict_action_chunk(batch))
        plan = self._plan(chunks.float().cpu().numpy()[0].astype(np.float64), window[-1])
        previous, latency_ns = self._previous, self.latency.p95_ns()
        if self._handover is Handover.BLEND and previous is not None and previous.obs_ns < plan.obs_ns:
            plan = handover.blend(plan, previous, latency_ns)
        self._previous = plan
        self.report = Report(milliseconds=1e3 * (time.perf_counter() - began))
        return plan

    def _batch(self, observation: Observation) -> dict[str, Any]:
        """One tick in LeRobot's words, a batch of one."""
        batch: dict[str, Any] = {"task": [self._instruction or self.setup.task.instruction]}
        for name in self._policy.config.input_features:
            if name == STATE:
                batch[name] = torch.from_numpy(self._encoder.state_vector(observation)).float()[None]
                continue
            camera = name.removeprefix(IMAGES)
            if camera not in observation.images:
                raise DeviceError(f"camera '{camera}' is not in the observation; it has {sorted(observation.images)}")
            rgb = np.array(observation.images[camera].rgb)
            batch[name] = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 255.0
        return batch

    def _stacked(self, batch: dict[str, Any], queues: dict[str, Any]) -> dict[str, Any]:
        """What a network reads; where it queues all pictures under one key, they are put there, cameras in its order.

        Without the action, which LeRobot's pipelines add though there is none.
        """
        read = {key: value for key, value in batch.items() if key != ACTION}
        if PICTURES in queues:
            read[PICTURES] = torch.stack([batch[key] for key in self._policy.config.image_features], dim=-4)
        return read

    def _plan(self, rows: NDArray[np.float64], now: Observation) -> ActionChunk:
        """Action rows as a plan in absolute time."""
        least, size = self.setup.task.n_execute, self._size
        if rows.ndim != 2 or rows.shape[1] != size or len(rows) < least:
            raise ShapeError("LeRobot chunk", expected=f"(H, {size}) with H >= {least}", got=rows.shape)
        if not np.isfinite(rows).all():
            raise NonFiniteError("LeRobot chunk", int(np.flatnonzero(~np.isfinite(rows))[0]))
        dt_ns = self.setup.task.dt_ns
        start_ns, obs_ns = now.tick_ns + dt_ns, now.tick_ns
        if self._is_joint:
            nq = self.setup.robot.nq
            gripper = np.clip(rows[:, nq], 0.0, 1.0) if rows.shape[1] > nq else None
            return ActionChunk(start_ns, dt_ns, obs_ns, q_des=rows[:, :nq], gripper_des=gripper)
        T, opening = self._codec.decode(rows, np.zeros(3))
        return ActionChunk(start_ns, dt_ns, obs_ns, T_base_ee_des=T, gripper_des=opening)
