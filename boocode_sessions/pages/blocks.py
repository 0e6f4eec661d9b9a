"""Renders the blocks of a message: text, thinking, tool calls, results and pictures."""

from __future__ import annotations

import base64
import binascii
import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias, cast

from markupsafe import Markup

from boocode_sessions._core.attributes import in_order, main_argument, string_at
from boocode_sessions.pages.text import code, markdown, plain

Line: TypeAlias = Mapping[str, Any]

_PICTURES = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
_LANGUAGES = {"command": "bash", "old_string": None, "new_string": None, "content": None, "new_source": None}
"""Arguments that hold code, and the code's language; None if the call's file name tells it."""


@dataclasses.dataclass
class Part:
    """One part of an entry."""

    kind: str
    """`said`, `thinking`, `tool`, `result` or `note`. The template shows each kind."""
    body: Markup = dataclasses.field(default_factory=Markup)
    title: str = ""
    anchor: str | None = None
    """The anchor of a result that stands inside its call."""
    failed: bool = False
    argument: str = ""
    prompt: str | None = None
    """The prompt that a tool was given. A subagent's first message repeats it."""
    fields: list[tuple[str, Markup]] = dataclasses.field(default_factory=list[tuple[str, Markup]])
    results: list[Part] = dataclasses.field(default_factory=list["Part"])
    subagents: list[Any] = dataclasses.field(default_factory=list[Any])
    """The transcripts of agents that the call started, as `entries.Subagent`."""


def part_of(block: object, tools: dict[str, Part]) -> Part:
    """Render one block of a message. Calls are also added to `tools`, by id."""
    text = block if isinstance(block, str) else string_at(block, "text")
    thought = string_at(block, "thinking")
    match string_at(block, "type") or "text":
        case "text" if text is not None:
            return Part("said", markdown(text))
        case "thinking" if thought is not None:
            return Part("thinking", markdown(thought))
        case "tool_use":
            return _call(cast("dict[str, object]", block), tools)
        case "tool_result":
            result = cast("dict[str, object]", block)
            return Part("result", _result(result.get("content")), failed=result.get("is_error") is True)
        case "image" if picture := _picture(block):
            return Part("said", picture)
        case other:
            return Part("note", code(as_json(block), "json"), other)


def _call(block: dict[str, object], tools: dict[str, Part]) -> Part:
    given = block.get("input")
    part = Part("tool", title=string_at(block, "name") or "?", argument=main_argument(given))
    part.fields = list(_fields(given))
    part.prompt = string_at(given, "prompt")
    if call := string_at(block, "id"):
        tools[call] = part
    return part


def content_of(line: Line) -> list[object]:
    message: object = line.get("message")
    if string_at(line, "type") not in {"user", "assistant"} or not isinstance(message, dict):
        return []
    content = cast("dict[str, object]", message).get("content")
    if isinstance(content, str):
        return [content] if content else []
    return list(cast("list[object]", content)) if isinstance(content, list) else []


def _fields(given: object) -> Iterator[tuple[str, Markup]]:
    """Yield a tool's arguments, with highlighted code."""
    if not isinstance(given, dict):
        if given is not None:
            yield "", code(as_json(given), "json")
        return
    named = cast("dict[str, object]", given)
    paths = (string_at(named, name) for name in ("file_path", "path", "notebook_path"))
    file = next((path for path in paths if path), "")
    for name, value in in_order(named).items():
        if isinstance(value, str):
            known = name in _LANGUAGES
            yield name, code(value, _LANGUAGES[name], file=file) if known else plain(value)
        else:
            yield name, code(as_json(value), "json")


def _result(content: object) -> Markup:
    if isinstance(content, str):
        return plain(content)
    if not isinstance(content, list):
        return Markup() if content is None else code(as_json(content), "json")
    return Markup().join(_result_block(block) for block in cast("list[object]", content))


def _result_block(block: object) -> Markup:
    text = string_at(block, "text")
    if text is not None and string_at(block, "type") == "text":
        return plain(text)
    if string_at(block, "type") == "image" and (picture := _picture(block)):
        return picture
    return plain(block) if isinstance(block, str) else code(as_json(block), "json")


def _picture(block: object) -> Markup | None:
    """Render an image that the block itself holds, in a format that browsers only draw."""
    kind, data = string_at(block, "source", "media_type"), string_at(block, "source", "data")
    if kind not in _PICTURES or data is None:
        return None
    try:
        exact = base64.b64encode(base64.b64decode(data, validate=True)).decode()
    except (binascii.Error, ValueError):
        return None
    return Markup('<img alt="{}" loading="lazy" src="data:{};base64,{}">').format(kind, kind, exact)


def as_json(value: object) -> str:
    try:
        return json.dumps(value, indent=2, ensure_ascii=False)
    except RecursionError:
        return str(json.dumps(value, ensure_ascii=False))
