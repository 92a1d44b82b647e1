"""The controller as a ROS node."""
