"""Hand-eye calibration of rendered pictures: the pose the simulator gave a camera is found again, or refused."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest

from il_cli.main import COMMANDS, run
from il_core import topics
from il_core.clock import ManualClock
from il_core.config import config_dir, load_robot
from il_core.errors import DeviceError
from il_core.geometry import inverse, matrix_from_rotvec, pose, quat_xyzw_from_matrix, rotvec_from_matrix
from il_core.store.msgdefs import encoder
from il_core.store.recording import RecordingHeader, RecordingWriter
from il_core.types import EePose, Outcome
from il_teleop.calibration.account import calibrate, spread_of
from il_teleop.calibration.board import Board
from il_teleop.calibration.collect import Collector, Picture, Verdict
from il_teleop.calibration.config import AcceptConfig, CollectConfig
from il_teleop.calibration.solve import CalibrationError, View, solve

sys.path.insert(0, str(Path(__file__).parent))
from board_world import BOARD, BoardWorld, hand_views, held_board, lying_board, wrist_views  # noqa: E402

MS = 1_000_000
VIEWS = 12
T_BASE_EE = pose([0.55, 0.0, 0.45], np.diag([1.0, -1.0, -1.0]))
BOARD_FINDER = Board(BOARD)


def collected(world: BoardWorld, postures) -> Collector:
    """Rests of 400 ms at each posture, as a live stream would bring them: poses at 100 Hz, one picture a rest."""
    collector = Collector(BOARD_FINDER, CollectConfig(views=VIEWS))
    for k, q in enumerate(postures):
        start_ns = k * 1000 * MS
        for step in range(41):
            collector.pose(EePose(start_ns + step * 10 * MS, world.tool(q)))
        assert collector.knows(start_ns + 200 * MS)
        collector.offer(start_ns + 200 * MS, lambda q=q: Picture(world.picture(q), world.spec.intrinsics))
    return collector


@pytest.fixture(scope="module", params=["wrist", "front"])
def scene(request):
    """World, and views of the board: on the table for the wrist camera, on the tool for the fixed one."""
    rng, name = np.random.default_rng(3), request.param
    try:
        if name == "wrist":
            world = BoardWorld(name, lying_board(BOARD_FINDER.centre_m))
            postures = wrist_views(world, VIEWS, rng)
        else:
            robot, _ = load_robot("fr3")
            world = BoardWorld(name, held_board(robot, name, T_BASE_EE, BOARD_FINDER.centre_m))
            postures = hand_views(world, T_BASE_EE, VIEWS, rng)
    except DeviceError as error:
        pytest.skip(str(error))
    yield world, collected(world, postures), postures
    world.renderer.close()


def error_of(T_found, T_true):
    E = inverse(T_true) @ T_found
    return 1e3 * np.linalg.norm(E[:3, 3]), np.degrees(np.linalg.norm(rotvec_from_matrix(E[:3, :3])))


def judged(world, views, **changes):
    return calibrate(views, world.spec.mount, BOARD_FINDER.centre_m, AcceptConfig(**changes))


def test_the_true_pose_is_found_within_a_millimetre(scene):
    world, collector, _ = scene
    assert collector.counts == {Verdict.TAKEN: VIEWS}, collector.told()
    report = judged(world, collector.views).require()
    mm, deg = error_of(report.solution.T_mount_optical, world.spec.T_mount_optical)
    print(f"{world.spec.name}: off by {mm:.3f} mm, {deg:.4f} deg; {report.solution.rms_px:.3f} px")
    assert mm < 1.0 and deg < 0.1
    assert report.left_out == () and len(report.used) == VIEWS
    # the account tells the truth: the error is of the size it says
    assert mm < 5 * max(report.uncertainty_mm, 0.1) and report.uncertainty_mm < 1.0
    account = report.calibration(1_700_000_000_000_000_000)
    assert account.measured_utc == "2023-11-14T22:13:20Z" and account.views == VIEWS


def test_a_view_of_a_slipped_board_is_left_out_and_named(scene):
    world, collector, _ = scene
    bad = collector.views[4]
    views = [*collector.views]
    views[4] = View(bad.stamp_ns, bad.T_base_ee @ pose([0.03, 0.0, 0.0]), bad.board)
    report = judged(world, views).require()
    assert report.left_out == (5,)
    assert error_of(report.solution.T_mount_optical, world.spec.T_mount_optical)[0] < 1.0


def test_many_views_that_contradict_each_other_are_refused(scene):
    world, collector, _ = scene
    rng = np.random.default_rng(1)
    views = [
        View(
            v.stamp_ns,
            v.T_base_ee @ pose(rng.uniform(-0.03, 0.03, 3), matrix_from_rotvec(rng.normal(0, 0.05, 3))),
            v.board,
        )
        for v in collector.views
    ]
    report = judged(world, views)
    assert report.problems
    with pytest.raises(
        CalibrationError, match="refused: corners miss their prediction .* check that the board is flat"
    ):
        report.require()


def test_too_few_or_too_equal_views_are_refused_with_what_to_do(scene):
    world, collector, _ = scene
    views = collector.views
    with pytest.raises(CalibrationError, match="9 views of the board, 10 are needed: take more"):
        judged(world, views[:9])
    with pytest.raises(CalibrationError, match=r"turned by more than 0 deg, 30 are needed: tilt the tool"):
        judged(world, [views[0]] * 12)
    with pytest.raises(CalibrationError, match="2 views of the board, 3 are the least that can be solved"):
        solve(views[:2], world.spec.mount)


def test_turning_about_one_axis_only_is_refused(scene):
    world, collector, _ = scene
    first = collector.views[0]
    views = []
    for angle in np.linspace(-0.5, 0.5, 12):  # as a camera on a turntable: along the axis it may sit anywhere
        T_base_ee = first.T_base_ee @ pose([0.0, 0.0, 0.0], matrix_from_rotvec([0.0, 0.0, angle]))
        views.append(View(0, T_base_ee, first.board))
    assert spread_of(views, world.spec.mount).second_axis_deg < 1e-6
    with pytest.raises(CalibrationError, match="turned about one axis only .*tilt it to the other sides"):
        judged(world, views)


def test_pictures_without_the_board_or_of_a_moving_tool_are_not_taken(scene):
    world, _, postures = scene
    lens = world.spec.intrinsics
    blank = Picture(np.full((lens.height, lens.width, 3), 127, np.uint8), lens)
    collector = Collector(BOARD_FINDER, CollectConfig(views=VIEWS))

    def stream(start_ms, T_at):
        for step in range(41):
            collector.pose(EePose((start_ms + 10 * step) * MS, T_at(step)))

    T = world.tool(postures[0])
    stream(0, lambda _: T)
    assert collector.offer(200 * MS, lambda: blank) is Verdict.UNSEEN
    assert collector.offer(390 * MS, lambda: blank) is Verdict.NO_POSE  # it may have moved after
    stream(1000, lambda step: T @ pose([0.001 * step, 0.0, 0.0]))
    assert collector.offer(1200 * MS, lambda: pytest.fail("nothing is decoded while the tool moves")) is Verdict.MOVING
    stream(500, lambda _: T)  # another recording, of a time before
    noise = np.random.default_rng(0).integers(0, 255, blank.rgb.shape, dtype=np.uint8)
    assert collector.offer(700 * MS, lambda: Picture(noise, lens)) is Verdict.UNSEEN
    assert collector.offer(700 * MS, lambda: Picture(world.picture(postures[0]), lens)) is Verdict.TAKEN
    assert collector.offer(710 * MS, lambda: pytest.fail("a known view is not looked at")) is Verdict.KNOWN
    assert collector.told() == (
        "6 pictures: 1 taken, 1 the tool moves, 1 like a view taken already, 2 too little of the board in view, "
        "1 no tool pose around it"
    )


TYPES = {
    topics.EE_POSE: "geometry_msgs/msg/PoseStamped",
    topics.color("wrist"): "sensor_msgs/msg/Image",
    topics.camera_info("wrist"): "sensor_msgs/msg/CameraInfo",
}


def recorded(root: Path, world: BoardWorld, postures) -> Path:
    """A recording of the arm at rest at each posture, pictures late by 60 ms."""
    header = RecordingHeader("pick_place", "fr3", "0" * 64, 0)
    writer = RecordingWriter(root, header, ManualClock(0), "calibration")
    for topic, kind in TYPES.items():
        writer.add_topic(topic, kind)

    def put(topic, stamp_ns, late_ns, values):
        sec, nanosec = divmod(stamp_ns, 1_000_000_000)
        values["header"] = {"stamp": {"sec": sec, "nanosec": nanosec}, "frame_id": "base"}
        writer.append(topic, encoder(TYPES[topic])(values), stamp_ns + late_ns, stamp_ns)

    lens = world.spec.intrinsics
    k = [lens.fx, 0.0, lens.cx, 0.0, lens.fy, lens.cy, 0.0, 0.0, 1.0]
    size = {"width": lens.width, "height": lens.height}
    for n, q in enumerate(postures):
        T = world.tool(q)
        x, y, z, w = map(float, quat_xyzw_from_matrix(T[:3, :3]))
        position = dict(zip("xyz", map(float, T[:3, 3]), strict=True))
        for step in range(41):
            stamp_ns = (1000 * n + 10 * step) * MS
            where = {"position": position, "orientation": {"x": x, "y": y, "z": z, "w": w}}
            put(topics.EE_POSE, stamp_ns, 0, {"pose": where})
            if step == 14:
                put(topics.camera_info("wrist"), stamp_ns, 60 * MS, {**size, "k": k, "d": [0.0] * 5})
            if step == 20:
                data = world.picture(q).tobytes()
                put(
                    topics.color("wrist"),
                    stamp_ns,
                    60 * MS,
                    {**size, "encoding": "rgb8", "step": 3 * lens.width, "data": data},
                )
    return writer.commit(Outcome.UNLABELLED)


@pytest.mark.parametrize("scene", ["wrist"], indirect=True)
def test_a_recording_calibrates_the_camera_of_a_robot_file(scene, tmp_path, capsys):
    world, _, postures = scene
    for name in ("fr3.yaml", "fr3.urdf", "fr3.srdf"):
        (tmp_path / name).write_text((config_dir() / "robot" / name).read_text().replace("[0.06, 0.0,", "[0.05, 0.01,"))
    robot_file = tmp_path / "fr3.yaml"
    folder = recorded(tmp_path / "recordings", world, postures[:10])
    command = ["calibrate-camera", "wrist", "--robot", str(robot_file), "--recording", str(folder)]
    before = robot_file.read_text()
    assert run([*command, "--dry-run"], COMMANDS) == 0 and robot_file.read_text() == before
    assert run(command, COMMANDS) == 0
    said = capsys.readouterr().out
    assert "10 pictures: 10 taken" in said and f"written to {robot_file}" in said
    told_mm = float(re.search(r"([\d.]+) mm and [\d.]+ deg from where config/robot has it", said).group(1))
    assert told_mm == pytest.approx(np.hypot(10.0, 10.0), abs=1.0)  # the file was made wrong by 1 cm in x and y
    camera = load_robot(str(robot_file))[0].camera("wrist")
    assert error_of(camera.T_mount_optical, world.spec.T_mount_optical)[0] < 1.0
    assert camera.calibration.views == 10
