"""Domain randomisation: light, colours, camera mounts, friction and masses that follow from the seed of a scene.

Tobin et al., "Domain randomization for transferring deep neural networks from simulation to the real world", IROS 2017
(pictures); Peng et al., "Sim-to-real transfer of robotic control with dynamics randomization", ICRA 2018 (physics).
The arm's own masses stay as described: its controller's model of them is a matter of its own
(:meth:`il_sim.plant.Plant.scale_masses`).
"""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from il_core.config import config_dir, load_yaml
from il_core.errors import ConfigError
from il_core.geometry import Array
from il_sim.scene_constants import TABLE

SALT = 0x5EED  # the places of the objects come from the seed alone: these draws must not repeat them
FINGER = "finger"


@dataclass(frozen=True, slots=True)
class Randomisation:
    """What is varied, and how far; config/sim/randomise.yaml holds the defaults.

    Attributes:
        brightness: Least and largest factor on the light of each lamp, (2,).
        tint: Largest share by which a lamp's red, green and blue become weaker or stronger, in [0, 1).
        light_tilt_deg: Largest tilt of a lamp's direction [deg].
        table_rgb: Least and largest of red, green and blue of the table, each drawn by itself, (2,) in [0, 1].
        camera_shift_mm: Largest distance of a camera from its place in the robot's YAML [mm].
        camera_turn_deg: Largest turn of a camera, about any axis [deg].
        friction: Least and largest factor on sliding friction, (2,); drawn for the table, each thing, and the fingers.
        mass: Least and largest factor on mass and inertia of each thing that can be moved, (2,).
    """

    brightness: tuple[float, ...] = (1.0, 1.0)
    tint: float = 0.0
    light_tilt_deg: float = 0.0
    table_rgb: tuple[float, ...] | None = None
    camera_shift_mm: float = 0.0
    camera_turn_deg: float = 0.0
    friction: tuple[float, ...] = (1.0, 1.0)
    mass: tuple[float, ...] = (1.0, 1.0)

    def __post_init__(self) -> None:
        """Refuse ranges that make no scene.

        Raises:
            ConfigError: not two numbers, the first larger, or outside of what is possible.
        """
        for name, least in (("brightness", 0.0), ("table_rgb", 0.0), ("friction", 1e-3), ("mass", 1e-3)):
            value = getattr(self, name)
            if value is not None and (len(value) != 2 or not least <= value[0] <= value[1]):
                raise ConfigError(f"randomise: {name}", f"expected [a, b] with {least} <= a <= b, got {list(value)}")
        if self.table_rgb is not None and self.table_rgb[1] > 1.0:
            raise ConfigError("randomise: table_rgb", f"a colour is at most 1, got {self.table_rgb[1]}")
        if not 0.0 <= self.tint < 1.0:
            raise ConfigError("randomise: tint", f"expected a share in [0, 1), got {self.tint}")
        for name, most in (("light_tilt_deg", 90.0), ("camera_shift_mm", 1000.0), ("camera_turn_deg", 180.0)):
            if not 0.0 <= getattr(self, name) <= most:
                raise ConfigError(f"randomise: {name}", f"expected 0 to {most}, got {getattr(self, name)}")


def load_randomisation() -> Randomisation:
    """The ranges of config/sim/randomise.yaml.

    Raises:
        ConfigError: missing or wrong.
    """
    return load_yaml(config_dir() / "sim" / "randomise.yaml", Randomisation)


class Randomiser:
    """Makes a compiled scene another one for every seed; what is drawn for a seed does not depend on seeds before."""

    def __init__(self, model: mujoco.MjModel, config: Randomisation) -> None:
        """Remember the scene as it is described."""
        self._model, self._config = model, config
        names = (
            "light_diffuse", "light_dir", "geom_rgba", "cam_pos", "cam_quat", "geom_friction", "pair_friction",
            "body_mass", "body_inertia",
        )  # fmt: skip
        self._described = {name: np.array(getattr(model, name)) for name in names}
        self._head = np.array(model.vis.headlight.diffuse)
        self._loose = [
            int(model.jnt_bodyid[j])
            for j in range(model.njnt)
            if model.jnt_type[j] == mujoco.mjtJoint.mjJNT_FREE and model.body_gravcomp[model.jnt_bodyid[j]] == 0.0
        ]
        arm = {int(model.body_rootid[b]) for b in range(1, model.nbody) if FINGER in model.body(b).name}
        self._touched = [  # geoms by what they belong to: table and other fixed things, each loose one, all fingers
            [g for g in range(model.ngeom) if self._owner(g, arm) == owner]
            for owner in sorted({self._owner(g, arm) for g in range(model.ngeom)} - {""})
        ]

    def _owner(self, geom: int, arm: set[int]) -> str:
        """Whose friction is one; empty: links of the arm, which touch nothing on purpose."""
        body = int(self._model.geom_bodyid[geom])
        name = str(self._model.body(body).name)
        if int(self._model.body_rootid[body]) in arm:
            return FINGER if FINGER in name else ""
        return name

    def apply(self, seed: int) -> None:
        """Change lights, colours, cameras, friction and masses to those of a seed."""
        rngs = [np.random.default_rng([seed, SALT, k]) for k in range(5)]  # one range changed leaves the others' draws
        self._light(rngs[0])
        self._table(rngs[1])
        self._cameras(rngs[2])
        self._friction(rngs[3])
        self._masses(rngs[4])

    def _light(self, rng: np.random.Generator) -> None:
        model, config = self._model, self._config
        for lamp in range(model.nlight + 1):
            described = self._head if lamp == model.nlight else self._described["light_diffuse"][lamp]
            colour = _within(rng, config.brightness) * rng.uniform(1.0 - config.tint, 1.0 + config.tint, 3)
            lit = np.clip(described * colour, 0.0, 1.0)
            turn = _turn(rng, config.light_tilt_deg)
            if lamp == model.nlight:  # shines from the camera: nothing to tilt
                model.vis.headlight.diffuse[:] = lit
                continue
            model.light_diffuse[lamp] = lit
            mujoco.mju_rotVecQuat(model.light_dir[lamp], self._described["light_dir"][lamp], turn)

    def _table(self, rng: np.random.Generator) -> None:
        if self._config.table_rgb is not None:
            rgb = [_within(rng, self._config.table_rgb) for _ in range(3)]
            self._model.geom_rgba[self._model.geom(TABLE).id, :3] = rgb

    def _cameras(self, rng: np.random.Generator) -> None:
        model, config = self._model, self._config
        for k in range(model.ncam):
            shift = _direction(rng) * 1e-3 * config.camera_shift_mm * np.cbrt(rng.uniform())  # even in the ball
            model.cam_pos[k] = self._described["cam_pos"][k] + shift
            mujoco.mju_mulQuat(model.cam_quat[k], self._described["cam_quat"][k], _turn(rng, config.camera_turn_deg))

    def _friction(self, rng: np.random.Generator) -> None:
        model = self._model
        for geoms in self._touched:
            factor = _within(rng, self._config.friction)
            model.geom_friction[geoms, 0] = factor * self._described["geom_friction"][geoms, 0]
        if model.npair:  # pairs carry their own friction, along both directions of the contact
            factor = _within(rng, self._config.friction)
            model.pair_friction[:, :2] = factor * self._described["pair_friction"][:, :2]

    def _masses(self, rng: np.random.Generator) -> None:
        model = self._model
        for body in self._loose:
            factor = _within(rng, self._config.mass)
            model.body_mass[body] = factor * self._described["body_mass"][body]
            model.body_inertia[body] = factor * self._described["body_inertia"][body]
        mujoco.mj_setConst(model, mujoco.MjData(model))  # a scratch state: only what follows from masses


def _within(rng: np.random.Generator, bounds: tuple[float, ...]) -> float:
    """A number between two."""
    least, most = bounds
    return rng.uniform(least, most)


def _direction(rng: np.random.Generator) -> Array:
    """Unit vector, all directions alike, (3,)."""
    v = rng.normal(size=3)
    return np.asarray(v / np.linalg.norm(v))


def _turn(rng: np.random.Generator, most_deg: float) -> Array:
    """Turn about any axis by at most so much, as MuJoCo's quaternion, (4,) w first."""
    quat = np.empty(4)
    mujoco.mju_axisAngle2Quat(quat, _direction(rng), np.radians(rng.uniform(0.0, most_deg)))
    return quat
