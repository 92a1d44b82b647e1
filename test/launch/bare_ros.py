"""Runs a launch file as `ros2` of a Debian package does: on a Python with the standard library, ROS, numpy and yaml.

`python -S bare_ros.py FOLDER_OF_NUMPY LAUNCH_FILE [name:=value ...]` loads the file and runs what it gives launch to
do, against stand-ins for ROS's own packages, and prints launch arguments and processes as JSON. Nothing else can be
imported.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import sys
import types
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROS = {"launch", "launch_ros", "ament_index_python", "rclpy"}
OURS = {p.name for p in ROOT.glob("il_*")}
INSTALLED = {"yaml", "_yaml", "numpy"}  # python3-yaml, python3-numpy: package.xml names them


class Stand_in:
    """Anything of launch: takes all arguments, keeps them, performs what a LaunchConfiguration would."""

    def __init__(self, *arguments, **named):
        self.arguments, self.named = arguments, named

    @property
    def entities(self):
        return self.arguments[0]

    def perform(self, context):
        if "executable" in self.named:
            return "/bin/true"  # `il`, which runs on another Python
        return context.launch_configurations.get(self.arguments[0], self.named.get("default", ""))


class Bare(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Stand-ins for ROS, nothing for what is not there."""

    def find_spec(self, name, path=None, target=None):
        root = name.partition(".")[0]
        if root in ROS:
            return importlib.machinery.ModuleSpec(name, self, is_package=True)
        if root in OURS | INSTALLED | set(sys.stdlib_module_names):
            return None  # whoever is next
        raise ModuleNotFoundError(f"No module named '{name}'", name=name)

    def create_module(self, spec):
        module = types.ModuleType(spec.name)
        module.__getattr__ = lambda name: _stand_in(module, name)
        return module

    def exec_module(self, module):
        pass


def _stand_in(module, name):
    if name.startswith("__"):
        raise AttributeError(name)
    made = type(name, (Stand_in,), {})
    setattr(module, name, made)  # the same class for everybody
    return made


def main(packages, file, *given):
    sys.path[:0] = [str(ROOT), packages]
    sys.meta_path.insert(0, Bare())
    spec = importlib.util.spec_from_file_location("launch_file", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    entities = module.generate_launch_description().entities
    declared = [e for e in entities if type(e).__name__ == "DeclareLaunchArgument"]
    values = {e.arguments[0]: e.named["default_value"] for e in declared}
    values |= dict(word.split(":=") for word in given)
    context = types.SimpleNamespace(launch_configurations=values, environment=os.environ)
    functions = [e.named["function"] for e in entities if type(e).__name__ == "OpaqueFunction"]
    actions = [action for function in functions for action in function(context) or []]
    processes = [(name_of(a), a.named.get("additional_env", {})) for a in actions if name_of(a)]
    theirs = [(name, {k: v for k, v in environment.items() if k.startswith("GZ_")}) for name, environment in processes]
    print(json.dumps({"arguments": [e.arguments[0] for e in declared], "processes": theirs}))


def name_of(action):
    """Name of a process, empty for what is none."""
    return action.named.get("exec_name") or (action.named.get("name", "") if "cmd" in action.named else "")


main(*sys.argv[1:])
