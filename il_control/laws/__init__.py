"""Control laws: pure functions from state and target to joint torque, one law a file."""
