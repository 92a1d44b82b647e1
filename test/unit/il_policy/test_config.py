"""Training settings: the shipped recipes load, overrides are strict."""

from __future__ import annotations

import pytest

from il_core.config import config_dir, from_mapping
from il_core.errors import ConfigError
from il_policy.config import Head, NetworkKind, TrainConfig, load_train_config, plain

RECIPES = sorted(p.stem for p in (config_dir() / "train").glob("*.yaml"))


@pytest.mark.parametrize("name", RECIPES)
def test_shipped_recipes_load_and_survive_the_way_through_a_checkpoint(name: str) -> None:
    config = load_train_config(name)
    assert from_mapping(TrainConfig, plain(config), "round trip") == config
    assert config.max_seconds == 0, "paced by steps: the same training, however busy the machine"


def test_overrides_reach_nested_settings() -> None:
    config = load_train_config("diffusion", ("network.kind=unet1d", "network.channels=[8, 16]", "steps=7"))
    assert config.network.kind is NetworkKind.UNET1D
    assert config.network.channels == (8, 16)
    assert config.steps == 7


def test_head_means_the_section_of_the_chosen_head() -> None:
    assert load_train_config("flow", ("head.steps=3",)).flow.steps == 3
    assert load_train_config("diffusion", ("head.inference_steps=5",)).diffusion.inference_steps == 5
    switched = load_train_config("diffusion", ("head.steps=4", "head=flow"))  # in whatever order
    assert (switched.head, switched.flow.steps) == (Head.FLOW, 4)


def test_every_head_has_a_recipe() -> None:
    assert {load_train_config(name).head for name in RECIPES} == set(Head)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("stps=7", "unknown key 'stps'; did you mean 'steps'"),
        ("head.stps=7", "unknown key 'stps'; did you mean 'train_steps'|unknown key 'stps'"),
        ("head=difusion", "unknown value 'difusion'; did you mean 'diffusion'"),
        ("observe.rbg=[front]", "unknown key 'rbg'; did you mean 'rgb'"),
        ("steps", "expected key=value, such as steps=2000"),
        ("steps=many", "expected int, got 'many'"),
        ("steps=0", "steps, batch_size, eval_every and threads must be positive"),
        ("steps.more=1", "'steps' has no keys of its own"),
        ("network.kernel=4", "kernel must be odd"),
        ("device=tpu", "device must be cpu or cuda, got 'tpu'"),
    ],
)
def test_wrong_overrides_are_refused_in_words(override: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        load_train_config("diffusion", (override,))
