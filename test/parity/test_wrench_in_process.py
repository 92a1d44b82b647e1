"""The wrench from the simulated sensor to a policy that plans with it: record, build, train, serve, in one process."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import yaml

from il_cli.main import COMMANDS, run
from il_cli.rehearsal import Rehearsal
from il_cli.wrist import offer_wrench
from il_control.config import load_control_config
from il_control.cycle import make_cycle
from il_control.reasons import Reason
from il_control.servo_config import WristConfig
from il_core import topics
from il_core.config import config_dir, load_setup
from il_core.store.episodes import EpisodeStore
from il_core.store.recording import Recording
from il_core.types import ActionChunk, Outcome
from il_core.wire import stamp_ns
from il_core.wrench import ToolWrench
from il_policy import checkpoint
from il_sim.plant import Plant

pytestmark = pytest.mark.ros

MS = 1_000_000
TINY = ["--policy", "bc", "--set", "network.width=16", "--set", "network.depth=1", "--set", "steps=20"]
PUSH_N = np.array([3.0, -2.0, 1.0])


@pytest.fixture(scope="module")
def task(tmp_path_factory):
    """Reaching blindly, by feel alone: the shipped arm with a sensor, and a task that observes it."""
    values = yaml.safe_load((config_dir() / "task" / "reach.yaml").read_text())
    values |= {"robot": "fr3_ft", "wrench": True, "cameras": [], "objects": []}
    values["max_age_ms"] |= {"wrench": 20.0}
    path = tmp_path_factory.mktemp("felt") / "reach_felt.yaml"
    path.write_text(yaml.safe_dump(values))
    return path


@pytest.fixture(scope="module")
def demonstrations(task):
    out = task.parent / "recordings"
    assert run(["sim", "--record", "2", "--task", str(task), "--out", str(out)], COMMANDS) == 0
    return sorted((out / "reach").iterdir())


def test_a_recording_holds_the_wrench_of_every_state_in_the_sensors_frame(demonstrations):
    for path in demonstrations:
        recording = Recording.open(path)
        assert recording.header.outcome is Outcome.SUCCESS
        stamps = {topics.WRIST_WRENCH: [], topics.JOINT_STATES: []}
        frames = set()
        for topic, msg, _, _ in recording.messages(list(stamps)):
            stamps[topic].append(stamp_ns(msg.header.stamp))
            if topic == topics.WRIST_WRENCH:
                frames.add(msg.header.frame_id)
        assert stamps[topics.WRIST_WRENCH] == stamps[topics.JOINT_STATES] != []
        assert frames == {"fr3_hand"}


def test_a_policy_trained_on_the_wrench_plans_with_what_the_plant_says(task, demonstrations):
    data, made = task.parent / "dataset", task.parent / "policy"
    built = ["dataset", "build", str(demonstrations[0].parent), "--task", str(task), "--out", str(data)]
    assert run(built, COMMANDS) == 0
    store = EpisodeStore.open(data)
    assert len(store) == 2
    for episode in map(store.episode, range(2)):
        felt = np.array([o.wrench for o in episode.observations])
        assert all(o.age_ns["wrench"] < MS for o in episode.observations)
        assert 0.05 < np.abs(felt[:, :3]).max() < 10.0, "the hand's inertia, without its weight"
    observe = ["--set", "observe.wrench=true", "--task", str(task), "--out", str(made)]
    assert run(["train", str(data), *TINY, *observe], COMMANDS) == 0

    setup = load_setup(str(task))
    policy = checkpoint.load(made, setup)
    policy.warm_up()
    policy.reset(0)
    windows = []
    with Rehearsal(setup) as rehearsal:
        plant = rehearsal.plant

        def watched(planner):
            def plan(window):
                said = ToolWrench.measured(plant.now_ns, plant.wrench(), setup.robot.force_sensor())
                now = window[-1]
                assert now.tick_ns == plant.now_ns and now.age_ns["wrench"] == 0
                np.testing.assert_array_equal(now.wrench, said.in_base(now.T_base_ee))
                windows.append(window)
                return planner(window)

            return plan

        assert rehearsal.attempt(watched(policy.predict), seed=5, limit_s=1.0).plans == 2  # every 8 ticks of 100 ms

        def stay(window):
            plant.push(PUSH_N)
            now, dt_ns = window[-1], setup.task.dt_ns
            return ActionChunk(now.tick_ns + dt_ns, dt_ns, now.tick_ns, T_base_ee_des=np.array([now.T_base_ee] * 16))

        assert rehearsal.attempt(watched(stay), seed=5, limit_s=1.0).plans == 2
    before, pushed = (window[-1].wrench for window in windows[2:])
    assert np.linalg.norm(before[:3]) < 0.2, "nobody pushes yet"
    np.testing.assert_allclose(pushed[:3], PUSH_N, atol=0.2)
    np.testing.assert_allclose(pushed[3:], 0.0, atol=0.1)  # about the tool point, where the push acts
    policy.reset(0)
    felt = policy.predict(windows[3]).rows
    policy.reset(0)
    numb = policy.predict([replace(o, wrench=before) for o in windows[3]]).rows
    assert np.abs(felt - numb).max() > 1e-6, "the plan depends on the wrench"


@pytest.mark.parametrize(("frame", "is_heard"), [("fr3_hand", True), ("fr3_link7", False)])
def test_a_controller_that_asks_for_the_sensor_gets_it_in_the_frame_it_names(frame, is_heard):
    setup = load_setup("reach", "fr3_ft")
    cycle = make_cycle(setup, replace(load_control_config(setup), wrist=WristConfig(frame)))
    plant = Plant(setup)
    for _ in range(3):
        offer_wrench(cycle, plant)
        report = cycle.step(plant.read(), plant.now_ns)
        plant.write(report.setpoint)
        plant.step()
    assert (Reason.STALE_WRENCH in report.reasons) is not is_heard
