"""Led by the hand, recorded, and repeated without the hand: on physics of another engine, without ROS."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from il_control.arbiter import Source
from il_control.config import load_control_config
from il_control.cycle import make_cycle
from il_control.touch import TouchConfig
from il_core.config import load_setup
from il_sim.plant import Plant
from il_teleop.dataset.kinesthetic import future_poses
from il_teleop.replay import ReplayPath, likeness, rows_of, windows

MS = 1_000_000
GUIDED_MS = 3000
TOUCH = TouchConfig((3.0, 3.0, 3.0, 3.0, 1.0, 1.0, 1.0))  # what the contact force is estimated with


class Rig:
    """Plant and cycle, a millisecond a step; the tool pose every 10 ms, as the controller publishes it."""

    def __init__(self) -> None:
        self.setup = load_setup("pick_place")
        config = load_control_config(self.setup)
        config = replace(config, touch=TOUCH, safety=replace(config.safety, contact_force_max_n=80.0))
        self.plant = Plant(self.setup, start_ns=5_000_000_000)
        self.cycle = make_cycle(self.setup, config)
        self.poses: list[tuple[int, np.ndarray]] = []
        self.sources: set[Source] = set()
        self.run(300)

    def run(self, ms: int) -> None:
        for _ in range(ms):
            report = self.cycle.step(self.plant.read(), self.plant.now_ns)
            self.sources.add(report.source)
            if self.plant.steps % 10 == 0:
                self.poses.append((self.plant.now_ns, report.T_base_ee))
            self.plant.write(report.setpoint)
            self.plant.step()


@pytest.fixture(scope="module")
def shown() -> tuple[Rig, ReplayPath]:
    """A hand leads the arm sideways, up and back; what was measured is the demonstration."""
    rig = Rig()
    q_start = rig.plant.read().q
    assert rig.cycle.request(Source.GUIDING, "test") == ""
    rig.poses, rig.sources = [], set()
    for k in range(GUIDED_MS // 50):
        t = k * 50 / GUIDED_MS
        force = 15.0 * np.array([np.cos(2 * np.pi * t), np.sin(4 * np.pi * t), 0.8 * np.sin(2 * np.pi * t)])
        rig.plant.push(force * np.sin(np.pi * t))
        rig.run(50)
    rig.plant.push([0.0, 0.0, 0.0])
    rig.run(500)
    assert rig.sources == {Source.GUIDING}
    rig.cycle.release(Source.GUIDING, "test")
    stamps = np.array([t for t, _ in rig.poses])
    T = np.array([T for _, T in rig.poses])
    return rig, ReplayPath("shown", "0" * 64, stamps - stamps[0], T, None, q_start)


def go_to_start(rig: Rig, path: ReplayPath) -> None:
    rig.cycle.go_to_posture(path.q_start)
    rig.run(3000)
    rig.cycle.go_to_pose(path.T_base_ee[0])
    rig.run(2000)


def test_the_hand_led_the_arm_somewhere(shown):
    _, path = shown
    assert np.ptp(path.T_base_ee[:, :3, 3], axis=0).max() > 0.05


def test_a_demonstration_led_by_the_hand_is_repeated_within_5_mm(shown):
    rig, path = shown
    go_to_start(rig, path)
    assert rig.cycle.request(Source.REPLAY, "test") == ""
    rows, start_ns = rows_of(path), rig.plant.now_ns + 300 * MS
    rig.poses, rig.sources = [], set()
    for send_ns, chunk in windows(rows, start_ns):
        rig.run(max(0, (send_ns - rig.plant.now_ns) // MS))
        assert rig.cycle.offer_chunk(chunk, Source.REPLAY)
    rig.run(int(rows.seconds * 1000) - (rig.plant.now_ns - start_ns) // MS)
    assert rig.sources <= {Source.HOLD, Source.REPLAY}
    stamps = np.array([t - start_ns for t, _ in rig.poses])
    alike = likeness(path, stamps, np.array([T for _, T in rig.poses]))
    print(f"{alike.rms_mm:.2f} mm rms, {alike.max_mm:.2f} mm, {alike.rms_deg:.2f} deg, {alike.delay_s:.3f} s behind")
    assert alike.rms_mm <= 5.0
    assert alike.max_mm <= 10.0
    assert alike.rms_deg <= 2.0


def test_labels_of_a_hand_guided_demonstration_are_where_the_arm_was_next(shown):
    """The label of a tick is the measurement of the next one: no lead is left in the path of the labels."""
    _, path = shown
    ticks = np.arange(0, path.stamps_ns[-1] - 100 * MS, 100 * MS)
    labels = future_poses(path.stamps_ns, path.T_base_ee, ticks, 100 * MS, 50 * MS)
    measured = path.T_base_ee[np.searchsorted(path.stamps_ns, ticks + 100 * MS)]
    np.testing.assert_allclose(labels, measured, atol=1e-9)
