"""What a recording holds for each stream of a task, by message number; messages are decoded on demand.

Two passes over the file: the first notes stamps, the second decodes only the messages chosen from
them. So a recording of minutes of video needs the memory of its chosen pictures only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from il_core import topics, wire
from il_core.align import ARM, EE_POSE, WRENCH, FramePairs, camera_stream, streams_of
from il_core.config import Setup
from il_core.errors import EpisodeError
from il_core.geometry import matrix_from_quat_xyzw
from il_core.spec import ActionLabel
from il_core.store.recording import Recording
from il_core.types import CameraFrame, EePose
from il_teleop.review.decisions import trim_of

TARGET_POSE, TARGET_GRIPPER = "target", "target_gripper"
Numbers = tuple[int, ...]  # messages that make up one sample: one, or colour and depth


class RecordedStreams:
    """Stamps of all samples of the streams a task needs, and access to the samples.

    Attributes:
        samples: Stamp [ns] and message numbers of every sample, by stream.
        openings: Stamp [ns] and opening that was wanted of a gripper which the task's action leaves alone.
    """

    def __init__(self, recording: Recording, setup: Setup) -> None:
        """Read the stamps of a recording.

        Raises:
            EpisodeError: a topic the task needs is missing or has no messages.
            RecordingError: the data are damaged.
        """
        self._recording = recording
        self._joints = wire.JointMap(setup.robot)
        self._R_base_ee = matrix_from_quat_xyzw(setup.task.quat_xyzw_tool)
        self._readers: dict[str, Callable[[Any], object]] = {
            EE_POSE: self._ee_pose,
            ARM: lambda message: wire.arm_state_from(message, self._joints),
            WRENCH: lambda message: wire.wrench_from(message, setup.robot.force_sensor()),
            TARGET_POSE: lambda message: wire.pose_from(message.pose),
            TARGET_GRIPPER: lambda message: wire.opening_from(message, self._joints)[1],
        }
        self._topic_of, self._pictures = self._plan(setup)
        self._infos: dict[str, Any] = {}
        self.samples: dict[str, list[tuple[int, Numbers]]] = {}
        action = setup.task.action
        is_driven = action.label is ActionLabel.SETPOINT and bool(setup.robot.gripper_joint)
        self._watches_hand = is_driven and not action.gripper
        self.openings: list[tuple[int, float]] = []
        self._read_stamps()
        for stream in (*self._topic_of.values(), *(s for s, _ in self._pictures.values())):
            if not self.samples.get(stream):
                raise EpisodeError(recording.header.name, f"stream '{stream}' has no samples; check its publisher")

    def _plan(self, setup: Setup) -> tuple[dict[str, str], dict[str, tuple[str, bool]]]:
        """Stream per topic, and (stream, is depth) per picture topic.

        Raises:
            EpisodeError: the recording lacks a topic.
        """
        task, have = setup.task, self._recording.counts
        hand_guided = topics.HAND_POSITION in have and topics.EE_POSE not in have
        topic_of = {topics.HAND_POSITION if hand_guided else topics.EE_POSE: EE_POSE}
        if ARM in streams_of(task):
            topic_of[topics.JOINT_STATES] = ARM
        if WRENCH in streams_of(task):
            topic_of[topics.WRIST_WRENCH] = WRENCH
        if task.action.label is ActionLabel.SETPOINT:
            topic_of[topics.TARGET_POSE] = TARGET_POSE
            if task.action.gripper:
                topic_of[topics.TARGET_GRIPPER] = TARGET_GRIPPER
        pictures = {topics.color(c): (camera_stream(c), False) for c in task.cameras}
        pictures |= {topics.depth(c): (camera_stream(c), True) for c in task.cameras}
        wanted = [*topic_of, *pictures, *(topics.camera_info(c) for c in task.cameras)]
        missing = [t for t in wanted if not have.get(t)]
        if missing:
            problem = f"recorded nothing on {', '.join(missing)}, which task '{task.name}' needs"
            raise EpisodeError(self._recording.header.name, f"{problem}; check that the publishers ran")
        return topic_of, pictures

    @property
    def _topics(self) -> list[str]:
        infos = [topics.camera_info(s.split("/")[1]) for s, is_depth in self._pictures.values() if is_depth]
        return [*self._topic_of, *self._pictures, *infos, *self._hand]

    @property
    def _hand(self) -> list[str]:
        """Topic that tells what was wanted of the gripper, if that must be nothing."""
        return [topics.TARGET_GRIPPER] if self._watches_hand else []

    def _read_stamps(self) -> None:
        pairs = {stream: FramePairs[int]() for stream, _ in self._pictures.values()}
        for n, (topic, data, _, _) in enumerate(self._recording.raw_messages(self._topics)):
            stamp_ns = wire.header_stamp_ns_from_cdr(data)
            if topic in self._hand:
                self.openings.append(wire.opening_from(self._recording.decode(topic, data), self._joints))
            elif topic in self._topic_of:
                self.samples.setdefault(self._topic_of[topic], []).append((stamp_ns, (n,)))
            elif topic in self._pictures:
                stream, is_depth = self._pictures[topic]
                pair = pairs[stream].push(stamp_ns, n, is_depth=is_depth)
                if pair is not None:
                    self.samples.setdefault(stream, []).append((stamp_ns, pair))
            elif topic not in self._infos:
                self._infos[topic] = self._recording.decode(topic, data)
        trim_ns = trim_of(self._recording.header)  # what a reviewer cut away is not there
        for stream, entries in self.samples.items():
            kept = entries if trim_ns is None else [e for e in entries if trim_ns[0] <= e[0] <= trim_ns[1]]
            self.samples[stream] = sorted(kept, key=lambda entry: entry[0])

    def decode(self, wanted: Iterable[tuple[str, Numbers]]) -> dict[Numbers, Any]:
        """Decode chosen samples in one pass over the file.

        Args:
            wanted: Stream and message numbers of each sample.

        Returns:
            By message numbers: ArmState, EePose, ToolWrench, CameraFrame, pose (4, 4) of ``target``, or
            opening of ``target_gripper``.
        """
        stream_of = {numbers: stream for stream, numbers in wanted}
        needed = {n for numbers in stream_of for n in numbers}
        messages = {}
        for n, (topic, data, _, _) in enumerate(self._recording.raw_messages(self._topics)):
            if n in needed:
                messages[n] = self._recording.decode(topic, data)
        return {numbers: self._sample(stream, numbers, messages) for numbers, stream in stream_of.items()}

    def _sample(self, stream: str, numbers: Numbers, messages: Mapping[int, Any]) -> object:
        if len(numbers) == 2:
            return self._frame(stream.split("/")[1], messages[numbers[0]], messages[numbers[1]])
        return self._readers[stream](messages[numbers[0]])

    def _ee_pose(self, message: Any) -> EePose:  # noqa: ANN401 - message-shaped
        if topics.HAND_POSITION in self._topic_of:
            return wire.ee_pose_from_point(message, self._R_base_ee)
        return wire.ee_pose_from(message)

    def _frame(self, camera: str, color: Any, depth: Any) -> CameraFrame:  # noqa: ANN401 - message-shaped
        return wire.camera_frame_from(camera, color, depth, self._infos[topics.camera_info(camera)])
