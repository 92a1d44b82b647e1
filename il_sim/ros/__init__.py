"""The simulated arm, its cameras and the scripted operator as ROS nodes."""
