"""The operator's console: what the page shows, who may open it, and what its buttons may do. No ROS."""
