"""policy_node: joint states, tool poses, wrenches and pictures in, action chunks out, stamped in absolute time."""

from __future__ import annotations

import logging
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rcl_interfaces.msg import SetParametersResult
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool
from trajectory_msgs.msg import JointTrajectory, MultiDOFJointTrajectory

import il_policy
from il_core import topics
from il_core.config import Setup, load_setup
from il_core.errors import ConfigError, IlError, StaleStreamError
from il_core.parameters import setting
from il_core.ros import convert, qos
from il_core.ros.clock import RosClock
from il_core.ros.diagnostics import Level
from il_core.ros.lifecycle import ManagedNode
from il_core.ros.node import interruptible, run
from il_core.ros.params import Parameters
from il_core.types import ActionChunk
from il_core.wire import JointMap
from il_policy.ros.doubts import DoubtPublisher
from il_policy.ros.intake import ObservationIntake
from il_policy.serving.acting import WorkingPolicy
from il_policy.serving.config import Doubt, ServeConfig, load_serve_config
from il_policy.serving.handover import ahead
from il_policy.serving.latency import lead_ns, wait_ns
from il_policy.serving.remote.client import RemotePolicy, parse_address
from il_policy.serving.remote.link import read_key
from il_policy.session import PolicySession
from il_policy.worker import InferenceWorker

DOUBT = ("doubt", "doubt_limit", "slow_factor")  # of ServeConfig: parameters that change at any time
POLL_S = 0.01  # a tick is seen at most this late; the plan starts a whole tick period after it


@dataclass(frozen=True, slots=True)
class PolicyParams:
    """ROS parameters.

    Attributes:
        checkpoint: Folder that ``il train`` wrote.
        task: Name in config/task/ or path.
        robot: Name in config/robot/ or path; empty means the task's own.
        seed: Of the noise a diffusion policy starts from.
        serving: Name in config/serve/ or path.
        remote: ``host:port`` of an inference server; empty means plans are made here.
        key: File with the key of that server.
        instruction: What to do, for policies that listen; empty means the task file's instruction.
    """

    checkpoint: str = ""
    task: str = "pick_place"
    robot: str = ""
    seed: int = 0
    serving: str = "default"
    remote: str = ""
    key: str = ""
    instruction: str = setting("", is_dynamic=True)

    def demand_source(self) -> None:
        """A policy needs a checkpoint, or a server and its key.

        Raises:
            ConfigError: it has neither.
        """
        if not self.checkpoint and not self.remote:
            problem = "parameter 'checkpoint' is empty; name the folder `il train` wrote"
            raise ConfigError("policy_node", problem)
        if self.remote and not self.key:
            problem = "parameter 'key' is empty; name the key file that the inference server uses"
            raise ConfigError("policy_node", problem)


def make_policy(params: PolicyParams, setup: Setup, config: ServeConfig) -> WorkingPolicy:
    """The policy of this node, warm, served as ``config`` says.

    Raises:
        IlError: it cannot be served; says why.
    """
    policy: WorkingPolicy
    if params.remote:
        address, key, lead = parse_address(params.remote), read_key(Path(params.key)), lead_ns(config, setup.task)
        policy = RemotePolicy(setup, *address, key, params.seed, lead_ns=lead)
        policy.doubt_as(config)
    else:
        policy = il_policy.load(params.checkpoint, setup, params.seed, config)
    policy.instruct(params.instruction)
    policy.warm_up()
    return policy


class PolicyNode(ManagedNode):
    """Feeds messages to a PolicySession, its windows to an InferenceWorker, and publishes the chunks."""

    def __init__(self) -> None:
        """Declare parameters; the checkpoint is loaded when the node is configured."""
        super().__init__("policy")
        self._params = self.parameters(PolicyParams)
        self.add_on_set_parameters_callback(self._hear)
        self._now_ns = RosClock(self).now_ns
        self._worker: InferenceWorker | None = None
        self._doubt_params: Parameters[ServeConfig] | None = None

    def configure(self) -> None:
        """Load the checkpoint, warm up, and listen.

        Raises:
            IlError: no policy can be served; says why.
        """
        params = self._params.value
        params.demand_source()
        setup = load_setup(params.task, params.robot or None)
        serving = load_serve_config(params.serving)
        self._doubt_params = Parameters(self, ServeConfig, default=serving, names=DOUBT, on_change=self._doubt)
        with interruptible():
            self._policy = make_policy(params, setup, self._doubt_params.value)
        self._wait_ns = wait_ns(serving)
        self._session = PolicySession(setup.task)
        self._late, self._reason = 0, ""
        self._joints = JointMap(setup.robot)
        self._poses = self.create_publisher(MultiDOFJointTrajectory, topics.POSE_CHUNK, qos.COMMAND)
        self._postures = self.create_publisher(JointTrajectory, topics.JOINT_CHUNK, qos.COMMAND)
        self._doubts = DoubtPublisher(self)
        self._worker = InferenceWorker(self._policy, self._publish, params.seed)
        self._intake = ObservationIntake(self, setup, self._session.aligner)

    def activate(self) -> None:
        """Be ready to plan; planning starts with the service."""
        self.create_service(SetBool, topics.POLICY_ENABLE, self._on_enable)
        self.create_timer(POLL_S, self._poll)
        self.get_logger().info(f"ready ({self._policy.runtime}); plans once '{topics.POLICY_ENABLE}' is called")

    def deactivate(self) -> None:
        """No chunk is published any more when this returns: the controller holds where the last plan ends."""
        self._session.stop()
        if self._worker is not None:
            self._worker.end()

    def release(self) -> None:
        """End the worker, and with it the policy."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None
        if self._doubt_params is not None:
            self._doubt_params.withdraw()
            self._doubt_params = None

    def _doubt(self, config: ServeConfig) -> None:
        """Change what doubt leads to from the next plan on; a server that is stricter stays so."""
        try:
            self._policy.doubt_as(config)
        except IlError as error:  # it was asked before, in _hear; rclpy would swallow this
            self.get_logger().error(str(error))
            return
        if config.doubt is not Doubt.HELP:
            self._doubts.withdraw()

    def _hear(self, parameters: list[Parameter[Any]]) -> SetParametersResult:
        """Take a new instruction from the next plan on, or say why the policy does not; nor doubts, if so."""
        said = {p.name: p.value for p in parameters if isinstance(p.value, str)}
        try:
            if self._worker is not None and said.get("doubt") in list(Doubt):
                self._policy.check_doubt(Doubt(said["doubt"]))
            if self._worker is not None and "instruction" in said:
                self._policy.instruct(said["instruction"])
        except IlError as error:
            return SetParametersResult(successful=False, reason=str(error))
        return SetParametersResult(successful=True)

    def _on_enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        """Start a new run, or end it: then no chunk is published any more."""
        worker = self._worker
        if worker is None:
            response.success, response.message = False, "no policy is loaded"
            return response
        self._session.stop()
        worker.end()
        self._reason = ""
        silence = self._silence() if request.data else None
        if silence is not None and silence.age_ns is None:
            response.success, response.message = False, self._explain(silence)
            return response
        if request.data:
            self._doubts.clear()
            worker.begin()
            self._session.start(self._now_ns())
        response.success, response.message = True, "planning" if request.data else "stopped planning"
        return response

    def _poll(self) -> None:
        try:
            window = self._session.poll(self._now_ns() - self._wait_ns)
        except StaleStreamError as error:
            self._reason = self._explain(error)
            return
        if window is not None and self._worker is not None:
            self._reason = ""
            self._worker.submit(window)

    def _publish(self, chunk: ActionChunk) -> None:
        """Called by the worker; a chunk that starts in the past is still good, its first rows are skipped."""
        chunk = ahead(chunk, self._policy.lead_ns)
        if chunk.q_des is not None:
            self._postures.publish(convert.joint_chunk_msg(chunk, self._joints))
        else:
            self._poses.publish(convert.pose_chunk_msg(chunk))
        now_ns = self._now_ns()
        self._late += now_ns > chunk.start_ns
        self._policy.latency.add(max(0, now_ns - chunk.obs_ns))  # 0: the clock was set back meanwhile
        self._doubts.tell(self._policy.report)

    def _silence(self) -> StaleStreamError | None:
        """What keeps an observation from being made right now."""
        try:
            self._session.aligner.observe(self._now_ns())
        except StaleStreamError as error:
            return error
        return None

    def _explain(self, error: StaleStreamError) -> str:
        return f"{error} (topic {self._intake.topics[error.stream]})"

    def report(self) -> None:
        """Publish figures, and what keeps a plan from being made."""
        worker = self._worker
        if worker is None:
            return
        silence = self._silence()
        reason = worker.failure or self._reason or (self._explain(silence) if silence else "")
        p50, p99 = worker.times_ms()
        plan = self._policy.report
        values: dict[str, object] = {
            "inference_ms_p50": f"{p50:.2f}",
            "inference_ms_p99": f"{p99:.2f}",
            "latency_ms_p95": f"{self._policy.latency.p95_ns() / 1e6:.1f}",
            "runtime": self._policy.runtime,
            "steps": plan.steps,
            "frozen_rows": plan.frozen,
            "lead_ms": f"{self._policy.lead_ns / 1e6:.0f}",
            "doubt": f"{plan.score:.3f}",
            "chunks": worker.chunks,
            "late_chunks": self._late,
            "replaced_windows": worker.replaced,
            "stale_ticks": self._session.stale_ticks,
            "enabled": self._session.is_running,
        }
        values |= {f"refused_{topic}": count for topic, count in self._intake.refused.items()}
        idle = "planning" if self._session.is_running else "ready"
        doubt = self._doubts.sentence if self._session.is_running else ""
        level = Level.STALE if reason else Level.WARN if doubt else Level.OK
        level = Level.ERROR if worker.failure else level
        self.diagnostics.publish(level, reason or doubt or idle, values)


def main() -> None:
    """Run the node."""
    table = logging.getLogger("il_policy.serving.choose")  # of measured runtimes: shown once, at start
    table.setLevel(logging.INFO)
    table.addHandler(logging.StreamHandler())
    table.propagate = False
    sys.exit(run(PolicyNode))


if __name__ == "__main__":
    main()
