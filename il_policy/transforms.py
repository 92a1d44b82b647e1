"""Observations into input vectors; the task decides.

What a policy knows of the world beyond its own arm comes from the depth cameras: pixels of an
object's colour, lifted into the robot base with the measured depth. The simulator's state is never
used.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from il_core.config import Setup
from il_core.errors import DeviceError, EpisodeError, ShapeError
from il_core.geometry import Array, interpolate_pose, rotation_6d_from_matrix
from il_core.spec import ColourObject, Mount
from il_core.types import CameraFrame, Observation
from il_policy.encoders.extras import Extras
from il_policy.layout import Layout
from il_policy.observe_config import ObserveConfig

NOTHING_MORE = ObserveConfig()
MIN_PIXELS = 12  # fewer is noise: a 40 mm cube at 1 m covers about 100 pixels of a 320x240 image
TRIM = 2.0  # percent cut at both ends of an extent: flying pixels of real depth cameras
TOOL, JITTER, GRIPPER, STATE = "tool", "jitter", "gripper", "state"
STATES = ("q.", "ee_rotation_6d.", "tau.", "wrench.")  # read by sensors, and of no common unit


@dataclass(frozen=True, slots=True)
class Sighting:
    """Where one camera sees an object.

    Attributes:
        p_base: Middle of its visible extent in x and y, top in z, (3,) [m] in base.
        pixels: Number of pixels with depth.
        is_cut: Whether the image border cuts the object.
    """

    p_base: Array
    pixels: int
    is_cut: bool


def colour_mask(rgb: NDArray[np.uint8], thing: ColourObject) -> NDArray[np.bool_]:
    """Pixels of an object's colour, (H, W)."""
    hsv = cv2.cvtColor(rgb, cv2.COLOR_RGB2HSV)
    hue_deg = hsv[..., 0].astype(np.uint16) * 2  # OpenCV stores half degrees in 8 bits
    lo, hi = thing.hue_min_deg, thing.hue_max_deg
    is_hue = (hue_deg >= lo) & (hue_deg <= hi) if lo <= hi else (hue_deg >= lo) | (hue_deg <= hi)
    return is_hue & (hsv[..., 1] >= 255 * thing.saturation_min) & (hsv[..., 2] >= 255 * thing.value_min)


def locate(frame: CameraFrame, T_base_optical: Array, thing: ColourObject) -> Sighting | None:
    r"""Find an object by colour and place it by depth.

    .. math:: p_{optical} = z\,((u - c_x)/f_x,\ (v - c_y)/f_y,\ 1), \qquad
              p_{base} = T_{base,optical}\,p_{optical}

    The middle of the extent in x and y changes less between views (top only, top and one side) than
    the mean of the points does; the top in z does not change at all.

    Args:
        frame: Colour and aligned depth.
        T_base_optical: Camera pose when the picture was taken, (4, 4).
        thing: Colour range.

    Returns:
        The sighting, or None if fewer than ``MIN_PIXELS`` pixels have colour and depth.
    """
    v, u = np.nonzero(colour_mask(frame.rgb, thing) & (frame.depth_m > 0))
    if len(u) < MIN_PIXELS:
        return None
    i, z = frame.intrinsics, frame.depth_m[v, u].astype(np.float64)
    points = np.column_stack([z * (u - i.cx) / i.fx, z * (v - i.cy) / i.fy, z])
    points = points @ T_base_optical[:3, :3].T + T_base_optical[:3, 3]
    low, high = np.percentile(points, [TRIM, 100.0 - TRIM], axis=0)
    middle = (low + high) / 2
    is_cut = bool(u.min() == 0 or v.min() == 0 or u.max() == i.width - 1 or v.max() == i.height - 1)
    return Sighting(np.array([middle[0], middle[1], high[2]]), len(u), is_cut)


class ObservationEncoder:
    """Window of observations -> input vector of a policy, with a name for every number.

    Layout: the task's state keys for each observed tick, oldest first; then for each object, from the
    newest tick only, ``visible`` (0 or 1), its position in base, and that position minus the tool's.
    What is not seen is NaN, which the normaliser turns into its neutral zero; ``visible`` tells the two
    apart. Several cameras: the view not cut by the image border counts first, then the larger one.
    """

    def __init__(self, setup: Setup, observed_ticks: int = 0, observe: ObserveConfig = NOTHING_MORE) -> None:
        """Lay out the vector.

        Args:
            setup: Robot and task.
            observed_ticks: Ticks of proprioception used; 0 = the task's ``n_obs``.
            observe: Further numbers, which follow the objects.
        """
        self.task = setup.task
        self.ticks = observed_ticks or setup.task.n_obs
        if self.ticks > setup.task.n_obs:
            raise ShapeError("observed_ticks", expected=f"at most {setup.task.n_obs}", got=(self.ticks,))
        self._cameras = [setup.robot.camera(name) for name in setup.task.cameras]
        self._nq = setup.robot.nq
        self._extras = Extras(setup, observe)
        self.names = self._names()

    @property
    def dim(self) -> int:
        """Length of the vector."""
        return len(self.names)

    @property
    def layout(self) -> Layout:
        """Which part of the vector is history."""
        return Layout(self.ticks, sum(name.endswith("@0") for name in self.names))

    def _names(self) -> tuple[str, ...]:
        parts = {
            "ee_position": [f"ee_position.{a}" for a in "xyz"],
            "ee_rotation_6d": [f"ee_rotation_6d.{i}" for i in range(6)],
            "gripper": ["gripper"],
            "q": [f"q.{i}" for i in range(self._nq)],
        }
        state = [name for key in self.task.state for name in parts[key]]
        names = [f"{name}@{k - self.ticks + 1}" for k in range(self.ticks) for name in state]
        for thing in self.task.objects:
            names.append(f"{thing.name}.visible")
            names += [f"{thing.name}.position.{a}" for a in "xyz"]
            names += [f"{thing.name}.from_tool.{a}" for a in "xyz"]
        return (*names, *self._extras.names)

    def sensitivity(self) -> dict[str, Array]:
        """How the vector changes when the tool or an opening is displaced; for augmentation.

        Returns:
            ``tool`` (D, 3): change per metre of a tool displacement that leaves the world in place;
            ``jitter``, ``gripper`` and ``state``, each (D,): 1 where a number is a position read, an opening, or of
            another sensor: joint position, rotation, torque, wrench.
        """
        tool = np.zeros((self.dim, 3))
        jitter, gripper, state = np.zeros(self.dim), np.zeros(self.dim), np.zeros(self.dim)
        for i, name in enumerate(self.names):
            axis = "xyz".find(name.split("@")[0][-1])
            is_tool, is_from_tool = name.startswith("ee_position."), ".from_tool." in name
            if is_tool or is_from_tool:
                tool[i, axis] = 1.0 if is_tool else -1.0
            jitter[i] = float(is_tool or is_from_tool or ".position." in name)
            gripper[i] = float(name.startswith("gripper"))
            state[i] = float(name.startswith(STATES))
        return {TOOL: tool, JITTER: jitter, GRIPPER: gripper, STATE: state}

    def hear(self, instruction: str) -> None:
        """Make an instruction ready before a plan waits for it."""
        self._extras.hear(instruction)

    def encode(self, window: Sequence[Observation], instruction: str = "") -> Array:
        """Input vector of a window of ``n_obs`` observations, oldest first, (D,), NaN = not seen.

        An empty ``instruction`` is the task file's.

        Raises:
            ShapeError: another number of observations.
        """
        if len(window) != self.task.n_obs:
            raise ShapeError("window", expected=f"{self.task.n_obs} observations", got=(len(window),))
        states = [self.state_vector(o) for o in window[-self.ticks :]]
        previous = window[-2] if len(window) > 1 else window[-1]
        extras = self._extras.encode(window[-1], instruction)
        return np.concatenate([*states, self.features(window[-1], previous), extras])

    def state_vector(self, observation: Observation) -> Array:
        """Proprioception of one tick, in the order of ``TaskSpec.state``, (Ds,).

        Raises:
            EpisodeError: the task wants joint state and the observation has none.
        """
        parts = [self._state_part(key, observation) for key in self.task.state]
        return np.concatenate(parts) if parts else np.zeros(0)

    @staticmethod
    def _state_part(key: str, observation: Observation) -> Array:
        if key == "ee_position":
            return observation.T_base_ee[:3, 3]
        if key == "ee_rotation_6d":
            return rotation_6d_from_matrix(observation.T_base_ee[:3, :3])
        if observation.arm is None:
            where = f"observation at {observation.tick_ns}"
            raise EpisodeError(where, f"no joint state, but the task observes '{key}'; record joint_states")
        return np.array([observation.arm.gripper]) if key == "gripper" else observation.arm.q

    def features(self, observation: Observation, previous: Observation) -> Array:
        """What the depth cameras see of the task's objects, (Df,), NaN = not seen.

        Args:
            observation: The tick to describe.
            previous: The tick before (or the same one): tells how the tool moved since a picture.

        Raises:
            DeviceError: a camera of the task is missing from the observation.
        """
        if not self.task.objects:
            return np.zeros(0)
        for camera in self._cameras:
            if camera.name not in observation.images:
                seen = sorted(observation.images)
                raise DeviceError(f"camera '{camera.name}' is not in the observation; it has {seen}")
        poses = {c.name: self._camera_pose(c.name, observation, previous) for c in self._cameras}
        parts: list[Array] = []
        for thing in self.task.objects:
            found = [locate(observation.images[name], T, thing) for name, T in poses.items()]
            sightings = [s for s in found if s is not None]
            p = np.full(3, np.nan)
            if sightings:
                p = max(sightings, key=lambda s: (not s.is_cut, s.pixels)).p_base
            parts += [np.array([float(bool(sightings))]), p, p - observation.T_base_ee[:3, 3]]
        return np.concatenate(parts)

    def _camera_pose(self, name: str, observation: Observation, previous: Observation) -> Array:
        """``T_base_optical`` when the picture was taken."""
        camera = next(c for c in self._cameras if c.name == name)
        if camera.mount is Mount.BASE:
            return camera.T_mount_optical
        T_base_ee = tool_pose_at(observation.images[name].stamp_ns, observation, previous)
        return T_base_ee @ camera.T_mount_optical


def tool_pose_at(stamp_ns: int, observation: Observation, previous: Observation) -> Array:
    """Tool pose at an instant, interpolated between two ticks and held outside of them, (4, 4).

    A picture is up to one frame period plus transport older than its tick; at 0.3 m/s the tool moves
    15 mm in 50 ms, so a wrist camera must be placed where the tool was then.
    """
    t_1 = observation.tick_ns - observation.age_ns.get("ee_pose", 0)
    t_0 = previous.tick_ns - previous.age_ns.get("ee_pose", 0)
    if stamp_ns >= t_1 or t_0 >= t_1:
        return observation.T_base_ee
    alpha = max(0.0, (stamp_ns - t_0) / (t_1 - t_0))  # unitless fraction of the way from t_0 to t_1
    return interpolate_pose(previous.T_base_ee, observation.T_base_ee, alpha)
