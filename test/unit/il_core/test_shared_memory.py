"""Segments of processes that are gone, and of those that are not."""

import fcntl
import os

import pytest

from il_core.shared_memory import ROOMY_BYTES, cramped_peers, dead_segments, remove_dead_segments

NAME = "fastdds_0123456789abcdef"
NOW_S = 1_000_000.0


@pytest.fixture
def segment(tmp_path):
    """A segment of ten minutes ago, with its lock file."""
    for name in (NAME, f"{NAME}_el"):
        (tmp_path / name).write_bytes(bytes(10_000))
        os.utime(tmp_path / name, (NOW_S - 600, NOW_S - 600))
    return tmp_path / NAME


def test_what_nobody_holds_is_removed_with_its_lock(segment, tmp_path):
    assert dead_segments(NOW_S, tmp_path) == [segment]
    assert remove_dead_segments(NOW_S, tmp_path) >= 10_000
    assert list(tmp_path.iterdir()) == []


def test_what_a_living_process_holds_stays(segment, tmp_path):
    with (tmp_path / f"{NAME}_el").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert remove_dead_segments(NOW_S, tmp_path) == 0
    assert segment.exists()


def test_a_segment_just_made_stays_for_its_maker_may_not_hold_it_yet(segment, tmp_path):
    os.utime(segment, (NOW_S - 5, NOW_S - 5))
    assert dead_segments(NOW_S, tmp_path) == []


@pytest.mark.parametrize(
    "name", ["fastdds_port7411", "sem.fastdds_port7411_mutex", "other", "fastdds_0123456789abcdeg"]
)
def test_other_files_are_none_of_our_business(tmp_path, name):
    for file in (name, f"{name}_el"):
        (tmp_path / file).write_bytes(b"x")
        os.utime(tmp_path / file, (1, 1))
    assert remove_dead_segments(NOW_S, tmp_path) == 0 and (tmp_path / name).exists()


def test_a_segment_without_its_lock_file_stays(tmp_path):
    (tmp_path / NAME).write_bytes(b"x")
    assert dead_segments(NOW_S + 10**10, tmp_path) == []


def test_a_system_without_the_folder_has_none(tmp_path):
    assert dead_segments(NOW_S, tmp_path / "nowhere") == []


def test_a_living_process_with_little_room_is_named(segment, tmp_path):
    assert cramped_peers(tmp_path) == []  # nobody holds it
    with (tmp_path / f"{NAME}_el").open("r+b") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (peer,) = cramped_peers(tmp_path)
        assert peer.pid == os.getpid() and "python" in peer.command and peer.segment_bytes == 10_000
        os.truncate(segment, ROOMY_BYTES + 4096)
        assert cramped_peers(tmp_path) == []


def test_without_the_kernels_list_nobody_is_accused(segment, tmp_path):
    assert cramped_peers(tmp_path, tmp_path / "no_locks") == []


def test_the_profile_asks_for_the_room_that_is_checked():
    from il_core.graph import transport_profile

    assert f"<segment_size>{ROOMY_BYTES}</segment_size>" in transport_profile().read_text()


def test_a_small_segment_beside_a_roomy_one_accuses_nobody(segment, tmp_path):
    """Fast DDS makes each process of ours one of either size."""
    other = tmp_path / "fastdds_fedcba9876543210"
    other.with_name(other.name + "_el").write_bytes(b"x")
    other.write_bytes(b"")
    os.truncate(other, ROOMY_BYTES + 4096)
    with (tmp_path / f"{NAME}_el").open("r+b") as first, (tmp_path / f"{other.name}_el").open("r+b") as second:
        fcntl.flock(first, fcntl.LOCK_EX)
        fcntl.flock(second, fcntl.LOCK_EX)
        assert cramped_peers(tmp_path) == []
