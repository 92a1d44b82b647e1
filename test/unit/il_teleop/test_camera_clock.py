"""Device time mapped to ours: the lower envelope, and the stamps made with it."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from il_core.errors import DeviceError
from il_teleop.cameras.clock_fit import ClockFit, ClockFitConfig
from il_teleop.cameras.stamps import FrameTimes, StampSource

EPOCH_NS = 1_700_000_000_000_000_000
PERIOD_NS = 33_333_333
MS = 1_000_000


def run(fit, rng, *, frames, drift_ppm=0.0, mean_delay_ms=3.0, start=0, offset_ns=EPOCH_NS):
    """Push frames; error of the mapped stamps [ns], NaN while there are none."""
    errors = np.full(frames, np.nan)
    for k in range(frames):
        device_ns = 10**9 + (start + k) * PERIOD_NS
        true_ns = device_ns + offset_ns + int(drift_ppm * 1e-6 * (device_ns - 10**9))
        fit.push(device_ns, true_ns + int(rng.exponential(mean_delay_ms) * MS))
        host_ns = fit.host_ns(device_ns)
        if host_ns is not None:
            errors[k] = host_ns - true_ns
    return errors


@pytest.mark.parametrize("drift_ppm", [0.0, 50.0, -150.0])
@pytest.mark.parametrize("mean_delay_ms", [0.5, 8.0])
def test_random_delays_and_drift_leave_less_than_a_millisecond(rng, drift_ppm, mean_delay_ms):
    fit = ClockFit()
    errors = run(fit, rng, frames=1800, drift_ppm=drift_ppm, mean_delay_ms=mean_delay_ms) / MS
    assert np.nanmax(np.abs(errors)) < 1.0
    assert np.nanmax(np.abs(errors[300:])) < 0.3
    assert abs(fit.estimate.drift_ppm - drift_ppm) < 5.0
    assert fit.resets == 0


def test_the_error_told_covers_the_error_made(rng):
    fit = ClockFit()
    for _ in range(20):
        errors = run(fit, rng, frames=60, start=round(fit.estimate.samples if fit.estimate else 0), drift_ppm=30.0)
        assert abs(errors[-1]) <= fit.estimate.error_ns


def test_a_few_messages_give_no_estimate(rng):
    fit = ClockFit(ClockFitConfig(min_samples=15))
    errors = run(fit, rng, frames=15)
    assert np.isnan(errors[:14]).all() and not np.isnan(errors[14])
    assert ClockFit().estimate is None


@given(delays=st.lists(st.floats(0.0, 50.0), min_size=30, max_size=60))
@settings(max_examples=50, deadline=None)
def test_no_mapped_stamp_is_before_the_exposure_while_clocks_keep_time(delays):
    fit = ClockFit()
    for k, delay_ms in enumerate(delays):
        fit.push(k * PERIOD_NS, EPOCH_NS + k * PERIOD_NS + int(delay_ms * MS))
    least_ns = min(int(d * MS) for d in delays)
    assert fit.host_ns(0) == EPOCH_NS + least_ns


@pytest.mark.parametrize("step_ms", [-500, 500])
def test_a_clock_that_was_set_is_noticed_and_followed(rng, step_ms):
    fit = ClockFit()
    run(fit, rng, frames=600)
    errors = run(fit, rng, frames=300, start=600, offset_ns=EPOCH_NS + step_ms * MS)
    assert fit.resets == 1
    assert np.abs(errors[200:]).max() < 1.0 * MS


def test_a_device_that_restarts_is_learnt_anew(rng):
    fit = ClockFit()
    run(fit, rng, frames=300)
    errors = run(fit, rng, frames=60, start=-20, offset_ns=EPOCH_NS + 10**12)
    assert fit.resets == 1
    assert np.nanmax(np.abs(errors)) < 1.0 * MS


def source(**kwargs):
    return StampSource(**({"least_delay_ms": 0.0, "accept_arrival": False} | kwargs))


def feed(stamps, k, *, delay_ns=0, wrap_us=1 << 32, ahead_ns=0, **times):
    """Frame k of a device whose counter is near its end; our clock is ``ahead_ns`` before the system's."""
    true_ns = EPOCH_NS + k * PERIOD_NS
    counter_us = ((1 << 32) - 500_000 + k * PERIOD_NS // 1000) % wrap_us
    frame = FrameTimes("hardware_clock", counter_us / 1e3, **times)
    return true_ns, stamps.stamp(frame, true_ns + delay_ns + ahead_ns, true_ns + delay_ns)


def test_the_devices_counter_may_run_over():
    stamps = source()
    for k in range(60):  # it does after half a second
        true_ns, got = feed(stamps, k)
    assert abs(got.stamp_ns - true_ns) < 2_000 and stamps.values["clock_resets"] == 0


def test_the_known_least_delay_is_taken_off():
    stamps = source(least_delay_ms=12.0)
    for k in range(60):
        true_ns, got = feed(stamps, k, delay_ns=12 * MS)
    assert abs(got.stamp_ns - true_ns) < 2_000


def test_the_arrival_the_driver_tells_counts_not_when_we_looked():
    stamps = source()
    for k in range(60):
        arrived_ms = (EPOCH_NS + k * PERIOD_NS) / 1e6
        true_ns, got = feed(stamps, k, delay_ns=40 * MS, arrival_ms=arrived_ms)
    assert abs(got.stamp_ns - true_ns) < 2_000


def test_another_clock_than_the_systems_gets_stamps_of_its_own():
    stamps = source()
    for k in range(60):
        true_ns, got = feed(stamps, k, ahead_ns=7_000_000_000)
    assert abs(got.stamp_ns - true_ns - 7_000_000_000) < 2_000
    mapped = FrameTimes("global_time", EPOCH_NS / 1e6)
    got = source().stamp(mapped, EPOCH_NS + 7_000_000_000 + 5 * MS, EPOCH_NS + 5 * MS)
    assert abs(got.stamp_ns - EPOCH_NS - 7_000_000_000) < 2_000


def test_the_middle_of_the_exposure_may_lie_across_the_end_of_the_counter():
    frame = FrameTimes("global_time", EPOCH_NS / 1e6, readout_us=3_000, exposure_us=(1 << 32) - 5_000)
    assert abs(source().stamp(frame, EPOCH_NS, EPOCH_NS).stamp_ns - (EPOCH_NS - 8 * MS)) < 2_000


def test_metadata_of_another_frame_move_nothing():
    stamps = source()
    frame = FrameTimes("global_time", EPOCH_NS / 1e6, readout_us=3_000_000, exposure_us=1_000)
    assert abs(stamps.stamp(frame, EPOCH_NS, EPOCH_NS).stamp_ns - EPOCH_NS) < 2_000
    assert stamps.values["stamp_is"] == "start of readout"


def test_a_clock_nobody_knows_is_refused():
    with pytest.raises(DeviceError, match="stamped on the clock 'moon_time', known are hardware_clock, global_time"):
        source().stamp(FrameTimes("moon_time", 1.0), EPOCH_NS, EPOCH_NS)


def test_stamps_of_arrival_need_consent():
    frame = FrameTimes("system_time", EPOCH_NS / 1e6)
    with pytest.raises(DeviceError, match="stamped on arrival, not at exposure.*accept_arrival_stamps"):
        source().stamp(frame, EPOCH_NS, EPOCH_NS)
    got = source(accept_arrival=True, least_delay_ms=20.0).stamp(frame, EPOCH_NS, EPOCH_NS)
    assert abs(got.stamp_ns - (EPOCH_NS - 20 * MS)) < 2_000 and got.error_ns == 20 * MS


@pytest.mark.parametrize("off_s", [-30, 30])
def test_a_stamp_that_cannot_be_true_is_refused(off_s):
    frame = FrameTimes("global_time", EPOCH_NS / 1e6)
    with pytest.raises(DeviceError, match=f"is {off_s:.3f} s old"):
        source().stamp(frame, EPOCH_NS, EPOCH_NS + off_s * 1_000_000_000)
