"""The page holds what was recorded, keeps peaks, plays its films, and cannot be broken by what it shows."""

from __future__ import annotations

import base64
import io
import json
import re
from dataclasses import replace

import av
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from il_core import topics
from il_core.errors import DeviceError, RecordingError
from il_core.store.header import HEADER_FILE, header_text, read_header
from il_core.store.recording import Recording
from il_teleop.review.decisions import Decision, decide
from il_teleop.review.film import Film, Films
from il_teleop.review.page import page, read_decisions
from il_teleop.review.take import page_values, review, seconds_to_ns, thinned

START_NS = 1_700_000_000_000_000_000
HOSTILE = "</script><script>alert(1)</script><!-- & \u2028 ' \""


@pytest.fixture
def demo(tiny_setup, demo_events, write_recording):
    return write_recording(tiny_setup, demo_events)


def embedded(html):
    return json.loads(re.search(r"id='data'>(.*?)</script>", html, re.DOTALL).group(1))


def shown(demo, setup, **films):
    return page_values(review(demo, setup.robot, Films(**films) if films else None))


class Picture:
    """A decoded sensor_msgs/Image."""

    def __init__(self, pixels, encoding):
        self.height, self.width = pixels.shape[:2]
        self.encoding, self.data = encoding, pixels.tobytes()
        self.step = len(self.data) // self.height


def test_the_page_says_what_was_recorded(demo, tiny_setup):
    values = embedded(page([shown(demo, tiny_setup)]))["takes"][0]
    recording = Recording.open(demo)
    assert {row["topic"]: row["count"] for row in values["topics"]} == recording.counts
    assert (values["name"], values["outcome"], values["kept"]) == ("demo_1", "success", True)
    assert values["facts"]["operator"] == "ada"
    assert {p["title"] for p in values["plots"]} == {
        "tool position", "tool speed", "distance to the target", "joint position",
        "share of position limit", "share of velocity limit", "share of torque limit",
    }  # fmt: skip
    distance = next(p for p in values["plots"] if p["title"] == "distance to the target")
    assert np.median(distance["lines"][0][2]) == pytest.approx(10.0, abs=0.6)


def test_the_page_needs_nothing_from_elsewhere(demo, tiny_setup):
    html = page([shown(demo, tiny_setup, fps=10.0)])
    assert not re.search(r"(src|href)\s*=\s*['\"]?(https?:)?//", html)
    assert "default-src 'none'" in html


def test_text_of_a_recording_cannot_become_part_of_the_program(demo, tiny_setup):
    header = replace(read_header(demo), instruction=HOSTILE, notes={HOSTILE: HOSTILE})
    (demo / HEADER_FILE).write_text(header_text(header))
    html = page([shown(demo, tiny_setup)], title=HOSTILE)
    assert html.count("<script") == html.count("</script>") == 2
    assert "<!--" not in html and "<title></script>" not in html
    facts = embedded(html)["takes"][0]["facts"]
    assert facts["instruction"] == HOSTILE
    assert facts[HOSTILE] == HOSTILE


def test_films_play_and_keep_the_times_of_their_pictures(demo, tiny_setup):
    values = shown(demo, tiny_setup, fps=10.0)
    film = next(f for f in values["films"] if f["name"] == topics.color("eye"))
    with av.open(io.BytesIO(base64.b64decode(film["data"]))) as container:
        times = [float(f.pts * f.time_base) for f in container.decode(video=0)]
        assert container.streams.video[0].codec_context.name == "h264"
    assert len(times) == pytest.approx(20, abs=1)
    stamps = sorted(s for t, _, _, s in Recording.open(demo).messages([topics.color("eye")]))
    seen = [START_NS + round((film["at"] + t) * 1e9) for t in times]
    offset = min(s for _, _, _, s in Recording.open(demo).raw_messages()) - START_NS
    assert all(min(abs(s - t - offset) for s in stamps) <= 2_000_000 for t in seen)


def test_a_film_shows_what_the_camera_saw():
    film = Film("c", fps=30.0, width=64)
    for k in range(5):
        pixels = np.zeros((48, 128, 3), dtype=np.uint8)
        pixels[:, 64:] = (0, 50 * k, 0)
        film.push(START_NS + k * 40_000_000, lambda pixels=pixels: Picture(pixels, "rgb8"))
    with av.open(io.BytesIO(film.close())) as container:
        frames = [f.to_ndarray(format="rgb24") for f in container.decode(video=0)]
    assert [f.shape for f in frames] == [(24, 64, 3)] * 5
    assert [abs(int(f[12, 48, 1]) - 50 * k) < 12 for k, f in enumerate(frames)] == [True] * 5
    assert all(f[12, 16].max() < 12 for f in frames)


def test_depth_is_bright_when_near_and_black_where_nothing_was_measured():
    depth = np.full((32, 48), 2000, dtype=np.uint16)
    depth[:, :16], depth[:, 32:] = 500, 0
    film = Film("d", width=48)
    film.push(START_NS, lambda: Picture(depth, "16UC1"))
    with av.open(io.BytesIO(film.close())) as container:
        grey = next(container.decode(video=0)).to_ndarray(format="gray")
    assert grey[16, 8] > grey[16, 24] + 100 > grey[16, 40] + 110
    assert film.range_m == (0.5, 2.0)


def test_pictures_that_cannot_be_shown_are_named_and_the_rest_is(demo, tiny_setup, monkeypatch):
    films = Films()
    films("camera/eye/infra", START_NS, lambda: Picture(np.zeros((4, 4), dtype=np.uint8), "bayer_rggb8"))
    films("camera/eye/infra", START_NS, lambda: pytest.fail("asked again"))
    assert "encoding 'bayer_rggb8'" in films.left_out["camera/eye/infra"]
    monkeypatch.setattr("il_teleop.review.film.ENCODER", "no_such_codec")
    with pytest.raises(DeviceError, match="no encoder no_such_codec"):
        Film("c").push(START_NS, lambda: Picture(np.zeros((4, 4, 3), dtype=np.uint8), "rgb8"))


@pytest.mark.parametrize(("height", "width", "step"), [(4, 4, 5), (0, 0, 0), (1, 1, 3), (4, 400, 12), (4, 4, 0)])
def test_pictures_whose_sizes_contradict_each_other_are_left_out(height, width, step):
    broken = Picture(np.zeros((4, 4, 3), dtype=np.uint8), "rgb8")
    broken.height, broken.width, broken.step = height, width, step
    films = Films()
    films("c", START_NS, lambda: broken)
    assert films.left_out.keys() == {"c"} and not films.films


def test_a_position_that_is_no_number_is_an_error_with_its_topic(tiny_setup, demo_events, write_recording):
    k = next(k for k, e in enumerate(demo_events) if e[0] == topics.EE_POSE)
    demo_events[k][3]["pose"]["position"]["x"] = float("nan")
    with pytest.raises(RecordingError, match="'control/ee_pose' does not fit .*is not finite"):
        shown(write_recording(tiny_setup, demo_events), tiny_setup)


def test_joint_values_that_are_no_numbers_are_holes_in_the_plots_and_cost_the_part(
    tiny_setup, demo_events, write_recording
):
    for event in demo_events[100:]:
        if event[0] == topics.JOINT_STATES:
            event[3]["effort"][0] = float("nan")
    values = embedded(page([shown(write_recording(tiny_setup, demo_events), tiny_setup)]))["takes"][0]
    assert next(p for p in values["parts"] if p["name"] == "limits")["score"] == 0.0
    torque = next(p for p in values["plots"] if p["title"] == "share of torque limit")
    assert None in torque["lines"][1][2]


@given(st.integers(0, 3000), st.integers(1, 50))
def test_thinned_lines_keep_order_and_extremes(n, bins):
    y = np.random.default_rng(n).normal(size=n)
    t, kept = thinned(np.arange(n, dtype=float), y, bins)
    assert len(kept) <= max(2 * bins, 1)
    assert t == sorted(t)
    if n:
        assert max(kept) == pytest.approx(y.max(), rel=1e-4)
        assert min(kept) == pytest.approx(y.min(), rel=1e-4)


def test_what_is_not_a_number_is_a_hole_in_the_line_and_valid_json():
    _, kept = thinned(np.arange(3.0), np.array([1.0, np.nan, np.inf]))
    assert kept == [1.0, None, None]


def test_gaps_of_a_topic_are_marked_where_they_are(tiny_setup, demo_events, write_recording):
    lost = range(START_NS + 500_000_000, START_NS + 900_000_000)
    events = [e for e in demo_events if not (e[0] == topics.color("eye") and e[2] in lost)]
    values = shown(write_recording(tiny_setup, events), tiny_setup)
    ((begin, end),) = values["gaps"][topics.color("eye")]
    assert (begin, end) == (pytest.approx(0.48, abs=0.05), pytest.approx(0.92, abs=0.05))


def test_a_trimmed_take_is_judged_by_what_is_left(demo, tiny_setup):
    whole = review(demo, tiny_setup.robot)
    decide(demo, Decision(trim_ns=seconds_to_ns(whole.signals, 0.5, 1.5)), by="eve")
    part = review(demo, tiny_setup.robot)
    assert part.quality.figures["seconds"] == pytest.approx(1.0, abs=0.05)
    assert page_values(part)["trim"] == [pytest.approx(0.5), pytest.approx(1.5)]
    assert part.signals.seconds == whole.signals.seconds


@pytest.mark.parametrize(("start", "end"), [(-1.0, 1.0), (1.0, 1.0), (2.0, 1.0), (99.0, 100.0)])
def test_a_part_that_is_not_in_the_recording_is_refused(demo, tiny_setup, start, end):
    with pytest.raises(RecordingError, match="give start and end in seconds"):
        seconds_to_ns(review(demo, tiny_setup.robot).signals, start, end)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no decisions file"),
        ("[]", "has format 'list'"),
        ('{"format": 2}', "has format 2, this release reads 1"),
        ('{"format": 1}', "has no 'decisions'"),
        ('{"format": 1, "decisions": {"a": 1}}', "has no 'decisions'"),
    ],
)
def test_a_file_that_holds_no_decisions_is_refused(tmp_path, text, reason):
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(RecordingError, match=reason):
        read_decisions(tmp_path / "d.json")
