"""Imports il_sim before any test imports mujoco: il_sim chooses the GL backend when there is no display."""

import il_sim  # noqa: F401
