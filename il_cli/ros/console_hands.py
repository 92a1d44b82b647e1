"""Does on the graph what the console's buttons say, and waits until the graph confirms it."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import Callable

from lifecycle_msgs.srv import ChangeState
from rclpy.node import Node
from sensor_msgs.msg import JointState
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

from il_cli.console.commands import HALT, RECORDER, Command
from il_cli.console.state import Board
from il_cli.ros.console_calls import Calls
from il_cli.ros.recording_desk import ANSWER_S, TOLD_S
from il_core import topics
from il_core.clock import SteadyClock
from il_core.errors import ConfigError, GraphError
from il_core.ros import qos
from il_core.spec import RobotSpec
from il_teleop.recorder import OWN_EVENTS, Event, service_of

POLL_S = 0.05
QUICK_S = 1.5  # for services that only set a flag
DRIVE_S = 1.5  # control/source is told twice a second
LOAD_S = 300.0  # a large policy loads for minutes
CHANGE_STATE = "policy/change_state"
TEXTS = {  # command -> topic, and what the recorder shows it as
    "say.task_text": (topics.RECORDER_TASK_TEXT, "task_text"),
    "say.operator": (topics.RECORDER_OPERATOR, "operator"),
}
SERVICES: dict[str, tuple[str, Callable[[], object], float]] = {  # command -> service, request, longest wait [s]
    **{f"{RECORDER}{e.value}": (service_of(e), Trigger.Request, ANSWER_S) for e in Event if e not in OWN_EVENTS},
    "resume": (topics.CONTROLLER_RESUME, Trigger.Request, QUICK_S),
    "policy.start": (topics.POLICY_ENABLE, lambda: SetBool.Request(data=True), QUICK_S),
    "policy.stop": (topics.POLICY_ENABLE, lambda: SetBool.Request(data=False), QUICK_S),
}
LIFECYCLE = {  # command -> state -> transitions that lead where it wants
    "policy.load": {"unconfigured": ("configure", "activate"), "inactive": ("activate",), "active": ()},
    "policy.unload": {"active": ("deactivate", "cleanup"), "inactive": ("cleanup",), "unconfigured": ()},
}


class GraphHands:
    """Performs commands over services and topics."""

    def __init__(
        self, node: Node, board: Board, robot: RobotSpec, stop_service: str, watch: Callable[[frozenset[str]], None]
    ) -> None:
        """Create clients and publishers.

        Args:
            node: Whose they are; somebody spins it.
            board: Tells whether a command had an effect.
            robot: Whose home is gone to.
            stop_service: std_srvs/Trigger that stops the arm.
            watch: Takes the cameras that somebody looks at.
        """
        self._board, self._robot, self._stop_service = board, robot, stop_service
        self.watch = watch
        self._node, self._steady_ns = node, SteadyClock().now_ns
        kinds: dict[str, type] = dict.fromkeys([service for service, _, _ in SERVICES.values()], Trigger)
        kinds |= {topics.CONTROLLER_HOLD: Trigger, stop_service: Trigger}
        kinds |= {topics.POLICY_ENABLE: SetBool, CHANGE_STATE: ChangeState}
        self.calls = Calls(node, kinds)
        self._texts = {name: node.create_publisher(String, name, qos.STREAM) for name, _ in TEXTS.values()}
        self._posture = node.create_publisher(JointState, topics.GO_TO_POSTURE, qos.COMMAND)

    async def perform(self, command: Command) -> str:
        """Do it and say what was done; see :class:`il_cli.console.desk.Hands`."""
        name = command.name
        if name == HALT:
            return await self._halt()
        if name in SERVICES:
            service, make_request, timeout_s = SERVICES[name]
            return await self.calls.ask(service, make_request(), timeout_s)
        if name in TEXTS:
            return await self._say(*TEXTS[name], command.argument)
        if name == "home":
            return await self._go_home()
        if name in LIFECYCLE:
            return await self._change_policy(name)
        raise ConfigError("command", f"'{name}' is known to pages, and nobody here performs it")

    async def _halt(self) -> str:
        """Stop the arm first, then who would move it again; believe it when the controller says who drives.

        Raises:
            GraphError: somebody did not answer, or the arm is driven nevertheless.
        """
        has_policy = topics.POLICY_ENABLE in self.calls.ready()
        stops = [self._stop(), *([self._end_policy()] if has_policy else [])]
        results = await asyncio.gather(*stops, return_exceptions=True)
        if has_policy and not isinstance(results[0], BaseException):
            results = [await self._stop(), *results[1:]]  # a plan may have come between the two
        for result in results:
            if isinstance(result, BaseException):
                raise result
        asked_ns = self._steady_ns()
        drive = await self._until(lambda: self._drives_since(asked_ns), DRIVE_S)
        if not drive:
            raise GraphError(f"the stop was answered, but '{topics.CONTROL_SOURCE}' does not tell who drives")
        if drive != "hold":
            raise GraphError(f"the arm was stopped, but {drive} drives it again: let go, or switch it off")
        return "the arm is stopped" + (", and the policy" if has_policy else "")

    async def _stop(self) -> str:
        return await self.calls.ask(self._stop_service, Trigger.Request(), QUICK_S)

    async def _end_policy(self) -> str:
        try:
            return await self.calls.ask(topics.POLICY_ENABLE, SetBool.Request(data=False), QUICK_S)
        except GraphError as error:
            raise GraphError(f"the arm was told to hold, but the policy was not stopped: {error}") from error

    def _drives_since(self, since_ns: int) -> str:
        """Who drives, if that was told after an instant."""
        heard = self._board.drive
        return heard.values.get("source", "") if heard is not None and heard.at_ns > since_ns else ""

    async def _go_home(self) -> str:
        if not self._posture.get_subscription_count():
            raise GraphError(f"nobody listens on '{topics.GO_TO_POSTURE}': is the controller up and active?")
        msg = JointState(name=list(self._robot.joint_names), position=array("d", self._robot.q_home_rad))
        msg.header.stamp = self._node.get_clock().now().to_msg()
        asked_ns = self._steady_ns()
        self._posture.publish(msg)

        def has_begun() -> bool:
            heard = self._board.drive
            if heard is None or heard.at_ns <= asked_ns:
                return False
            return "go-to" in (heard.values.get("source"), heard.values.get("before"))

        if not await self._until(has_begun, DRIVE_S):
            heard = self._board.drive
            who = heard.values.get("source", "nobody") if heard is not None else "nobody"
            raise GraphError(f"the controller does not go home: {who} is in charge; see its log")
        return "the arm goes home"

    async def _say(self, topic: str, key: str, text: str) -> str:
        """Say it until the recorder shows it; the same text twice does no harm."""

        def is_shown() -> bool:
            heard = self._board.node("recorder", self._steady_ns())
            return heard is not None and heard.values.get(key) == text

        for _ in range(3):
            self._texts[topic].publish(String(data=text))
            if await self._until(is_shown, TOLD_S / 3):
                return f"'{text}'"
        raise GraphError(f"the recorder did not take '{text}' on '{topic}'; see its log")

    async def _change_policy(self, name: str) -> str:
        heard = self._board.node("policy", self._steady_ns())
        state = heard.values.get("lifecycle", "active") if heard is not None else "silent"
        if state not in LIFECYCLE[name]:
            raise GraphError(f"the policy is {state}; wait, or see its log")
        for transition in LIFECYCLE[name][state]:
            request = ChangeState.Request()
            request.transition.label = transition
            answer = await self.calls.call(CHANGE_STATE, request, LOAD_S)
            if not answer.success:
                await asyncio.sleep(0.6)  # until it has said why
                heard = self._board.node("policy", self._steady_ns())
                raise GraphError(f"cannot {transition}: {heard.message if heard is not None else 'it fell silent'}")
        return "loaded" if name == "policy.load" else "unloaded"

    async def _until(self, condition: Callable[[], object], timeout_s: float) -> object:
        """The condition's first true value, or its last false one after the time."""
        end_ns = self._steady_ns() + int(timeout_s * 1e9)
        while not (value := condition()) and self._steady_ns() < end_ns:
            await asyncio.sleep(POLL_S)
        return value
