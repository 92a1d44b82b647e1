"""Everything in Gazebo: ``ros2 launch il_robot gazebo.launch.py task:=pick_place view:=true``; docs/gazebo.md."""

from pathlib import Path

import yaml
from launch.actions import DeclareLaunchArgument, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.parameter_descriptions import ParameterValue

from il_cli.ros import launch_gazebo
from il_cli.ros.launch_graph import describe, or_goes_down
from il_cli.ros.launch_order import OrderedNode
from il_core.graph import node_environment
from il_core.graph_spec import CLOCK
from il_sim.gazebo.names import BRIDGE, Drive
from launch import LaunchDescription

ARGUMENTS = {
    "model": (Drive.JOINTS.value, "How torques reach the arm: joints (a topic each) or ros2_control."),
    "out": ("", "Folder for world, model and bridge topics; if empty outputs/gazebo, below it the namespace."),
    "gz_args": ("", "Further arguments of `gz sim`, such as -v 4."),
}
CHOICES = {"model": [drive.value for drive in Drive]}


def said(context, name):  # noqa: ANN001, ANN201
    """What launch argument ``name`` says."""
    return LaunchConfiguration(name).perform(context)


def folder(context):  # noqa: ANN001, ANN201
    """Where the files are; two graphs in two namespaces do not share them."""
    return Path(said(context, "out") or Path("outputs/gazebo", *place(context).split("/"))).resolve()


def place(context):  # noqa: ANN001, ANN201
    """Namespace of the graph, pushed ones included, without slashes around."""
    pushed = context.launch_configurations.get("ros_namespace", "")
    return "/".join(part.strip("/") for part in (pushed, said(context, "namespace")) if part.strip("/"))


def write(context):  # noqa: ANN001, ANN201
    """Write what Gazebo reads; with ros2_control the controller sends numbers to its controller."""
    out, options = folder(context), {name: said(context, name) for name in ("task", "robot", "seed", "model")}
    launch_gazebo.require_packages(launch_gazebo.BRIDGED)
    if options["model"] == Drive.ROS2_CONTROL.value:
        launch_gazebo.require_packages(launch_gazebo.CONTROLLED)
        launch_gazebo.refuse_secure_control(context.environment)
        params = launch_gazebo.with_forward_output(said(context, "params"), said(context, "namespace").strip("/"))
        out.mkdir(parents=True, exist_ok=True)
        (out / launch_gazebo.PARAMS).write_text(yaml.safe_dump(params))
        context.launch_configurations["params"] = str(out / launch_gazebo.PARAMS)
    launch_gazebo.write_files(context, out, {**options, "namespace": place(context)})


def before(context):  # noqa: ANN001, ANN201
    """Gazebo, the bridge and our two nodes beside it, and what ros2_control needs."""
    environment = node_environment(context.environment)
    gz = launch_gazebo.gazebo_environment(context.environment, place(context))
    text = {name: ParameterValue(said(context, name), value_type=str) for name in ("task", "robot", "model")}
    ours = {"task": text["task"], "robot": text["robot"]}  # no clock of their own: they go by the stamps they get

    def beside(package, executable, name, parameters, **more):  # noqa: ANN001, ANN003, ANN202
        return OrderedNode(
            package=package,
            executable=executable,
            name=name,
            exec_name=name,
            namespace=LaunchConfiguration("namespace"),
            parameters=[parameters],
            remappings=[(CLOCK, CLOCK.strip("/"))] if place(context) else [],
            additional_env={**environment, **more},
            output="both",
            on_exit=or_goes_down(name),
        )

    is_seen = yaml.safe_load(said(context, "view").lower())
    words, out = said(context, "gz_args"), folder(context)
    actions = [
        launch_gazebo.gazebo_process(context, out, is_seen=is_seen, words=words, namespace=place(context)),
        beside("ros_gz_bridge", "parameter_bridge", "gazebo_bridge", {"config_file": str(out / BRIDGE)}, **gz),
        beside("il_robot", "gazebo_node", "gazebo", {**ours, "drive": text["model"]}),
        beside("il_robot", "gazebo_camera_node", "gazebo_camera", ours),
    ]
    is_controlled = said(context, "model") == Drive.ROS2_CONTROL.value
    return actions + (launch_gazebo.control_actions(context, place(context)) if is_controlled else [])


def generate_launch_description():  # noqa: ANN201 - the name and form launch expects
    """Gazebo, the bridge, our two nodes beside it, and graph ``all`` without MuJoCo."""
    fixed = {"sim": "false", "use_sim_time": "true", "cameras": ""}
    *arguments, start = describe("all", fixed=fixed, before=before).entities
    own = [
        DeclareLaunchArgument(name, default_value=value, description=text, choices=CHOICES.get(name))
        for name, (value, text) in ARGUMENTS.items()
    ]
    return LaunchDescription([*arguments, *own, OpaqueFunction(function=write), start])
