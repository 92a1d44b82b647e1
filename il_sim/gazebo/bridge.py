"""Topics of Gazebo and the rows of ros_gz_bridge that join them to ours."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import yaml

from il_core import topics

CLOCK = "/clock"


@dataclass(frozen=True, slots=True)
class Row:
    """One bridged topic, with the keys of ros_gz_bridge's configuration file."""

    ros_topic_name: str
    gz_topic_name: str
    ros_type_name: str
    gz_type_name: str
    direction: str


def camera_topic(camera: str) -> str:
    """Prefix of a camera's topics in Gazebo; ``/image``, ``/depth_image`` and ``/camera_info`` follow."""
    return f"/camera/{camera}"


def joint_state_topic(model: str) -> str:
    """Topic of the joint positions and velocities in Gazebo."""
    return f"/model/{model}/joint_state"


def force_topic(model: str, joint: str) -> str:
    """Topic that gz-sim's ApplyJointForce listens to."""
    return f"/model/{model}/joint/{joint}/cmd_force"


def wrench_topic(model: str) -> str:
    """Topic of the wrist's force sensor in Gazebo."""
    return f"/model/{model}/wrist_wrench"


def rows(
    model: str, forced: list[str], cameras: tuple[str, ...], objects: tuple[str, ...], *, has_wrench: bool = False
) -> list[Row]:
    """Every topic that passes between Gazebo and us.

    Args:
        model: Name of the robot's model.
        forced: Joints that are driven by a topic each.
        cameras: Cameras of the task.
        objects: Objects whose pose is published.
        has_wrench: Whether the robot has a force sensor at the wrist.
    """

    def heard(ours: str, theirs: str, ros_type: str, gz_type: str) -> Row:
        return Row(ours, theirs, ros_type, f"gz.msgs.{gz_type}", "GZ_TO_ROS")

    all_rows = [
        heard(CLOCK, CLOCK, "rosgraph_msgs/msg/Clock", "Clock"),
        heard(topics.GAZEBO_JOINT_STATES, joint_state_topic(model), "sensor_msgs/msg/JointState", "Model"),
    ]
    for joint in forced:
        ours, theirs = topics.gazebo_force(joint), force_topic(model, joint)
        all_rows.append(Row(ours, theirs, "std_msgs/msg/Float64", "gz.msgs.Double", "ROS_TO_GZ"))
    for camera in cameras:
        prefix = camera_topic(camera)
        image = "sensor_msgs/msg/Image"
        all_rows += [
            heard(topics.gazebo_color(camera), f"{prefix}/image", image, "Image"),
            heard(topics.gazebo_depth(camera), f"{prefix}/depth_image", image, "Image"),
            heard(
                topics.gazebo_camera_info(camera), f"{prefix}/camera_info", "sensor_msgs/msg/CameraInfo", "CameraInfo"
            ),
        ]
    if has_wrench:
        kinds = "geometry_msgs/msg/WrenchStamped", "Wrench"
        all_rows.append(heard(topics.WRIST_WRENCH, wrench_topic(model), *kinds))
    for name in objects:
        all_rows.append(heard(topics.object_pose(name), f"/model/{name}/pose", "geometry_msgs/msg/PoseStamped", "Pose"))
    return all_rows


def bridge_yaml(all_rows: list[Row]) -> str:
    """The configuration file of ros_gz_bridge's ``parameter_bridge``."""
    return yaml.safe_dump([asdict(row) for row in all_rows], sort_keys=False)
