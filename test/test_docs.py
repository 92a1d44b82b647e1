"""The documentation: generated pages are up to date, links lead somewhere, and every command in it exists and works."""

from __future__ import annotations

import ast
import re
import shlex
from functools import cache

import pytest
import yaml

from docs.blocks import NEEDS, ROOT, SHELLS, WRITTEN, blocks, place, shell_blocks
from docs.generate import PAGES, commands
from docs.launch_arguments import OF_LAUNCH, executables, launch_arguments, launch_files
from docs.markdown import slug
from il_cli.main import COMMANDS, run

ALL = sorted([*WRITTEN, *ROOT.glob("docs/reference/*.md"), ROOT / "config/robot/README.md"])
# Pages that use what docs/first_policy.md makes come after it.
RUN_FIRST = "first_policy.md"
ENDLESS = {"up", "console", "serve", "teleop", "record", "replay", "demo", "infer-server", "view", "latency", "doctor"}


def anchors(text):
    without_code = re.sub(r"^```.*?^```$", "", text, flags=re.MULTILINE | re.DOTALL)
    return {slug(h) for h in re.findall(r"^#+ (.+)$", without_code, re.MULTILINE)}


def dead_links(page, text):
    """Links of a page that lead to no file or to no heading."""
    prose = re.sub(r"^```.*?^```$|`[^`\n]*`", "", text, flags=re.MULTILINE | re.DOTALL)
    dead = []
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"[a-z]+:", target):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        if not path.exists():
            dead.append(target)
        elif anchor and anchor not in anchors(path.read_text() if name else text):
            dead.append(target)
    return dead


@cache
def known_commands():
    """Options and whether it takes arguments, by full name of the command."""
    return {
        name: {option for p in command.params for option in (*p.opts, *p.secondary_opts) if option.startswith("-")}
        | {"--help"}
        for name, command in commands()
    }


def wrong_use(words):
    """What is wrong with a command line of `il`; empty if its command and options exist."""
    known = known_commands()
    name = next((n for n in (" ".join(words[:3]), " ".join(words[:2])) if n in known), None)
    if name is None:
        return f"no command '{' '.join(words[:3])}'"
    options = {w.split("=")[0] for w in words[len(name.split()) :] if re.match(r"--?[a-z]", w)}
    unknown = options - known[name]
    return f"'{name}' has no {sorted(unknown)}" if unknown else ""


def wrong_command(line):
    """What is wrong with a line of shell, as far as it concerns this project."""
    words = [w for w in shlex.split(line, comments=True) if not re.match(r"^[A-Z_]+=", w)]
    if not words:
        return ""
    head = words[0].rsplit("/", 1)[-1]
    if head == "il":
        return wrong_use(["il", *words[1:]])
    if head == "make":
        targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
        asked = {w for w in words[1:] if re.fullmatch(r"[a-z][a-z-]*", w)}
        return f"make has no {sorted(asked - targets)}" if "-C" not in words and asked - targets else ""
    if words[:3] == ["ros2", "launch", "il_robot"] and not words[3].startswith("<"):
        return wrong_launch(ROOT / "launch" / words[3], words[4:])
    if words[:3] == ["ros2", "run", "il_robot"]:
        return "" if words[3] in executables() else f"no executable {words[3]}"
    return ""


def wrong_launch(file, words):
    """What is wrong with the launch file of a command line, or with its arguments."""
    if file not in launch_files():
        return f"no launch file {file.name}"
    unknown = {w.split(":=")[0] for w in words if ":=" in w} - launch_arguments(file) - OF_LAUNCH
    return f"{file.name} has no {sorted(unknown)}" if unknown else ""


def settable():
    """Everything that may stand before ``:=``: launch arguments, and parameters of the nodes."""
    parameters = re.findall(r"^\| `([\w.]+)` \|", (ROOT / "docs/reference/parameters.md").read_text(), re.MULTILINE)
    return OF_LAUNCH.union(parameters, *map(launch_arguments, launch_files()))


@pytest.mark.parametrize("name", PAGES)
def test_the_generated_pages_are_up_to_date(name):
    page = ROOT / name
    assert page.is_file() and page.read_text() == PAGES[name](), f"{name} is old: run `make docs`"


@pytest.mark.parametrize("name", [name for name in PAGES if name.endswith(".md")])
def test_every_row_of_a_generated_table_says_what_it_means(name):
    text = (ROOT / name).read_text().partition("## By node")[0]
    assert [row for row in re.findall(r"^\|.*\|$", text, re.MULTILINE) if row.endswith("|  |")] == []


def test_every_kind_of_file_that_is_read_has_its_keys_in_the_reference():
    sources = "".join(p.read_text() for p in ROOT.glob("il_*/**/*.py"))
    kinds = {name for name in re.findall(r"\bload(?:_yaml)?\([^\n]*, ([A-Z]\w+)\)", sources)}
    assert {"RobotSpec", "JoyLayout", "ServeConfig"} <= kinds
    headings = set(re.findall(r"^### (\w+)$", (ROOT / "docs/reference/configuration.md").read_text(), re.MULTILINE))
    assert kinds - headings == set()


def test_every_page_is_linked_from_the_index():
    index = (ROOT / "docs" / "README.md").read_text()
    pages = [p.relative_to(ROOT / "docs").as_posix() for p in ROOT.glob("docs/**/*.md") if "decisions" not in p.parts]
    assert [p for p in pages if p != "README.md" and f"({p})" not in index] == []


@pytest.mark.parametrize("page", ALL, ids=place)
def test_links_lead_to_a_file_and_a_heading(page):
    assert dead_links(page, page.read_text()) == []


def test_a_dead_link_and_a_dead_anchor_are_found():
    text = "# Here\n[a](#here) [b](#gone) [c](README.md#documentation) [d](no.md) `[e](no.md)` [f](https://x.y)"
    assert dead_links(ROOT / "docs" / "README.md", text) == ["#gone", "no.md"]


@pytest.mark.parametrize("page", WRITTEN, ids=place)
def test_every_command_exists_with_its_options(page):
    shells = [b for b in blocks(page) if b.language in SHELLS]
    assert [b.name for b in shells if len(b.needs) > 1 or not b.needs <= NEEDS] == []
    assert [w for b in shells for line in b.body.replace("\\\n", " ").splitlines() if (w := wrong_command(line))] == []
    prose = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    inline = re.findall(r"`(il [a-z][^`]*)`", prose)
    assert [w for text in inline if "..." not in text and (w := wrong_use(text.split()))] == []
    inline = re.findall(r"`(ros2 (?:launch|run) [^`]*)`", prose)
    assert [w for text in inline if len(text.split()) > 2 and (w := wrong_command(text))] == []
    assert [n for n in re.findall(r"`([a-z][\w-]*):=[^`]*`", prose) if n not in settable()] == []


def test_commands_and_options_that_do_not_exist_are_found():
    assert wrong_command("il trian x") == "no command 'il trian x'"
    assert wrong_command(".venv/bin/il train x --polcy bc") == "'il train' has no ['--polcy']"
    assert wrong_command("il dataset build a --task reach --out b  # comment") == ""
    assert wrong_command("make dmeo") == "make has no ['dmeo']"
    assert wrong_command("ros2 launch il_robot robto.launch.py") == "no launch file robto.launch.py"
    assert wrong_command("ros2 launch il_robot sim.launch.py device:=joy") == "sim.launch.py has no ['device']"
    assert wrong_command("ros2 launch il_robot gazebo.launch.py sim:=true") == "gazebo.launch.py has no ['sim']"
    assert wrong_command("ros2 launch il_robot gazebo.launch.py model:=joints sigterm_timeout:=5") == ""
    assert wrong_command("ros2 run il_robot contoller_node") == "no executable contoller_node"
    assert "robto" not in settable()


@pytest.mark.parametrize("page", WRITTEN, ids=place)
def test_examples_in_other_languages_can_be_read(page):
    for block in blocks(page):
        if block.language == "yaml":
            yaml.safe_load(block.body)
        elif block.language == "python":
            ast.parse(block.body)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A folder like the project's, in which commands may write."""
    folder = tmp_path_factory.mktemp("docs")
    for name in ("data", "config"):
        (folder / name).symlink_to(ROOT / name)
    for block in (b for page in WRITTEN for b in blocks(page) if b.language == "yaml"):
        named = re.match(r"# (\w+\.yaml)\n", block.body)  # a file that the commands of the page use
        if named:
            (folder / named[1]).write_text(block.body)
    return folder


def test_the_commands_that_need_nothing_work_as_written(scratch, monkeypatch):
    monkeypatch.chdir(scratch)
    runnable = sorted(shell_blocks(), key=lambda b: (b.page.name != RUN_FIRST, b.page))
    assert runnable[0].page.name == RUN_FIRST
    found = [(b, shlex.split(line, comments=True)) for b in runnable for line in b.lines]
    for block, words in found:  # before any is run: one that never ends would start a graph
        is_quick = words[0] == "il" and words[1] not in ENDLESS and (words[1] != "sim" or "--record" in words)
        assert is_quick, f"{place(block.page)}: say what {words} needs, behind `sh`; docs/README.md"
    for block, words in found:
        assert run(words[1:], COMMANDS) == 0, f"{place(block.page)}: {' '.join(words)}"
