"""Exceptions of `boocode_sessions.agents`. A turn that fails later yields a `Failed` event instead."""

from boocode_sessions.errors import SessionStoreError


class AgentError(Exception):
    """The agent could not carry out the call. The message holds no transcript content."""


class BackendClosedError(AgentError):
    """The backend is not open: use it as `async with ClaudeSdkBackend(...) as backend`."""


class QueueFullError(AgentError):
    """The queue of the chat's agent is full: send the prompt again when a turn has ended."""


class PoolFullError(AgentError):
    """`max_warm` agents are at work, and none ended in time: raise `max_warm`, or try later."""


class AgentStartError(AgentError):
    """The agent's process did not start."""


class AgentMissingError(AgentStartError):
    """The agent's executable or its working folder does not exist."""


class SessionUnknownError(AgentStartError):
    """The store does not have the session that the chat should continue."""


class SessionDamagedError(AgentStartError):
    """The agent can't resume the session from what the store has of it."""


class ChatHeldError(AgentError):
    """Another process runs the chat's agent: send the prompt there, or wait until its lease has run out."""


class FencedError(SessionStoreError):
    """Another process has taken over the chat, and this process's write was refused."""


class NoTurnError(AgentError, LookupError):
    """The chat has no turn to interrupt."""


class UnknownPermissionError(AgentError, LookupError):
    """No permission request has this id."""


class PermissionAnsweredError(AgentError):
    """The permission request is closed: it was answered, timed out or was withdrawn."""
