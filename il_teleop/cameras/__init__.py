"""Depth cameras: what they must give, and the ones that give it."""
