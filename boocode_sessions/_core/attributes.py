"""What an entry says: attributes that mean the same on an instance and in SQL, and how entries are shown.

An attribute is None (or an empty list, or False) if the line doesn't have it, or has it in another form.
Attributes read `entry`, where U+FFFD replaces the rare character that JSONB refuses. `verbatim` is exact.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol, cast

from sqlalchemy import ColumnElement, Text, literal
from sqlalchemy.ext.hybrid import hybrid_method, hybrid_property

from boocode_sessions._core.sql.json_values import json_is_true, json_string
from boocode_sessions._core.sql.messages import json_array_holds, message_text, message_tools
from boocode_sessions._core.sql.times import json_time

if TYPE_CHECKING:
    from sqlalchemy.orm import Mapped

SHOWN_CHARS = 2000
"""Maximum characters of a message that a display shows."""


def _string(name: str, *path: str) -> hybrid_property[str | None]:
    def value(self: EntryAttributes) -> str | None:
        return string_at(self.entry, *path)

    def sql(cls: type[EntryAttributes]) -> ColumnElement[str | None]:
        return json_string(cls.entry.expression, *path)

    value.__name__ = name
    return hybrid_property(value, expr=sql)


class EntryAttributes:
    """The attributes of ClaudeSessionEntry that come from the line itself."""

    if TYPE_CHECKING:
        id: Mapped[int]
        session_id: Mapped[str]
        subpath: Mapped[str]
        entry: Mapped[dict[str, Any]]

    uuid = _string("uuid", "uuid")
    """The line's own id. Some lines have none."""
    parent_uuid = _string("parent_uuid", "parentUuid")
    """The id of the line that this one answers or follows."""
    role = _string("role", "message", "role")
    """Who speaks, in the API's terms: `user` or `assistant`. A tool's result has the role `user`."""
    git_branch = _string("git_branch", "gitBranch")
    cwd = _string("cwd", "cwd")
    """The folder in which the agent worked."""
    version = _string("version", "version")
    """The agent's version."""

    @hybrid_property
    def timestamp(self) -> datetime | None:
        """When the agent wrote the line, by its own clock. `created_at` is when the database stored it."""
        return time_of(self.entry)

    @timestamp.inplace.expression
    @classmethod
    def _timestamp_sql(cls) -> ColumnElement[datetime | None]:
        return json_time(cls.entry.expression, "timestamp")

    @hybrid_property
    def is_sidechain(self) -> bool:
        """True if a subagent wrote the line."""
        return member(self.entry, "isSidechain") is True

    @is_sidechain.inplace.expression
    @classmethod
    def _is_sidechain_sql(cls) -> ColumnElement[bool]:
        return json_is_true(cls.entry.expression, "isSidechain")

    @hybrid_property
    def text(self) -> str | None:
        """What a message says to a reader, without tool calls, tool results, thinking and images."""
        return text_of(self.entry)

    @text.inplace.expression
    @classmethod
    def _text_sql(cls) -> ColumnElement[str | None]:
        return message_text(cls.entry.expression)

    @hybrid_property
    def tool_names(self) -> list[str]:
        """The names of the tools that a message calls, in order."""
        return tools_of(self.entry)

    @tool_names.inplace.expression
    @classmethod
    def _tool_names_sql(cls) -> ColumnElement[list[str]]:
        return message_tools(cls.entry.expression)

    def _calls(self, tool: str) -> bool:
        return tool in self.tool_names

    @classmethod
    def _calls_sql(cls, tool: str) -> ColumnElement[bool]:
        return json_array_holds(message_tools(cls.entry.expression), literal(tool, Text()))

    calls: hybrid_method[[str], bool] = hybrid_method(_calls, _calls_sql)
    """True if a message calls the tool of this name."""

    def __repr__(self) -> str:
        return f"<ClaudeSessionEntry {' '.join(_heading(self))}>"

    def _repr_pretty_(self, printer: Printer, cycle: bool) -> None:
        printer.text(" · ".join(_heading(self)) if not cycle else "...")
        for line in _body(self):
            printer.text("\n  " + line.replace("\n", "\n  "))

    def _repr_html_(self) -> str:
        heading = html.escape(" · ".join(_heading(self)))
        style = "white-space: pre-wrap"
        body = "".join(f'<pre style="{style}">{html.escape(line)}</pre>' for line in _body(self))
        return f"<div><small>{heading}</small>{body}</div>"


class Printer(Protocol):
    """The part of IPython's pretty printer that we use."""

    def text(self, obj: str) -> None: ...


def member(value: object, name: str) -> object:
    """Return a member of an object; None if it is missing, or if the value is no object."""
    return cast("dict[str, object]", value).get(name) if isinstance(value, dict) else None


def string_at(entry: object, *path: str) -> str | None:
    """Return the string at a path of members; None if there is anything else."""
    for name in path:
        entry = member(entry, name)
    return entry if isinstance(entry, str) else None


def time_of(entry: object) -> datetime | None:
    """Return when the agent wrote a line, as an aware datetime in UTC; None if it doesn't say."""
    said = string_at(entry, "timestamp")
    if said is None or not _TIME.fullmatch(said):
        return None
    try:
        return datetime.fromisoformat(said).astimezone(UTC)
    except ValueError:
        return None


def text_of(entry: object) -> str | None:
    """Return what a message says to a reader."""
    return text_of_content(member(member(entry, "message"), "content"))


def is_queued_prompt(entry: object) -> bool:
    """True if a line is a prompt that somebody sent while the agent was at work, kept as an attachment."""
    attachment = member(entry, "attachment")
    return (
        member(entry, "type") == "attachment"
        and member(attachment, "type") == QUEUED
        and member(attachment, "commandMode") in (None, "prompt")
    )


def as_message(entry: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a line as it is, and a queued prompt as the user's message that it stands for."""
    if not is_queued_prompt(entry):
        return entry
    prompt = member(member(entry, "attachment"), "prompt")
    return {**entry, "type": "user", "message": {"role": "user", "content": prompt}}


QUEUED = "queued_command"
"""The type of an attachment that may hold a prompt."""


def text_of_content(content: object) -> str | None:
    """Return the text of a message's content, or of a tool's result; None if there is none."""
    if isinstance(content, str):
        return content
    said = [text for block in _of_kind(content, "text") if (text := string_at(block, "text")) is not None]
    return "\n\n".join(said) if said else None


def visible(text: str) -> str:
    """Return the text with visible characters for those that control the display or can't be encoded."""
    return text.replace("\r\n", "\n").replace("\r", "\n").translate(_VISIBLE_FORMS)


def in_order(arguments: Mapping[str, object]) -> dict[str, object]:
    """Return a tool's arguments in a fixed order. JSONB has its own, with the shortest name first."""
    names = (*_MAIN_ARGUMENTS, *_CODE_ARGUMENTS, *sorted(arguments))
    return {name: _sorted(arguments[name], _MAX_SORTED_DEPTH) for name in names if name in arguments}


def _sorted(value: object, deep: int) -> object:
    """Sort the members of a value's objects by name, `deep` levels down."""
    if not deep:
        return value
    if isinstance(value, dict):
        members = cast("dict[str, object]", value)
        return {name: _sorted(members[name], deep - 1) for name in sorted(members)}
    if isinstance(value, list):
        return [_sorted(item, deep - 1) for item in cast("list[object]", value)]
    return value


def main_argument(given: object) -> str:
    """Return the argument that tells most about what a tool did, on one line."""
    if not isinstance(given, dict):
        return ""
    for value in in_order(cast("dict[str, object]", given)).values():
        if isinstance(value, str):
            return " ".join(value.split())
    return ""


def tools_of(entry: object) -> list[str]:
    """Return the names of the tools that a message calls."""
    return [name for block in blocks_of(entry, "tool_use") if (name := string_at(block, "name")) is not None]


_MAIN_ARGUMENTS = ("command", "file_path", "path", "pattern", "query", "url", "description", "prompt")
"""The names that the agent's own tools use."""
_CODE_ARGUMENTS = ("old_string", "new_string", "content", "new_source")
_MAX_SORTED_DEPTH = 20
"""Levels of an argument that are sorted. Entries may be nested as deeply as Python's stack allows."""

_VISIBLE_FORMS = {
    **{code: 0x2400 + code for code in range(32) if code not in {9, 10}},  # each control's visible symbol
    127: 0x2421,
    **dict.fromkeys([*range(0x80, 0xA0), *range(0x202A, 0x202F), *range(0x2066, 0x206A)], 0xFFFD),
    **dict.fromkeys(range(0xD800, 0xE000), 0xFFFD),
}
"""Control characters, marks that change the direction of text, and lone surrogates."""

_TIME = re.compile(
    r"[12]\d{3}-\d\d-\d\dT\d\d:\d\d:[0-5]\d(?:\.\d{1,6})?(?:Z|[+-](?:0\d|1[0-4]):[0-5]\d)", re.ASCII
)


def blocks_of(entry: object, kind: str) -> Iterator[object]:
    """Yield the blocks of one type in a line's message."""
    return _of_kind(member(member(entry, "message"), "content"), kind)


def _of_kind(content: object, kind: str) -> Iterator[object]:
    if isinstance(content, list):
        yield from (block for block in cast("list[object]", content) if member(block, "type") == kind)


def _heading(entry: EntryAttributes) -> Iterator[str]:
    """Yield what identifies a line. Read only what is loaded, because the instance may be detached."""
    loaded = entry.__dict__
    line = loaded.get("entry")
    yield str(loaded.get("id", "new"))
    yield string_at(line, "type") or "?"
    if (at := time_of(line)) is not None:
        yield f"{at:%Y-%m-%d %H:%M:%S}Z"
    if session_id := loaded.get("session_id"):
        yield f"session {session_id[:8]}"
    if subpath := loaded.get("subpath"):
        yield subpath
    if model := string_at(line, "message", "model"):
        yield model


def _body(entry: EntryAttributes) -> Iterator[str]:
    line = entry.__dict__.get("entry")
    said = text_of(line)
    if said:
        yield said if len(said) <= SHOWN_CHARS else f"{said[:SHOWN_CHARS]} … ({len(said):,} characters)"
    if tools := tools_of(line):
        yield "calls " + ", ".join(tools)
