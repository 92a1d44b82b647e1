"""Scripted operators that stand in for a person at the device: pure functions of what they see."""
