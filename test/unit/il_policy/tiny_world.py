"""A kinematic pick-and-place world with ray-cast depth cameras, and tiny setups for policies."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from il_core.config import Setup
from il_core.geometry import Array, matrix_from_quat_xyzw, pose
from il_core.spec import (
    ActionLabel,
    ActionSpec,
    CameraSpec,
    ColourObject,
    Mount,
    RobotSpec,
    TaskSpec,
    digest,
)
from il_core.store.seal import DIGEST, seal
from il_core.types import ArmState, CameraFrame, Episode, Observation, Outcome

R_DOWN = matrix_from_quat_xyzw([1.0, 0.0, 0.0, 0.0])
HALF_M = 0.02  # the cube is 40 mm wide and high
HOME = np.array([0.45, 0.0, 0.30])
BIN = np.array([0.45, -0.25, 0.15])
TICK_NS = 100_000_000


def restate(path: Path, **changes: object) -> None:
    """Change entries of a JSON file of a checkpoint, and give it the digest of what it says now."""
    values = {k: v for k, v in json.loads(path.read_text()).items() if k != DIGEST}
    path.write_text(seal({**values, **changes}))


def as_of_the_first_release(path: Path, **changes: object) -> None:
    """Turn a JSON file of a checkpoint into one of release 0.1, which wrote no digest."""
    values = {k: v for k, v in json.loads(path.read_text()).items() if k not in (DIGEST, "specs_sha256", "origin")}
    path.write_text(json.dumps({**values, "format_version": 1, **changes}, indent=1))


def _cameras() -> tuple[CameraSpec, ...]:
    front = CameraSpec("front", 320, 240, 30, 50.0, Mount.BASE, (0.5, 0.0, 0.9), (1.0, 0.0, 0.0, 0.0))
    wrist = CameraSpec("wrist", 80, 60, 30, 70.0, Mount.EE, (0.07, 0.0, -0.08), (0.0, 0.0, 0.0, 1.0))
    return front, wrist


def make_setup(**task_changes: object) -> Setup:
    """Setup of a two-joint arm; keyword arguments change the task."""
    robot = RobotSpec(
        name="tiny",
        urdf="tiny.urdf",
        srdf="tiny.srdf",
        joint_names=("a", "b"),
        gripper_joint="g",
        gripper_open_m=0.04,
        ee_frame="tcp",
        q_home_rad=(0.0, 0.0),
        armature_kg_m2=(0.1, 0.1),
        q_min_rad=(-1.0, -1.0),
        q_max_rad=(1.0, 1.0),
        v_max_rad_s=(1.0, 1.0),
        tau_max_nm=(1.0, 1.0),
        tau_rate_max_nm_s=(1.0, 1.0),
        cameras=_cameras(),
    )
    task = TaskSpec(
        name="tiny_pick",
        robot="tiny",
        instruction="put the red cube into the bin",
        rate_hz=10,
        n_obs=2,
        horizon=16,
        n_execute=8,
        state=("ee_position", "gripper"),
        cameras=("front", "wrist"),
        objects=(ColourObject("cube", 340.0, 20.0, 0.5, 0.2),),
        action=ActionSpec(ActionLabel.SETPOINT, rotation=False, gripper=True),
        quat_xyzw_tool=(1.0, 0.0, 0.0, 0.0),
        max_age_ms={"arm": 50.0, "ee_pose": 50.0, "target": 200.0, "camera": 150.0},
    )
    task = replace(task, **task_changes)
    return Setup(robot, task, Path("tiny.urdf"), Path("tiny.srdf"), digest(robot, task, "<robot/>"))


def render(camera: CameraSpec, T_base_ee: Array, p_cube: Array, stamp_ns: int) -> CameraFrame:
    """Picture of a red cube top at height ``p_cube[2] + HALF_M`` over a grey table, rays cast exactly."""
    i = camera.intrinsics
    T = camera.T_mount_optical if camera.mount is Mount.BASE else T_base_ee @ camera.T_mount_optical
    v, u = np.mgrid[: i.height, : i.width]
    rays = np.stack([(u - i.cx) / i.fx, (v - i.cy) / i.fy, np.ones_like(u)], axis=-1) @ T[:3, :3].T
    origin = T[:3, 3]
    with np.errstate(divide="ignore", invalid="ignore"):
        z_top = (p_cube[2] + HALF_M - origin[2]) / rays[..., 2]
        hit = origin[:2] + z_top[..., None] * rays[..., :2] - p_cube[:2]
        is_cube = (np.abs(hit) <= HALF_M).all(axis=-1) & (z_top > 0)
        z_table = -origin[2] / rays[..., 2]
    depth = np.where(is_cube, z_top, np.where(z_table > 0, z_table, 0.0))
    rgb = np.full((i.height, i.width, 3), 90, dtype=np.uint8)
    rgb[is_cube] = (200, 20, 25)
    depth_m = np.rint(depth * 1000).astype(np.float32) / np.float32(1000)  # cameras send millimetres
    return CameraFrame(stamp_ns, camera.name, rgb, depth_m, i)


@dataclass
class World:
    """A tool that moves towards its target with a lag, a cube that follows a closed gripper."""

    setup: Setup
    p_cube: Array
    p_ee: Array = field(default_factory=HOME.copy)
    gripper: float = 1.0
    tick: int = 0
    is_held: bool = False

    def observe(self) -> Observation:
        """What an aligner would give at this tick."""
        t, T = self.tick * TICK_NS, pose(self.p_ee, R_DOWN)
        arm = ArmState(t, np.zeros(2), np.zeros(2), np.zeros(2), float(np.clip(self.gripper, 0, 1)))
        names = self.setup.task.cameras
        images = {n: render(self.setup.robot.camera(n), T, self.p_cube, t) for n in names}
        return Observation(t, T, arm, images, {"arm": 0, "ee_pose": 0})

    def step(self, p_des: Array, gripper_des: float) -> None:
        """Move for one tick: 80 % of the way, at most 60 mm; the cube stops the fingers at half way."""
        move = 0.8 * (p_des - self.p_ee)
        self.p_ee = self.p_ee + move * min(1.0, 0.06 / max(float(np.linalg.norm(move)), 1e-9))
        self.gripper += float(np.clip(gripper_des - self.gripper, -0.5, 0.5))
        offset = np.abs(self.p_ee - self.p_cube)
        if self.gripper <= 0.5 and not self.is_held and (offset < [0.012, 0.012, 0.02]).all():
            self.is_held = True
        if self.is_held:
            self.gripper = max(self.gripper, 0.5)
            self.is_held = self.gripper <= 0.6
            self.p_cube = self.p_ee.copy()
        if not self.is_held:
            self.p_cube[2] = HALF_M
        self.tick += 1

    @property
    def is_done(self) -> bool:
        """Whether the cube lies in the bin."""
        return not self.is_held and float(np.abs(self.p_cube[:2] - BIN[:2]).max()) < 0.06


def scripted(p_cube: Array, speed_m: float = 0.03) -> list[tuple[Array, float]]:
    """Way points of a pick and place as (position, opening) per tick, at ``speed_m`` per tick."""
    grasp, above = np.array([*p_cube[:2], HALF_M]), np.array([*p_cube[:2], 0.15])
    up = BIN + [0.0, 0.0, 0.1]
    legs = [(above, 1.0), (grasp, 1.0), (grasp, 0.0), (above, 0.0), (BIN, 0.0), (BIN, 1.0), (up, 1.0)]
    rows, p = [], HOME
    for target, opening in legs:
        n = max(4, int(np.ceil(np.linalg.norm(target - p) / speed_m)))
        rows += [(p + (target - p) * (k + 1) / n, opening) for k in range(n)]
        p = target
    return rows


def random_cube(rng: np.random.Generator) -> Array:
    """A place on the table, cube centre, (3,) [m]."""
    return np.array([rng.uniform(0.35, 0.6), rng.uniform(-0.1, 0.2), HALF_M])


def demonstrate(setup: Setup, p_cube: Array, name: str = "demo") -> Episode:
    """Play the script and record it, tick by tick."""
    world = World(setup, p_cube.copy())
    observations, T_des, g_des = [], [], []
    for p, opening in scripted(p_cube):
        observations.append(world.observe())
        T_des.append(pose(p, R_DOWN))
        g_des.append(opening)
        world.step(p, opening)
    return Episode(name, tuple(observations), np.array(T_des), np.array(g_des), Outcome.SUCCESS, 10)
