"""A simulated arm that sees a printed ChArUco board: on the table for the wrist camera, in the hand for a fixed one."""

from __future__ import annotations

from dataclasses import replace

import mujoco
import numpy as np

from il_core.config import load_setup
from il_core.geometry import inverse, matrix_from_rotvec, pose, rotvec_from_matrix
from il_core.spec import Mount
from il_sim.camera import Renderer
from il_sim.scene import build_model
from il_teleop.calibration.board import Board
from il_teleop.calibration.config import BoardConfig

BOARD = BoardConfig()
WIDTH, HEIGHT = 800, 600
SQUARE_PX = 140
UP = pose([0.0, 0.0, 0.0], np.diag([1.0, -1.0, -1.0]))  # a board's z goes into the paper


class BoardTask:
    """A board, fixed to a link, in place of a task's objects."""

    objects = ()

    def __init__(self, link: str, T_link_board: np.ndarray) -> None:
        self.link, self.T_link_board = link, T_link_board

    def add_objects(self, spec: mujoco.MjSpec) -> None:
        spec.compiler.discardvisual = False  # a URDF's materials and textures are thrown away else
        sheet = Board(BOARD).image(SQUARE_PX)
        height, width = sheet.shape
        pixels = np.ascontiguousarray(np.repeat(sheet[:, :, None], 3, axis=2))
        texture = spec.add_texture(name="board", type=mujoco.mjtTexture.mjTEXTURE_2D, nchannel=3)
        texture.width, texture.height, texture.data = width, height, pixels.tobytes()
        material = spec.add_material(name="board", specular=0.0, shininess=0.0, emission=0.6)
        material.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "board"
        w, h = (mm / 1e3 for mm in BOARD.size_mm)
        margin_m = (width / (BOARD.squares_x * SQUARE_PX) - 1.0) * w / 2
        x, y = (-margin_m, w + margin_m), (-margin_m, h + margin_m)
        corners = [(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])]
        mesh = spec.add_mesh(name="board")  # a slab: the print on the side of -z, plain paper elsewhere
        mesh.uservert = np.array([(a, b, z) for z in (0.0, 0.002) for a, b in corners]).ravel()
        mesh.usertexcoord = np.array([(0, 0), (1, 0), (1, 1), (0, 1), *[(0, 0)] * 4], dtype=float).ravel()
        front, back = [(0, 3, 2), (0, 2, 1)], [(4, 6, 7), (4, 5, 6)]
        sides = [f for k in range(4) for n in [(k + 1) % 4] for f in ((k, n, n + 4), (k, n + 4, k + 4))]
        mesh.userface = np.array([*front, *back, *sides]).ravel()
        body = spec.body(self.link).add_body(name="board", pos=self.T_link_board[:3, 3])
        quat = np.zeros(4)
        mujoco.mju_mat2Quat(quat, self.T_link_board[:3, :3].ravel())
        body.quat = quat
        body.add_geom(
            type=mujoco.mjtGeom.mjGEOM_MESH, meshname="board", material="board", contype=2, conaffinity=0, mass=0.0
        )

    def place(self, model, data, rng) -> None:
        """Nothing to place."""


class BoardWorld:
    """Renders the board from a camera at any posture of the arm."""

    def __init__(self, camera: str, T_link_board: np.ndarray) -> None:
        setup = load_setup("pick_place")
        cameras = tuple(replace(c, width=WIDTH, height=HEIGHT) for c in setup.robot.cameras)
        self.robot = replace(setup.robot, cameras=cameras)
        self.setup = replace(setup, robot=self.robot)
        self.spec = self.robot.camera(camera)
        link = "base" if self.spec.mount is Mount.EE else self.robot.ee_frame
        self.model = build_model(self.setup, BoardTask(link, T_link_board))
        self.data = mujoco.MjData(self.model)
        self.q = np.array([self.model.joint(n).qposadr[0] for n in self.robot.joint_names])
        self.renderer = Renderer(self.model, self.robot)

    def tool(self, q: np.ndarray) -> np.ndarray:
        """Pose of the tool in base."""
        self.data.qpos[self.q] = q
        mujoco.mj_kinematics(self.model, self.data)
        site = self.data.site(self.robot.ee_frame)
        return pose(site.xpos, site.xmat.reshape(3, 3))

    def picture(self, q: np.ndarray) -> np.ndarray:
        """What the camera sees, (H, W, 3) uint8."""
        self.tool(q)
        self.renderer.pose(self.data.qpos)
        return self.renderer.render(self.spec.name, 0).rgb

    def reach(self, T_base_ee: np.ndarray, q: np.ndarray) -> np.ndarray | None:
        """Posture that brings the tool to a pose (damped Newton from ``q``), or None."""
        q = q.copy()
        J = np.zeros((6, self.model.nv))
        dofs = [self.model.joint(n).dofadr[0] for n in self.robot.joint_names]
        for _ in range(60):
            T = self.tool(q)
            mujoco.mj_comPos(self.model, self.data)
            error = np.concatenate([T_base_ee[:3, 3] - T[:3, 3], rotvec_from_matrix(T_base_ee[:3, :3] @ T[:3, :3].T)])
            if np.linalg.norm(error) < 1e-9:
                return q
            mujoco.mj_jacSite(self.model, self.data, J[:3], J[3:], self.data.site(self.robot.ee_frame).id)
            A = J[:, dofs]
            q = q + A.T @ np.linalg.solve(A @ A.T + 1e-6 * np.eye(6), error)
        return None


def looking(target: np.ndarray, azimuth: float, tilt: float, distance: float, roll: float) -> np.ndarray:
    """Pose of an optical frame that looks at a point of base from above."""
    z = -np.array([np.sin(tilt) * np.cos(azimuth), np.sin(tilt) * np.sin(azimuth), np.cos(tilt)])
    x = np.cross(z, [np.sin(roll), np.cos(roll), 0.0])
    x = -x / np.linalg.norm(x)
    return pose(target - distance * z, np.stack([x, np.cross(z, x), z], axis=1))


def lying_board(centre_m: np.ndarray) -> np.ndarray:
    """Where the board lies on the table, print up, in base."""
    return pose([0.50, 0.0, 0.002]) @ UP @ pose(-centre_m)


def held_board(robot, camera: str, T_base_ee: np.ndarray, centre_m: np.ndarray) -> np.ndarray:
    """How the tool holds the board, print towards the fixed camera and clear of the fingers, in ee."""
    T_base_optical = robot.camera(camera).T_mount_optical
    T = pose(T_base_ee[:3, 3], T_base_optical[:3, :3]) @ pose([0.0, 0.0, -0.08]) @ pose(-centre_m)
    return inverse(T_base_ee) @ T


def wrist_views(world: BoardWorld, n: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Postures from which the wrist camera sees the board on the table, from all sides."""
    q, found = np.array(world.robot.q_home_rad), []
    target = np.array([0.50, 0.0, 0.002])
    for k in range(3 * n):
        T = looking(target, 2.4 * k, rng.uniform(0.1, 0.5), rng.uniform(0.30, 0.42), rng.uniform(-0.4, 0.4))
        posture = world.reach(T @ inverse(world.spec.T_mount_optical), q)
        found += [posture] if posture is not None else []
    return found[:n]


def hand_views(world: BoardWorld, T_base_ee: np.ndarray, n: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Postures about a tool pose that hold the board into the fixed camera, tilted to all sides."""
    q, found = np.array(world.robot.q_home_rad), []
    for _ in range(3 * n):
        turn = matrix_from_rotvec(rng.uniform(-0.45, 0.45, 3))
        T = pose(T_base_ee[:3, 3] + rng.uniform(-0.06, 0.06, 3), turn @ T_base_ee[:3, :3])
        posture = world.reach(T, q)
        found += [posture] if posture is not None else []
    return found[:n]
