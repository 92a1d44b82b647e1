"""Errors raised by the il_* packages: each says what, got, expected and the next step."""

from __future__ import annotations

from difflib import get_close_matches


class IlError(Exception):
    """Root of the family: catch this to catch anything we raise on purpose."""


class ConfigError(IlError, ValueError):
    """A configuration file has an unknown, missing or impossible value.

    Attributes:
        source: File (and key) the value came from.
    """

    def __init__(self, source: str, problem: str) -> None:
        self.source, self.problem = source, problem
        super().__init__(f"{source}: {problem}")


class ShapeError(IlError, ValueError):
    """An array does not have the shape its name promises."""

    def __init__(self, name: str, *, expected: str, got: tuple[int, ...]) -> None:
        self.name, self.expected, self.got = name, expected, got
        super().__init__(f"{name}: expected shape {expected}, got {got}")


class NonFiniteError(IlError, ValueError):
    """An array carries NaN or infinity."""

    def __init__(self, name: str, index: int) -> None:
        self.name, self.index = name, index
        super().__init__(f"{name}: first non-finite value at flat index {index}")


class JointSetError(IlError, ValueError):
    """A message names other joints than the robot has."""

    def __init__(self, where: str, *, missing: list[str], extra: list[str]) -> None:
        self.where, self.missing, self.extra = where, missing, extra
        super().__init__(
            f"{where}: joint names differ from the robot's; missing {missing}, unexpected {extra}; "
            "check that the message and config/robot/<arm>.yaml describe the same arm"
        )


class StaleStreamError(IlError):
    """A stream has no sample fresh enough for the tick."""

    def __init__(self, stream: str, *, age_ns: int | None, max_age_ns: int) -> None:
        self.stream, self.age_ns, self.max_age_ns = stream, age_ns, max_age_ns
        got = "never received" if age_ns is None else f"newest sample is {age_ns / 1e6:.0f} ms old"
        super().__init__(
            f"stream '{stream}': {got}, limit {max_age_ns / 1e6:.0f} ms; "
            "check that its publisher runs, or raise max_age_ms in the task file"
        )


class PlanRangeError(IlError, LookupError):
    """A plan was sampled outside the interval it covers."""

    def __init__(self, t_ns: int, *, start_ns: int, end_ns: int) -> None:
        self.t_ns, self.start_ns, self.end_ns = t_ns, start_ns, end_ns
        side_ns = start_ns - t_ns if t_ns < start_ns else t_ns - end_ns
        when = "before it starts" if t_ns < start_ns else "after it ends"
        super().__init__(
            f"plan sampled {side_ns / 1e6:.1f} ms {when}; the caller must hold position or fetch a newer plan"
        )


class RecordingError(IlError):
    """A recording on disk is missing, damaged or of an unknown version."""

    def __init__(self, path: object, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"recording {path}: {problem}")


class EpisodeError(IlError):
    """An episode or dataset cannot be built or read."""

    def __init__(self, where: object, problem: str) -> None:
        self.where, self.problem = where, problem
        super().__init__(f"{where}: {problem}")


class CheckpointError(IlError):
    """A policy checkpoint is missing, damaged, or holds something it must not."""

    def __init__(self, path: object, problem: str) -> None:
        self.path, self.problem = path, problem
        super().__init__(f"checkpoint {path}: {problem}")


class TrainingError(IlError):
    """A training has left the numbers it can go on with."""


class SpecMismatchError(IlError):
    """Data or checkpoint were made for another robot or task."""

    def __init__(self, what: str, *, got: str, expected: str, next_step: str) -> None:
        self.what, self.got, self.expected = what, got, expected
        super().__init__(f"{what} was made for spec {got[:12]}, this robot and task are {expected[:12]}; {next_step}")


class SafetyError(IlError):
    """Motion was refused for a reason a person has to look at."""


class DeviceError(IlError):
    """Hardware, driver, display or simulator is missing or misbehaves."""


class GraphError(IlError):
    """A node of the graph did not start, went silent or died."""


class SecurityError(IlError):
    """Secure mode was asked for and cannot be kept: middleware without DDS-Security, or keys that are missing."""


def nearest(name: str, options: list[str]) -> str:
    """Suggest what a misspelt name may have meant.

    Returns:
        A clause such as ``did you mean 'front'? Options: front, wrist``.
    """
    close = get_close_matches(name, options, n=1)
    hint = f"did you mean '{close[0]}'? " if close else ""
    return f"{hint}Options: {', '.join(sorted(options)) or 'none'}"
