"""Settings of the controller fail early, with file and key."""

from dataclasses import replace

import pytest

from il_control.config import load_control_config
from il_core.config import config_dir, load_setup
from il_core.errors import ConfigError


def test_a_task_with_settings_of_its_own_gets_them(setup, config):
    drawing = load_control_config(load_setup("draw_symbol"))
    assert config.stiffness_n_m == (600.0, 600.0, 600.0)
    assert drawing.stiffness_n_m == (1000.0, 1000.0, 1000.0)


@pytest.mark.parametrize(
    "old, new, words",
    [
        ("rate_hz: 1000", "rate_hz: 100", "rate_hz must be 1000 or 500, got 100"),
        ("damping_ratio: 1.0", "damping_ratio: 0.0", "damping_ratio must be positive"),
        ("damping_ratio: 1.0", "damping: 1.0", "unknown key 'damping'; did you mean 'damping_ratio'"),
        ("[600.0, 600.0, 600.0]", "[600.0, -1.0, 600.0]", "must not be negative"),
        ("[600.0, 600.0, 600.0]", "[600.0, 600.0]", "need 3 values"),
    ],
)
def test_a_bad_setting_is_named(setup, tmp_path, old, new, words):
    text = (config_dir() / "control" / "default.yaml").read_text()
    assert old in text
    path = tmp_path / "bad.yaml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(ConfigError, match=words) as error:
        load_control_config(setup, path)
    assert "bad.yaml" in str(error.value)


def test_gains_must_be_one_per_joint(setup):
    robot = replace(
        setup.robot,
        **{
            key: getattr(setup.robot, key)[:6]
            for key in ("joint_names", "q_home_rad", "armature_kg_m2", "q_min_rad", "q_max_rad")
        },
        **{key: getattr(setup.robot, key)[:6] for key in ("v_max_rad_s", "tau_max_nm", "tau_rate_max_nm_s")},
    )
    with pytest.raises(ConfigError, match="'joint_stiffness_nm_rad' has 7 values for 6 joints"):
        load_control_config(replace(setup, robot=robot))


def test_half_the_rate_is_accepted(config):
    assert replace(config, rate_hz=500).dt == 0.002
