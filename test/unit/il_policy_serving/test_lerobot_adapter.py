"""LeRobot checkpoints: nothing in them is run, and a missing package is named with how to get it."""

from __future__ import annotations

import json

import pytest

import il_policy
from il_core.errors import CheckpointError, ConfigError
from il_policy.serving.lerobot_adapter import check_folder

GOOD = {"registry_name": "normalizer_processor", "config": {}}


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"type": "act"}))
    (tmp_path / "model.safetensors").write_bytes(b"")
    for name in ("policy_preprocessor.json", "policy_postprocessor.json"):
        (tmp_path / name).write_text(json.dumps({"name": name, "steps": [GOOD]}))
    return tmp_path


def test_without_lerobot_the_error_says_how_to_get_it(folder, setup, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "lerobot", None)
    with pytest.raises(ConfigError, match="is of LeRobot, which is missing here: `pip install lerobot`"):
        il_policy.load(folder, setup)
    with pytest.raises(ConfigError, match="names no task; say which"):
        il_policy.load(folder)


@pytest.mark.parametrize(
    "step", [{"class": "os.system", "config": {}}, {**GOOD, "class": "a.b"}, {"registry_name": 3}, "x"]
)
def test_a_processor_named_by_a_class_could_be_any_code_and_is_refused(folder, step):
    (folder / "policy_preprocessor.json").write_text(json.dumps({"steps": [GOOD, step]}))
    with pytest.raises(CheckpointError, match="is no registered processor; it could be any code"):
        check_folder(folder)


def test_weights_that_could_run_code_are_refused(folder):
    assert check_folder(folder) == "act"
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(CheckpointError, match="has no model.safetensors; other weight formats can run code"):
        check_folder(folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="names no policy type"):
        check_folder(folder)
