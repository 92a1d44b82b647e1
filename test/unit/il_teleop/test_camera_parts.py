"""The pure parts of a camera: its connection, its settings, its lens, its pictures."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from il_core.config import config_dir, from_mapping, load_yaml
from il_core.errors import ConfigError, DeviceError, ShapeError
from il_core.types import Intrinsics
from il_teleop.cameras.config import DeviceConfig, FilterConfig, RealsenseConfig, Sync
from il_teleop.cameras.distortion import fit_plumb_bob
from il_teleop.cameras.link import FIRST_PAUSE_NS, LONGEST_PAUSE_NS, Event, Link, Phase, step
from il_teleop.cameras.port import Calibration, Picture

EYE = Intrinsics(8, 6, 5.0, 5.0, 3.5, 2.5)


class TestLink:
    def test_it_is_opened_at_once_and_after_a_loss_soon(self):
        link = Link()
        assert link.should_open(0)
        link = step(link, Event.OPENED, 0)
        assert link.phase is Phase.STREAMING and not link.should_open(10**12)
        link = step(link, Event.LOST, 10, "unplugged")
        assert not link.should_open(10 + FIRST_PAUSE_NS - 1) and link.should_open(10 + FIRST_PAUSE_NS)

    def test_pauses_grow_to_a_limit_and_shrink_after_success(self):
        link, now_ns, pauses = step(Link(), Event.LOST, 0), 0, []
        for _ in range(12):
            link = step(link, Event.REFUSED, now_ns, "not connected")
            pauses.append(link.retry_ns - now_ns)
            now_ns = link.retry_ns
        assert pauses[0] == FIRST_PAUSE_NS and pauses == sorted(pauses) and pauses[-1] == LONGEST_PAUSE_NS
        link = step(step(link, Event.OPENED, now_ns), Event.LOST, now_ns, "again")
        assert link.retry_ns - now_ns == FIRST_PAUSE_NS

    @given(st.lists(st.tuples(st.sampled_from(list(Event)), st.integers(0, 10**10)), max_size=40))
    def test_whatever_happens_a_closed_camera_is_tried_again_within_the_longest_pause(self, events):
        link, now_ns = Link(), 0
        for event, after_ns in events:
            now_ns += after_ns
            link = step(link, event, now_ns, "x")
            assert link.phase is Phase.STREAMING or link.should_open(now_ns + LONGEST_PAUSE_NS)

    def test_the_operator_is_told_why_since_when_and_what_next(self):
        link = step(step(Link(), Event.OPENED, 0), Event.LOST, 10**9, "no frame for 1.0 s")
        text = link.text(3 * 10**9)
        assert text == "no pictures for 2 s: no frame for 1.0 s; next attempt in 0.0 s"
        assert step(link, Event.OPENED, 4 * 10**9).text(9 * 10**9) == "streaming for 5 s, lost 1 times before"

    def test_a_loss_told_twice_counts_once(self):
        link = step(step(Link(), Event.OPENED, 0), Event.LOST, 1, "a")
        assert step(link, Event.LOST, 2, "b") is link


class TestConfig:
    def test_the_file_in_the_repository_says_the_defaults(self):
        config = load_yaml(config_dir() / "camera" / "realsense.yaml", RealsenseConfig)
        assert [c.name for c in config.cameras] == ["front", "wrist"]
        assert all(c.filters == FilterConfig() for c in config.cameras)
        assert config == RealsenseConfig(config.cameras)

    @pytest.mark.parametrize(
        ("values", "problem"),
        [
            ({"cameras": []}, "none named"),
            ({"cameras": [{"name": "a", "serial": "1"}, {"name": "a", "serial": "2"}]}, "share a name"),
            ({"cameras": [{"name": "a", "serial": "1"}, {"name": "b", "serial": "1"}]}, "share a serial"),
            ({"cameras": [{"name": "a", "serial": "1"}, {"name": "b"}]}, "each needs its serial"),
            ({"cameras": [{"name": "a", "serial": 17}]}, "serial: expected str"),
            ({"cameras": [{"name": "a", "sync": "leader"}]}, "unknown value 'leader'"),
            ({"cameras": [{"name": "a", "sync": "slave"}]}, "wait for a pulse nobody gives"),
            ({"cameras": [{"name": "a", "sync": "master"}], "has_external_trigger": True}, "only one may give"),
            ({"cameras": [{"name": "a"}], "silent_ms": 0.0}, "silent_ms and skew_max_ms must be positive"),
            ({"cameras": [{"name": "a", "filters": {"decimation": 9}}]}, r"decimation must be in \[1, 8\], got 9"),
            (
                {"cameras": [{"name": "a", "filters": {"min_distance_m": 2.0, "max_distance_m": 1.0}}]},
                "below max_distance_m",
            ),
        ],
    )
    def test_what_cannot_work_is_refused(self, values, problem):
        with pytest.raises(ConfigError, match=problem):
            from_mapping(RealsenseConfig, values, "realsense.yaml")

    def test_slaves_may_follow_a_master_or_an_external_trigger(self):
        master = DeviceConfig("a", "1", sync=Sync.MASTER)
        slave = DeviceConfig("b", "2", sync=Sync.SLAVE)
        RealsenseConfig((master, slave))
        RealsenseConfig((slave,), has_external_trigger=True)

    def test_an_unknown_camera_is_told_with_those_there_are(self):
        with pytest.raises(ConfigError, match="no camera 'frnt'; did you mean 'front'"):
            RealsenseConfig((DeviceConfig("front"),)).camera("frnt")


def shown(ray, k1, k2, p1, p2, k3):
    """ROS's plumb_bob, written out."""
    x, y = ray.T
    r2 = x * x + y * y
    radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
    return np.stack(
        [x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y], 1
    )


class TestDistortion:
    def test_coefficients_come_back(self, rng):
        wanted = (-0.05, 0.06, 0.0004, -0.0007, -0.02)
        ray = rng.uniform(-0.6, 0.6, (200, 2))
        found, misfit_px = fit_plumb_bob(ray, shown(ray, *wanted), 600.0)
        np.testing.assert_allclose(found, wanted, atol=1e-9)
        assert misfit_px < 1e-6

    def test_rounding_is_not_made_into_a_lens(self, rng):
        ray = rng.uniform(-0.6, 0.6, (200, 2))
        assert fit_plumb_bob(ray, ray + rng.normal(0, 1e-8, ray.shape), 600.0) == ((0.0,) * 5, 0.0)

    def test_a_fisheye_is_refused(self, rng):
        ray = rng.uniform(-2.0, 2.0, (300, 2))
        r = np.linalg.norm(ray, axis=1, keepdims=True)
        with pytest.raises(DeviceError, match="departs by .* px from ROS's plumb_bob model.*rectify"):
            fit_plumb_bob(ray, ray / r * np.arctan(r), 300.0)


class TestNouns:
    def test_a_picture_becomes_the_frame_that_policies_use(self):
        depth = np.array([[0, 1234] * 4] * 6, np.uint16)
        frame = Picture(7, 0, 1, np.zeros((6, 8, 3), np.uint8), depth).frame("eye", EYE)
        assert frame.stamp_ns == 7 and frame.depth_m[0, 0] == 0.0 and abs(frame.depth_m[0, 1] - 1.234) < 1e-6

    def test_calibrations_are_checked(self):
        with pytest.raises(ShapeError, match=r"distortion: expected shape \(5,\)"):
            Calibration(EYE, (0.0,), np.eye(4), 0.001)
        with pytest.raises(ValueError, match="depth_unit_m must be positive"):
            Calibration(EYE, (0.0,) * 5, np.eye(4), 0.0)
