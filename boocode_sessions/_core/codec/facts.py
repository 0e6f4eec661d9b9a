"""What questions to many lines need to know of one: a few short values that are stored beside it.

`queries` then answers from an index of some 100 bytes a line, where an entry has kilobytes. A line whose
facts do not fit this form has none, and is read itself: the queries know both ways.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeAlias, cast

TOKENS = {
    "input_tokens": ("input_tokens",),
    "output_tokens": ("output_tokens",),
    "cache_read_tokens": ("cache_read_input_tokens",),
    "cache_write_tokens": ("cache_creation_input_tokens",),
    "cache_write_1h_tokens": ("cache_creation", "ephemeral_1h_input_tokens"),
}
"""Where in `message.usage` an answer's line says how many tokens its API call has used so far."""

FACTS = ("at", "call", "model", *TOKENS, "use", "tool", "failed")
"""What the members of the stored JSON array are; it ends early where the rest would be null.

`at`: when the agent wrote the line, in UTC, as `2026-11-20 10:00:00.123000`. `call`, which is the id of its
message, `model` and tokens: of an answer's line. `use`: the id of the tool use that an answer asks for, by
the name `tool`, or that a result answers, which `failed` or not.
"""


def facts_of(entry: Mapping[str, object]) -> str | None:
    """A line's facts as a JSON array; None where it has to be read itself.

    That is a line with several tool uses or results; a copy that a fork made, which counts only where its
    original is gone; and values that are longer or otherwise written than the agent's own.
    """
    kind = entry.get("type")
    said = entry.get("timestamp")
    if kind != "assistant" and kind != "user":  # noqa: PLR1714 - it need not be hashable
        return "[]" if said is None else (at := _time(said)) and f"[{at}]"
    if "forkedFrom" in entry:
        return None
    facts = [_time(said)]
    message = _members(entry.get("message"))
    uses = _blocks(message, "tool_use" if kind == "assistant" else "tool_result")
    if len(uses) > 1:
        return None
    if kind == "assistant":
        facts += _answer(message)
        facts += [_label(use.get(name)) for use in uses for name in ("id", "name")]
    elif uses:
        failed = "true" if uses[0].get("is_error") is True else "false"
        facts += [*_NO_ANSWER, _label(uses[0].get("tool_use_id")), "null", failed]
    return None if None in facts else f"[{','.join(cast('list[str]', facts))}]"


def _answer(message: _Object) -> list[str | None]:
    usage = _members(message.get("usage"))
    found = [_label(message.get("id")), _label(message.get("model"))]
    for *above, name in TOKENS.values():
        found.append(_count((_members(usage.get(above[0])) if above else usage).get(name)))
    return found


def _members(value: object) -> _Object:
    return cast("_Object", value) if isinstance(value, dict) else _NOTHING


def _blocks(message: _Object, kind: str) -> list[_Object]:
    content = message.get("content")
    if not isinstance(content, list | tuple):
        return []
    blocks = map(_members, cast("Sequence[object]", content))
    return [block for block in blocks if block.get("type") == kind]


def _time(said: object) -> str | None:
    if type(said) is not str or not _AS_THE_AGENT_WRITES.fullmatch(said):
        return None
    try:
        datetime.fromisoformat(said)
    except ValueError:
        return None
    return f'"{said[:10]} {said[11:23]}000"'


def _label(value: object) -> str | None:
    return f'"{value}"' if type(value) is str and _PLAIN.fullmatch(value) else None


def _count(value: object) -> str | None:
    if value is None:
        return "0"
    return str(value) if type(value) is int and 0 <= value <= _MOST else None


_Object: TypeAlias = Mapping[str, object]
_NOTHING: _Object = {}
_NO_ANSWER = ["null"] * (FACTS.index("use") - 1)
_AS_THE_AGENT_WRITES = re.compile(r"[12]\d{3}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_PLAIN = re.compile(r"[ !#-\[\]-~]{1,128}")
"""What needs no escapes in JSON, and is short enough for an index."""
_MOST = 10**15
