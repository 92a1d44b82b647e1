"""The command line's own ROS client."""
