"""Records demonstrations: what the operator wants of the recorder comes as services and texts."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from rclpy.task import Future
from std_msgs.msg import String
from std_srvs.srv import Trigger

from il_core import topics
from il_core.config import config_dir, load_setup, load_yaml
from il_core.errors import ConfigError, GraphError, IlError
from il_core.ros import qos
from il_core.ros.clock import RosClock
from il_core.ros.diagnostics import Level
from il_core.ros.lifecycle import ACTIVE, ManagedNode
from il_core.ros.node import RECORDING_PRIORITY, run
from il_core.ros.params import Parameters
from il_core.shared_memory import cramped_peers
from il_core.store.box_files import prepare
from il_teleop.clock_watch import ClockWatch
from il_teleop.config import RecorderConfig, RecorderRules
from il_teleop.cue import Cue, Kind
from il_teleop.flow import Flow, FlowConfig, changed
from il_teleop.health import Health
from il_teleop.recorder import OWN_EVENTS, Event, State, resolve, service_of
from il_teleop.recorder_report import header_of, status_of
from il_teleop.ros.raw_streams import RawStreams
from il_teleop.sensor_place import check_sensor_place
from il_teleop.session import RecordingSession
from il_teleop.topic_stats import TopicStats, plan_topics, silence_text, silent_topic

POLL_S, STATUS_S = 0.02, 0.5
ANSWER_S = 60.0  # a slow disk may need long to make a recording durable
BEGINNINGS = (Event.START, Event.REDO)


class RecorderNode(ManagedNode):
    """Feeds raw messages to a RecordingSession and asks it for what the operator wants."""

    def __init__(self) -> None:
        """Declare parameters; files are read when the node is configured."""
        super().__init__("recorder")
        self._params = self.parameters(RecorderConfig)
        self._flow_params: Parameters[FlowConfig] | None = None
        self._streams: RawStreams | None = None
        self._ros_clock = RosClock(self)
        self._now_ns = self._ros_clock.now_ns

    def configure(self) -> None:
        """Read task and rules, and offer the services.

        Raises:
            ConfigError: a file or parameter is wrong.
        """
        p = self._params.value
        setup = load_setup(p.task, p.robot or None)
        check_sensor_place(setup)
        rules = load_yaml(config_dir() / "teleop" / f"{p.rules}.yaml", RecorderRules)
        stats = {plan.name: TopicStats(plan) for plan in plan_topics(setup, p.state_rate_hz)}
        is_sim_time = bool(self.get_parameter("use_sim_time").value)
        namespace = self.get_namespace()
        header = header_of(setup, operator=p.operator, notes=p.notes, namespace=namespace, is_sim_time=is_sim_time)
        queue_bytes = int(p.queue_mb * 1e6)
        self._clock_watch = ClockWatch(is_simulated=is_sim_time)
        problem = prepare()
        if problem:
            self.get_logger().warning(problem)
        self._session = RecordingSession(Path(p.root), header, stats, queue_bytes, self._ros_clock, rules.reject)
        self._flow_params = Parameters(self, FlowConfig, default=rules.flow, on_change=self._pace_takes)
        self._flow, self._health = Flow(self._flow_params.value), Health(rules.warn)
        self._warnings: dict[str, str] = {}
        self._warned: set[str] = set()
        self._cramped: set[int] = set()
        self._waiting: list[tuple[Callable[[], bool], int, Future]] = []
        for event in Event:
            if event not in OWN_EVENTS:
                self.create_service(Trigger, service_of(event), partial(self._on_service, event))
        self._cue = self.create_publisher(String, topics.RECORDER_CUE, qos.STREAM)
        self._reported_ns = self._now_ns()

    def activate(self) -> None:
        """Subscribe to every topic of the task, and to what the operator says."""
        self._streams = RawStreams(self, self._session, self._now_ns)
        self._hear(topics.RECORDER_TASK_TEXT, lambda text: self._session.describe(instruction=text))
        self._hear(topics.RECORDER_OPERATOR, lambda text: self._session.describe(operator=text))
        self._hear(topics.RECORDER_NOTE, self._note)
        self._hear(topics.RECORDER_FLOW, self._change_flow)
        self.create_timer(POLL_S, self._poll)

    def deactivate(self) -> None:
        """Close a running take safely: it is kept, unlabelled. Only a process that ends removes what is half recorded.

        A take that waits for review is kept in both cases.
        """
        if self._session.status.state is State.RECORDING and not self.is_leaving:
            self._session.handle(Event.STOP)
            self._session.poll(ANSWER_S)
        self.get_logger().info(self._session.close())
        self._poll()
        if self._streams is not None:
            self._streams.close()
            self._streams = None
        self._flow.cancel()
        for _, _, future in self._waiting:
            future.set_result(None)
        self._waiting.clear()

    def release(self) -> None:
        """Let the next configuration declare the flow of takes anew, from its own rules."""
        if self._flow_params is not None:
            self._flow_params.withdraw()
            self._flow_params = None

    def _pace_takes(self, config: FlowConfig) -> None:
        self._flow.config = config

    def _change_flow(self, text: str) -> None:
        """A value of the flow as a text: the same as setting the parameter of that name."""
        if self._flow_params is not None:
            self._flow_params.set(changed(self._flow.config, text))

    def _hear(self, topic: str, act: Callable[[str], None]) -> None:
        """Act on a text; one that makes no sense is refused in the log."""

        def guarded(msg: String) -> None:
            try:
                act(msg.data.strip())
            except IlError as error:
                self.get_logger().warning(f"'{topic}' refused: {error}")
            self.report()

        self.create_subscription(String, topic, guarded, qos.STREAM)

    def _note(self, text: str) -> None:
        key, separator, value = (part.strip() for part in text.partition(":"))
        if not separator or not key:
            raise ConfigError("note", f"expected '<key>: <text>', got '{text}'")
        self._session.note(key, value)

    async def _on_service(self, event: Event, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Answer when it is done, without holding up the messages meanwhile."""
        begins = resolve(self._session.status.state, event) in BEGINNINGS
        try:
            self._demand_active()
            if begins and self._silent() is not None:
                await self._until(lambda: self._silent() is None, self._params.value.start_timeout_s)
                self._demand_active()
            if begins and (silence := self._silence()):
                raise GraphError(silence)
            now = self._flow.ask(event, self._session.status, self._now_ns())
            if now is None:
                response.success, response.message = await self._postponed()
            else:
                answer = self._session.handle(now)
                await self._until(answer.done, ANSWER_S)
                if not answer.done():
                    raise GraphError(f"{event.value}: the disk did not answer within {ANSWER_S:.0f} s")
                response.success, response.message = True, answer.result()
            if begins:
                self._warn_of_peers()
        except IlError as error:
            response.success, response.message = False, str(error)
        self.get_logger().info(response.message)
        self.report()
        return response

    def _demand_active(self) -> None:
        if self.state != ACTIVE:
            raise GraphError(f"the recorder is {self.state}; activate it first")

    def _warn_of_peers(self) -> None:
        """Name processes whose pictures may get lost on the way here, each once."""
        for peer in cramped_peers():
            text = f"process {peer.pid} lacks config/dds/fastdds.xml: images it publishes may get lost ({peer.command})"
            if peer.pid not in self._cramped:
                self._cramped.add(peer.pid)
                self.get_logger().warning(text)
                self._cue.publish(String(data=Cue(Kind.WARNING, text).text))

    async def _postponed(self) -> tuple[bool, str]:
        """Wait for the end of the countdown; success and what became of it."""
        if not self._flow.is_counting_down:
            return True, "the countdown or pause is called off"
        await self._until(lambda: not self._flow.is_counting_down, self._flow.config.countdown_s + ANSWER_S)
        is_recording = self._session.status.state is State.RECORDING
        return is_recording, f"recording {self._session.path}" if is_recording else "the countdown was called off"

    def _until(self, condition: Callable[[], bool], timeout_s: float) -> Future:
        """Awaitable that completes when a condition holds or the time is over."""
        future = Future()
        if condition():
            future.set_result(None)
        else:
            self._waiting.append((condition, self._now_ns() + int(timeout_s * 1e9), future))
        return future

    def _poll(self) -> None:
        for name, change in (self._streams.adapt() if self._streams else {}).items():
            self.get_logger().warning(f"'{name}' {change}")
        self._session.poll()
        now_ns = self._now_ns()
        if (stepped := self._clock_watch.check(now_ns)) and self._session.status.state is State.RECORDING:
            self._session.fail(stepped)
            self.get_logger().error(stepped)
        events, cues = self._flow.tick(self._session.status, now_ns)
        for event in events:
            self._do_by_itself(event)
        for cue in cues:
            self._tell(cue)
        ready = [w for w in self._waiting if w[0]() or now_ns > w[1]]
        self._waiting = [w for w in self._waiting if w not in ready]
        for _, _, future in ready:
            future.set_result(None)

    def _do_by_itself(self, event: Event) -> None:
        """Carry out what the flow asks for; a start with a silent topic is called off aloud."""
        silence = self._silence() if event in BEGINNINGS else ""
        if silence:
            self._tell(Cue(Kind.WARNING, silence))
            self.get_logger().error(silence)
        else:
            self._session.handle(event)
            if event in BEGINNINGS:
                self._warn_of_peers()

    def _tell(self, cue: Cue) -> None:
        self._cue.publish(String(data=cue.text))
        if cue.kind is not Kind.COUNT:
            self.report()

    def _silent(self) -> TopicStats | None:
        limit_ns = int(self._params.value.silent_s * 1e9)
        return silent_topic(list(self._session.stats.values()), self._now_ns(), limit_ns)

    def _silence(self) -> str:
        """Which required topic is silent and who publishes it, or nothing."""
        topic = self._silent()
        if topic is None:
            return ""
        publishers = [i.node_name for i in self.get_publishers_info_by_topic(topic.plan.name)]
        return silence_text(topic, self._now_ns(), publishers)

    def report(self) -> None:
        """Publish the state twice a second and on every change; go to fault if a stream broke off."""
        now_ns = self._now_ns()
        since_ns = now_ns - self._reported_ns
        is_on_time = since_ns < 2 * STATUS_S * 1e9  # else we stalled, not the topics
        is_recording = self._session.status.state is State.RECORDING
        stats = self._session.stats.values()
        if since_ns >= 0.9 * STATUS_S * 1e9 or since_ns < 0:  # a rate over less is noise
            self._reported_ns = now_ns
            for topic in stats:
                topic.measure_rate(now_ns)
            self._warnings = self._health.warnings(stats, now_ns, is_recording=is_recording)
            fresh = set(self._warnings) - self._warned if is_recording else set()
            self._warned = set(self._warnings) if is_recording else set()
            for name in sorted(fresh):
                self._cue.publish(String(data=Cue(Kind.WARNING, f"{name}: {self._warnings[name]}").text))
        silence = self._silence()
        if silence and is_on_time and is_recording:
            self._session.fail(silence)
            self.get_logger().error(silence)
        level, message, values = status_of(self._session, now_ns, silence, self._warnings, self._flow)
        self.diagnostics.publish(Level[level], message, values)


def main() -> None:
    """Run the node."""
    sys.exit(run(RecorderNode, priority=RECORDING_PRIORITY))


if __name__ == "__main__":
    main()
