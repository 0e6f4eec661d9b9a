"""Maps the SDK's messages to events: one pure function, which knows every message class of the SDK."""

from collections.abc import Iterator, Mapping
from typing import Any, cast

from claude_agent_sdk import (
    AssistantMessage,
    ConversationResetMessage,
    MirrorErrorMessage,
    RateLimitEvent,
    RateLimitInfo,
    ResultMessage,
    ServerToolResultBlock,
    ServerToolUseBlock,
    StreamEvent,
    SystemMessage,
    TaskNotificationMessage,
    TaskProgressMessage,
    TaskStartedMessage,
    TaskUpdatedMessage,
    TextBlock,
    ThinkingBlock,
    ToolResultBlock,
    ToolUseBlock,
    UserMessage,
)

from boocode_sessions.agents.events import (
    AgentEvent,
    Compacted,
    EndReason,
    Failed,
    FailureKind,
    MirrorFailed,
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
from boocode_sessions.agents.values import get, get_count

_SYNTHETIC = "<synthetic>"
"""The model name of a message that the agent itself composed, and therefore did not stream."""


def map_message(message: object, *, partials: bool = True) -> Iterator[AgentEvent]:  # noqa: C901, PLR0912 - one case a class
    """Yield the events for one message of the SDK. An ignored or unknown message class yields none.

    Args:
        message: A message from `ClaudeSDKClient.receive_messages`.
        partials: True if the stream has partial messages (`include_partial_messages`). The whole message then
            does not repeat the text that already came in pieces.
    """
    match message:
        case StreamEvent():
            yield from _delta(message)
        case AssistantMessage(content=list()):
            yield from _assistant(message, partials=partials)
        case UserMessage(content=list(blocks), parent_tool_use_id=parent):
            for block in blocks:
                if isinstance(block, ToolResultBlock):
                    yield ToolFinished(block.tool_use_id, block.content, bool(block.is_error), parent)
        case ResultMessage():
            yield from _result(message)
        case TaskStartedMessage():
            yield TaskStarted(message.task_id, message.description, message.task_type, message.tool_use_id)
        case TaskProgressMessage():
            yield TaskProgressed(
                message.task_id,
                message.description,
                get_count(message.usage, "total_tokens"),
                get_count(message.usage, "tool_uses"),
                message.last_tool_name,
            )
        case TaskNotificationMessage():
            yield TaskUpdated(message.task_id, message.status, message.summary)
        case TaskUpdatedMessage(status=str(status)):
            yield TaskUpdated(message.task_id, status)
        case MirrorErrorMessage():
            yield MirrorFailed(get(message.key, "session_id"), get(message.key, "subpath"), message.error)
        case RateLimitEvent(rate_limit_info=RateLimitInfo(status=status, resets_at=resets_at)):
            if status != "allowed":
                yield RateLimited(status, resets_at)
        case ConversationResetMessage():
            yield SessionReset(message.session_id)
        case SystemMessage(subtype="init", data={"session_id": str(session_id)} as started):
            yield SessionStarted(session_id, get(started, "model"))
        case SystemMessage(subtype="api_retry", data=data):
            yield Retrying(
                get_count(data, "attempt"),
                get_count(data, "max_retries"),
                get_count(data, "retry_delay_ms"),
                get_count(data, "error_status") or None,
            )
        case SystemMessage(subtype="compact_boundary", data=data):
            yield Compacted(get(get(data, "compact_metadata"), "trigger"))
        case _:
            return


def usage_of_models(model_usage: object) -> Usage:
    """Sum a result's `model_usage` over its models. It includes subagents and side requests."""
    total = Usage()
    by_model = cast("Mapping[str, Any]", model_usage if isinstance(model_usage, Mapping) else {})
    for counts in by_model.values():
        total += Usage(
            get_count(counts, "inputTokens"),
            get_count(counts, "outputTokens"),
            get_count(counts, "cacheReadInputTokens"),
            get_count(counts, "cacheCreationInputTokens"),
        )
    return total


def cost_of(total: object) -> float:
    """Return a process's cost by the agent's own account, in dollars; 0 if the agent has not given it."""
    return float(total) if isinstance(total, int | float) else 0.0


def _delta(message: StreamEvent) -> Iterator[AgentEvent]:
    match message.event:
        case {"type": "content_block_delta", "delta": {"type": "text_delta", "text": str(text)}}:
            yield TextDelta(text, message.parent_tool_use_id)
        case {"type": "content_block_delta", "delta": {"type": "thinking_delta", "thinking": str(text)}}:
            yield ThinkingDelta(text, message.parent_tool_use_id)
        case _:
            return


def _assistant(message: AssistantMessage, *, partials: bool) -> Iterator[AgentEvent]:
    parent = message.parent_tool_use_id
    # Only the main conversation is streamed. The text of an error comes with the result.
    streamed = partials and parent is None and message.model != _SYNTHETIC
    for block in message.content:
        match block:
            case TextBlock(text=text) if not streamed and message.error is None:
                yield TextDelta(text, parent)
            case ThinkingBlock(thinking=text) if not streamed:
                yield ThinkingDelta(text, parent)
            case ToolUseBlock() | ServerToolUseBlock():
                yield ToolStarted(block.id, block.name, block.input, parent)
            case ToolResultBlock():
                yield ToolFinished(block.tool_use_id, block.content, bool(block.is_error), parent)
            case ServerToolResultBlock(content=content):
                failed = "error" in str(get(content, "type"))
                yield ToolFinished(block.tool_use_id, content, failed, parent)
            case _:
                pass


def _result(message: ResultMessage) -> Iterator[AgentEvent]:
    reason = _reason(message)
    if reason == "failed":
        yield _failure(message.api_error_status)
    yield TurnEnded(reason, usage_of_models(message.model_usage), cost_of(message.total_cost_usd))


def _reason(message: ResultMessage) -> EndReason:
    if str(message.terminal_reason).startswith("aborted"):
        return "interrupted"
    match message.subtype:
        case "error_max_turns":
            return "max_turns"
        case "error_max_budget_usd":
            return "max_budget"
        case _:
            return "failed" if message.is_error else "completed"


_BY_STATUS: dict[int, tuple[FailureKind, str]] = {
    401: ("authentication", "the API refused the key: check ANTHROPIC_API_KEY or the login"),
    403: ("authentication", "the API forbids it to this key: check the key's workspace and its models"),
    429: ("rate_limited", "the API's rate limit is reached: send the prompt again later"),
    529: ("overloaded", "the API is overloaded: send the prompt again later"),
}


def _failure(status: object) -> Failed:
    if not isinstance(status, int):
        return Failed("agent_error", "the agent ended the turn with an error: send the prompt again")
    kind, advice = _BY_STATUS.get(status, ("api_error", "the API refused the request: look its status up"))
    return Failed(kind, f"{advice} (HTTP {status})", status)
