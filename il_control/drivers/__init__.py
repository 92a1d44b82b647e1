"""Ways from a checked setpoint to an arm: ros2_control's controllers, and makers' own libraries."""
