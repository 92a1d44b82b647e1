"""What `ros2 launch` and `ros2 run` take of this package, read from the files without running them."""

from __future__ import annotations

import ast
from pathlib import Path

from il_core.graph import options_of

ROOT = Path(__file__).parents[1]
OF_LAUNCH = frozenset({"launch-prefix", "sigterm_timeout", "sigkill_timeout"})
"""Arguments that launch itself knows, in every file."""


def launch_files() -> list[Path]:
    """Every launch file."""
    return sorted((ROOT / "launch").glob("*.launch.py"))


def launch_arguments(file: Path) -> set[str]:
    """Names of the arguments of one launch file: its graph's options without those it fixes, and its own."""
    tree = ast.parse(file.read_text())
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and ast.unparse(n.func) == "describe"]
    names = {n for call in calls for n in options_of(str(ast.literal_eval(call.args[0])))}
    return names - _keys(tree, "fixed") | _keys(tree, "ARGUMENTS")


def executables() -> set[str]:
    """Names that `ros2 run il_robot` knows."""
    return _keys(ast.parse((ROOT / "setup.py").read_text()), "NODES") | {"il"}


def _keys(tree: ast.Module, name: str) -> set[str]:
    """Keys of the dictionary that is assigned to a name, empty where there is none."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Dict):
            is_it = any(isinstance(target, ast.Name) and target.id == name for target in node.targets)
            found |= {ast.literal_eval(key) for key in node.value.keys if key is not None} if is_it else set()
    return found
