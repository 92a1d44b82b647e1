"""The printed board has its true size, and a measured pose reaches the robot's file, the digest and recordings."""

from __future__ import annotations

import re
import struct
import zlib
from dataclasses import asdict, replace

import numpy as np
import pytest

from il_core.calibrated import CameraCalibration
from il_core.config import config_dir, load_robot, load_setup, load_yaml
from il_core.errors import ConfigError, DeviceError, ShapeError
from il_core.geometry import matrix_from_rotvec, pose
from il_core.spec import digest
from il_core.store.header import header_text, parse_header
from il_core.types import Intrinsics
from il_teleop.calibration.board import Board
from il_teleop.calibration.config import AcceptConfig, BoardConfig, CollectConfig, HandEyeConfig
from il_teleop.calibration.write import write_camera_pose
from il_teleop.recorder_report import header_of

ACCOUNT = CameraCalibration("2026-11-21T16:00:00Z", 18, 0.31, 0.8, 0.1, 0.2, 0.03)
T_NEW = pose([0.0612, -0.0034, -0.1187], matrix_from_rotvec([0.1, -0.05, 1.6]))


@pytest.fixture
def robot_file(tmp_path):
    for name in ("fr3.yaml", "fr3.urdf", "fr3.srdf"):
        (tmp_path / name).write_text((config_dir() / "robot" / name).read_text())
    return tmp_path / "fr3.yaml"


def test_the_files_settings_are_the_defaults_of_the_code():
    assert load_yaml(config_dir() / "camera" / "hand_eye.yaml", HandEyeConfig) == HandEyeConfig()


def test_a_pdf_board_has_its_true_size(tmp_path):
    width_mm, height_mm = Board(BoardConfig()).write(tmp_path / "board.pdf")
    data = (tmp_path / "board.pdf").read_bytes()
    box = [float(x) for x in re.search(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", data).groups()]
    assert np.allclose(np.array(box) / 72 * 25.4, [width_mm, height_mm], atol=1e-3)
    width, height, length = (
        int(re.search(rb"/%s (\d+)" % key, data[data.index(b"/Image") :]).group(1))
        for key in (b"Width", b"Height", b"Length")
    )
    start = data.index(b"stream\n", data.index(b"/FlateDecode")) + 7
    grey = np.frombuffer(zlib.decompress(data[start : start + length]), np.uint8).reshape(height, width)
    edges = np.flatnonzero(np.diff(grey[np.flatnonzero(grey.min(axis=1) < 128)[0] + 5].astype(int)))
    assert np.allclose(np.diff(edges) * width_mm / width, 35.0)  # every square of the first row, in mm on paper
    offsets = [int(x) for x in re.findall(rb"(\d{10}) 00000 n", data)]
    assert all(data[at:].startswith(b"%d 0 obj" % (k + 1)) for k, at in enumerate(offsets))


def test_a_png_board_says_its_resolution(tmp_path):
    width_mm, _ = Board(BoardConfig(square_mm=20.0, marker_mm=15.0)).write(tmp_path / "board.png")
    data = (tmp_path / "board.png").read_bytes()
    width = struct.unpack(">I", data[16:20])[0]
    x, y, unit = struct.unpack(">IIB", data[data.index(b"pHYs") + 4 :][:9])
    assert (x, y, unit) == (12000, 12000, 1)
    assert width / x * 1e3 == pytest.approx(width_mm) == pytest.approx(7 * 20 + 20)
    with pytest.raises(ConfigError, match=r"written as .pdf or .png, not '.jpg'"):
        Board(BoardConfig()).write(tmp_path / "board.jpg")


def test_impossible_boards_and_limits_are_refused():
    for kind, changes, problem in (
        (BoardConfig, {"squares_x": 2}, "needs 3 to 40 squares"),
        (BoardConfig, {"marker_mm": 35.0}, "needs 0 < marker_mm < square_mm"),
        (CollectConfig, {"views": 2}, "needs views >= 3"),
        (CollectConfig, {"still_mm": 0.0}, "all limits must be positive"),
        (AcceptConfig, {"outliers_max": 0.5}, r"outliers_max in \[0, 0.5\)"),
    ):
        with pytest.raises(ConfigError, match=problem):
            kind(**changes)
    with pytest.raises(ConfigError, match="unknown dictionary 'DICT_4X4'; did you mean 'DICT_4X4_"):
        Board(BoardConfig(dictionary="DICT_4X4"))
    with pytest.raises(ConfigError, match="has 50 markers, this board needs 70"):
        Board(BoardConfig(squares_x=14, squares_y=10))


def test_the_board_is_not_seen_where_it_is_not_or_only_a_strip_of_it():
    board, lens = Board(BoardConfig()), Intrinsics(1120, 840, 900.0, 900.0, 559.5, 419.5)
    whole = np.full((840, 1120, 3), 255, np.uint8)
    sheet = board.image(140)
    whole[: sheet.shape[0], : sheet.shape[1]] = sheet[..., None]
    seen = board.find(whole, lens, 8)
    assert len(seen.rays) == 24 and seen.rms_px < 0.1
    np.testing.assert_allclose(seen.T_optical_board[:3, :3], np.eye(3), atol=1e-3)  # head on, x right, y down
    assert seen.T_optical_board[2, 3] == pytest.approx(0.035 * 900 / 140, rel=1e-3)
    strip = whole.copy()
    strip[360:] = 255
    assert board.find(strip, lens, 8) is None or len(board.find(strip, lens, 8).rays) < 24
    assert board.find(np.zeros_like(whole), lens, 8) is None
    with pytest.raises(ShapeError, match=r"picture: expected shape \(840, 1120, 3\), got \(600, 800, 3\)"):
        board.find(np.zeros((600, 800, 3), np.uint8), lens, 8)


def test_the_distortion_of_a_lens_is_undone_and_an_unknown_one_refused():
    board, k = Board(BoardConfig()), (0.12, -0.25, 0.001, -0.002, 0.1)
    lens = Intrinsics(1120, 840, 900.0, 900.0, 559.5, 419.5)
    picture = np.full((840, 1120, 3), 255, np.uint8)
    sheet = board.image(140)
    picture[: sheet.shape[0], : sheet.shape[1]] = sheet[..., None]
    straight = board.find(picture, lens, 8).rays
    x, y = board.find(picture, replace(lens, distortion_model="plumb_bob", distortion=k), 8).rays.T
    r2 = x * x + y * y  # the model, forwards: D. C. Brown, "Close-range camera calibration", 1971
    radial = 1 + k[0] * r2 + k[1] * r2**2 + k[4] * r2**3
    bent = [
        x * radial + 2 * k[2] * x * y + k[3] * (r2 + 2 * x * x),
        y * radial + k[2] * (r2 + 2 * y * y) + 2 * k[3] * x * y,
    ]
    np.testing.assert_allclose(np.transpose(bent), straight, atol=1e-5)
    with pytest.raises(DeviceError, match="distortion model 'equidistant', known are plumb_bob, rational_polynomial"):
        board.find(picture, replace(lens, distortion_model="equidistant", distortion=k[:4]), 8)


def test_a_measured_pose_replaces_two_lines_and_adds_one(robot_file):
    before = robot_file.read_text().splitlines()
    for _ in range(2):  # the second time it replaces its own account
        robot = write_camera_pose(robot_file, "wrist", T_NEW, ACCOUNT)
    after = robot_file.read_text().splitlines()
    assert len(after) == len(before) + 1
    assert len(set(before) - set(after)) == 2
    assert [line for line in before if "#" in line] == [line for line in after if "#" in line]
    assert load_robot(str(robot_file))[0] == robot
    np.testing.assert_allclose(robot.camera("wrist").T_mount_optical, T_NEW, atol=1e-6)
    assert robot.camera("wrist").calibration == ACCOUNT
    assert robot.camera("front") == load_robot("fr3")[0].camera("front")


def test_a_file_written_in_another_way_is_left_alone(robot_file):
    with pytest.raises(ConfigError, match="no camera 'wirst'; did you mean 'wrist'"):
        write_camera_pose(robot_file, "wirst", T_NEW, ACCOUNT)
    text = robot_file.read_text().replace("  - name: wrist\n    width: 320", "  - width: 320\n    name: wrist")
    robot_file.write_text(text)
    with pytest.raises(ConfigError, match=r"put in by hand: p_mount_optical_m: \[0.061200, -0.003400, -0.118700\]"):
        write_camera_pose(robot_file, "wrist", T_NEW, ACCOUNT)
    assert robot_file.read_text() == text


def test_the_pose_is_in_the_digest_and_its_account_is_not(robot_file):
    setup = load_setup("pick_place")
    measured = load_setup("pick_place", str(robot_file))
    assert measured.digest == setup.digest
    write_camera_pose(robot_file, "wrist", T_NEW, ACCOUNT)
    moved = load_setup("pick_place", str(robot_file))
    assert moved.digest != setup.digest
    wrist = replace(moved.robot.camera("wrist"), calibration=None)
    bare = replace(moved.robot, cameras=(moved.robot.cameras[0], wrist))
    assert digest(bare, moved.task, moved.urdf_path.read_text()) == moved.digest


def test_every_recording_holds_pose_and_account_and_old_headers_still_read(robot_file, tmp_path):
    write_camera_pose(robot_file, "wrist", T_NEW, ACCOUNT)
    setup = load_setup("pick_place", str(robot_file))
    header = header_of(setup, operator="ada", notes="", namespace="/", is_sim_time=False)
    read = parse_header(header_text(header).encode(), tmp_path)
    assert read == header
    front, wrist = read.cameras
    assert wrist.calibration == ACCOUNT and front.calibration is None
    np.testing.assert_allclose(wrist.T_mount_optical, T_NEW, atol=1e-6)
    without = header_text(header)
    assert '"calibration"' in without
    from il_core.store.seal import seal

    values = asdict(header)
    for camera in values["cameras"]:
        del camera["calibration"]  # as recordings of before
    assert [c.calibration for c in parse_header(seal(values).encode(), tmp_path).cameras] == [None, None]


def test_an_impossible_account_is_refused():
    with pytest.raises(ConfigError, match="needs 3 or more views"):
        replace(ACCOUNT, views=2)
