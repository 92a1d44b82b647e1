"""The simulated scene for Gazebo: world, model and bridge written from the same description as MuJoCo's."""
