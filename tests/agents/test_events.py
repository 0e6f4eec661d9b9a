"""Messages become events: every class of the SDK's, without side effects, whatever is in them."""

import dataclasses
from typing import Any, get_args

import claude_agent_sdk as sdk
import pytest

from boocode_sessions.agents import (
    AgentEvent,
    Compacted,
    Failed,
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
    map_message,
)

IGNORED = {sdk.HookEventMessage}
"""Message classes that a host of this backend has no use for."""
MAPPED = {
    sdk.AssistantMessage,
    sdk.ConversationResetMessage,
    sdk.MirrorErrorMessage,
    sdk.RateLimitEvent,
    sdk.ResultMessage,
    sdk.StreamEvent,
    sdk.SystemMessage,
    sdk.TaskNotificationMessage,
    sdk.TaskProgressMessage,
    sdk.TaskStartedMessage,
    sdk.TaskUpdatedMessage,
    sdk.UserMessage,
}
"""Message classes that become events. A class that the SDK brings has to be in one of the two."""
MODEL = "claude-opus-5-5"


def message_classes() -> set[type]:
    """What the installed SDK can hand out: the members of its Message union, and what derives from them."""
    union = set(get_args(sdk.Message))
    exported = {value for name in sdk.__all__ if isinstance(value := getattr(sdk, name), type)}
    return union | {cls for cls in exported if issubclass(cls, tuple(union))}


def stream(event: dict[str, Any], parent: str | None = None) -> sdk.StreamEvent:
    return sdk.StreamEvent("u", "s", event, parent)


def delta(**fields: str) -> sdk.StreamEvent:
    return stream({"type": "content_block_delta", "index": 0, "delta": fields})


def result(**fields: Any) -> sdk.ResultMessage:
    usual: dict[str, Any] = {
        "subtype": "success",
        "duration_ms": 1,
        "duration_api_ms": 1,
        "is_error": False,
        "num_turns": 1,
        "session_id": "s",
    }
    return sdk.ResultMessage(**{**usual, **fields})


def test_every_message_class_of_the_sdk_is_mapped_or_ignored() -> None:
    assert message_classes() == MAPPED | IGNORED
    assert not MAPPED & IGNORED


EXAMPLES: list[tuple[Any, list[AgentEvent]]] = [
    (sdk.SystemMessage("init", {"session_id": "s", "model": MODEL}), [SessionStarted("s", MODEL)]),
    (sdk.SystemMessage("init", {}), []),
    (sdk.SystemMessage("status", {"session_id": "s"}), []),
    (sdk.SystemMessage("compact_boundary", {"compact_metadata": {"trigger": "auto"}}), [Compacted("auto")]),
    (
        sdk.SystemMessage(
            "api_retry", {"attempt": 1, "max_retries": 10, "retry_delay_ms": 600, "error_status": 529}
        ),
        [Retrying(1, 10, 600, 529)],
    ),
    (sdk.SystemMessage("api_retry", {}), [Retrying(0, 0, 0)]),
    (delta(type="text_delta", text="Hel"), [TextDelta("Hel")]),
    (delta(type="thinking_delta", thinking="hm"), [ThinkingDelta("hm")]),
    (delta(type="input_json_delta", partial_json="{"), []),
    (stream({"type": "message_start", "message": {}}), []),
    (stream({}), []),
    (
        sdk.AssistantMessage(
            [sdk.TextBlock("Hello"), sdk.ToolUseBlock("t", "Bash", {"command": "ls"})], MODEL
        ),
        [ToolStarted("t", "Bash", {"command": "ls"})],
    ),
    (
        sdk.AssistantMessage(
            [sdk.ThinkingBlock("hm", ""), sdk.TextBlock("Hello")], MODEL, parent_tool_use_id="p"
        ),
        [ThinkingDelta("hm", "p"), TextDelta("Hello", "p")],
    ),
    (sdk.AssistantMessage([sdk.TextBlock("/cost: $1")], "<synthetic>"), [TextDelta("/cost: $1")]),
    (sdk.AssistantMessage([sdk.TextBlock("API Error")], "<synthetic>", error="rate_limit"), []),
    (
        sdk.AssistantMessage(
            [
                sdk.ServerToolUseBlock("w", "web_search", {"query": "q"}),
                sdk.ServerToolResultBlock("w", {"type": "web_search_tool_result_error"}),
            ],
            MODEL,
        ),
        [
            ToolStarted("w", "web_search", {"query": "q"}),
            ToolFinished("w", {"type": "web_search_tool_result_error"}, is_error=True),
        ],
    ),
    (sdk.UserMessage("a prompt"), []),
    (
        sdk.UserMessage([sdk.ToolResultBlock("t", "out", None)], parent_tool_use_id="p"),
        [ToolFinished("t", "out", is_error=False, parent_tool_use_id="p")],
    ),
    (
        sdk.TaskStartedMessage("task_started", {}, "b", "sleep 2", "u", "s", "t", "local_bash"),
        [TaskStarted("b", "sleep 2", "local_bash", "t")],
    ),
    (
        sdk.TaskProgressMessage(
            "task_progress", {}, "b", "going", {"total_tokens": 5, "tool_uses": 1, "duration_ms": 9}, "u", "s"
        ),
        [TaskProgressed("b", "going", 5, 1)],
    ),
    (
        sdk.TaskNotificationMessage("task_notification", {}, "b", "completed", "/f", "done", "u", "s"),
        [TaskUpdated("b", "completed", "done")],
    ),
    (
        sdk.TaskUpdatedMessage("task_updated", {}, "b", {"status": "killed"}, "killed"),
        [TaskUpdated("b", "killed")],
    ),
    (sdk.TaskUpdatedMessage("task_updated", {}, "b", {"end_time": 1}), []),
    (
        sdk.MirrorErrorMessage("mirror_error", {}, {"project_key": "p", "session_id": "s"}, "no database"),
        [MirrorFailed("s", None, "no database")],
    ),
    (sdk.MirrorErrorMessage("mirror_error", {}), [MirrorFailed(None, None, "")]),
    (sdk.RateLimitEvent(sdk.RateLimitInfo("allowed"), "u", "s"), []),
    (sdk.RateLimitEvent(sdk.RateLimitInfo("rejected", 99), "u", "s"), [RateLimited("rejected", 99)]),
    (sdk.ConversationResetMessage("n", "u", "s"), [SessionReset("s")]),
    (sdk.HookEventMessage("hook_started", {}, "PreToolUse"), []),
    (
        result(
            total_cost_usd=0.5,
            model_usage={
                "a": {"inputTokens": 1, "outputTokens": 2, "cacheReadInputTokens": 3},
                "b": {"inputTokens": 10, "cacheCreationInputTokens": 4},
            },
        ),
        [TurnEnded("completed", Usage(11, 2, 3, 4), 0.5)],
    ),
    (result(subtype="error_max_turns", is_error=True), [TurnEnded("max_turns")]),
    (result(subtype="error_max_budget_usd", is_error=True), [TurnEnded("max_budget")]),
    (
        result(subtype="error_during_execution", is_error=True, terminal_reason="aborted_streaming"),
        [TurnEnded("interrupted")],
    ),
    ({"type": "no message at all"}, []),
]


@pytest.mark.parametrize(("message", "events"), EXAMPLES)
def test_a_message_becomes_its_events(message: Any, events: list[AgentEvent]) -> None:
    assert list(map_message(message)) == events
    assert list(map_message(message)) == events


def test_the_examples_hold_every_class_and_every_event() -> None:
    assert {type(message) for message, _ in EXAMPLES} >= MAPPED | IGNORED
    mapped: set[Any] = {type(event) for _, events in EXAMPLES for event in events}
    all_events: set[Any] = set(get_args(AgentEvent))
    from_the_backend = {"PermissionRequested", "PermissionClosed", "MirrorRepaired", "Failed"}
    assert {cls.__name__ for cls in all_events - mapped} == from_the_backend


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (401, "authentication"),
        (429, "rate_limited"),
        (529, "overloaded"),
        (500, "api_error"),
        (None, "agent_error"),
    ],
)
def test_a_failed_result_says_what_kind_of_failure_it_is(status: int | None, kind: str) -> None:
    message = result(
        is_error=True, api_error_status=status, result="API Error: a secret", errors=["a secret"]
    )
    failed, ended = map_message(message)
    assert isinstance(failed, Failed)
    assert (failed.kind, failed.status) == (kind, status)
    assert "secret" not in failed.message
    assert ended == TurnEnded("failed")


def test_without_partial_messages_the_whole_one_is_told() -> None:
    message = sdk.AssistantMessage([sdk.TextBlock("Hello")], MODEL)
    assert list(map_message(message, partials=False)) == [TextDelta("Hello")]


@pytest.mark.parametrize("cls", sorted(MAPPED | IGNORED, key=str))
def test_no_message_is_refused_whatever_is_in_it(cls: type) -> None:
    """A newer agent may send what this version has not seen: fields of other types, or none."""
    fillers: list[Any] = [{}, [], "text", None, 7]
    for filler in fillers:
        fields = {field.name: filler for field in dataclasses.fields(cls)}
        message = cls(**fields)
        for event in map_message(message):
            assert isinstance(event, AgentEvent)
