"""Stand-ins for the three programs of others that gazebo.launch.py starts; each writes down what it saw.

`gz` waits to be ended, with a child as Gazebo has; `parameter_bridge` speaks for an arm that stands at home;
`spawner` says when it was started. They write into the folder in GAZEBO_STAND_IN.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

FOLDER = Path(os.environ["GAZEBO_STAND_IN"])
KEPT = ("GZ_IP", "GZ_PARTITION", "GZ_SIM_SYSTEM_PLUGIN_PATH")


def note(file, /, **values):
    """Write what was seen, whole or not at all."""
    part = FOLDER / f"{file}.part"
    part.write_text(json.dumps({"pid": os.getpid(), "at": time.time(), **values}))
    part.rename(FOLDER / f"{file}.json")


def gz(words):
    child = subprocess.Popen(["sleep", "1000"])  # the server's window, or the server
    note("gz", words=words, child=child.pid, variables={name: os.environ.get(name) for name in KEPT})
    signal.signal(signal.SIGINT, lambda number, frame: sys.exit(0))
    while True:
        signal.pause()


def spawner(words):
    note("spawner", words=words)


def parameter_bridge(words):
    """Joint states at home and a clock at 500 Hz; keeps the last force of each joint, and the URDF."""
    import yaml
    from rclpy.node import Node
    from rosgraph_msgs.msg import Clock
    from sensor_msgs.msg import JointState
    from std_msgs.msg import Float64, Float64MultiArray, String

    from il_core import topics
    from il_core.config import load_setup
    from il_core.ros import qos
    from il_core.ros.convert import time_msg
    from il_core.ros.node import run
    from il_sim.gazebo.names import CONTROLLER

    class Bridge(Node):
        def __init__(self):
            super().__init__("bridge")
            file = self.declare_parameter("config_file", "").value
            rows = yaml.safe_load(Path(file).read_text())
            robot = load_setup("draw_symbol").robot
            fingers = ["fr3_finger_joint1", "fr3_finger_joint2"]
            forced = [r["ros_topic_name"].rpartition("/")[2] for r in rows if r["direction"] == "ROS_TO_GZ"]
            self.t_ns, self.forces, self.urdf, self.first = 0, dict.fromkeys(forced), "", 0.0
            self._message = JointState(name=[*robot.joint_names, *fingers], velocity=[0.0] * 9)
            self._message.position = [*robot.q_home_rad, 0.04, 0.04]
            self._states = self.create_publisher(JointState, topics.GAZEBO_JOINT_STATES, qos.STREAM)
            self._clock_out = self.create_publisher(Clock, "/clock", qos.STREAM)
            for joint in {"fr3_joint2", "fr3_joint4"} & set(forced):  # those that carry most
                self.create_subscription(Float64, topics.gazebo_force(joint), self._keeper(joint), qos.LATEST)
            self.create_subscription(String, topics.GAZEBO_DESCRIPTION, self._on_urdf, qos.LATCHED)
            self.create_subscription(Float64MultiArray, f"{CONTROLLER}/commands", self._on_numbers, qos.LATEST)
            self.create_timer(0.002, self._step)

        def _keeper(self, joint):
            def keep(msg: Float64) -> None:
                self.forces[joint] = msg.data

            return keep

        def _on_urdf(self, msg: String) -> None:
            self.urdf = msg.data

        def _on_numbers(self, msg: Float64MultiArray) -> None:
            self.first = self.first or time.time()

        def _step(self):
            self.t_ns += 2_000_000
            self._message.header.stamp = time_msg(self.t_ns)
            self._states.publish(self._message)
            self._clock_out.publish(Clock(clock=time_msg(self.t_ns)))
            if self.t_ns % 100_000_000 == 0:
                self.tell("bridge")

        def tell(self, file):
            variables = {key: os.environ.get(key) for key in KEPT}
            own = {"forces": self.forces, "urdf": self.urdf, "first": self.first, "variables": variables}
            note(file, name=self.get_fully_qualified_name(), **own)

        def on_shutdown_safe(self):
            time.sleep(0.2)
            self.tell("bridge_at_the_end")

    sys.exit(run(Bridge))


if __name__ == "__main__":
    {"gz": gz, "parameter_bridge": parameter_bridge, "spawner": spawner}[sys.argv[1]](sys.argv[2:])
