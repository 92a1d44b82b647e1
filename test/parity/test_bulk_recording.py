"""Demonstrations made in one process: the same seed, the same recording; and they make a dataset."""

import pytest

from il_core import topics
from il_core.config import load_setup
from il_core.errors import ConfigError
from il_core.store.recording import Recording
from il_core.types import Outcome

pytestmark = pytest.mark.ros


def files(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_the_same_seed_gives_the_same_recording_and_it_builds_a_dataset(tmp_path):
    from il_cli.ros.bulk import record_in_process
    from il_teleop.dataset import build

    setup = load_setup("pick_place")
    first, second = (record_in_process(setup, tmp_path / name, range(3, 4))[0] for name in ("a", "b"))
    assert files(first) == files(second)

    recording = Recording.open(first)
    assert recording.header.outcome is Outcome.SUCCESS
    counts = {name: topic.received for name, topic in recording.header.topics.items()}
    seconds = counts[topics.JOINT_STATES] / 1000
    assert counts[topics.EE_POSE] == pytest.approx(100 * seconds, abs=2)
    assert counts[topics.color("front")] == pytest.approx(30 * seconds, abs=2)

    report = build([first], setup, tmp_path / "dataset")
    assert len(report.episodes) == 1
    assert report.rejected == {}


def test_a_task_nobody_can_show_is_refused(tmp_path):
    from il_cli.ros.bulk import record_in_process

    with pytest.raises(ConfigError, match="cannot show task 'draw_symbol'"):
        record_in_process(load_setup("draw_symbol"), tmp_path, range(1))


def test_a_randomised_scene_is_recorded_the_same_again_and_says_what_was_varied(tmp_path):
    from il_cli.ros.bulk import Performance
    from il_sim.randomise import Randomisation

    setup = load_setup("reach")
    ranges = Randomisation(camera_shift_mm=5.0, table_rgb=(0.3, 0.9))
    plain, first, second = (
        Performance(setup, tmp_path / name, 3, chosen).run()
        for name, chosen in (("p", None), ("a", ranges), ("b", ranges))
    )
    assert files(first) == files(second) != files(plain)
    assert Recording.open(plain).header.notes["notes"] == "in process"
    assert "camera_shift_mm" in Recording.open(first).header.notes["notes"]
    pictures = [next(iter(Recording.open(p).messages([topics.color("front")])))[1].data for p in (plain, first)]
    assert bytes(pictures[0]) != bytes(pictures[1])
