"""policy_node: joint states, tool poses and pictures in, action chunks out, stamped in absolute time."""

from __future__ import annotations

import sys
from dataclasses import dataclass

import torch
from rclpy.node import Node
from std_srvs.srv import SetBool
from trajectory_msgs.msg import MultiDOFJointTrajectory

import il_policy
from il_core import topics
from il_core.config import load_setup
from il_core.errors import ConfigError, StaleStreamError
from il_core.ros import convert, qos
from il_core.ros.clock import RosClock
from il_core.ros.diagnostics import Diagnostics, Level
from il_core.ros.node import run
from il_core.ros.params import declare
from il_core.types import ActionChunk
from il_policy.ros.intake import ObservationIntake
from il_policy.session import PolicySession
from il_policy.worker import InferenceWorker

POLL_S = 0.01  # a tick is seen at most this late; the plan starts a whole tick period after it
DIAGNOSTICS_S = 0.5


@dataclass(frozen=True, slots=True)
class PolicyParams:
    """ROS parameters.

    Attributes:
        checkpoint: Folder that ``il train`` wrote.
        task: Name in config/task/ or path.
        robot: Name in config/robot/ or path; empty means the task's own.
        seed: Of the noise a diffusion policy starts from.
    """

    checkpoint: str = ""
    task: str = "pick_place"
    robot: str = ""
    seed: int = 0

    def __post_init__(self) -> None:
        """A policy needs a checkpoint."""
        if not self.checkpoint:
            problem = "parameter 'checkpoint' is empty; name the folder `il train` wrote"
            raise ConfigError("policy_node", problem)


class PolicyNode(Node):
    """Feeds messages to a PolicySession, its windows to an InferenceWorker, and publishes the chunks."""

    def __init__(self) -> None:
        """Load the checkpoint, warm up, then listen; planning starts with the service."""
        super().__init__("policy")
        params = declare(self, PolicyParams)
        torch.set_num_threads(1)  # a second thread beside the control loop makes both slower
        setup = load_setup(params.task, params.robot or None)
        policy = il_policy.load(params.checkpoint, setup, params.seed)
        policy.warm_up()
        self._session = PolicySession(setup.task)
        self._now_ns = RosClock(self).now_ns
        self._late, self._reason = 0, ""
        self._publisher = self.create_publisher(MultiDOFJointTrajectory, topics.POSE_CHUNK, qos.COMMAND)
        self._worker = InferenceWorker(policy, self._publish, params.seed)
        self._diagnostics = Diagnostics(self, "policy")
        self._intake = ObservationIntake(self, setup, self._session.aligner)
        self.create_service(SetBool, topics.POLICY_ENABLE, self._on_enable)
        self.create_timer(POLL_S, self._poll)
        self.create_timer(DIAGNOSTICS_S, self._report)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Start a new run, or end it: then no chunk is published any more."""
        self._session.stop()
        self._worker.end()
        self._reason = ""
        silence = self._silence() if request.data else None
        if silence is not None and silence.age_ns is None:
            response.success, response.message = False, self._explain(silence)
            return response
        if request.data:
            self._worker.begin()
            self._session.start(self._now_ns())
        response.success, response.message = True, "planning" if request.data else "stopped planning"
        return response

    def _poll(self) -> None:
        try:
            window = self._session.poll(self._now_ns())
        except StaleStreamError as error:
            self._reason = self._explain(error)
            return
        if window is not None:
            self._reason = ""
            self._worker.submit(window)

    def _publish(self, chunk: ActionChunk) -> None:
        """Called by the worker; a chunk that starts in the past is still good, its first rows are skipped."""
        self._late += self._now_ns() > chunk.start_ns
        self._publisher.publish(convert.pose_chunk_msg(chunk))

    def _silence(self) -> StaleStreamError | None:
        """What keeps an observation from being made right now."""
        try:
            self._session.aligner.observe(self._now_ns())
        except StaleStreamError as error:
            return error
        return None

    def _explain(self, error: StaleStreamError) -> str:
        return f"{error} (topic {self._intake.topics[error.stream]})"

    def _report(self) -> None:
        silence = self._silence()
        reason = self._worker.failure or self._reason or (self._explain(silence) if silence else "")
        p50, p99 = self._worker.times_ms()
        values: dict[str, object] = {
            "inference_ms_p50": f"{p50:.2f}",
            "inference_ms_p99": f"{p99:.2f}",
            "chunks": self._worker.chunks,
            "late_chunks": self._late,
            "replaced_windows": self._worker.replaced,
            "stale_ticks": self._session.stale_ticks,
            "enabled": self._session.is_running,
        }
        values |= {f"refused_{topic}": count for topic, count in self._intake.refused.items()}
        idle = "planning" if self._session.is_running else "ready"
        self._diagnostics.publish(Level.STALE if reason else Level.OK, reason or idle, values)

    def on_shutdown_safe(self) -> None:
        """Say nothing more: the controller holds where the last plan ends."""
        self._session.stop()
        self._worker.close()


def main() -> None:
    """Run the node."""
    sys.exit(run(PolicyNode))


if __name__ == "__main__":
    main()
