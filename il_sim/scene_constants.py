"""Names and contact numbers that the scene and the tasks share."""

TABLE = "table"
SOLREF = [0.005, 1.0]  # contact time constant [s] and damping ratio: stiff enough at a 1 ms step
WRIST_SITE = "wrist_sensor"  # where the force sensor measures; the only other site is the tool's
