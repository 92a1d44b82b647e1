"""The vocabulary every il_* package shares: types, specs, errors, formats. No ROS, no torch."""
