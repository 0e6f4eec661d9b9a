"""How much a backend may run, and how long it waits."""

from dataclasses import dataclass, fields

from boocode_sessions._core.arguments import at_least


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Numbers and time-outs of a backend. Every wait has its end.

    Raises TypeError for what is no number, ValueError for one with which nothing could run.
    """

    max_warm: int = 8
    """Processes at most: some 250 MB each."""
    max_queued: int = 8
    """Prompts that may wait for one chat's agent."""
    idle_seconds: float = 600
    """After which an agent that has nothing to do is ended. The chat resumes from the store."""
    pool_seconds: float = 30
    """How long a prompt waits for a place in a full pool."""
    start_seconds: float = 90
    """How long a process may take to start, its resume from the store included."""
    turn_seconds: float = 3600
    """After which a turn is interrupted."""
    drain_seconds: float = 20
    """How long an interrupted turn may take to end, before its process is ended."""
    permission_seconds: float = 300
    """After which a permission that nobody has answered is denied."""
    lease_seconds: float = 30
    """How long a chat stays held by a host that has died."""
    database_seconds: float = 50
    """How long a transaction may take: less than the 60 s after which the SDK gives an append up."""
    repair_seconds: float = 5
    """How long to wait between two attempts at writing what the database has not taken."""

    def __post_init__(self) -> None:
        for limit in fields(self):
            given: object = getattr(self, limit.name)
            if not isinstance(given, int | float):
                raise TypeError(f"{limit.name} is a number, not {type(given).__name__}")
            at_least(1 if limit.name.startswith("max_") else 0, **{limit.name: given})
