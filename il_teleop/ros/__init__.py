"""The ROS nodes of teleoperation and recording."""
