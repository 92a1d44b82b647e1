"""Records demonstrations: start, stop, keep, discard, success and failure are services."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from geometry_msgs.msg import PoseStamped
from rclpy.event_handler import SubscriptionEventCallbacks
from rclpy.node import Node
from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.task import Future
from sensor_msgs.msg import CameraInfo, Image, JointState
from std_srvs.srv import Trigger

from il_core import topics
from il_core.config import load_setup
from il_core.errors import GraphError, IlError
from il_core.ros.clock import RosClock
from il_core.ros.diagnostics import Diagnostics, Level
from il_core.ros.node import RECORDING_PRIORITY, run
from il_core.ros.params import declare
from il_teleop.config import RecorderConfig
from il_teleop.recorder import Event, State, TopicPlan, TopicStats, plan_topics, silence_text, silent_topic
from il_teleop.recorder_report import header_of, status_of
from il_teleop.session import RecordingSession

CLASSES = {
    "sensor_msgs/msg/JointState": JointState,
    "geometry_msgs/msg/PoseStamped": PoseStamped,
    "sensor_msgs/msg/Image": Image,
    "sensor_msgs/msg/CameraInfo": CameraInfo,
}
SERVICES = {
    topics.RECORDER_START: Event.START,
    topics.RECORDER_STOP: Event.STOP,
    topics.RECORDER_KEEP: Event.KEEP,
    topics.RECORDER_DISCARD: Event.DISCARD,
    topics.RECORDER_SUCCESS: Event.SUCCESS,
    topics.RECORDER_FAILURE: Event.FAILURE,
}
# The middleware overwrites without a word when a queue is full, so these outlast any stall we
# accept: 8 s of a 1 kHz topic, 2 s of images. Without a limit, publishers would block instead.
STREAM_DEPTH, IMAGE_DEPTH = 8192, 64
POLL_S, STATUS_S = 0.02, 0.5
ANSWER_S = 60.0  # a slow disk may need long to make a recording durable


class RecorderNode(Node):
    """Feeds raw messages to a RecordingSession and asks it for what the services want."""

    def __init__(self) -> None:
        """Subscribe to every topic of the task."""
        super().__init__("recorder")
        self._config = p = declare(self, RecorderConfig)
        setup = load_setup(p.task, p.robot or None)
        clock = RosClock(self)
        self._clock_ns = clock.now_ns
        stats = {plan.name: TopicStats(plan) for plan in plan_topics(setup, p.state_rate_hz)}
        header = header_of(
            setup,
            operator=p.operator,
            notes=p.notes,
            namespace=self.get_namespace(),
            is_sim_time=bool(self.get_parameter("use_sim_time").value),
        )
        self._session = RecordingSession(Path(p.root), header, stats, int(p.queue_mb * 1e6), clock)
        self._waiting: list[tuple[Callable[[], bool], int, Future]] = []
        for topic in stats.values():
            self._subscribe(topic.plan)
        for name, event in SERVICES.items():
            self.create_service(Trigger, name, partial(self._on_service, event))
        self._diagnostics = Diagnostics(self, "recorder")
        self._reported_ns = self._clock_ns()
        self.create_timer(POLL_S, self._poll)
        self.create_timer(STATUS_S, self._report)

    def _subscribe(self, plan: TopicPlan) -> None:
        depth = IMAGE_DEPTH if plan.is_image else STREAM_DEPTH
        profile = QoSProfile(depth=depth, reliability=ReliabilityPolicy.RELIABLE)
        events = SubscriptionEventCallbacks(
            message_lost=lambda lost: self._session.lose(plan.name, lost.total_count_change)
        )
        receive, now_ns = self._session.receive, self._clock_ns
        self.create_subscription(
            CLASSES[plan.type],
            plan.name,
            lambda data: receive(plan.name, data, now_ns()),
            profile,
            raw=True,
            event_callbacks=events,
        )

    async def _on_service(self, event: Event, request: Trigger.Request, response: Trigger.Response) -> Trigger.Response:
        """Answer when it is done, without holding up the messages meanwhile."""
        if event is Event.START and self._silent() is not None:
            await self._until(lambda: self._silent() is None, self._config.start_timeout_s)
        try:
            if event is Event.START and (silence := self._silence()):
                raise GraphError(silence)
            answer = self._session.handle(event)
            await self._until(answer.done, ANSWER_S)
            if not answer.done():
                raise GraphError(f"{event.value}: the disk did not answer within {ANSWER_S:.0f} s")
            response.success, response.message = True, answer.result()
        except IlError as error:
            response.success, response.message = False, str(error)
        self.get_logger().info(response.message)
        return response

    def _until(self, condition: Callable[[], bool], timeout_s: float) -> Future:
        """Awaitable that completes when a condition holds or the time is over."""
        future = Future()
        if condition():
            future.set_result(None)
        else:
            self._waiting.append((condition, self._clock_ns() + int(timeout_s * 1e9), future))
        return future

    def _poll(self) -> None:
        self._session.poll()
        now_ns = self._clock_ns()
        ready = [w for w in self._waiting if w[0]() or now_ns > w[1]]
        self._waiting = [w for w in self._waiting if w not in ready]
        for _, _, future in ready:
            future.set_result(None)

    def _silent(self) -> TopicStats | None:
        limit_ns = int(self._config.silent_s * 1e9)
        return silent_topic(list(self._session.stats.values()), self._clock_ns(), limit_ns)

    def _silence(self) -> str:
        """Which required topic is silent and who publishes it, or nothing."""
        topic = self._silent()
        if topic is None:
            return ""
        publishers = [i.node_name for i in self.get_publishers_info_by_topic(topic.plan.name)]
        return silence_text(topic, self._clock_ns(), publishers)

    def _report(self) -> None:
        """Publish the state twice a second, and go to fault if a stream broke off."""
        now_ns = self._clock_ns()
        is_on_time = now_ns - self._reported_ns < 2 * STATUS_S * 1e9  # else we stalled, not the topics
        self._reported_ns = now_ns
        silence = self._silence()
        if silence and is_on_time and self._session.status.state is State.RECORDING:
            self._session.fail(silence)
            self.get_logger().error(silence)
        level, message, values = status_of(self._session, now_ns, silence)
        self._diagnostics.publish(Level[level], message, values)

    def on_shutdown_safe(self) -> None:
        """Keep what waits for review; remove what is half recorded."""
        self.get_logger().info(self._session.close())


def main() -> None:
    """Run the node."""
    sys.exit(run(RecorderNode, priority=RECORDING_PRIORITY))


if __name__ == "__main__":
    main()
