"""What `boocode_sessions.agents` raises before a turn begins. What goes wrong later is an event, `Failed`."""

from boocode_sessions.errors import SessionStoreError


class AgentError(Exception):
    """The agent could not do what it was asked to. Its text holds no transcript content."""


class BackendClosedError(AgentError):
    """The backend is not open: use it as `async with ClaudeSdkBackend(...) as backend`."""


class QueueFullError(AgentError):
    """As many prompts as may wait for this chat's agent do: send it again when a turn has ended."""


class PoolFullError(AgentError):
    """As many agents as may run are at work, and none ended in time: raise `max_warm`, or try later."""


class AgentStartError(AgentError):
    """The agent's process did not start."""


class AgentMissingError(AgentStartError):
    """The agent's executable, or the folder that it is to work in, is not there."""


class SessionUnknownError(AgentStartError):
    """The store does not know the session that the chat goes on in."""


class SessionDamagedError(AgentStartError):
    """The agent can't take up the session from what the store has of it."""


class ChatHeldError(AgentError):
    """Another process has the chat's agent: send the prompt there, or wait until its lease has run out."""


class FencedError(SessionStoreError):
    """Another process has taken the chat over: what this one still has to write is refused."""


class NoTurnError(AgentError, LookupError):
    """The chat has no turn under way, or no agent that is warm."""


class UnknownPermissionError(AgentError, LookupError):
    """No request has this id, or its agent has ended."""


class PermissionAnsweredError(AgentError):
    """The request was answered before, by somebody else or by its time-out."""
