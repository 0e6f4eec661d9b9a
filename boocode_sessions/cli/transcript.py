"""A transcript's entries as people read them: in a terminal, or as Markdown."""

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, cast

from boocode_sessions.cli.output import clean, count, local

if TYPE_CHECKING:
    from rich.console import Console

Kind: TypeAlias = Literal["user", "assistant", "thinking", "tool", "result", "failure", "note"]

RESULT_LINES = 8
"""How much of a tool's output is shown when not all of it is wanted."""

_MAIN_ARGUMENTS = ("command", "file_path", "path", "pattern", "query", "url", "description", "prompt")
"""What of a tool's input says best what it did, by the names that the agent's own tools use."""


class Block(NamedTuple):
    """One thing that was said or done."""

    kind: Kind
    title: str
    text: str


def blocks(entry: Mapping[str, Any], *, everything: bool = False) -> Iterator[Block]:
    """What an entry says. `everything`: thinking, and entries that are no message, too."""
    kind = entry.get("type")
    message = entry.get("message")
    if kind not in {"user", "assistant"} or not isinstance(message, dict):
        if everything:
            yield Block("note", str(kind), _note(entry))
        return
    if entry.get("isMeta") is True and not everything:
        return
    content = cast("dict[str, Any]", message).get("content")
    speaker = "You" if kind == "user" else "Claude"
    for part in cast("list[Any]", content) if isinstance(content, list) else [content]:
        yield from _part(part, cast("Kind", kind), _title(speaker, entry), everything=everything)


def print_readable(
    terminal: "Console", entries: Iterable[Mapping[str, Any]], *, everything: bool = False
) -> None:
    """Entries for a terminal, as they come."""
    said = ""
    for entry in entries:
        for block in blocks(entry, everything=everything):
            if block.kind in {"user", "assistant"} and block.title != said:
                said = block.title
                terminal.print()
                terminal.print(said, style="bold green" if block.kind == "user" else "bold cyan")
            _print_block(terminal, block, everything=everything)


def markdown(entries: Iterable[Mapping[str, Any]], *, everything: bool = False) -> Iterator[str]:
    """Entries as a Markdown document, piece by piece."""
    said = ""
    for entry in entries:
        for block in blocks(entry, everything=everything):
            text = clean(block.text)
            if block.kind in {"user", "assistant"}:
                if block.title != said:
                    said = block.title
                    yield f"## {said}\n\n"
                yield f"{text}\n\n"
            elif block.kind == "tool":
                yield f"**{clean(block.title)}**\n\n{_fenced(text, 'json')}"
            elif block.kind in {"result", "failure"}:
                yield f"{'Failed' if block.kind == 'failure' else 'Result'}:\n\n{_fenced(text)}"
            elif block.kind == "thinking":
                yield "".join(f"> {line}\n" for line in text.splitlines()) + "\n"
            else:
                yield f"*{clean(block.title)}* {text}\n\n"


def _part(part: object, speaker: Kind, title: str, *, everything: bool) -> Iterator[Block]:
    if isinstance(part, str):
        if part:
            yield Block(speaker, title, part)
        return
    if not isinstance(part, dict):
        return
    block = cast("dict[str, Any]", part)
    match block.get("type"):
        case "text":
            yield Block(speaker, title, str(block.get("text", "")))
        case "thinking" if everything:
            yield Block("thinking", "thinking", str(block.get("thinking", "")))
        case "tool_use":
            arguments = json.dumps(block.get("input"), indent=2, ensure_ascii=False)
            yield Block("tool", str(block.get("name")), arguments)
        case "tool_result":
            failed = block.get("is_error") is True
            yield Block("failure" if failed else "result", "", _result_text(block.get("content")))
        case "thinking":
            return
        case other:
            yield Block("note", str(other), "")


def _result_text(content: object) -> str:
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        return ""
    parts: list[str] = []
    for part in cast("list[Any]", content):
        block = cast("dict[str, Any]", part) if isinstance(part, dict) else {}
        parts.append(str(block["text"]) if "text" in block else f"[{block.get('type', 'something')}]")
    return "\n".join(parts)


def _title(speaker: str, entry: Mapping[str, Any]) -> str:
    from datetime import datetime

    at = ""
    stamp = entry.get("timestamp")
    if isinstance(stamp, str):
        try:
            at = local(datetime.fromisoformat(stamp))
        except ValueError:
            at = clean(stamp)
    return f"{speaker}  {at}".rstrip()


def _note(entry: Mapping[str, Any]) -> str:
    """What an entry that is no message is about, in a few words."""
    for key in ("subtype", "operation", "customTitle", "summary", "lastPrompt", "mode", "tag"):
        value = entry.get(key)
        if isinstance(value, str):
            return " ".join(value.split())[:200]
    attachment = entry.get("attachment")
    return str(cast("dict[str, Any]", attachment).get("type")) if isinstance(attachment, dict) else ""


def _print_block(terminal: "Console", block: Block, *, everything: bool) -> None:
    from rich.markdown import Markdown
    from rich.padding import Padding
    from rich.text import Text

    text = clean(block.text)
    match block.kind:
        case "assistant":
            terminal.print(Markdown(text) if terminal.is_terminal else Text(text))
        case "user":
            terminal.print(Text(text))
        case "tool":
            line = Text.assemble(("● ", "yellow"), (clean(block.title), "bold yellow"), " ")
            line.append(text if everything else _argument(block.text))
            terminal.print(line, no_wrap=not everything, overflow="ellipsis")
        case "result" | "failure":
            style = "red" if block.kind == "failure" else "dim"
            shown = text.strip() if everything else _beginning(text.strip())
            terminal.print(Padding(Text(shown, style=style), (0, 0, 0, 2)))
        case "thinking":
            terminal.print(Padding(Text(text, style="italic dim"), (0, 0, 0, 2)))
        case "note":
            terminal.print(Text(f"[{clean(block.title)}] {text}".rstrip(), style="dim"))


def _argument(arguments: str) -> str:
    """The one argument of a tool that says best what it did."""
    given = json.loads(arguments)
    if isinstance(given, dict):
        named = cast("dict[str, Any]", given)
        for name in (*_MAIN_ARGUMENTS, *named):
            if isinstance(named.get(name), str):
                return clean(" ".join(named[name].split()))
    return ""


def _beginning(text: str) -> str:
    lines = text.splitlines()
    if len(lines) <= RESULT_LINES:
        return text
    return "\n".join(
        [*lines[:RESULT_LINES], f"... and {count(len(lines) - RESULT_LINES, 'more line')}; --all shows them"]
    )


def _fenced(text: str, language: str = "") -> str:
    """A code block whose fence is longer than any in the text."""
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}\n\n"
