"""Leads the arm of a running graph to and fro, as a person does for `il latency`, until Ctrl-C."""

import math
import time

from geometry_msgs.msg import PoseStamped

from il_cli.ros.session import Session
from il_core import topics
from il_core.ros import convert, qos

PERIOD_S = (1.6, 2.3)  # two, so that no delay looks like another
REACH_M, RATE_HZ, START_S = 0.06, 50.0, 60.0


def main():
    """Send poses around where the tool is now."""
    with Session("to_and_fro") as session:
        session.wait(lambda: bool(session.path), START_S, "the pose of the tool")
        targets = session.node.create_publisher(PoseStamped, topics.TELEOP_POSE, qos.COMMAND)
        T, began_s = session.path[-1].T_base_ee, time.monotonic()
        print("moving", flush=True)
        while True:
            t = time.monotonic() - began_s
            T_des = T.copy()
            T_des[1, 3] += REACH_M * sum(math.sin(2 * math.pi * t / period) for period in PERIOD_S)
            targets.publish(convert.pose_stamped_msg(session.now_ns(), T_des))
            time.sleep(1 / RATE_HZ)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
