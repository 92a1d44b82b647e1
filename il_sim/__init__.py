"""An arm, cameras and tasks without hardware: the robot's own URDF in MuJoCo."""
