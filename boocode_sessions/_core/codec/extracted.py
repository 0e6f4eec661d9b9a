"""The values of the columns beside an entry: the few that queries need from many lines.

A value is None if the line lacks it or has it in an unexpected form.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta, timezone
from typing import NamedTuple, TypeAlias, cast

FAST = "-fast"


class Extracted(NamedTuple):
    """The values of one line, of types that both databases store unchanged."""

    type: str | None = None
    said_at: str | None = None
    """When the agent wrote the line: UTC, always formatted like `2026-11-20 10:00:00.123000`."""
    message_id: str | None = None
    """For an assistant line: its message's id, which the message's other lines and a fork's copies share."""
    request_id: str | None = None
    """For an assistant line with a message id."""
    model: str | None = None
    """For an assistant line. It ends in FAST if the API answered in fast mode, which has its own prices."""
    input_tokens: int | None = None
    output_tokens: int | None = None
    cache_read_tokens: int | None = None
    cache_write_tokens: int | None = None
    cache_write_1h_tokens: int | None = None
    tool_name: str | None = None
    """For an assistant line with exactly one tool use."""
    tool_use_id: str | None = None
    """For an assistant line with exactly one tool use, or a user line with exactly one tool result."""
    tool_count: int | None = None
    """How many tool uses an assistant line has, or tool results a user line; None instead of 0."""
    failed: bool | None = None
    """True if the only tool result is an error."""
    forked_from: str | None = None
    """The id of the session that a fork copied the line from."""

    @property
    def tokens(self) -> int | None:
        """Tokens of all kinds; None if the line has none. Cache writes include those kept for an hour."""
        kinds = (self.input_tokens, self.output_tokens, self.cache_read_tokens, self.cache_write_tokens)
        said = [count for count in kinds if count is not None]
        return sum(said) if said else None


def extract(entry: Mapping[str, object]) -> Extracted:
    """Return a line's values. Any JSON may stand where they are expected."""
    kind = _label(entry.get("type"))
    said = entry.get("timestamp")
    at = None if said is None else _time(said)
    forked = _label(_members(entry["forkedFrom"]).get("sessionId")) if "forkedFrom" in entry else None
    message = entry.get("message")
    if not isinstance(message, dict) or (kind != "assistant" and kind != "user"):  # noqa: PLR1714 - faster
        return Extracted(kind, at, forked_from=forked)
    message = cast("_Object", message)
    if kind == "user":
        _, answered, count, failed = _only(message, "tool_result")
        return Extracted(kind, at, tool_use_id=answered, tool_count=count, failed=failed, forked_from=forked)
    message_id = _label(message.get("id"))
    usage = _members(message.get("usage"))
    model = _label(message.get("model"))
    if model is not None and usage.get("speed") == "fast":
        model = _label(model + FAST)
    name, use, count, _ = _only(message, "tool_use")
    return Extracted(
        kind,
        at,
        message_id,
        None if message_id is None else _label(entry.get("requestId")),
        model,
        _count(usage.get("input_tokens")),
        _count(usage.get("output_tokens")),
        _count(usage.get("cache_read_input_tokens")),
        _count(usage.get("cache_creation_input_tokens")),
        _count(_members(usage.get("cache_creation")).get("ephemeral_1h_input_tokens")),
        name,
        use,
        count,
        None,
        forked,
    )


def said_at(entry: Mapping[str, object]) -> datetime | None:
    """Return when the agent wrote the line."""
    at = _time(entry.get("timestamp"))
    return None if at is None else datetime.fromisoformat(at).replace(tzinfo=UTC)


def _only(message: _Object, kind: str) -> tuple[str | None, str | None, int | None, bool | None]:
    """Return name, id, count and failure of a message's only block of a kind; of several, only the count."""
    content = message.get("content")
    if not isinstance(content, list | tuple):
        return _NO_BLOCK
    blocks = [
        cast("_Object", block)
        for block in cast("Iterable[object]", content)
        if isinstance(block, dict) and cast("_Object", block).get("type") == kind
    ]
    if len(blocks) != 1:
        return None, None, len(blocks) or None, None
    (block,) = blocks
    if kind == "tool_use":
        return _label(block.get("name")), _label(block.get("id")), 1, None
    return None, _label(block.get("tool_use_id")), 1, block.get("is_error") is True


def _members(value: object) -> _Object:
    return cast("_Object", value) if isinstance(value, dict) else _NOTHING


def _label(value: object) -> str | None:
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_LABEL_BYTES:
        return None
    if not value.isascii() and (_SURROGATE.search(value) or len(value.encode()) > _MAX_LABEL_BYTES):
        return None
    return None if "\0" in value else str.__str__(value)  # a plain str, even for a subclass


def _count(value: object) -> int | None:
    if isinstance(value, float) and math.isfinite(value):
        value = math.floor(value)
    if not isinstance(value, int) or isinstance(value, bool):
        return None
    return min(max(int(value), 0), _MAX_COUNT)


def _time(said: object) -> str | None:
    try:
        if isinstance(said, str):
            return _time_in(said)
        if isinstance(said, int | float) and not isinstance(said, bool) and _YEAR_2000 <= said < _YEAR_3000:
            return _written(_EPOCH + timedelta(milliseconds=said))
    except (ValueError, OverflowError):  # February 30, or an offset that leads outside the calendar
        pass
    return None


def _time_in(said: str) -> str | None:
    if _AGENT_TIME.fullmatch(said):
        datetime.fromisoformat(said)  # raises for a date that does not exist
        return f"{said[:10]} {said[11:23]}000"
    if not (read := _RFC_3339.fullmatch(said)):
        return None
    day, clock, fraction, zone = read.groups()
    at = datetime.fromisoformat(f"{day}T{clock}.{(fraction or '')[:6]:0<6}")
    if zone is None or zone in "zZ":
        return _written(at.replace(tzinfo=UTC))
    offset = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:6]))
    if offset > _MAX_UTC_OFFSET:
        return None
    return _written(at.replace(tzinfo=timezone(-offset if zone[0] == "-" else offset)).astimezone(UTC))


def _written(at: datetime) -> str:
    return at.replace(tzinfo=None).isoformat(" ", "microseconds")


_Object: TypeAlias = Mapping[str, object]
_NOTHING: _Object = {}
_NO_BLOCK = (None, None, None, None)
_SURROGATE = re.compile("[\ud800-\udfff]")
_MAX_LABEL_BYTES = 128
"""Maximum bytes of a label: with the key's 2,000, an index row stays below the 2,704 that a B-tree takes."""
_MAX_COUNT = 2_147_483_647
"""The largest value of an integer column."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_YEAR_2000, _YEAR_3000 = (datetime(year, 1, 1, tzinfo=UTC).timestamp() * 1000 for year in (2000, 3000))
_MAX_UTC_OFFSET = timedelta(hours=14)
_AGENT_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", re.ASCII)
_RFC_3339 = re.compile(
    r"(\d{4}-\d\d-\d\d)[Tt ](\d\d:\d\d:\d\d)(?:\.(\d+))?([Zz]|[+-]\d\d:[0-5]\d)?", re.ASCII
)
