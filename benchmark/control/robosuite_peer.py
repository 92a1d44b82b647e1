"""The peer: robosuite's operational-space controller on its Panda, timed on request; runs in a venv of its own.

Reads a number of steps per line from stdin, answers with the microseconds of each step as JSON: with the
update of its own model (``lite_physics=False``, what an arm without that simulator needs), and without it
(quantities taken over from the physics step).
"""

import json
import sys
import time

import numpy as np
import robosuite


def main() -> None:
    """Answer until stdin ends."""
    env = robosuite.make("Lift", robots="Panda", has_renderer=False, has_offscreen_renderer=False, use_camera_obs=False)
    env.reset()
    arm = env.robots[0].composite_controller.part_controllers["right"]
    arm.set_goal(np.zeros(6))
    print(json.dumps({"controller": type(arm).__name__, "robosuite": robosuite.__version__}), flush=True)
    for line in sys.stdin:
        full, lite = [], []
        for _ in range(int(line)):
            begin = time.perf_counter_ns()
            arm.update(force=True)
            arm.run_controller()
            full.append((time.perf_counter_ns() - begin) / 1000)
            arm.new_update = True  # as after every step of the physics
            begin = time.perf_counter_ns()
            arm.run_controller()
            lite.append((time.perf_counter_ns() - begin) / 1000)
        print(json.dumps({"full": full, "lite": lite}), flush=True)


if __name__ == "__main__":
    main()
