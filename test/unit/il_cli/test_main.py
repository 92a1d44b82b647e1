"""The `il` command: finds commands lazily, and explains errors in one sentence."""

import errno
import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import typer

from il_cli.main import COMMANDS, Entry, run
from il_core.errors import GraphError

ROOT = Path(__file__).parents[3]


def fail() -> None:
    raise GraphError("node 'sim' ended with exit status 3")


def fill_disk() -> None:
    raise OSError(errno.ENOSPC, "No space left on device", "outputs/x.mcap")


def read_missing() -> None:
    raise FileNotFoundError(errno.ENOENT, "No such file or directory", "nothing.mat")


def interrupt() -> None:
    raise KeyboardInterrupt


def succeed(count: int = 1) -> None:
    print(f"done {count}")


def give_up() -> None:
    raise typer.Exit(3)


group = typer.Typer()


@group.command()
def first() -> None:
    fail()


@group.command()
def second() -> None:
    print("second")


HERE = {
    name.replace("_", "-"): Entry(__name__, name, "for the test")
    for name in ("fail", "fill_disk", "read_missing", "interrupt", "succeed", "give_up", "group")
}
HERE["missing"] = Entry("il_cli.not_there", "missing", "broken")


@pytest.fixture(autouse=True)
def _importable(monkeypatch):
    monkeypatch.setitem(sys.modules, __name__, sys.modules.get(__name__) or importlib.import_module(__name__))


def test_a_command_runs_with_its_options(capsys):
    assert run(["succeed", "--count", "2"], HERE) == 0
    assert capsys.readouterr().out == "done 2\n"


def test_an_error_of_ours_is_one_sentence(capsys):
    assert run(["fail"], HERE) == 1
    shown = capsys.readouterr()
    assert shown.err == "error: node 'sim' ended with exit status 3\n"
    assert shown.out == ""


def test_an_error_of_a_subcommand_is_one_sentence(capsys):
    assert run(["group", "first"], HERE) == 1
    assert capsys.readouterr().err == "error: node 'sim' ended with exit status 3\n"
    assert run(["group", "second"], HERE) == 0


def test_a_full_disk_is_explained(capsys):
    assert run(["fill-disk"], HERE) == 1
    expected = "error: no space left on the disk while writing outputs/x.mcap; free some"
    assert capsys.readouterr().err.startswith(expected)


def test_a_missing_file_is_named(capsys):
    assert run(["read-missing"], HERE) == 1
    assert capsys.readouterr().err == "error: nothing.mat: No such file or directory\n"


def test_ctrl_c_has_the_status_shells_expect():
    assert run(["interrupt"], HERE) == 130


def test_a_commands_own_status_is_kept():
    assert run(["give-up"], HERE) == 3


@pytest.mark.parametrize("arguments", [["no-such-command"], ["succeed", "--cuont", "2"], ["succeed", "--count", "x"]])
def test_wrong_usage_has_status_two(arguments, capsys):
    assert run(arguments, HERE) == 2
    assert "Usage: il" in capsys.readouterr().err


def test_a_broken_command_leaves_the_others_working(capsys):
    assert run(["--help"], HERE) == 0
    assert "broken" in capsys.readouterr().out
    with pytest.raises(ModuleNotFoundError, match="not_there"):
        run(["missing"], HERE)


def command_lines():
    """Every command, and every subcommand of a group."""
    for name, entry in COMMANDS.items():
        target = getattr(importlib.import_module(entry.module), entry.attribute)
        if isinstance(target, typer.Typer):
            names = [c.name or c.callback.__name__ for c in target.registered_commands]
            yield from ([name, sub.replace("_", "-")] for sub in names)
        else:
            yield [name]


def test_every_command_exists_and_shows_an_example(capsys):
    for line in command_lines():
        assert run([*line, "--help"], COMMANDS) == 0
        shown = capsys.readouterr().out.replace("Usage: il", "")
        assert f"il {' '.join(line)}" in shown, f"the help of {line} shows no example"


def test_help_loads_nothing_heavy():
    code = (
        "import sys; from il_cli.main import COMMANDS, run; run(['--help'], COMMANDS); "
        "sys.exit(bool({'torch', 'rclpy', 'mujoco', 'pinocchio', 'pyarrow', 'cv2'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT, stdout=subprocess.DEVNULL)
