"""The time zone in which a command reads and shows times: the machine's own, or that of `--timezone`."""

from __future__ import annotations

from contextvars import ContextVar
from datetime import UTC, datetime, timedelta, tzinfo
from typing import Annotated

import typer


class LocalZone(tzinfo):
    """The machine's time zone, with the offset that is valid at each time."""

    def utcoffset(self, dt: datetime | None, /) -> timedelta | None:
        return None if dt is None else dt.replace(tzinfo=None).astimezone().utcoffset()

    def dst(self, dt: datetime | None, /) -> timedelta | None:  # noqa: ARG002 - tzinfo's signature
        return None

    def tzname(self, dt: datetime | None, /) -> str | None:
        return None if dt is None else dt.replace(tzinfo=None).astimezone().tzname()

    def fromutc(self, dt: datetime, /) -> datetime:
        at = dt.replace(tzinfo=UTC).astimezone()
        made = at.replace(tzinfo=self)
        # One hour comes twice when the clocks go back.
        return made if made.utcoffset() == at.utcoffset() else made.replace(fold=1)


_zone: ContextVar[tuple[tzinfo, str]] = ContextVar("zone", default=(LocalZone(), "local"))


def zone() -> tzinfo:
    """Return the time zone."""
    return _zone.get()[0]


def name() -> str:
    """Return the time zone's name for headings."""
    return _zone.get()[1]


def local(at: datetime | None) -> str:
    """Return a time in the time zone, to the minute."""
    return at.astimezone(zone()).strftime("%Y-%m-%d %H:%M") if at is not None else ""


def use_local() -> None:
    """Set the machine's own time zone."""
    _zone.set((LocalZone(), "local"))


def _use(wanted: str | None) -> str | None:
    """Set the time zone that an option names, before other options are read."""
    if wanted is not None:
        _zone.set((_zone_of(wanted), wanted))
    return wanted


def _zone_of(wanted: str) -> tzinfo:
    from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

    if wanted.upper() in {"UTC", "Z"}:
        return UTC
    try:
        return ZoneInfo(wanted)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise typer.BadParameter(
            f"{wanted!r} is no time zone that this machine knows: write UTC, or a name as Europe/Vienna"
        ) from None


TimezoneOption = Annotated[
    str | None,
    typer.Option(
        "--timezone",
        metavar="ZONE",
        callback=_use,
        is_eager=True,
        help="The time zone: UTC, or a name such as Europe/Vienna; by default your machine's.",
    ),
]
