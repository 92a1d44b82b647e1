"""Whole trajectories fitted to few demonstrations, without gradients."""

from __future__ import annotations

from il_policy.head_config import Head
from il_policy.primitives.base import Primitive
from il_policy.primitives.dmp import Dmp
from il_policy.primitives.gmr import Gmr
from il_policy.primitives.promp import ProMp

PRIMITIVES: dict[Head, type[Primitive]] = {Head.DMP: Dmp, Head.PROMP: ProMp, Head.GMR: Gmr}

__all__ = ["PRIMITIVES", "Dmp", "Gmr", "Primitive", "ProMp"]
