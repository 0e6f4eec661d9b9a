"""Limits of a backend: how much it may run, and how long it waits."""

from dataclasses import dataclass, fields

from boocode_sessions._core.arguments import check_at_least


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Counts and timeouts of a backend. Every wait has a limit.

    Raises:
        TypeError: A limit is not a number.
        ValueError: A limit is negative, or is zero where nothing could run then.
    """

    max_warm: int = 8
    """The most agent processes at a time. Each takes some 250 MB."""
    max_queued: int = 8
    """The most prompts that may wait for one chat's agent."""
    idle_seconds: float = 600
    """How long an agent may have nothing to do before it is ended. The chat resumes from the store later."""
    pool_seconds: float = 30
    """How long a prompt waits for a place in a full pool."""
    start_seconds: float = 90
    """How long a process may take to start, including its resume from the store."""
    turn_seconds: float = 3600
    """How long a turn may take before it is interrupted."""
    drain_seconds: float = 20
    """How long an interrupted turn may take to end before its process is ended."""
    permission_seconds: float = 300
    """How long a permission request stays open before it is denied."""
    lease_seconds: float = 30
    """How long a host that has died still holds a chat."""
    database_seconds: float = 50
    """How long a transaction may take. It is less than the 60 s after which the SDK gives up on an append."""
    repair_seconds: float = 5
    """How long to wait between two attempts to store lines that the database lacks."""

    def __post_init__(self) -> None:
        for limit in fields(self):
            given: object = getattr(self, limit.name)
            if not isinstance(given, int | float):
                raise TypeError(f"{limit.name} is a number, not {type(given).__name__}")
            check_at_least(1 if limit.name.startswith("max_") else 0, **{limit.name: given})
            if given == 0 and limit.name in _ABOVE_ZERO:
                raise ValueError(f"{limit.name} is more than 0")


_ABOVE_ZERO = {"start_seconds", "turn_seconds", "lease_seconds", "database_seconds"}
