"""How plans join is what is configured: what a policy cannot do is refused, and numbers given win over a recipe's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from serving_world import CONFIGS, later, make_policy
from test_doubt_settings import Follows
from test_policy import ONNX

import il_policy
from il_core.errors import ConfigError
from il_policy.data_config import EnsembleConfig
from il_policy.serving.config import Handover, Runtime, ServeConfig, load_serve_config
from il_policy.serving.joining import averaged
from il_policy.serving.plain import PlainPolicy

OWN = EnsembleConfig(plans=6, decay=0.5)


def test_real_time_chunking_is_refused_where_there_are_no_steps_to_guide(policies):
    words = (
        "handover: got 'rtc', but this policy makes a plan in one pass.* expected one of auto, none, blend, ensemble"
    )
    with pytest.raises(ConfigError, match=words):
        il_policy.load(policies["bc"][0], config=replace(ONNX, handover=Handover.RTC))
    assert il_policy.load(policies["flow"][0], config=replace(ONNX, handover=Handover.RTC)).handover is Handover.RTC


@pytest.mark.parametrize("way", [Handover.RTC, Handover.ENSEMBLE])
def test_what_only_hands_over_whole_plans_refuses_what_it_would_ignore(way):
    with pytest.raises(ConfigError, match=f"got '{way.value}', but .*whole plans; expected one of auto, blend, none"):
        PlainPolicy(Follows(), "promp", replace(ONNX, handover=way))


@pytest.mark.parametrize(
    ("plans", "decay", "recipe", "expected"),
    [
        (None, None, EnsembleConfig(), (4, 0.01)),
        (None, None, OWN, (7, 0.5)),
        (2, None, OWN, (2, 0.5)),
        (None, 0.0, OWN, (7, 0.0)),
        (3, 0.2, EnsembleConfig(), (3, 0.2)),
    ],
)
def test_numbers_of_the_serving_configuration_win_over_the_recipes(plans, decay, recipe, expected):
    assert averaged(ServeConfig(ensemble_plans=plans, ensemble_decay=decay), recipe) == expected


def test_a_recipe_that_averages_is_served_with_as_many_plans_as_configured(setup, window, tmp_path):
    make_policy(setup, replace(CONFIGS["bc"], ensemble=OWN), tmp_path / "policy")
    (tmp_path / "one.yaml").write_text("runtime: torch\nensemble_plans: 1\n")
    moved = later(window, 2)
    T = moved[-1].T_base_ee.copy()
    T[:3, 3] += [0.02, -0.03, 0.0]
    moved = (moved[0], replace(moved[-1], T_base_ee=T))

    def second(config):
        policy = il_policy.load(tmp_path / "policy", setup, config=config)
        assert policy.handover in (Handover.ENSEMBLE, Handover.NONE)
        policy.predict(window)
        return policy.predict(moved).rows

    torch = ServeConfig(runtime=Runtime.TORCH)
    alone = second(replace(torch, handover=Handover.NONE))
    assert np.abs(second(torch) - alone).max() > 1e-3
    assert np.allclose(second(load_serve_config(str(tmp_path / "one.yaml"))), alone)
