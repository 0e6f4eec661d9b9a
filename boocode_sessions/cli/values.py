"""Reads values of the command line."""

import re
from datetime import UTC, datetime, timedelta

import typer

from boocode_sessions.cli import clock

_AGE = re.compile(r"(\d+)\s*(w|d|h|m|s)")
_MAX_INT = 2**31 - 1
_UNITS = {"w": "weeks", "d": "days", "h": "hours", "m": "minutes", "s": "seconds"}


def moment(text: str) -> datetime:
    """Parse a date or time, with an offset or in the reader's time zone, or an age such as 7d."""
    if _AGE.fullmatch(text.strip()):
        return datetime.now(UTC) - age(text)
    try:
        at = datetime.fromisoformat(text)
        return (at.replace(tzinfo=clock.zone()) if at.tzinfo is None else at).astimezone(UTC)
    except (ValueError, OverflowError):
        raise typer.BadParameter(f"{text!r} is no time: write 2026-11-22, 2026-11-22T18:00, or 7d") from None


def age(text: str) -> timedelta:
    """Parse a span of time: 4w, 30d, 12h, 90m, 45s."""
    found = _AGE.fullmatch(text.strip())
    try:
        if found:
            return timedelta(**{_UNITS[found[2]]: int(found[1])})
    except OverflowError:
        pass  # reported below
    raise typer.BadParameter(f"{text!r} is no span of time: write 30d, 4w, 12h, 90m or 45s")


def number(given: int) -> int:
    """Check a number of rows against the most that every database takes."""
    if given > _MAX_INT:
        raise typer.BadParameter(f"{given} is too many: {_MAX_INT} is the most")
    return given
