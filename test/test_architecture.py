"""The layer rules of docs/architecture.md, enforced on the source; every checker is shown to fail once."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(p.name for p in ROOT.glob("il_*") if p.is_dir())
SIBLINGS = {"il_teleop", "il_policy", "il_control", "il_sim"}
MAY_IMPORT = {"il_core": set(), **{p: {"il_core"} for p in SIBLINGS}, "il_cli": {"il_core", *SIBLINGS}}
ROS_ROOTS = {
    "rclpy", "launch", "launch_ros", "launch_pytest", "ament_index_python", "tf2_ros", "cv_bridge",
    "rosidl_runtime_py", "rosbag2_py",
}  # fmt: skip
ONLY_IN = {  # library -> places of the packages that may import it
    "torch": ("il_policy/",),
    "diffusers": ("il_policy/",),
    "safetensors": ("il_policy/",),
    "accelerate": ("il_policy/",),
    "wandb": ("il_policy/logbook.py",),
    "onnxruntime": ("il_policy/serving/",),
    "openvino": ("il_policy/serving/",),
    "gmr": ("il_policy/primitives/",),
    "pinocchio": ("il_control/",),
    "coal": ("il_control/",),
    "mujoco": ("il_sim/",),
    "pyrealsense2": ("il_teleop/cameras/",),
    "cv2": (
        "il_core/codec.py",
        "il_policy/transforms.py",
        "il_teleop/cameras/",
        "il_teleop/review/faces.py",
        "il_teleop/calibration/board.py",
        "il_cli/console/preview.py",
    ),
    "rerun": ("il_teleop/review/rerun_view.py", "il_cli/live_scene.py"),
    "pyarrow": ("il_core/store/",),
    "starlette": ("il_cli/console/",),
    "uvicorn": ("il_cli/console/",),
    "av": ("il_core/store/video.py", "il_teleop/review/film.py"),
    "h5py": ("il_teleop/dataset/robomimic.py",),
    "mcap": ("il_core/store/",),
    "mcap_ros2": ("il_core/store/",),
    "zstandard": ("il_core/store/",),
    "lz4": ("il_core/store/",),
}
CORE_LIBRARIES = {"numpy", "yaml", "il_core"}  # besides the standard library and what ONLY_IN allows
LONGER = {"il_core/types.py": 400}  # the vocabulary is read as one list
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal"}
UNSAFE_CALLS = {"eval", "exec", "torch.load", "yaml.load", "yaml.unsafe_load", "yaml.full_load", "os.system"}


def source_files() -> list[Path]:
    """All modules of the packages."""
    return [p for package in PACKAGES for p in sorted((ROOT / package).rglob("*.py"))]


def ros_free_files() -> list[Path]:
    """Modules and tests that must work without ROS."""
    tests = [ROOT / "test" / "conftest.py", *sorted((ROOT / "test" / "unit").rglob("*.py"))]
    return [p for p in source_files() if "ros" not in p.relative_to(ROOT).parts] + tests


def place(path: Path) -> str:
    """Path below the root, with forward slashes."""
    return path.relative_to(ROOT).as_posix()


def every(files: list[Path]) -> pytest.MarkDecorator:
    """One test per file, named by it."""
    return pytest.mark.parametrize("path", files, ids=place)


def imported_modules(source: str) -> set[str]:
    """Dotted names of all modules a source imports, wherever in it."""
    modules = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add("." * node.level + (node.module or ""))
    return modules


def imported_roots(source: str) -> set[str]:
    """First parts of the imported modules."""
    return {m.split(".")[0] for m in imported_modules(source)}


def ros_imports(source: str) -> set[str]:
    """ROS packages a source imports; the ``ros`` folders of our own count too."""
    modules = imported_modules(source)
    ours = {m for m in modules if m.startswith("il_") and "ros" in m.split(".")}
    roots = {m.split(".")[0] for m in modules}
    return ours | {r for r in roots if r in ROS_ROOTS or r.endswith(("_msgs", "_srvs", "_interfaces"))}


def sideways_imports(package: str, source: str) -> set[str]:
    """Packages of ours a source of ``package`` imports and must not."""
    ours = {r for r in imported_roots(source) if r.startswith("il_")} - {package}
    return ours - MAY_IMPORT[package]


def misplaced_imports(where: str, source: str) -> set[str]:
    """Libraries imported outside their room."""
    return {r for r in imported_roots(source) if r in ONLY_IN and not where.startswith(ONLY_IN[r])}


def foreign_to_core(source: str) -> set[str]:
    """What il_core imports beyond the standard library and its own few libraries."""
    return imported_roots(source) - set(sys.stdlib_module_names) - CORE_LIBRARIES - set(ONLY_IN)


def called_names(source: str) -> set[str]:
    """Dotted names of everything a source calls."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
            names.add(ast.unparse(node.func))
    return names


def calls(source: str, name: str) -> bool:
    """Whether a source calls something of that last name."""
    return any(n.split(".")[-1] == name for n in called_names(source))


def unsafe(source: str) -> set[str]:
    """Ways of running code from files that a source uses."""
    loads = {n for n in called_names(source) if n in UNSAFE_CALLS}
    return loads | (imported_roots(source) & UNSAFE_MODULES) | ({"allow_pickle"} & allowing(source))


def allowing(source: str) -> set[str]:
    """Keywords a source passes as anything but False."""
    return {
        k.arg or ""
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Call)
        for k in node.keywords
        if not (isinstance(k.value, ast.Constant) and k.value.value is False)
    }


def reads_clock(source: str) -> bool:
    """Whether a source imports the module ``time``."""
    return "time" in imported_roots(source)


@every(ros_free_files())
def test_only_ros_folders_import_ros(path):
    leaked = ros_imports(path.read_text())
    if place(path).startswith("il_cli/"):  # commands start nodes: they may import our ros folders, not ROS itself
        leaked = {m for m in leaked if not m.startswith("il_")}
    assert not leaked, f"{place(path)} imports {sorted(leaked)}; move that code into a ros/ folder"


@every(source_files())
def test_packages_import_downward_only(path):
    package = path.relative_to(ROOT).parts[0]
    sideways = sideways_imports(package, path.read_text())
    assert not sideways, f"{package} may not import {sorted(sideways)}; meet in il_core/ports.py"


@every(source_files())
def test_libraries_stay_in_their_rooms(path):
    misplaced = misplaced_imports(place(path), path.read_text())
    assert not misplaced, f"{place(path)} imports {sorted(misplaced)}; only {ONLY_IN} may"


@every([p for p in source_files() if place(p).startswith("il_core/") and "ros" not in p.parts])
def test_the_core_needs_little(path):
    assert not foreign_to_core(path.read_text())


@every([p for p in source_files() if place(p).startswith("il_core/") and "ros" not in p.parts])
def test_only_one_core_module_reads_a_clock(path):
    assert path.name == "clock.py" or not reads_clock(path.read_text())


@every(source_files())
def test_only_the_safety_gate_builds_setpoints(path):
    assert place(path) == "il_control/safety.py" or not calls(path.read_text(), "Setpoint")


@every(source_files())
def test_no_file_of_ours_can_run_code(path):
    found = unsafe(path.read_text())
    assert not found, f"{place(path)} uses {sorted(found)}; use JSON, safe YAML, safetensors or Parquet"


@every(source_files())
def test_files_stay_readable_at_a_glance(path):
    lines = len(path.read_text().splitlines())
    assert lines <= LONGER.get(place(path), 300), f"{place(path)} has {lines} lines; split it where it does two things"


@every(source_files())
def test_every_module_says_what_it_is_for(path):
    assert ast.get_docstring(ast.parse(path.read_text())) or not path.read_text().strip()


@pytest.mark.parametrize("package", PACKAGES)
def test_packages_import_in_an_interpreter_without_ros(package):
    blocked = "import sys\nfor m in ('rclpy', 'launch', 'sensor_msgs', 'geometry_msgs'): sys.modules[m] = None\n"
    subprocess.run([sys.executable, "-c", f"{blocked}import {package}"], check=True, cwd=ROOT)


class TestTheCheckersCanFail:
    """Each checker, fed a planted bug."""

    def test_ros(self):
        planted = "from sensor_msgs.msg import Image\ndef f():\n import rclpy.node\n from il_core.ros import qos"
        assert ros_imports(planted) == {"sensor_msgs", "rclpy", "il_core.ros"}

    def test_siblings(self):
        planted = "import il_policy.policy\nfrom il_core import types"
        assert sideways_imports("il_sim", planted) == {"il_policy"}
        assert sideways_imports("il_core", "import il_sim") == {"il_sim"}
        assert sideways_imports("il_cli", planted) == set()

    def test_libraries(self):
        assert misplaced_imports("il_core/align.py", "import torch\nimport cv2") == {"torch", "cv2"}
        assert misplaced_imports("il_teleop/retarget.py", "import pyrealsense2, pinocchio") == {
            "pyrealsense2",
            "pinocchio",
        }
        assert misplaced_imports("il_core/codec.py", "import cv2") == set()

    def test_core(self):
        assert foreign_to_core("import rich.console\nimport json\nimport numpy") == {"rich"}

    def test_clock(self):
        assert reads_clock("from time import monotonic")

    def test_setpoints(self):
        assert calls("types.Setpoint(q)", "Setpoint")
        assert not calls("def f(s: Setpoint): return s", "Setpoint")

    def test_unsafe_files(self):
        assert unsafe("import pickle\nx = yaml.load(f)\neval('1')") == {"pickle", "yaml.load", "eval"}
        assert unsafe("np.load(f, allow_pickle=True)") == {"allow_pickle"}
        assert unsafe("torch.load(f, weights_only=True)") == {"torch.load"}
        assert unsafe("model.eval()\nyaml.safe_load(f)\nnp.load(f, allow_pickle=False)") == set()
