"""Which way a policy's plans join one another: what is configured, where the policy can do it."""

from __future__ import annotations

from il_core.errors import ConfigError
from il_policy.data_config import EnsembleConfig
from il_policy.serving.config import Handover, ServeConfig
from il_policy.serving.levels import SamplerSpec

USUAL_PLANS, USUAL_DECAY = 4, 0.01  # of an ensemble that neither the configuration nor the recipe describes


def chosen(config: ServeConfig, sampler: SamplerSpec, ensemble: EnsembleConfig) -> Handover:
    """How plans join: as configured; else averaged if the recipe says so, else as suits the sampler.

    Raises:
        ConfigError: real-time chunking of a policy that has no steps to guide.
    """
    if config.handover is Handover.AUTO:
        if ensemble.plans:
            return Handover.ENSEMBLE
        return Handover.RTC if sampler.is_stepped else Handover.BLEND
    if config.handover is Handover.RTC and not sampler.is_stepped:
        others = tuple(h for h in Handover if h is not Handover.RTC)
        raise _not_possible(config, "this policy makes a plan in one pass, it has no steps to guide", others)
    return config.handover


def chosen_plain(config: ServeConfig) -> Handover:
    """How plans join of a policy that only hands over whole plans: by blending, or not at all.

    Raises:
        ConfigError: another way is configured.
    """
    if config.handover in (Handover.RTC, Handover.ENSEMBLE):
        possible = (Handover.AUTO, Handover.BLEND, Handover.NONE)
        raise _not_possible(config, "policies of this kind hand over whole plans", possible)
    return Handover.NONE if config.handover is Handover.NONE else Handover.BLEND


def _not_possible(config: ServeConfig, why: str, possible: tuple[Handover, ...]) -> ConfigError:
    options = ", ".join(h.value for h in possible)
    return ConfigError("serving: handover", f"got '{config.handover.value}', but {why}; expected one of {options}")


def averaged(config: ServeConfig, recipe: EnsembleConfig) -> tuple[int, float]:
    """Plans that an ensemble averages, the newest included, and its decay: as configured, else as the recipe says."""
    usual = (recipe.plans + 1, recipe.decay) if recipe.plans else (USUAL_PLANS, USUAL_DECAY)
    plans = usual[0] if config.ensemble_plans is None else config.ensemble_plans
    return plans, usual[1] if config.ensemble_decay is None else config.ensemble_decay
