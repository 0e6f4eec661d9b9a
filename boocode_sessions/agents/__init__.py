"""A warm agent for each chat, which any host can resume from the store: docs/agents.md.

Needs the `sdk` extra.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from boocode_sessions.errors import MissingExtraError

if TYPE_CHECKING:
    from boocode_sessions.agents.backend import ClaudeSdkBackend
    from boocode_sessions.agents.errors import (
        AgentError,
        AgentMissingError,
        AgentStartError,
        BackendClosedError,
        ChatHeldError,
        FencedError,
        NoTurnError,
        PermissionAnsweredError,
        PoolFullError,
        QueueFullError,
        SessionDamagedError,
        SessionUnknownError,
        UnknownPermissionError,
    )
    from boocode_sessions.agents.events import (
        AgentEvent,
        Compacted,
        Failed,
        MirrorFailed,
        MirrorRepaired,
        PermissionClosed,
        PermissionRequested,
        RateLimited,
        Retrying,
        SessionReset,
        SessionStarted,
        TaskProgressed,
        TaskStarted,
        TaskUpdated,
        TextDelta,
        ThinkingDelta,
        ToolFinished,
        ToolStarted,
        TurnEnded,
        Usage,
    )
    from boocode_sessions.agents.lease import AgentSessions
    from boocode_sessions.agents.mapping import map_message
    from boocode_sessions.agents.models import ClaudeAgentSession
    from boocode_sessions.agents.protocol import AgentBackend, choose_backend
    from boocode_sessions.agents.resuming import resume_stored
    from boocode_sessions.agents.settings import Limits
    from boocode_sessions.agents.writer import AgentSessionWriter, Holder, Lease, Settlement

__all__ = [
    "AgentBackend",
    "AgentError",
    "AgentEvent",
    "AgentMissingError",
    "AgentSessionWriter",
    "AgentSessions",
    "AgentStartError",
    "BackendClosedError",
    "ChatHeldError",
    "ClaudeAgentSession",
    "ClaudeSdkBackend",
    "Compacted",
    "Failed",
    "FencedError",
    "Holder",
    "Lease",
    "Limits",
    "MirrorFailed",
    "MirrorRepaired",
    "NoTurnError",
    "PermissionAnsweredError",
    "PermissionClosed",
    "PermissionRequested",
    "PoolFullError",
    "QueueFullError",
    "RateLimited",
    "Retrying",
    "SessionDamagedError",
    "SessionReset",
    "SessionStarted",
    "SessionUnknownError",
    "Settlement",
    "TaskProgressed",
    "TaskStarted",
    "TaskUpdated",
    "TextDelta",
    "ThinkingDelta",
    "ToolFinished",
    "ToolStarted",
    "TurnEnded",
    "UnknownPermissionError",
    "Usage",
    "choose_backend",
    "map_message",
    "resume_stored",
]

_MODULES = (
    "models",
    "events",
    "errors",
    "settings",
    "protocol",
    "writer",
    "lease",
    "mapping",
    "resuming",
    "backend",
)


def __getattr__(name: str) -> object:
    """Import a name's module when the name is first used, since the models don't need the SDK."""
    if name in __all__:
        for module_name in _MODULES:
            try:
                module = import_module(f"{__name__}.{module_name}")
            except ModuleNotFoundError as error:
                raise MissingExtraError("an agent", "boocode-sessions[sdk]", error.name) from None
            if hasattr(module, name):
                value = globals()[name] = getattr(module, name)
                return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
