"""Delays are found between samples, whatever the scale, and nonsense is refused in words."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from il_core.errors import ConfigError, DeviceError
from il_policy.serving.latency import Latencies, components, estimate, estimate_camera, load, save, small


def motion(t):
    """Sum of sines without a common period."""
    return np.sin(2 * np.pi * 0.7 * t) + 0.6 * np.sin(2 * np.pi * 1.3 * t + 1) + 0.3 * np.sin(2 * np.pi * 2.9 * t)


def signals(delay_s, rate_hz=30.0, noise=0.0, scale=1.0, seed=0):
    rng = np.random.default_rng(seed)
    fine = np.arange(0, 8, 0.002)
    t = np.sort(np.arange(0, 8, 1 / rate_hz) + rng.uniform(-0.2, 0.2, int(8 * rate_hz)) / rate_hz)
    seen = scale * motion(t - delay_s) + noise * rng.normal(size=len(t)) + 5.0
    return np.column_stack([fine, motion(fine)]), np.column_stack([t, seen])


@given(st.floats(0.0, 0.4), st.sampled_from([15.0, 30.0, 500.0]), st.sampled_from([1.0, -2.0, 1e-3]))
@settings(max_examples=12, deadline=None)
def test_a_known_delay_is_found_within_three_milliseconds(delay_s, rate_hz, scale):
    found = estimate(*signals(delay_s, rate_hz, scale=scale), longest_s=0.5)
    assert found.ms == pytest.approx(1e3 * delay_s, abs=3.0)
    assert found.correlation > 0.98


def test_noise_costs_some_milliseconds_only():
    errors = [estimate(*signals(0.12, noise=0.2, seed=s)).ms - 120 for s in range(6)]
    assert max(map(abs, errors)) < 12


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda r, m: (r, m[:5]), "measured signal has 5 samples, need 16"),
        (lambda r, m: (r, np.column_stack([m[:, 0], 0 * m[:, 0]])), "measured signal does not move"),
        (lambda r, m: (r[::-1], m), "reference signal: times must rise"),
        (lambda r, m: (r, m + [[100.0, 0.0]]), "share 0.0 s"),
        (
            lambda r, m: (r, np.column_stack([m[:, 0], np.random.default_rng(0).normal(size=len(m))])),
            "not the same motion",
        ),
    ],
)
def test_what_cannot_be_measured_is_refused(change, words):
    with pytest.raises(DeviceError, match=words):
        estimate(*change(*signals(0.1)))


def test_a_delay_beyond_the_search_is_not_reported_as_its_end():
    t = np.arange(0, 8, 0.01)
    slow = np.column_stack([t, np.sin(2 * np.pi * 0.2 * t)])
    late = np.column_stack([t, np.sin(2 * np.pi * 0.2 * (t - 0.6))])
    with pytest.raises(DeviceError, match="0.3 s or more; raise --longest-s"):
        estimate(slow, late, longest_s=0.3)


@pytest.mark.parametrize("seconds_around", [1.3, 60.0])
def test_circles_and_slow_motion_fit_with_every_delay_and_are_refused(seconds_around):
    t, w = np.arange(0, 8, 0.01), 2 * np.pi / seconds_around
    seen = np.column_stack([t, np.cos(w * (t - 0.1)), np.sin(w * (t - 0.1))])
    with pytest.raises(DeviceError, match="too slow or too regular; move faster, to and fro and not in circles"):
        estimate(np.column_stack([t, np.sin(w * t)]), seen, longest_s=0.5)


def test_the_configuration_survives_the_disk_and_impossible_values_do_not(tmp_path):
    path = tmp_path / "latency.yaml"
    found = Latencies({"front": 101.5, "wrist": 66.0}, 2.0, 95.0)
    save(path, found)
    assert load(path) == found
    path.write_text("camera_ms: {front: 99999.0}\n")
    with pytest.raises(ConfigError, match="latencies must be in -50..2000 ms"):
        load(path)


@pytest.mark.parametrize("reach_px", [3, 9, 13])  # within a cell or two, and across most of the picture
def test_the_delay_of_a_camera_is_found_from_pictures_of_a_moving_spot(reach_px):
    t_arm, t_camera, delay_s = np.arange(0, 6, 0.01), np.arange(0, 6, 1 / 30), 0.1
    arm = np.column_stack([0.1 * motion(t_arm), 0.02 * np.cos(t_arm), 0 * t_arm])

    def picture(t):
        rgb = np.full((48, 64, 3), 60, np.uint8)
        u = np.arange(64) - (30 + reach_px * motion(t - delay_s))  # edges within a pixel, as a lens makes them
        rgb[16:32] += (190 * np.clip(4.5 - np.abs(u), 0, 1)).astype(np.uint8)[None, :, None]
        return rgb

    pictures = np.array([small(picture(t)) for t in t_camera])
    reference = np.column_stack([t_arm, components(arm, 1)])
    found = estimate_camera(reference, t_camera, pictures)
    assert found.ms == pytest.approx(100, abs=10)


def test_one_sample_has_no_motion():
    with pytest.raises(DeviceError, match="1 samples, need 16; check that the stream runs"):
        components(np.zeros((1, 3)), 1)
