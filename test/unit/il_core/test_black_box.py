"""A ring gives back what was put last, byte for byte, and nothing else, wherever it was torn or damaged."""

from __future__ import annotations

import mmap
import zlib

import pytest

from il_core.store.black_box import LARGEST, TABLE_BYTES, BlackBox, contents_of, table_of

T0 = 1_700_000_000_000_000_000
RING = 64 << 10
TYPES = {"joint_states": "sensor_msgs/msg/JointState", "camera/front/color/image_raw": "sensor_msgs/msg/Image"}
JOINTS, IMAGE = TYPES


@pytest.fixture
def box(tmp_path):
    file = tmp_path / "box"
    file.write_bytes(bytes(TABLE_BYTES + RING))
    with file.open("r+b") as opened:
        made = BlackBox(file, mmap.mmap(opened.fileno(), 0))
    begin(made, tmp_path)
    return made


def begin(box, folder):
    (folder / "take_0.mcap").touch()
    box.begin(folder / "take_0.mcap", "the header", TYPES)


def contents(memory):
    return contents_of(memory, table_of(memory[:TABLE_BYTES]))


def feed(box, rng, n, largest=2000):
    """Put messages of random content and length, each with its own times; returns them with their numbers."""
    sent, counts = [], dict.fromkeys(TYPES, 0)
    for k in range(n):
        topic = JOINTS if rng.random() < 0.8 else IMAGE
        data = rng.bytes(int(rng.integers(0, largest)))
        box.put(topic, data, T0 + k, T0 - k, zlib.crc32(data))
        sent.append((topic, counts[topic], data, T0 + k, T0 - k))
        counts[topic] += 1
    return sent, counts


def rows(found):
    return [(m.topic, m.number, m.data, m.log_ns, m.publish_ns) for m in found.messages]


@pytest.mark.parametrize("n", [0, 1, 20, 500])
def test_the_last_messages_come_back_in_order_however_often_the_ring_went_round(box, rng, n):
    sent, counts = feed(box, rng, n)
    found = contents(box.path.read_bytes())
    assert (found.header, found.types) == ("the header", TYPES)
    kept = rows(found)
    assert kept == sent[len(sent) - len(kept) :]
    assert found.totals == {t: counts[t] for t in {m[0] for m in kept}}
    # At most the next record and the rest of the ring behind it are not there.
    assert len(kept) == n or sum(len(m[2]) + 48 for m in kept) > RING - 3 * 2048


def test_what_an_earlier_take_left_is_not_given_for_the_next_one(box, rng, tmp_path):
    feed(box, rng, 100)
    box.end()
    with pytest.raises(ValueError):
        table_of(box.path.read_bytes()[:TABLE_BYTES])
    begin(box, tmp_path)
    sent, _ = feed(box, rng, 3)
    assert rows(contents(box.path.read_bytes())) == sent


def test_a_message_half_written_at_the_instant_of_the_kill_is_left_out_and_costs_no_other(box, rng):
    sent, _ = feed(box, rng, 200)
    before = box.path.read_bytes()
    last = (JOINTS, rng.bytes(5000), T0, T0)
    box.put(*last, zlib.crc32(last[1]))
    after = box.path.read_bytes()
    changed = [k for k in range(len(before)) if before[k] != after[k]]
    first, end = changed[0], changed[-1] + 1
    whole = rows(contents(after))
    assert whole[-1][2] == last[1]
    assert first > TABLE_BYTES
    for cut in rng.integers(first + 1, end - 1, 60):
        for torn in (after[:cut] + before[cut:], before[:cut] + after[cut:]):  # in whichever order it is copied
            found = rows(contents(torn))
            assert set(found) <= set(sent)
            assert set(whole[:-1]) <= set(found)
    assert rows(contents(before)) == sent[len(sent) - len(rows(contents(before))) :]


def test_a_damaged_ring_gives_what_is_intact(box, rng):
    sent, _ = feed(box, rng, 200)
    memory = box.path.read_bytes()
    whole = rows(contents(memory))
    for _ in range(60):
        broken = bytearray(memory)
        at = int(rng.integers(TABLE_BYTES, len(memory)))
        broken[at] ^= 1 << int(rng.integers(8))
        found = rows(contents(bytes(broken)))
        assert set(found) <= set(whole)
        assert len(found) >= len(whole) - 1
        start = int(rng.integers(TABLE_BYTES, len(memory)))
        assert set(rows(contents(memory[:start]))) <= set(whole)
        noise = memory[:start] + rng.bytes(len(memory) - start)
        assert rows(contents(noise)) == [m for m in whole if m in set(rows(contents(memory[:start])))]
    assert set(whole) <= set(sent)


def test_no_damage_of_the_table_passes(box, rng):
    memory = box.path.read_bytes()
    end = 4 + int.from_bytes(memory[:4], "little")
    for _ in range(100):
        broken = bytearray(memory[:TABLE_BYTES])
        broken[int(rng.integers(end))] ^= 1 << int(rng.integers(8))
        with pytest.raises(ValueError):
            table_of(bytes(broken))


def test_a_message_too_large_for_the_ring_is_counted_and_leaves_the_others_alone(box):
    box.put(IMAGE, b"small", T0, T0, zlib.crc32(b"small"))
    box.put(IMAGE, bytes(RING // LARGEST + 1), T0, T0, zlib.crc32(bytes(RING // LARGEST + 1)))
    box.put(IMAGE, bytes(RING // LARGEST), T0, T0, zlib.crc32(bytes(RING // LARGEST)))
    found = contents(box.path.read_bytes())
    assert [m.number for m in found.messages] == [0, 2]
    assert found.totals == {IMAGE: 3}
    box.put(IMAGE, bytes(RING), T0, T0, zlib.crc32(bytes(RING)))
    assert contents(box.path.read_bytes()).totals == {IMAGE: 4}


def test_a_header_too_long_for_the_table_is_refused(box, tmp_path):
    with pytest.raises(OSError, match="too long for the black box"):
        box.begin(tmp_path / "take_0.mcap", "x" * TABLE_BYTES, TYPES)
    with pytest.raises(ValueError):
        table_of(box.path.read_bytes()[:TABLE_BYTES])


def test_only_messages_beyond_the_file_are_wanted(box, rng):
    sent, counts = feed(box, rng, 30, largest=100)
    found = contents(box.path.read_bytes())
    assert rows(found) == sent
    in_file = {JOINTS: 5, IMAGE: counts[IMAGE]}
    assert [(m.topic, m.number) for m in found.beyond(in_file)] == [(JOINTS, n) for n in range(5, counts[JOINTS])]
    seventh = next(m for m in found.messages if (m.topic, m.number) == (JOINTS, 6))
    holed = found.beyond({JOINTS: 3}, {JOINTS: seventh.log_ns})
    assert [m.number for m in holed if m.topic == JOINTS] == list(range(7, counts[JOINTS]))
    assert [m.number for m in holed if m.topic == IMAGE] == list(range(counts[IMAGE])), "the file has none of it"
