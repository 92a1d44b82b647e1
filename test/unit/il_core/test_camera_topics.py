"""Pictures of other people's drivers: their topics, their encodings."""

from types import SimpleNamespace

import numpy as np
import pytest

from il_core import topics
from il_core import wire_images as wire
from il_core.camera_topics import CameraTopics, known_drivers, load_camera_topics
from il_core.errors import ConfigError, DeviceError
from il_core.graph import GraphOptions, graph

COLOR, DEPTH, INFO = "/c/{camera}/image", "/c/{camera}/depth", "/c/{camera}/info"


def image(array, encoding, *, pad=0, big=False):
    """An Image message with ``pad`` bytes at the end of every row."""
    array = array.astype(array.dtype.newbyteorder(">")) if big else array
    height, width = array.shape[:2]
    rows = array.reshape(height, -1).view(np.uint8)
    rows = np.pad(rows, ((0, 0), (0, pad)), constant_values=7)
    step = rows.shape[1]
    return SimpleNamespace(
        height=height, width=width, encoding=encoding, step=step, is_bigendian=int(big), data=rows.tobytes()
    )


class TestTopics:
    @pytest.mark.parametrize("driver", known_drivers())
    def test_every_file_names_three_topics_per_camera(self, driver):
        rules = load_camera_topics(driver).remaps(["front", "wrist"])
        assert set(rules) == {
            t for c in ("front", "wrist") for t in (topics.color(c), topics.depth(c), topics.camera_info(c))
        }
        assert all(there.startswith("/") and "{" not in there for there in rules.values())

    def test_realsense_is_named_as_its_driver_names_it(self):
        rules = load_camera_topics("realsense2_camera").remaps(["wrist"])
        assert rules[topics.depth("wrist")] == "/camera/wrist/aligned_depth_to_color/image_raw"

    def test_names_that_differ_are_translated(self):
        rules = CameraTopics(COLOR, DEPTH, INFO, names={"front": "cam_0"}).remaps(["front", "wrist"])
        assert rules[topics.color("front")] == "/c/cam_0/image" and rules[topics.color("wrist")] == "/c/wrist/image"

    def test_two_cameras_on_one_topic_are_refused(self):
        with pytest.raises(ConfigError, match=r"\['front', 'wrist'\] share topics"):
            CameraTopics("/c/image", DEPTH, INFO).remaps(["front", "wrist"])

    def test_compressed_pictures_are_refused(self):
        with pytest.raises(ConfigError, match="depth '/c/compressedDepth' is compressed.*raw image topic"):
            CameraTopics(COLOR, "/c/compressedDepth", INFO)

    def test_relative_topics_are_refused(self):
        with pytest.raises(ConfigError, match="color 'c/image' must be absolute"):
            CameraTopics("c/image", DEPTH, INFO)

    def test_an_unknown_driver_is_told_with_those_there_are(self):
        with pytest.raises(ConfigError, match="unknown driver 'zedd'; did you mean 'zed'.*realsense2_camera"):
            load_camera_topics("zedd")


class TestGraph:
    def test_a_drivers_topics_reach_recorder_and_policy_as_remapping_rules(self):
        spec = graph("all", GraphOptions(sim=False, cameras="zed", checkpoint="x"))
        rule = f"{topics.color('wrist')}:=/wrist/zed_node/rgb/image_rect_color"
        for name in ("recorder", "policy"):
            arguments = spec.node(name).ros_arguments
            assert arguments[arguments.index(rule) - 1] == "-r"
        assert not spec.node("controller").remaps
        description = spec.node("description")  # hears from the driver in which frame the pictures come
        assert description.parameters["cameras"] == "zed"
        assert description.remaps[topics.camera_info("wrist")] == "/wrist/zed_node/rgb/camera_info"

    def test_our_own_camera_node_comes_first_and_needs_no_rules(self):
        nodes = graph("record", GraphOptions(sim=False, cameras="camera_node")).nodes
        assert nodes[0].module == "il_teleop.ros.camera_node" and topics.depth("wrist") in nodes[0].topics
        assert not any(node.remaps for node in nodes)
        described = graph("robot", GraphOptions(cameras="camera_node")).node("description")
        assert not described.remaps and "cameras" not in described.parameters

    def test_simulated_and_real_cameras_exclude_each_other(self):
        with pytest.raises(ConfigError, match="'zed' and simulated ones exclude each other"):
            graph("record", GraphOptions(cameras="zed"))

    def test_unknown_cameras_are_told_with_those_there_are(self):
        with pytest.raises(ConfigError, match="unknown cameras 'camera-node'; did you mean 'camera_node'"):
            graph("record", GraphOptions(sim=False, cameras="camera-node"))


class TestEncodings:
    @pytest.mark.parametrize(
        ("encoding", "order"), [("rgb8", "rgb"), ("bgr8", "bgr"), ("rgba8", "rgba"), ("bgra8", "bgra")]
    )
    @pytest.mark.parametrize("pad", [0, 5])
    def test_colour_is_rgb_whatever_its_order(self, rng, encoding, order, pad):
        planes = {c: rng.integers(0, 256, (4, 6), dtype=np.uint8) for c in "rgba"}
        got = wire.rgb_from(image(np.stack([planes[c] for c in order], axis=-1), f"{order}8", pad=pad))
        assert np.array_equal(got, np.stack([planes[c] for c in "rgb"], axis=-1))

    @pytest.mark.parametrize("big", [False, True])
    @pytest.mark.parametrize("pad", [0, 4])
    def test_depth_is_metres_whatever_its_unit(self, rng, big, pad):
        mm = rng.integers(0, 65536, (4, 6), dtype=np.uint16)
        np.testing.assert_allclose(wire.depth_m_from(image(mm, "16UC1", big=big, pad=pad)), mm / 1e3, rtol=1e-6)
        m = (mm / 1e3).astype(np.float32)
        assert np.array_equal(wire.depth_m_from(image(m, "32FC1", big=big, pad=pad)), m)

    def test_what_is_no_distance_is_no_measurement(self):
        m = np.array([[np.nan, np.inf, -np.inf, -1.0, 0.0, 2.0]], np.float32)
        assert wire.depth_m_from(image(m, "32FC1")).tolist() == [[0.0, 0.0, 0.0, 0.0, 0.0, 2.0]]

    @pytest.mark.parametrize("encoding", ["mono8", "yuv422_yuy2", "bayer_rggb8", "8UC3", "16UC1"])
    def test_other_colour_is_refused_with_what_is_read(self, encoding):
        with pytest.raises(DeviceError, match=f"'{encoding}', expected rgb8, bgr8, rgba8, bgra8"):
            wire.rgb_from(image(np.zeros((2, 2, 3), np.uint8), encoding))

    def test_other_depth_is_refused_with_what_is_read(self):
        with pytest.raises(DeviceError, match=r"'mono16', expected 16UC1 \(mm\) or 32FC1 \(m\)"):
            wire.depth_m_from(image(np.zeros((2, 2), np.uint16), "mono16"))

    @pytest.mark.parametrize("change", [{"step": 5}, {"data": b"123"}, {"height": 9}])
    def test_a_picture_shorter_than_it_says_is_refused(self, change):
        msg = image(np.zeros((2, 2, 3), np.uint8), "rgb8")
        with pytest.raises(DeviceError, match="the driver is at fault"):
            wire.rgb_from(SimpleNamespace(**{**vars(msg), **change}))
