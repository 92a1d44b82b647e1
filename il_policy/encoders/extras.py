"""Numbers added to the input vector: joint torques, the wrench on the tool, the instruction."""

from __future__ import annotations

import numpy as np

from il_core.config import Setup
from il_core.errors import EpisodeError
from il_core.geometry import Array
from il_core.types import Observation
from il_policy.encoders.text import encode_text
from il_policy.observe_config import Language, ObserveConfig


class Extras:
    """Lays out and fills the part of the input vector that ``ObserveConfig`` asks for."""

    def __init__(self, setup: Setup, config: ObserveConfig) -> None:
        """Take names from robot and settings.

        Raises:
            ConfigError: the text encoder is not installed.
        """
        self._config, self._default = config, setup.task.instruction
        torque = [f"tau.{i}" for i in range(setup.robot.nq)] if config.torque else []
        wrench = [f"wrench.{a}" for a in ("fx", "fy", "fz", "tx", "ty", "tz")] if config.wrench else []
        said = config.language != Language.NONE
        self.hear("")  # an encoder that is missing is told now
        language = [f"language.{i}" for i in range(config.language_dim)] if said else []
        self.names = (*torque, *wrench, *language)

    def hear(self, instruction: str) -> None:
        """Encode an instruction before a plan waits for it; a model may take a second to load.

        Raises:
            ConfigError: no such encoder is installed.
        """
        if self._config.language != Language.NONE:
            encode_text(self._config.language, instruction or self._default, self._config.language_dim)

    def encode(self, observation: Observation, instruction: str = "") -> Array:
        """Numbers of one tick, in the order of ``names``.

        Args:
            observation: The newest tick.
            instruction: The task in words; empty = the task file's.

        Raises:
            EpisodeError: torques or wrench are wanted and the observation has none.
        """
        parts, where = [np.zeros(0)], f"observation at {observation.tick_ns}"
        if self._config.torque:
            if observation.arm is None:
                raise EpisodeError(where, "no joint state, but the policy observes torques; record joint_states")
            parts.append(observation.arm.tau)
        if self._config.wrench:
            if observation.wrench is None:
                problem = "no wrench, but the policy observes it"
                raise EpisodeError(where, f"{problem}; say 'wrench: true' in the task and record the force sensor")
            parts.append(observation.wrench)
        if self._config.language != Language.NONE:
            parts.append(encode_text(self._config.language, instruction or self._default, self._config.language_dim))
        return np.concatenate(parts)
