"""Between what is seen and wanted, and the numbers of a network; needs no torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from il_core.config import Setup
from il_core.geometry import Array
from il_core.types import ActionChunk, Observation
from il_policy.config import ActionEncoding
from il_policy.encoders.pixels import PixelReader, blank
from il_policy.joint_codec import JointCodec, joint_posture, make_codec
from il_policy.observe_config import ObserveConfig
from il_policy.serving.features import disagreement
from il_policy.transforms import NOTHING_MORE, ObservationEncoder

Pixels = Mapping[str, NDArray[Any]]


class Ticked(Protocol):
    """Something seen at a known tick."""

    @property
    def tick_ns(self) -> int:
        """Instant it stands for [ns]."""
        ...


Seen = TypeVar("Seen", bound=Ticked)
Watched_contra = TypeVar("Watched_contra", bound=Ticked, contravariant=True)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """When a policy looks and plans.

    Attributes:
        n_obs: Observations it sees at once.
        n_execute: Ticks between two plans.
        dt_ns: Period of the ticks [ns].
    """

    n_obs: int
    n_execute: int
    dt_ns: int


class Translator(Protocol[Watched_contra]):
    """Speaks both languages: that of observations and plans, and that of numbers."""

    @property
    def rhythm(self) -> Rhythm:
        """When the policy looks and plans."""
        ...

    @property
    def input_dim(self) -> int:
        """Length of the input vector."""
        ...

    def inputs(self, window: Sequence[Watched_contra]) -> Array:
        """Input vector (D,) of a window, oldest first; NaN = not seen."""
        ...

    def pixels(self, window: Sequence[Watched_contra]) -> Pixels:
        """What encoders look at, by name."""
        ...

    def blank(self) -> Pixels:
        """Black pictures of the right sizes, to warm a policy up with."""
        ...

    def signs(self, window: Sequence[Watched_contra]) -> Array:
        """Numbers that only doubt looks at."""
        ...

    def plan(self, rows: Array, now: Watched_contra) -> ActionChunk:
        """Rows (H, Da) in the data's units as a plan; row j is wanted j + 1 ticks after ``now``."""
        ...

    def rows(self, plan: ActionChunk, now: Watched_contra) -> Array:
        """Inverse of :meth:`plan`, for any plan of its kind, (H, Da)."""
        ...

    def rest(self, now: Watched_contra) -> Array:
        """Row of a plan that stays where the arm is."""
        ...


class ArmTranslator:
    """Speaks for an arm: observations in; poses with gripper and stiffness, or joint postures, out."""

    def __init__(
        self, setup: Setup, encoding: ActionEncoding, observed_ticks: int = 0, observe: ObserveConfig = NOTHING_MORE
    ) -> None:
        """Lay out both sides.

        Args:
            setup: Robot and task.
            encoding: What the numbers of a row mean.
            observed_ticks: Ticks of proprioception used; 0 = the task's ``n_obs``.
            observe: Inputs beyond the task's.

        Raises:
            ConfigError: the robot has no such camera, or joint actions shall have a stiffness.
        """
        self.setup, self._observe = setup, observe
        self.encoder = ObservationEncoder(setup, observed_ticks, observe)
        self.codec = make_codec(setup, encoding)
        self._reader = PixelReader(setup, observe)
        self._instruction = ""

    @property
    def rhythm(self) -> Rhythm:
        """The task's."""
        task = self.setup.task
        return Rhythm(task.n_obs, task.n_execute, task.dt_ns)

    @property
    def input_dim(self) -> int:
        """Length of the input vector."""
        return self.encoder.dim

    def instruct(self, text: str) -> None:
        """Say what to do, for policies that listen; empty = the task file's instruction."""
        self.encoder.hear(text)
        self._instruction = text

    def inputs(self, window: Sequence[Observation]) -> Array:
        """Input vector (D,).

        Raises:
            ShapeError: another number of observations.
            DeviceError, EpisodeError: something that the policy needs was not observed.
        """
        return self.encoder.encode(window, self._instruction)

    def pixels(self, window: Sequence[Observation]) -> Pixels:
        """Pictures of the newest tick.

        Raises:
            DeviceError: a camera is missing from the observation, or measures nothing.
        """
        return self._reader.read(window[-1], window[-2] if len(window) > 1 else window[-1])

    def blank(self) -> Pixels:
        """Black pictures."""
        return blank(self._observe)

    def signs(self, window: Sequence[Observation]) -> Array:
        """How far apart the cameras see each object."""
        return disagreement(self.setup, window)

    def plan(self, rows: Array, now: Observation) -> ActionChunk:
        """Rows as a plan. A task that presses (``press_m``) gets its targets moved into the surface.

        Stiffness makes a force of that depth.
        """
        dt_ns = self.setup.task.dt_ns
        start_ns = now.tick_ns + dt_ns
        if isinstance(self.codec, JointCodec):
            q_des, gripper = self.codec.decode(rows, joint_posture(now))
            return ActionChunk(start_ns, dt_ns, now.tick_ns, q_des=q_des, gripper_des=gripper)
        T, gripper = self.codec.decode(rows, now.T_base_ee[:3, 3])
        T[:, :3, 3] += self.setup.task.press_m * T[:, :3, 2]  # along the tool's z
        k_p = self.codec.stiffness(rows)
        return ActionChunk(start_ns, dt_ns, now.tick_ns, T_base_ee_des=T, gripper_des=gripper, k_p_des=k_p)

    def rows(self, plan: ActionChunk, now: Observation) -> Array:
        """A plan as rows seen from ``now``."""
        opening = np.zeros(plan.horizon) if plan.gripper_des is None else plan.gripper_des
        if isinstance(self.codec, JointCodec):
            return self.codec.encode(plan.rows, opening, joint_posture(now))
        T = plan.rows.copy()
        T[:, :3, 3] -= self.setup.task.press_m * T[:, :3, 2]
        return self.codec.encode(T, opening, now.T_base_ee[:3, 3], plan.k_p_des)

    def rest(self, now: Observation) -> Array:
        """The measured pose (4, 4), or posture (nq,)."""
        return joint_posture(now) if isinstance(self.codec, JointCodec) else now.T_base_ee
