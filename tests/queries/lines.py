"""Short helpers that make lines with the agent's shapes."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

from boocode_sessions import SessionKey, SessionStoreEntry

DAY = datetime(2026, 11, 20, tzinfo=UTC)

Line = dict[str, Any]


def at(seconds: float = 0, day: datetime = DAY) -> str:
    """Return a timestamp as the agent writes it."""
    return f"{day + timedelta(seconds=seconds):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"


def prompt(
    uuid: str, text: str | list[Line], parent: str | None = None, seconds: float = 0, **members: object
) -> Line:
    message = {"role": "user", "content": text}
    return {
        "type": "user",
        "uuid": uuid,
        "parentUuid": parent,
        "isSidechain": False,
        "timestamp": at(seconds),
        "message": message,
        **members,
    }


def answer(
    uuid: str,
    *blocks: Line | str,
    parent: str | None = None,
    call: str | None = None,
    seconds: float = 0,
    model: str = "claude-opus-5-5",
    usage: Line | None = None,
    **members: object,
) -> Line:
    content = [{"type": "text", "text": block} if isinstance(block, str) else block for block in blocks]
    message = {
        "id": call or f"msg_{uuid}",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": content,
        "usage": usage or {"input_tokens": 10, "output_tokens": 5},
    }
    return {
        "type": "assistant",
        "uuid": uuid,
        "parentUuid": parent,
        "isSidechain": False,
        "timestamp": at(seconds),
        "message": message,
        **members,
    }


def tool_use(call: str, name: str = "Bash") -> Line:
    return {"type": "tool_use", "id": call, "name": name, "input": {"command": "ls"}}


def result(
    uuid: str,
    *calls: str,
    parent: str | None = None,
    seconds: float = 0,
    error: bool = False,
    **members: object,
) -> Line:
    blocks = [
        {"type": "tool_result", "tool_use_id": call, "content": "done", "is_error": error} for call in calls
    ]
    return prompt(uuid, "", parent, seconds, message={"role": "user", "content": blocks}, **members)


def entries(*lines: Line) -> list[SessionStoreEntry]:
    return cast("list[SessionStoreEntry]", list(lines))


def key(session_id: str = "s1", project_key: str = "p", subpath: str | None = None) -> SessionKey:
    made: SessionKey = {"project_key": project_key, "session_id": session_id}
    if subpath:
        made["subpath"] = subpath
    return made
