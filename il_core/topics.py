"""Every topic and service name of the graph, relative so that a namespace can be put in front.

| name | message | from -> to |
|---|---|---|
| JOINT_STATES | sensor_msgs/JointState, arm joints + gripper joint, 1 kHz | arm -> all |
| EFFORT_SETPOINT | sensor_msgs/JointState (effort), stamp = state answered, 1 kHz | controller -> arm |
| GRIPPER_SETPOINT | sensor_msgs/JointState (position [m]), on change and at 50 Hz | controller -> arm |
| TELEOP_POSE | geometry_msgs/PoseStamped in base | teleop -> controller |
| TELEOP_GRIPPER | sensor_msgs/JointState (position [m]) | teleop -> controller |
| JOINT_CHUNK | trajectory_msgs/JointTrajectory: a plan in joint positions | policy, go-to -> controller |
| POSE_CHUNK | trajectory_msgs/MultiDOFJointTrajectory, joints ee and gripper | policy -> controller |
| EE_POSE | geometry_msgs/PoseStamped in base, measured, 100 Hz | controller -> all |
| TARGET_POSE | geometry_msgs/PoseStamped in base, the target in force, 100 Hz | controller -> recorder |
| TARGET_GRIPPER | sensor_msgs/JointState (position [m]), in force, 100 Hz | controller -> recorder |
| CONTROL_SOURCE | diagnostic_msgs/DiagnosticArray: who drives and why, on change and at 2 Hz | controller -> all |
| STIFFNESS | geometry_msgs/WrenchStamped in base: N/m and N·m/rad in force, 100 Hz | controller -> recorder |
| WANTED_STIFFNESS | geometry_msgs/WrenchStamped in base: N/m and N·m/rad wanted | anybody -> controller |
| EXPECTED_WRENCH | geometry_msgs/WrenchStamped in base: contact that does not soften | anybody -> controller |
| DAMPING_RATIO | std_msgs/Float64: damping ratio wanted | anybody -> controller |
| GUIDING_MODE | std_msgs/String: free, orientation_locked, position_locked, plane or axis [x y z] | anybody |
| GO_TO_POSE | geometry_msgs/PoseStamped in base | anybody -> controller |
| GO_TO_POSTURE | sensor_msgs/JointState (position) | anybody -> controller |
| REPLAY_CHUNK | trajectory_msgs/MultiDOFJointTrajectory, as POSE_CHUNK | replay -> controller |
| WRIST_WRENCH | geometry_msgs/WrenchStamped in the sensor's frame, on the tool | force sensor -> all |
| POLICY_DOUBT | std_msgs/Float64: distance from the demonstrations, 1 = their edge, per plan | policy -> all |
| POLICY_HELP | std_msgs/String, latched: why the policy asks for a person; empty = it does not | policy -> all |
| JOY | sensor_msgs/Joy: clutch, axes and buttons | gamepad or scripted operator -> teleop |
| DEVICE_POSE | geometry_msgs/PoseStamped in the device's own frame | phone, VR controller -> teleop |
| LEADER_STATES | sensor_msgs/JointState of the leader arm | leader arm -> teleop |
| RECORDER_CUE | std_msgs/String: `<kind>: <words>` | recorder -> il record |
| RECORDER_TASK_TEXT, RECORDER_OPERATOR | std_msgs/String: kept with each take | anybody -> recorder |
| RECORDER_NOTE | std_msgs/String: `<key>: <text>`, empty text removes it | anybody -> recorder |
| RECORDER_FLOW | std_msgs/String: `<key>: <value>` of il_teleop/flow.py | anybody -> recorder |
| WORLD_STATE | sensor_msgs/JointState: all of MuJoCo's qpos, 30 Hz | sim -> sim cameras |
| ROBOT_DESCRIPTION | std_msgs/String, latched: the URDF | description -> all |
| LINK_POSES | geometry_msgs/PoseArray in base: all links, base first, then as in the URDF, 30 Hz | description -> all |
| TF, TF_STATIC | tf2_msgs/TFMessage: links and cameras, where tf2_msgs is installed | description -> all |
| GAZEBO_JOINT_STATES | sensor_msgs/JointState, arm and fingers, Gazebo's order, 1 kHz | ros_gz_bridge -> gazebo node |
| GAZEBO_DESCRIPTION | std_msgs/String, latched: the URDF with `<ros2_control>` | gazebo node -> gz_ros2_control |
| HAND_POSITION | geometry_msgs/PointStamped in base | hand-guided imports |
| HAND_FORCE | geometry_msgs/WrenchStamped at ee | hand-guided imports |
"""

from __future__ import annotations

JOINT_STATES = "joint_states"
EFFORT_SETPOINT = "arm/effort_setpoint"
GRIPPER_SETPOINT = "gripper/setpoint"
TELEOP_POSE = "teleop/target_pose"
TELEOP_GRIPPER = "teleop/target_gripper"
JOINT_CHUNK = "policy/joint_chunk"
POSE_CHUNK = "policy/pose_chunk"
POLICY_DOUBT = "policy/doubt"
POLICY_HELP = "policy/help"
EE_POSE = "control/ee_pose"
TARGET_POSE = "control/target_pose"
TARGET_GRIPPER = "control/target_gripper"
CONTROL_SOURCE = "control/source"
STIFFNESS = "control/stiffness"
WANTED_STIFFNESS = "controller/stiffness"
EXPECTED_WRENCH = "controller/expected_wrench"
DAMPING_RATIO = "controller/damping_ratio"
GUIDING_MODE = "controller/guiding_mode"
GO_TO_POSE = "controller/go_to_pose"
GO_TO_POSTURE = "controller/go_to_posture"
REPLAY_CHUNK = "replay/pose_chunk"
WRIST_WRENCH = "wrist/wrench"
JOY = "joy"
DEVICE_POSE = "teleop/device_pose"
LEADER_STATES = "leader/joint_states"
RECORDER_CUE = "recorder/cue"
RECORDER_TASK_TEXT = "recorder/task_text"
RECORDER_OPERATOR = "recorder/operator"
RECORDER_NOTE = "recorder/note"
RECORDER_FLOW = "recorder/flow"
WORLD_STATE = "sim/world_state"
ROBOT_DESCRIPTION = "robot_description"
LINK_POSES = "robot/link_poses"
TF = "/tf"  # absolute by convention of tf2; a namespaced robot remaps them
TF_STATIC = "/tf_static"
GAZEBO_JOINT_STATES = "gazebo/joint_states"
GAZEBO_DESCRIPTION = "gazebo/robot_description"
HAND_POSITION = "hand_guiding/position"
HAND_FORCE = "hand_guiding/force"
DIAGNOSTICS = "/diagnostics"  # absolute by convention (REP 107)

SIM_SUCCESS = "sim/success"  # std_msgs/Bool, 30 Hz, the task's own success test on true state

# Services (std_srvs/Trigger unless said otherwise)
SIM_RESET = "sim/reset"  # uses parameter `seed` of sim_node
CONTROLLER_HOLD = "controller/hold"  # forget plans and claims, hold where the arm is
CONTROLLER_STOP = "controller/stop"  # stop, give way to a hand, and stay so until resumed
CONTROLLER_RESUME = "controller/resume"  # let the arm move again after a latched stop
CONTROLLER_TOUCH = "controller/touch_takeover"  # std_srvs/SetBool: whether a push takes the arm over
RECORDER_START = "recorder/start"  # begin a take, after the countdown
RECORDER_STOP = "recorder/stop"  # end the take; it waits for a verdict
RECORDER_KEEP = "recorder/keep"  # write the take, unless the reject rule refuses it
RECORDER_DISCARD = "recorder/discard"  # throw the take away
RECORDER_SUCCESS = "recorder/success"  # label the take a success
RECORDER_FAILURE = "recorder/failure"  # label the take a failure
RECORDER_REDO = "recorder/redo"  # throw this take away and start again; idle: record the last kept one anew
RECORDER_KEEP_ANYWAY = "recorder/keep_anyway"  # keep a take that the reject rule refuses
RECORDER_NEXT = "recorder/next"  # start, stop or keep, whichever comes next: for a single pedal
POLICY_ENABLE = "policy/enable"  # std_srvs/SetBool: whether the policy makes plans
OPERATOR_PREPARE = "operator/prepare"  # the scripted operator takes the arm where a missed grasp leaves it
OPERATOR_PERFORM = "operator/perform"  # the scripted operator shows the task once
OPERATOR_DONE = "operator/done"  # std_msgs/Bool topic, latched: what the operator was asked to do is over


def recorder_quality(mark: int) -> str:
    """Service that marks the quality of the take, 1 (poor) to 5 (perfect)."""
    return f"recorder/quality_{mark}"


def claim(source: str) -> str:
    """Service (std_srvs/SetBool) that claims the arm for a source, or releases it: teleop, guiding, policy, replay."""
    return f"controller/claim/{source}"


def object_pose(name: str) -> str:
    """Topic of the true pose of an object of the simulation (PoseStamped in base)."""
    return f"sim/object/{name}"


def color(camera: str) -> str:
    """Topic of the rgb8 image of a camera (realsense2_camera's naming)."""
    return f"camera/{camera}/color/image_raw"


def depth(camera: str) -> str:
    """Topic of the 16UC1 depth image [mm] aligned to colour."""
    return f"camera/{camera}/aligned_depth_to_color/image_raw"


def camera_info(camera: str) -> str:
    """Topic of the CameraInfo of both images."""
    return f"camera/{camera}/color/camera_info"


def depth_camera_info(camera: str) -> str:
    """Topic of the same CameraInfo beside the depth image, where RViz's DepthCloud and depth_image_proc look."""
    return f"camera/{camera}/aligned_depth_to_color/camera_info"


def depth_to_color(camera: str) -> str:
    """Topic of the pose of a camera's depth sensor in its colour sensor's optical frame (TransformStamped, 1 Hz)."""
    return f"camera/{camera}/depth_to_color"


def gazebo_force(joint: str) -> str:
    """Topic of the torque or force of one joint in Gazebo (std_msgs/Float64 [N·m or N])."""
    return f"gazebo/force/{joint}"


def gazebo_color(camera: str) -> str:
    """Topic of a camera's rgb8 image as Gazebo makes it."""
    return f"gazebo/camera/{camera}/image"


def gazebo_depth(camera: str) -> str:
    """Topic of a camera's 32FC1 depth image [m] as Gazebo makes it."""
    return f"gazebo/camera/{camera}/depth_image"


def gazebo_camera_info(camera: str) -> str:
    """Topic of the CameraInfo as Gazebo makes it."""
    return f"gazebo/camera/{camera}/camera_info"
