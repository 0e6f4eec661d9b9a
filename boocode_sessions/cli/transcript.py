"""Shows a transcript's entries to people: in a terminal, or as Markdown."""

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, cast

from boocode_sessions.cli.clock import local
from boocode_sessions.cli.output import count
from boocode_sessions.cli.screen import clean, markdown_parts, one_line

if TYPE_CHECKING:
    from boocode_sessions.cli.screen import Screen

Kind: TypeAlias = Literal["user", "assistant", "thinking", "tool", "result", "failure", "note"]

RESULT_LINES = 8
"""Lines of a tool's output that are shown without --all."""


class Block(NamedTuple):
    """One thing that was said or done."""

    kind: Kind
    title: str
    text: str
    speaker: str = ""
    """The speaker and time of a message, for a part that is no text."""

    @property
    def heading(self) -> str:
        """The heading above the block: who said it, and when."""
        return self.title if self.kind in {"user", "assistant"} else self.speaker


def blocks(entry: Mapping[str, Any], *, everything: bool = False) -> Iterator[Block]:
    """Yield the blocks of an entry. `everything` adds thinking, and entries that are no messages."""
    from boocode_sessions._core.attributes import as_message, string_at

    entry = as_message(entry)
    kind = string_at(entry, "type")
    message = entry.get("message")
    if kind not in {"user", "assistant"} or not isinstance(message, dict):
        if everything:
            yield Block("note", str(kind), _note(entry))
        return
    if entry.get("isMeta") is True and not everything:
        return
    content = cast("dict[str, Any]", message).get("content")
    speaker = _YOU if kind == "user" else "Claude"
    for part in cast("list[Any]", content) if isinstance(content, list) else [content]:
        yield from _part(part, cast("Kind", kind), _title(speaker, entry), everything=everything)


_YOU = "You"


def print_readable(
    screen: "Screen", entries: Iterable[Mapping[str, Any]], *, everything: bool = False
) -> int:
    """Print entries to a terminal or a pipe as they come, and return how many blocks they had."""
    said = ""
    shown = 0
    for entry in entries:
        for block in blocks(entry, everything=everything):
            if block.heading and block.heading != said:
                said = block.heading
                screen.write()
                screen.write((said, "bold green" if said.startswith(_YOU) else "bold cyan"))
            _print_block(screen, block, everything=everything)
            shown += 1
    return shown


def markdown(entries: Iterable[Mapping[str, Any]], *, everything: bool = False) -> Iterator[str]:
    """Yield a Markdown document of entries, piece by piece."""
    said = ""
    for entry in entries:
        for block in blocks(entry, everything=everything):
            text = clean(block.text)
            if block.heading and block.heading != said:
                said = block.heading
                yield f"## {said}\n\n"
            if block.kind in {"user", "assistant"}:
                yield f"{text}\n{_open_fence(text)}\n"
            elif block.kind == "tool":
                yield f"**{one_line(block.title)}**\n\n{_fenced(text, 'json')}"
            elif block.kind in {"result", "failure"}:
                yield f"{'Failed' if block.kind == 'failure' else 'Result'}:\n\n{_fenced(text)}"
            elif block.kind == "thinking":
                yield "".join(f"> {line}\n" for line in text.splitlines()) + "\n"
            else:
                yield f"*{one_line(block.title)}* {text}\n\n"


def _part(part: object, speaker: Kind, title: str, *, everything: bool) -> Iterator[Block]:
    if isinstance(part, str):
        if part:
            yield Block(speaker, title, part)
        return
    if not isinstance(part, dict):
        return
    block = cast("dict[str, Any]", part)
    match kind := block.get("type"):
        case "text":
            yield Block(speaker, title, _said(block, "text"))
        case "thinking" if everything:
            yield Block("thinking", "thinking", _said(block, "thinking"))
        case "tool_use" | "server_tool_use" | "mcp_tool_use":
            yield Block("tool", str(block.get("name") or "?"), _arguments(block.get("input")))
        case str() if kind.endswith("tool_result"):
            failed = block.get("is_error") is True
            yield Block("failure" if failed else "result", "", _result_text(block.get("content")))
        case "thinking":
            return
        case other:
            text = "" if not everything or other in _FILES else json.dumps(block, ensure_ascii=False)
            yield Block("note", str(other), text, title)


def _said(block: Mapping[str, Any], name: str) -> str:
    return "" if (value := block.get(name)) is None else str(value)


def _arguments(given: object) -> str:
    from boocode_sessions._core.attributes import in_order

    ordered = in_order(cast("dict[str, object]", given)) if isinstance(given, dict) else given
    return json.dumps(ordered, indent=2, ensure_ascii=False)


_FILES = ("image", "document", "redacted_thinking")
"""Parts that hold a file's bytes and no text."""


def _result_text(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = cast("list[Any]", content) if isinstance(content, list) else [content]
    return "\n".join(_result_part(part) for part in parts if part is not None)


def _result_part(part: object) -> str:
    if not isinstance(part, dict):
        return str(part)
    block = cast("dict[str, Any]", part)
    named = [str(block[name]) for name in ("text", "title", "url", "error_code") if name in block]
    return " ".join(named) or f"[{block.get('type', 'something')}]"


def _title(speaker: str, entry: Mapping[str, Any]) -> str:
    from boocode_sessions._core.codec import said_at

    at = local(said_at(entry))
    if not at and isinstance(stamp := entry.get("timestamp"), str):
        at = one_line(stamp)
    return f"{speaker}  {at}".rstrip()


def _note(entry: Mapping[str, Any]) -> str:
    """Return what an entry that is no message is about: its kind, and the text in it."""
    names = (
        "subtype",
        "operation",
        "customTitle",
        "aiTitle",
        "summary",
        "lastPrompt",
        "mode",
        "tag",
        "content",
    )
    said = [value for name in names if isinstance(value := entry.get(name), str)]
    attachment = entry.get("attachment")
    if isinstance(attachment, dict):
        members = cast("dict[str, Any]", attachment)
        said += [value for name in ("type", "prompt") if isinstance(value := members.get(name), str)]
    return " ".join(said)


def _print_block(screen: "Screen", block: Block, *, everything: bool) -> None:
    text = clean(block.text)
    match block.kind:
        case "assistant":
            screen.write(*markdown_parts(text))
        case "user":
            screen.write((text, ""))
        case "tool":
            from boocode_sessions._core.attributes import main_argument

            argument = text if everything else one_line(main_argument(json.loads(block.text)))
            name = one_line(block.title)
            screen.write(("● ", "yellow"), (name, "bold yellow"), (f" {argument}", ""), cut=not everything)
        case "result" | "failure":
            style = "red" if block.kind == "failure" else "dim"
            shown = text.strip() if everything else _beginning(text.strip())
            screen.write((shown, style), indent=2)
        case "thinking":
            screen.write((text, "italic dim"), indent=2)
        case "note":
            screen.write((f"[{one_line(block.title)}] {text}", "dim"))


def _beginning(text: str) -> str:
    lines = text.splitlines()
    if len(lines) <= RESULT_LINES:
        return text
    return "\n".join(
        [*lines[:RESULT_LINES], f"... and {count(len(lines) - RESULT_LINES, 'more line')}; --all shows them"]
    )


def _open_fence(text: str) -> str:
    """Return the line that closes a code block which a text leaves open; it would swallow what follows."""
    fence = ""
    for line in text.splitlines():
        if (found := _FENCE.match(line)) is None:
            continue
        marks, rest = found.groups()
        if not fence:
            fence = marks if "`" not in rest or marks[0] == "~" else ""
        elif marks.startswith(fence) and not rest.strip():
            fence = ""
    return fence and f"{fence}\n"


_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})(.*)")


def _fenced(text: str, language: str = "") -> str:
    """Return a code block whose fence is longer than any in the text."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}\n\n"
