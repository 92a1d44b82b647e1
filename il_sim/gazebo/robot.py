"""The robot's SDF model from its URDF: links, joints, cameras, and the systems that drive and report it."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from collections.abc import Mapping

import numpy as np

from il_core.config import Setup
from il_core.errors import ConfigError
from il_core.geometry import Array, inverse
from il_core.spec import CameraSpec, Interface, Mount
from il_sim.gazebo import sdf
from il_sim.gazebo.bridge import camera_topic, joint_state_topic, wrench_topic
from il_sim.gazebo.config import GazeboConfig
from il_sim.gazebo.names import Drive
from il_sim.gazebo.ros2_control import add_control
from il_sim.gazebo.urdf import Inertial, Joint, Link, Urdf, read_urdf
from il_sim.scene import GRIPPER_DAMPING_NS_M

TABLE_GROUP, BASE_GROUP = 0x0001, 0x0002  # the arm's fixed foot stands on the table and does not touch it
WRENCH_HZ = 1000  # each step, as joint states come
# Gazebo's cameras look along x with z up, optical frames along z with y down.
R_OPTICAL_SENSOR = np.array([[0.0, -1.0, 0.0], [0.0, 0.0, -1.0], [1.0, 0.0, 0.0]])


class RobotModel:
    """Writes one robot as an SDF model that is fixed to the world at base.

    Links without mass are frames: SDF gives a link without ``inertial`` one kilogram.
    """

    def __init__(self, setup: Setup, mu: Mapping[str, float], config: GazeboConfig, wrist_link: str = "") -> None:
        """Read the URDF.

        Args:
            setup: Robot and task.
            mu: Sliding friction by link.
            config: Gazebo's settings.
            wrist_link: First link behind the robot's force sensor; empty without one.

        Raises:
            ConfigError: the URDF or the robot cannot be simulated.
        """
        if setup.robot.interface is not Interface.EFFORT:
            problem = f"takes {setup.robot.interface.value}; only arms that take effort are simulated"
            raise ConfigError(f"robot '{setup.robot.name}'", problem)
        self._setup, self._robot, self._mu, self._config = setup, setup.robot, mu, config
        self._urdf: Urdf = read_urdf(setup.urdf_path)
        self._armature = dict(zip(self._robot.joint_names, self._robot.armature_kg_m2, strict=True))
        self._by_child = {j.child: j for j in self._urdf.joints}
        missing = sorted(set(self._robot.joint_names) - {j.name for j in self._urdf.joints})
        if missing:
            raise ConfigError(str(setup.urdf_path), f"no joint '{missing[0]}'")
        self._foot = self._massive_root()
        self._wrist_link = wrist_link
        if wrist_link and self._urdf.links[wrist_link].inertial is None:
            problem = f"link '{wrist_link}' behind it has no mass, so that Gazebo's model has no joint to measure in"
            raise ConfigError("wrench_sensor", problem)

    @property
    def fingers(self) -> list[str]:
        """The gripper's sliding joints, which MuJoCo's scene drives too."""
        return [j.name for j in self._urdf.joints if j.kind == "prismatic"]

    def element(self, drive: Drive, controllers: str = "", namespace: str = "") -> ET.Element:
        """The ``<model>``.

        Args:
            drive: How torques reach the arm.
            controllers: Path of the controllers' YAML for ros2_control.
            namespace: Namespace of ros2_control's nodes, without slashes around.
        """
        model = ET.Element("model", name=self._robot.name)
        sdf.add(model, "self_collide", False)
        for name, link in self._urdf.links.items():
            if link.inertial is None:
                self._add_frame(model, name)
            else:
                self._add_link(model, link, link.inertial)
        world = sdf.add(model, "joint", name="world_joint", type="fixed")
        sdf.add_all(world, {"parent": "world", "child": self._foot})
        for joint in self._urdf.joints:
            if self._urdf.links[joint.child].inertial is not None and joint.child != self._foot:
                self._add_joint(model, joint)
        for camera in self._setup.task.cameras:
            host, T = self._optical(self._robot.camera(camera))
            frame = sdf.add(model, "frame", name=optical_frame(camera), attached_to=host)
            sdf.add_pose(frame, T)
        self._add_systems(model, drive)
        if drive is Drive.ROS2_CONTROL:
            add_control(model, controllers, namespace)
        return model

    def _massive_root(self) -> str:
        """The link that stands on the world: the first with a mass, behind fixed joints only."""
        name = self._urdf.root
        while self._urdf.links[name].inertial is None:
            children = [j for j in self._urdf.joints if j.parent == name]
            if len(children) != 1 or children[0].kind != "fixed":
                raise ConfigError(str(self._setup.urdf_path), f"link '{name}' has no mass, but carries moving links")
            name = children[0].child
        return name

    def host(self, name: str) -> tuple[str, Array]:
        """The link with a mass that a link is part of, and its pose there, (4, 4) [m]."""
        T = np.eye(4)
        while self._urdf.links[name].inertial is None:
            joint = self._by_child.get(name)
            if joint is None:  # above the foot: seen from it
                return self._foot, inverse(self._T_root(self._foot)) @ T
            if joint.kind != "fixed":
                raise ConfigError(str(self._setup.urdf_path), f"link '{name}' moves and has no mass")
            T = joint.T_parent_child @ T
            name = joint.parent
        return name, T

    def _T_root(self, name: str) -> Array:
        """Pose of a link in the root at zero joint positions."""
        T = np.eye(4)
        while name in self._by_child:
            joint = self._by_child[name]
            T, name = joint.T_parent_child @ T, joint.parent
        return T

    def _add_frame(self, model: ET.Element, name: str) -> None:
        host, T = self.host(name)
        sdf.add_pose(sdf.add(model, "frame", name=name, attached_to=host), T)

    def _add_link(self, model: ET.Element, link: Link, inertial: Inertial) -> None:
        name = link.name
        element = sdf.add(model, "link", name=name)
        if name == self._foot:
            sdf.add_pose(element, self._T_root(name))
        else:
            sdf.add_pose(element, np.eye(4), relative_to=self._by_child[name].name)
        body = sdf.add_inertial(element, inertial.mass_kg, inertial.T_link_com, inertial.inertia_kg_m2)
        if self._config.reflected_inertia:
            self._add_reflected_inertia(body, name)
        for k, shape in enumerate(link.visuals):
            sdf.add_visual(element, f"{name}_visual_{k}", shape)
        group = BASE_GROUP if name == self._foot else 0xFFFF
        for k, shape in enumerate(link.collisions):
            sdf.add_collision(element, f"{name}_collision_{k}", shape, self._mu.get(name, 1.0), group)
        for camera in self._setup.task.cameras:
            host, T = self._optical(self._robot.camera(camera))
            if host == name:
                self._add_camera(element, self._robot.camera(camera), T)

    def _add_reflected_inertia(self, inertial: ET.Element, link: str) -> None:
        r"""Rotor inertia :math:`I_a` about the joint's axis a as added mass :math:`I_a\,a a^T` of the link it turns.

        SDF has no armature. Added mass enters the mass matrix and not the weight.
        """
        joint = self._by_child.get(link)
        armature = 0.0 if joint is None else self._armature.get(joint.name, 0.0)
        if joint is None or armature == 0.0:
            return
        if joint.kind == "prismatic":
            raise ConfigError(f"robot '{self._robot.name}'", f"armature of '{joint.name}', which slides; set it to 0")
        block = armature * np.outer(joint.axis, joint.axis)
        added = sdf.add(inertial, "fluid_added_mass")
        for tag, (i, k) in {"pp": (0, 0), "pq": (0, 1), "pr": (0, 2), "qq": (1, 1), "qr": (1, 2), "rr": (2, 2)}.items():
            sdf.add(added, tag, float(block[i, k]))

    def _add_joint(self, model: ET.Element, joint: Joint) -> None:
        parent, T_host_parent = self.host(joint.parent)
        element = sdf.add(model, "joint", name=joint.name, type=joint.kind)
        sdf.add_pose(element, T_host_parent @ joint.T_parent_child, relative_to=parent)
        sdf.add_all(element, {"parent": parent, "child": joint.child})
        if joint.child == self._wrist_link:
            self._add_force_sensor(element)
        if joint.limit is None:
            return
        axis = sdf.add(element, "axis")
        sdf.add(axis, "xyz", joint.axis)
        limits = dict(zip(("lower", "upper", "effort", "velocity"), joint.limit, strict=True))
        sdf.add_all(sdf.add(axis, "limit"), {k: v for k, v in limits.items() if np.isfinite(v)})
        # The fingers' servo damps here, where the engine integrates it implicitly: a finger weighs 15 g.
        servo = GRIPPER_DAMPING_NS_M if joint.kind == "prismatic" else 0.0
        sdf.add_all(sdf.add(axis, "dynamics"), {"damping": joint.damping + servo, "friction": joint.friction})

    def _add_force_sensor(self, joint: ET.Element) -> None:
        """What acts on the links behind the joint, as `wrist/wrench` means it, but with their weight in it.

        Child to parent: Gazebo's other direction is what the arm's side does to the tool's side.
        """
        wrench = self._robot.force_sensor()
        T_link_ee = inverse(self._T_root(self._wrist_link)) @ self._T_root(
            self._robot.ee_frame
        )  # nothing moves between
        sensor = sdf.add(joint, "sensor", name="wrist", type="force_torque")
        sdf.add_pose(sensor, T_link_ee @ wrench.T_ee_sensor)
        sdf.add_all(sensor, {"always_on": True, "update_rate": WRENCH_HZ, "visualize": False})
        sdf.add(sensor, "topic", wrench_topic(self._robot.name))
        sdf.add(sensor, "gz_frame_id", wrench.frame)
        element = sdf.add(sensor, "force_torque")
        sdf.add_all(element, {"frame": "sensor", "measure_direction": "child_to_parent"})

    def _optical(self, camera: CameraSpec) -> tuple[str, Array]:
        """The link that carries a camera, and the pose of its optical frame there."""
        mount = self._urdf.root if camera.mount is Mount.BASE else self._robot.ee_frame
        if mount not in self._urdf.links:
            raise ConfigError(str(self._setup.urdf_path), f"no link '{mount}'")
        host, T = self.host(mount)
        return host, T @ camera.T_mount_optical

    def _add_camera(self, link: ET.Element, camera: CameraSpec, T_link_optical: Array) -> None:
        sensor = sdf.add(link, "sensor", name=camera.name, type="rgbd_camera")
        T = T_link_optical.copy()
        T[:3, :3] = T[:3, :3] @ R_OPTICAL_SENSOR
        sdf.add_pose(sensor, T)
        sdf.add_all(sensor, {"always_on": True, "update_rate": camera.rate_hz, "visualize": False})
        sdf.add(sensor, "topic", camera_topic(camera.name))
        element = sdf.add(sensor, "camera", name=camera.name)
        i = camera.intrinsics
        sdf.add(element, "horizontal_fov", float(2.0 * np.arctan(i.width / 2.0 / i.fx)))
        sdf.add_all(sdf.add(element, "image"), {"width": i.width, "height": i.height, "format": "R8G8B8"})
        clip = {"near": self._config.clip_near_m, "far": self._config.clip_far_m}
        sdf.add_all(sdf.add(element, "clip"), clip)
        sdf.add(element, "optical_frame_id", optical_frame(camera.name))

    def _add_systems(self, model: ET.Element, drive: Drive) -> None:
        names = [*self._robot.joint_names, *self.fingers]
        forced = names if drive is Drive.JOINTS else self.fingers
        for name in forced:
            sdf.add_plugin(model, "apply-joint-force", "ApplyJointForce", [("joint_name", name)])
        listed: list[tuple[str, sdf.Value]] = [("joint_name", name) for name in names]
        topic: list[tuple[str, sdf.Value]] = [("topic", joint_state_topic(self._robot.name))]
        sdf.add_plugin(model, "joint-state-publisher", "JointStatePublisher", [*topic, *listed])


def optical_frame(camera: str) -> str:
    """Name of a camera's optical frame."""
    return f"camera_{camera}_optical"
