"""Configuration files are read strictly, and every one that is shipped can be read."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import pytest
import yaml

from il_core.config import CONFIG_KEY, config_dir, from_mapping, load_robot, load_setup, load_yaml, require_source
from il_core.errors import ConfigError


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True)
class Inner:
    size_m: float

    def __post_init__(self):
        if self.size_m <= 0:
            raise ValueError(f"size_m must be positive, got {self.size_m}")


@dataclass(frozen=True)
class Outer:
    name: str
    count: int
    on: bool
    colour: Colour
    inner: Inner
    many: tuple[Inner, ...] = ()
    ages: dict[str, float] | None = None


GOOD = {"name": "n", "count": 3, "on": True, "colour": "red", "inner": {"size_m": 1}}


def test_values_become_the_types_of_the_dataclass():
    got = from_mapping(Outer, {**GOOD, "many": [{"size_m": 2.0}], "ages": {"a": 5}}, "f")
    assert got == Outer("n", 3, True, Colour.RED, Inner(1.0), (Inner(2.0),), {"a": 5.0})
    assert isinstance(got.inner.size_m, float)
    assert from_mapping(Outer, {**GOOD, "ages": None}, "f").ages is None


@pytest.mark.parametrize("text", ["1e-3", "1.e-3", "+0.1E-2", ".1e-2", "1e-03"])
def test_powers_of_ten_are_numbers_with_and_without_a_point(text):
    got = from_mapping(Outer, {**GOOD, "inner": {"size_m": yaml.safe_load(text)}}, "f")
    assert got.inner.size_m == pytest.approx(0.001)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"nmae": "x"}, "f: unknown key 'nmae'; did you mean 'name'"),
        ({"count": "3"}, "f: count: expected int, got '3'"),
        ({"count": True}, "f: count: expected int, got True"),
        ({"count": 3.5}, "f: count: expected int, got 3.5"),
        ({"on": 1}, "f: on: expected bool, got 1"),
        ({"colour": "redd"}, "f: colour: unknown value 'redd'; did you mean 'red'"),
        ({"inner": {"size_m": -1}}, "f: inner: size_m must be positive, got -1"),
        ({"inner": {"size_m": float("nan")}}, "f: inner: size_m: expected a finite number"),
        ({"inner": 3}, "f: inner: expected a mapping, got int"),
        ({"many": {"size_m": 1}}, "f: many: expected a list"),
        ({"many": [{"size_m": 1}, {}]}, r"f: many\[1\]: missing key 'size_m'"),
        ({"ages": {"a": "old"}}, "f: ages.a: expected float, got 'old'"),
        ({"ages": {"a": "1e"}}, "f: ages.a: expected float, got '1e'"),
        ({"ages": {"a": "1e999"}}, "f: ages.a: expected a finite number, got inf"),
        ({"ages": [1]}, "f: ages: expected a mapping"),
    ],
)
def test_wrong_values_name_file_and_key(change, problem):
    with pytest.raises(ConfigError, match=problem):
        from_mapping(Outer, {**GOOD, **change}, "f")


def test_a_missing_key_is_named():
    with pytest.raises(ConfigError, match="f: missing key 'name'"):
        from_mapping(Outer, {k: v for k, v in GOOD.items() if k != "name"}, "f")
    with pytest.raises(ConfigError, match="f: expected a mapping, got NoneType"):
        from_mapping(Outer, None, "f")


def test_a_missing_or_broken_file_is_named(tmp_path):
    (tmp_path / "near.yaml").write_text("{")
    with pytest.raises(ConfigError, match="neer.yaml: no such file; did you mean 'near'"):
        load_yaml(tmp_path / "neer.yaml", Outer)
    with pytest.raises(ConfigError, match="near.yaml: not valid YAML"):
        load_yaml(tmp_path / "near.yaml", Outer)


def test_yaml_cannot_run_code(tmp_path):
    path = tmp_path / "evil.yaml"
    path.write_text("name: !!python/object/apply:os.getcwd []")
    with pytest.raises(ConfigError, match="not valid YAML: could not determine a constructor"):
        load_yaml(path, Outer)


@pytest.mark.parametrize("task", sorted(p.stem for p in (config_dir() / "task").glob("*.yaml")))
def test_every_shipped_task_fits_its_robot(task):
    setup = load_setup(task)
    assert setup.task.name == task
    assert setup.robot.name == setup.task.robot
    assert setup.urdf_path.is_file()
    assert setup.srdf_path.is_file()
    assert setup.digest == load_setup(str(config_dir() / "task" / f"{task}.yaml")).digest


@pytest.mark.parametrize("robot", sorted(p.stem for p in (config_dir() / "robot").glob("*.yaml")))
def test_every_shipped_robot_can_be_read(robot):
    assert load_robot(robot)[0].name == robot


def test_unknown_tasks_and_robots_list_those_there_are():
    with pytest.raises(ConfigError, match="no such file; did you mean 'pick_place'"):
        load_setup("pick_plaice")
    with pytest.raises(ConfigError, match="no such file; .*Options: .*fr3"):
        load_setup("pick_place", "ur5")


def test_a_task_with_a_camera_the_robot_lacks_is_refused(tmp_path):
    text = (config_dir() / "task" / "pick_place.yaml").read_text()
    path = tmp_path / "blind.yaml"
    path.write_text(text.replace("cameras: [front, wrist]", "cameras: [front, head]"))
    with pytest.raises(ConfigError, match="robot 'fr3': no camera 'head'"):
        load_setup(str(path))


def test_a_robot_without_its_urdf_is_refused(tmp_path):
    (tmp_path / "fr3.yaml").write_text((config_dir() / "robot" / "fr3.yaml").read_text())
    with pytest.raises(ConfigError, match="cannot read urdf 'fr3.urdf'"):
        load_setup("pick_place", str(tmp_path / "fr3.yaml"))


def test_configuration_is_read_where_the_variable_says(tmp_path, monkeypatch):
    (tmp_path / "robot").mkdir()
    (tmp_path / "robot" / "fr3.yaml").write_text("mine: 1")
    monkeypatch.setenv(CONFIG_KEY, str(tmp_path))
    assert config_dir() == tmp_path
    with pytest.raises(ConfigError, match=f"{tmp_path}/robot/fr3.yaml: unknown key 'mine'"):
        load_robot("fr3")
    monkeypatch.setenv(CONFIG_KEY, str(tmp_path / "robot"))
    with pytest.raises(ConfigError, match=r"\$IL_ROBOT_CONFIG: '.*robot' has no folder robot/; name the folder config"):
        config_dir()


def test_an_installed_copy_is_not_written_to_and_sources_are(tmp_path):
    copy = tmp_path / "install" / "il_robot" / "share" / "il_robot"
    file = copy / "config" / "robot" / "fr3.yaml"
    file.parent.mkdir(parents=True)
    file.write_text("copied")
    for path in (file, file.parent, file.with_name("new.yaml")):
        with pytest.raises(
            ConfigError, match=r"is an installed copy, .*expected a file of the sources; export IL_ROBOT"
        ):
            require_source(path)
    link = tmp_path / "link.yaml"
    link.symlink_to(file)
    with pytest.raises(ConfigError, match="is an installed copy"):
        require_source(link)
    require_source(config_dir() / "robot" / "fr3.yaml")
    (copy / "setup.py").touch()  # somebody's sources lie in a folder of that name
    require_source(file)
