"""ament_python package: several import packages, one executable per node, the `il` command."""

from pathlib import Path

from setuptools import find_packages, setup

SHARE = "share/il_robot"


def installed_under_share(folder: str) -> list[tuple[str, list[str]]]:
    """Every file of a folder, to be installed below share/il_robot under the same path."""
    places = sorted({path.parent for path in Path(folder).rglob("*") if path.is_file()})
    return [
        (f"{SHARE}/{place}", sorted(str(path) for path in place.iterdir() if path.is_file()))
        for place in places
        if place.name != "__pycache__"
    ]


NODES = {
    "sim_node": "il_sim",
    "sim_camera_node": "il_sim",
    "sim_viewer_node": "il_sim",
    "operator_node": "il_sim",
    "gazebo_node": "il_sim",
    "gazebo_camera_node": "il_sim",
    "first_command_node": "il_sim",
    "controller_node": "il_control",
    "camera_node": "il_teleop",
    "teleop_node": "il_teleop",
    "recorder_node": "il_teleop",
    "policy_node": "il_policy",
    "description_node": "il_control",
    "bringup_node": "il_cli",
    "console_node": "il_cli",
}

setup(
    name="il_robot",
    version="0.1.0",
    description="Imitation learning on a robot arm over ROS 2: demonstrate, record, learn, serve, control",
    license="Apache-2.0",
    python_requires=">=3.10",
    packages=find_packages(include=["il_*"]),
    package_data={"il_cli.console": ["assets/*"]},
    data_files=[
        ("share/ament_index/resource_index/packages", ["resource/il_robot"]),
        (SHARE, ["package.xml"]),
        *installed_under_share("launch"),
        *installed_under_share("config"),
    ],
    install_requires=["numpy", "PyYAML"],
    extras_require={
        "record": ["mcap", "mcap-ros2-support", "pyarrow", "opencv-python-headless", "av"],
        "import": ["h5py"],
        "console": ["starlette", "uvicorn", "websockets", "opencv-python-headless", "psutil"],
        "rerun": ["rerun-sdk"],
        "cli": ["typer", "rich", "matplotlib", "plotly", "psutil"],
        "control": ["pin", "ruckig", "scipy"],
        "sim": ["mujoco"],
        "learn": ["torch", "diffusers", "safetensors", "tensorboard", "scipy", "accelerate", "gmr", "onnx"],
        "serve": ["onnxruntime", "openvino", "safetensors"],
        "realsense": ["pyrealsense2"],
        "test": ["pytest", "pytest-timeout", "pytest-xdist", "hypothesis", "ruff", "mypy", "types-PyYAML"],
    },
    entry_points={
        "console_scripts": [
            "il = il_cli.main:main",
            *(f"{name} = {package}.ros.{name}:main" for name, package in NODES.items()),
        ]
    },
)
