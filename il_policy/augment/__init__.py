"""Noise and disturbances that training inputs get, and inputs on the robot do not."""
