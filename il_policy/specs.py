"""Whether the robot and task that a checkpoint is read with are those it was written with; needs no torch."""

from __future__ import annotations

from il_core.spec import RobotSpec, TaskSpec, digest


def specs_sha256(robot: RobotSpec, task: TaskSpec) -> str:
    """Digest of a robot and a task without the robot's URDF, which a checkpoint does not hold, hex."""
    return digest(robot, task, "")


def check_specs(robot: RobotSpec, task: TaskSpec, written: str) -> None:
    """Refuse specs that are not, number for number, those that were written.

    A release that reads a key in another way, or fills in another default, would serve another policy than was
    trained; a policy that is loaded without a robot to compare with would not notice otherwise.

    Args:
        robot: Robot as read.
        task: Task as read.
        written: :func:`specs_sha256` of them when they were written; empty in files of release 0.1.

    Raises:
        ValueError: they differ.
    """
    got = specs_sha256(robot, task)
    if written not in ("", got):
        problem = f"robot and task read from it have the digest {got[:12]}, expected {written[:12]}"
        raise ValueError(f"{problem}; read it with the release that wrote it, or train again")
