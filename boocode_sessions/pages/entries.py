"""Renders entries: who said what, with a tool's result and its subagent inside the call."""

from __future__ import annotations

import dataclasses
import hashlib
import re
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo

from boocode_sessions._core.attributes import as_message, string_at, text_of, time_of
from boocode_sessions.pages.blocks import Line, Part, as_json, content_of, part_of
from boocode_sessions.pages.text import code


@dataclasses.dataclass
class Entry:
    """One entry as it is shown."""

    anchor: str
    kind: str
    """`user`, `assistant` or `note`."""
    speaker: str
    at: datetime | None
    model: str | None
    parts: list[Part]
    beginning: str
    """The beginning of the text on one line, for entries that a person may have written."""


@dataclasses.dataclass
class Subagent:
    """A subagent's transcript, inside the call that started it."""

    subpath: str
    entries: list[Entry]


DEEPEST = 20
"""Maximum levels of nested subagents. Deeper ones are shown below, which avoids a RecursionError."""


class Reader:
    """Renders the entries of a session and its subagents. Each subagent is shown once.

    It takes the subagents and the time zone of `session_page`.
    """

    def __init__(self, subagents: Mapping[str, Sequence[Line]], tz: tzinfo | None) -> None:
        self._unattached = dict(subagents)
        self._tz = tz
        self._anchors: set[str] = set()
        self._depth = 0
        self._prompts = {
            text: subpath
            for subpath, lines in reversed(self._unattached.items())
            if (text := next((text_of(line) for line in lines if line.get("type") == "user"), None))
        }

    def entries(self, lines: Sequence[Line], prefix: str = "e", *, asking: str = "You") -> list[Entry]:
        """Render the entries of one transcript. `asking` is the speaker of its prompts."""
        lines = [as_message(line) for line in lines]
        calls = {
            call
            for line in lines
            for block in content_of(line)
            if string_at(block, "type") == "tool_use" and (call := string_at(block, "id"))
        }
        tools: dict[str, Part] = {}
        shown: list[Entry] = []
        answers: list[tuple[str, Part, Line]] = []
        for number, line in enumerate(lines):
            anchor = self._anchor(line, f"{prefix}-{number}")
            parts: list[Part] = []
            inside: list[Part] = []
            for block in content_of(line):
                part = part_of(block, tools)
                call = string_at(block, "tool_use_id")
                if part.kind == "result" and call in calls:
                    answers.append((call, part, line))
                    inside.append(part)
                else:
                    parts.append(part)
            if inside and not parts:
                inside[0].anchor = anchor
            else:
                shown.append(self._entry(line, anchor, parts, asking))
        for call, part, line in answers:
            tools[call].results.append(part)
            self._nest(tools[call], line)
        for tool in tools.values():
            if tool.prompt in self._prompts and not tool.subagents:
                self._attach(tool, self._prompts[tool.prompt])
        return shown

    def unattached(self) -> list[Subagent]:
        """Render the subagents that no call is known to have started."""
        return [self._subagent(subpath) for subpath in list(self._unattached) if subpath in self._unattached]

    def _entry(self, line: Line, anchor: str, parts: list[Part], asking: str) -> Entry:
        kind = str(line.get("type"))
        at = time_of(line)
        spoken = kind in {"user", "assistant"}
        said = [part for part in parts if part.kind == "said"]
        speaker = {"user": asking if said else "Tool", "assistant": "Claude"}.get(kind, kind)
        return Entry(
            anchor,
            kind if spoken else "note",
            "Agent's note" if line.get("isMeta") is True and spoken else speaker,
            at.astimezone(self._tz) if at else None,
            string_at(line, "message", "model"),
            parts if spoken and parts else [Part("note", code(as_json(line), "json"), _note(line))],
            " ".join((text_of(line) or "").split())[:120] if kind == "user" and said else "",
        )

    def _nest(self, tool: Part, line: Line) -> None:
        """Put a subagent into its call. The result's line names the subagent."""
        agent = string_at(line, "toolUseResult", "agentId")
        for subpath in self._unattached:
            if agent and subpath.rpartition("/")[2] == f"agent-{agent}":
                self._attach(tool, subpath)
                return

    def _attach(self, tool: Part, subpath: str) -> None:
        if subpath in self._unattached and self._depth < DEEPEST:
            tool.subagents.append(self._subagent(subpath))

    def _subagent(self, subpath: str) -> Subagent:
        lines = self._unattached.pop(subpath)
        self._depth += 1
        entries = self.entries(lines, _slug(subpath), asking="Prompt")
        self._depth -= 1
        return Subagent(subpath, entries)

    def _anchor(self, line: Line, otherwise: str) -> str:
        """Return the line's anchor: its uuid, or else its place in the transcript, which never changes."""
        uuid = string_at(line, "uuid")
        wanted = _slug(uuid) if uuid else otherwise
        anchor, number = wanted, 1
        while anchor in self._anchors:
            number += 1
            anchor = f"{wanted}-{number}"
        self._anchors.add(anchor)
        return anchor


def _slug(text: str) -> str:
    """Return the text as a name for the page's own use, or a digest of it if it is no plain name."""
    if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", text):
        return text
    return "x" + hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:16]


def _note(line: Line) -> str:
    """Return in a few words what an entry that is no message is about."""
    for name in ("subtype", "operation", "customTitle", "aiTitle", "summary", "lastPrompt", "mode", "tag"):
        if value := string_at(line, name):
            return " ".join(value.split())[:120]
    return string_at(line, "attachment", "type") or ""
