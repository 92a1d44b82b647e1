"""Hand-eye calibration: where a camera sits on the tool or beside the arm, from pictures of a ChArUco board."""
