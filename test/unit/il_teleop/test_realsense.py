"""A RealSense camera on librealsense's software device: the same path as hardware frames take."""

import sys
from pathlib import Path

import numpy as np
import pytest

from il_core.errors import DeviceError
from il_core.spec import CameraSpec, Mount
from il_teleop.cameras.config import DeviceConfig, FilterConfig, Holes, Sync

rs = pytest.importorskip("pyrealsense2")
sys.path.insert(0, str(Path(__file__).parent))

import soft_realsense as soft_  # noqa: E402 - needs the path
from soft_realsense import Bench, SoftRealsense, intrinsics, plain  # noqa: E402

from il_teleop.cameras.realsense import RealsenseCamera  # noqa: E402 - needs pyrealsense2
from il_teleop.cameras.realsense_device import find  # noqa: E402

W, H, HZ = soft_.W, soft_.H, soft_.HZ
COLOR_F, DEPTH_F, P_COLOR_DEPTH = soft_.COLOR_F, soft_.DEPTH_F, soft_.P_COLOR_DEPTH
FAR_M, NEAR_M = 1.0, 0.5
BLOCK_M = (-0.08, 0.10, -0.06, 0.05)  # left, right, top, bottom, in front of the depth camera


def seen_from(f, p_camera_depth):
    """Distance of what each pixel of a camera sees [m], and whether it is the block."""
    u, v = np.meshgrid(np.arange(W), np.arange(H))
    x, y = (u - (W - 1) / 2) / f, (v - (H - 1) / 2) / f  # rays at 1 m
    on_block_x, on_block_y = NEAR_M * x - p_camera_depth[0], NEAR_M * y - p_camera_depth[1]
    left, right, top, bottom = BLOCK_M
    is_block = (on_block_x >= left) & (on_block_x <= right) & (on_block_y >= top) & (on_block_y <= bottom)
    return np.where(is_block, NEAR_M, FAR_M), is_block


def scene(unit_m=0.001):
    """Colour and depth of a grey block before a wall, each from its own camera."""
    depth_m, _ = seen_from(DEPTH_F, (0.0, 0.0, 0.0))
    _, is_block = seen_from(COLOR_F, P_COLOR_DEPTH)
    rgb = np.where(is_block[..., None], np.uint8([200, 30, 10]), np.uint8([20, 120, 220]))
    return rgb, np.rint(depth_m / unit_m).astype(np.uint16), is_block


def shrunk(mask, by):
    """The mask without its border."""
    for _ in range(by):
        m = np.pad(mask, 1)
        mask = m[1:-1, 1:-1] & m[:-2, 1:-1] & m[2:, 1:-1] & m[1:-1, :-2] & m[1:-1, 2:]
    return mask


def noisy_wall(rng):
    return np.clip(rng.normal(1000, 12, (H, W)), 1, None).astype(np.uint16)


class TestPictures:
    def test_depth_lies_on_the_colour_it_belongs_to(self):
        bench = Bench(SoftRealsense())
        rgb, depth, is_block = scene()
        got = bench.warm_up(rgb, depth)
        assert np.array_equal(got.rgb, rgb)
        is_near = (got.depth_mm > 0) & (got.depth_mm < 750)
        assert shrunk(is_block, 1).sum() > 500
        assert is_near[shrunk(is_block, 1)].all(), "block without its depth, more than a pixel inside"
        # a depth pixel covers 1.3 colour pixels and is rounded outward
        assert not is_near[shrunk(~is_block, 2)].any(), "depth of the block, more than two pixels outside"
        assert set(np.unique(got.depth_mm)) <= {0, 500, 1000}

    def test_what_only_the_colour_camera_sees_has_no_depth(self):
        rgb, depth, is_block = scene()
        got = Bench(SoftRealsense()).warm_up(rgb, depth)
        # the depth camera lies 15 mm left: right of the block's left edge it sees no wall for some pixels
        shadow_px = COLOR_F * P_COLOR_DEPTH[0] * (1 / NEAR_M - 1 / FAR_M)
        row = got.depth_mm[H // 2]
        holes = np.flatnonzero(row[20:-20] == 0)
        assert abs(len(holes) - shadow_px) <= 1.5

    def test_no_measurement_stays_none(self):
        rgb, depth = plain()
        depth[:, : W // 2] = 0
        got = Bench(SoftRealsense()).warm_up(rgb, depth)
        edge = int((W / 2 - 0.5 - (W - 1) / 2) / DEPTH_F * COLOR_F + (W - 1) / 2 + COLOR_F * P_COLOR_DEPTH[0])
        assert (got.depth_mm[:, : edge - 1] == 0).all()
        assert (got.depth_mm[2:-2, edge + 2 :] == 1000).all()
        assert got.frame("eye", Bench(SoftRealsense()).camera._spec.intrinsics).depth_m[5, 5] == 0.0

    def test_other_depth_units_become_millimetres(self):
        rgb, depth, _ = scene(unit_m=0.0001)
        got = Bench(SoftRealsense(unit_m=0.0001)).warm_up(rgb, depth)
        assert set(np.unique(got.depth_mm)) <= {0, 500, 1000}

    def test_geometry_is_told_as_the_device_has_it(self):
        angle = 0.01
        rotation = np.array([[np.cos(angle), 0, np.sin(angle)], [0, 1, 0], [-np.sin(angle), 0, np.cos(angle)]])
        bench = Bench(SoftRealsense(rotation=rotation))
        bench.warm_up()
        found = bench.camera.calibration
        np.testing.assert_allclose(found.T_color_depth[:3, :3], rotation, atol=1e-6)
        np.testing.assert_allclose(found.T_color_depth[:3, 3], P_COLOR_DEPTH, atol=1e-7)
        i = found.intrinsics
        assert (i.width, i.height, i.fx, i.cx) == (W, H, COLOR_F, (W - 1) / 2)
        assert found.distortion == (0.0,) * 5 and found.depth_unit_m == pytest.approx(0.001)

    def test_the_makers_lens_model_becomes_the_one_of_ros(self):
        inverse = intrinsics(COLOR_F, rs.distortion.inverse_brown_conrady, (-0.05, 0.06, 0.0004, -0.0007, -0.02))
        bench = Bench(SoftRealsense(color=inverse))
        bench.warm_up()
        k1, k2, p1, p2, k3 = bench.camera.calibration.distortion
        x, y = 0.3, -0.2  # a ray; ROS shows it at:
        r2 = x * x + y * y
        radial = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3
        u = COLOR_F * (x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x)) + (W - 1) / 2
        v = COLOR_F * (y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y) + (H - 1) / 2
        back = rs.rs2_deproject_pixel_to_point(inverse, [u, v], 1.0)
        assert abs(back[0] - x) * COLOR_F < 0.1 and abs(back[1] - y) * COLOR_F < 0.1
        assert abs(k1) > 0.01


class TestStamps:
    def test_a_picture_is_stamped_with_its_exposure_however_late_it_comes(self, rng):
        bench = Bench(SoftRealsense(), least_delay_ms=4.0)
        bench.camera.read(0.0)
        errors = []
        true = {}
        for k in range(300):
            delay_ms = min(4.0 + rng.exponential(3.0), 30.0)
            true[k], got = bench.picture(delay_ms=delay_ms)
            if got is not None:
                errors.append((got.stamp_ns - true[got.number]) / 1e6)
        assert len(errors) > 260
        assert np.abs(errors).max() < 1.0 and np.abs(errors[60:]).max() < 0.3

    def test_the_middle_of_the_exposure_counts_where_the_device_tells_it(self):
        soft = SoftRealsense()
        soft.color.set_metadata(rs.frame_metadata_value.frame_timestamp, 3_000_000)
        soft.color.set_metadata(rs.frame_metadata_value.sensor_timestamp, 3_000_000 - 8_000)
        bench = Bench(soft)
        bench.warm_up()
        true_ns, got = bench.picture()
        assert abs(got.stamp_ns - (true_ns - 8_000_000)) < 100_000
        assert bench.camera.condition().values["stamp_is"] == "middle of exposure"

    def test_stamps_the_driver_mapped_already_are_taken_as_they_are(self):
        bench = Bench(SoftRealsense())
        bench.camera.read(0.0)
        seen = []
        for _ in range(6):
            now_ms = bench.ros.now_ns() / 1e6
            true_ns, got = bench.picture(delay_ms=12.0, stamp_ms=now_ms, domain=rs.timestamp_domain.global_time)
            if got is not None:
                seen.append(abs(got.stamp_ns - true_ns))
        assert seen and max(seen) < 2_000  # a double of milliseconds since 1970 has no more digits

    def test_stamps_of_arrival_are_refused_unless_asked_for(self):
        bench = Bench(SoftRealsense())
        bench.camera.read(0.0)
        for _ in range(3):
            bench.picture(stamp_ms=bench.ros.now_ns() / 1e6, domain=rs.timestamp_domain.system_time)
        condition = bench.camera.condition()
        assert not condition.is_streaming and "stamped on arrival" in condition.text

    def test_lost_frames_are_counted(self):
        bench = Bench(SoftRealsense())
        bench.warm_up()
        before = bench.camera.counts.drops
        bench.number += 3
        for _ in range(4):
            bench.picture()
        assert bench.camera.counts.drops == before + 3


class TestPlugging:
    def test_a_camera_pulled_out_and_put_back_goes_on_without_restart(self):
        bench = Bench(SoftRealsense(), silent_ms=200.0)
        bench.warm_up()
        bench.plugged.clear()
        for _ in range(20):
            assert bench.camera.read(0.0) is None
            bench.advance(50.0)
        lost = bench.camera.condition()
        assert not lost.is_streaming and "123: not connected; found nothing" in lost.text
        bench.soft = SoftRealsense()
        bench.plugged.append(bench.soft.device)
        bench.advance(5000.0)
        assert bench.warm_up() is not None
        again = bench.camera.condition()
        assert again.is_streaming and again.values["losses"] == 1
        bench.camera.close()

    def test_its_clock_is_learnt_anew_after_a_restart(self):
        bench = Bench(SoftRealsense(), silent_ms=200.0, offset_ms=3_000_000.0)
        bench.warm_up()
        bench.plugged.clear()
        for _ in range(10):
            bench.camera.read(0.0)
            bench.advance(50.0)
        bench.soft = SoftRealsense()
        bench.plugged.append(bench.soft.device)
        bench._offset_ms = -bench.device_ms() + 3_000_000.0 + 10.0  # its counter starts from nothing
        bench.advance(5000.0)
        bench.warm_up()
        true_ns, got = bench.picture()
        assert abs(got.stamp_ns - true_ns) < 1_000_000

    def test_a_wrong_serial_is_told_with_what_is_there(self):
        bench = Bench(SoftRealsense("777"))
        with pytest.raises(DeviceError, match="serial 123: not connected; found Soft D435 777"):
            bench.camera.open()

    def test_without_a_serial_the_only_device_is_taken_and_never_one_of_two(self):
        one, other = SoftRealsense("1").device, SoftRealsense("2").device
        assert find("", [one]) is one
        with pytest.raises(DeviceError, match="expected exactly one RealSense, found Soft D435 1, Soft D435 2"):
            find("", [one, other])

    def test_a_size_the_device_lacks_is_refused_with_those_it_has(self):
        spec = CameraSpec("eye", 1280, 720, HZ, 60.0, Mount.BASE, (0.0, 0.0, 1.0), (1.0, 0.0, 0.0, 0.0))
        bench = Bench(SoftRealsense())
        camera = RealsenseCamera(spec, bench.config, bench.ros, lambda: bench.plugged)
        with pytest.raises(DeviceError, match=f"no color stream of 1280x720 at 30 Hz; the device has: {W}x{H}"):
            camera.open()


class TestSynchronisation:
    def test_the_part_is_written_to_the_device(self):
        soft = SoftRealsense(can_sync=True)
        Bench(soft, own=DeviceConfig("eye", "123", W, H, sync=Sync.MASTER)).camera.open()
        assert soft.depth.get_option(rs.option.inter_cam_sync_mode) == 1

    def test_a_device_without_it_is_refused(self):
        own = DeviceConfig("eye", "123", W, H, sync=Sync.SLAVE)
        with pytest.raises(DeviceError, match="no hardware synchronisation, 'slave' was asked for"):
            Bench(SoftRealsense(), own=own, has_external_trigger=True).camera.open()

    def test_a_mode_the_device_lacks_is_refused(self):
        own = DeviceConfig("eye", "123", W, H, sync=Sync.FULL_SLAVE)
        with pytest.raises(DeviceError, match="modes 0 to 2, 'full_slave' is 3"):
            Bench(SoftRealsense(can_sync=True), own=own, has_external_trigger=True).camera.open()


def filtered(depth, **filters):
    own = DeviceConfig("eye", "123", W, H, filters=FilterConfig(**filters))
    return Bench(SoftRealsense(), own=own).warm_up(None, depth).depth_mm


def inside(image):
    return image[20:-20, 25:-20].astype(float)


class TestFilters:
    def test_off_they_change_nothing(self, rng):
        depth = noisy_wall(rng)
        assert set(np.unique(filtered(depth))) <= {0, *np.unique(depth)}

    @pytest.mark.parametrize("in_disparity", [False, True])
    def test_spatial_smooths_and_keeps_the_mean(self, rng, in_disparity):
        depth = noisy_wall(rng)
        smooth = filtered(depth, spatial_passes=2, spatial_delta=50, in_disparity=in_disparity)
        assert inside(smooth).std() < 0.7 * inside(filtered(depth)).std()
        assert abs(inside(smooth).mean() - 1000) < 5

    def test_spatial_keeps_edges(self):
        _, depth, _ = scene()
        smooth = filtered(depth, spatial_passes=2, in_disparity=False)
        assert set(np.unique(smooth)) <= {0, 500, 1000}

    def test_temporal_smooths_a_still_scene(self, rng):
        own = DeviceConfig("eye", "123", W, H, filters=FilterConfig(temporal_alpha=0.2, temporal_delta=100))
        bench = Bench(SoftRealsense(), own=own)
        bench.warm_up(None, noisy_wall(rng))
        for _ in range(20):
            _, got = bench.picture(None, noisy_wall(rng))
        assert inside(got.depth_mm).std() < 0.7 * 12

    def test_temporal_does_not_remember_what_is_no_longer_measured(self):
        own = DeviceConfig("eye", "123", W, H, filters=FilterConfig(temporal_alpha=0.2, in_disparity=False))
        bench = Bench(SoftRealsense(), own=own)
        bench.warm_up()
        for _ in range(4):
            _, got = bench.picture(None, np.zeros((H, W), np.uint16))
        assert (got.depth_mm == 0).all()

    def test_decimation_keeps_the_size_of_the_picture(self, rng):
        depth = noisy_wall(rng)

        def equal_neighbours(mm):
            return np.mean(np.diff(inside(mm), axis=1) == 0)

        coarse = filtered(depth, decimation=4)
        assert coarse.shape == (H, W)
        assert equal_neighbours(coarse) > 0.7 > 0.5 > equal_neighbours(filtered(depth))

    def test_threshold_turns_the_rest_into_no_measurement(self):
        _, depth, _ = scene()
        assert set(np.unique(filtered(depth, max_distance_m=0.7))) == {0, 500}
        assert set(np.unique(filtered(depth, min_distance_m=0.7))) == {0, 1000}

    def test_holes_are_filled_only_when_asked(self):
        _, depth = plain()
        depth[50:60, 60:70] = 0
        assert (inside(filtered(depth)) == 0).sum() > 50
        assert (inside(filtered(depth, holes=Holes.FARTHEST)) == 0).sum() == 0
