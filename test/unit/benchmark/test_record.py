"""What bench-record damages and times is what the recorder writes."""

from __future__ import annotations

from benchmark.record import corruption, durability


def test_recordings_to_be_damaged_have_plain_and_compressed_chunks(tmp_path):
    base = corruption.make_recording(tmp_path, is_finished=True, seed_ns=0)
    content = next(data for name, data in base.files.items() if name.endswith(".mcap"))
    pictures = [data for topic, data, *_ in base.messages if topic.endswith("color/image_raw")]
    small = [data for topic, data, *_ in base.messages if topic == "joint_states"]
    assert pictures
    assert all(data in content for data in pictures)
    assert any(data not in content for data in small)


def test_the_cost_of_writing_is_taken(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs" / "bench").mkdir(parents=True)
    found = {figure.name: figure.value for figure in durability.cost(0.05)}
    assert len(found) == 4
    assert found["writing 2 cameras with depth and 1 kHz joint states: CPU"] > 0
    assert found["writing 2 cameras with depth and 1 kHz joint states: disk"] > 10
