"""What every source asks for right now: streamed targets, plans, and motions of the controller itself."""

from __future__ import annotations

from il_control.arbiter import Source
from il_control.go_to import Motion
from il_control.stream import TargetStream
from il_control.tracker import MAX_AHEAD_NS, Mode, PlanTracker, Wish
from il_core.types import ActionChunk, ArmCommand

PLANNERS = (Source.PLAN, Source.REPLAY)


class Sources:
    """The inbox of the control cycle; decides nothing, remembers what is fresh."""

    def __init__(self, nq: int, max_plan_age_ns: int, max_command_age_ns: int) -> None:
        """Begin empty.

        Args:
            nq: Joints of the arm.
            max_plan_age_ns: Oldest observation a plan may rest on when its turn comes [ns].
            max_command_age_ns: Silence after which a streamed target counts no more [ns].
        """
        self._nq, self._max_command_age_ns = nq, max_command_age_ns
        self._trackers = {source: PlanTracker(max_plan_age_ns) for source in PLANNERS}
        self._stream = TargetStream()
        self._motion: Motion | None = None
        self._since_ns: int | None = None

    def offer_chunk(self, chunk: ActionChunk, source: Source = Source.PLAN) -> bool:
        """Take a plan if it is fresher than those so far, and of this arm's size; say whether."""
        if chunk.q_des is not None and chunk.q_des.shape[1] != self._nq:
            return False
        return self._trackers[source].offer(chunk)

    def offer_command(self, command: ArmCommand) -> bool:
        """Take a teleoperated target if it is newer than the last, and than the last hold; say whether."""
        newest = self._stream.command
        if newest is not None and command.stamp_ns <= newest.stamp_ns:
            return False
        if self._since_ns is not None and command.stamp_ns < self._since_ns:
            return False
        self._stream.offer(command)
        return True

    def go_to(self, motion: Motion) -> None:
        """Begin a motion of the controller's own; it takes the place of the one before."""
        self._motion = motion

    def forget(self, since_ns: int | None) -> None:
        """Forget everything, and refuse what was made before an instant [ns]."""
        for tracker in self._trackers.values():
            tracker.reset(since_ns)
        self._since_ns, self._motion = since_ns, None
        self._stream.forget()

    def mode(self, source: Source, now_ns: int) -> Mode:
        """What the plan of a source is good for."""
        return self._trackers[source].mode(now_ns)

    def active(self, now_ns: int) -> set[Source]:
        """Who talks at this instant [ns]."""
        talking = {s for s, tracker in self._trackers.items() if tracker.mode(now_ns) is Mode.TRACKING}
        command = self._stream.command
        if command is not None:
            if command.stamp_ns > now_ns + MAX_AHEAD_NS:
                self._stream.forget()  # from the future: kept, it would pass for newer than every honest one
            elif now_ns - command.stamp_ns <= self._max_command_age_ns:
                talking.add(Source.TELEOP)
        if self._motion is not None:
            if now_ns <= self._motion.end_ns:
                talking.add(Source.GO_TO)
            else:
                self._motion = None
        return talking

    def wish(self, source: Source, now_ns: int) -> Wish | None:
        """What an active source asks for; None for one that asks for nothing."""
        if source is Source.TELEOP:
            return self._stream.wish(now_ns)
        if source is Source.GO_TO and self._motion is not None:
            return self._motion.wish(now_ns)
        tracker = self._trackers.get(source)
        return tracker.wish(now_ns) if tracker is not None else None
