"""A SQL function that reads a time."""

from __future__ import annotations

from typing import Any

from boocode_sessions._core.sql.json_values import STRING_ON_POSTGRESQL, STRING_ON_SQLITE, AtPath
from boocode_sessions._core.sql.types import UTCDateTime

_REAL_DAY = (
    "(?:[12][0-9]{3}-(?:(?:0[13578]|1[02])-(?:0[1-9]|[12][0-9]|3[01])"
    "|(?:0[469]|11)-(?:0[1-9]|[12][0-9]|30)|02-(?:0[1-9]|1[0-9]|2[0-8]))"
    "|(?:[12][0-9](?:0[48]|[2468][048]|[13579][26])|(?:12|16|20|24|28)00)-02-29)"
)
_REAL_TIME = (
    _REAL_DAY + "T(?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](?:[.][0-9]{1,6})?"
    "(?:Z|[+-](?:0[0-9]|1[0-4]):[0-5][0-9])"
)


def _time_on_postgresql(*arguments: str) -> str:
    # A cast raises on a date such as February 30, so only real dates may reach it.
    text = STRING_ON_POSTGRESQL.format(*arguments)
    return f"CASE WHEN {text} ~ '^{_REAL_TIME}$' THEN CAST({text} AS TIMESTAMP WITH TIME ZONE) END"


def _time_on_sqlite(*arguments: str) -> str:
    # The result is text in UTC, with the six digits that SQLAlchemy writes. SQLite reads February 30 as
    # March 2, so the day that it read must be the one that was written.
    text = STRING_ON_SQLITE.format(*arguments)
    digit, seconds = "[0-9]", "strftime('%Y-%m-%dT%H:%M:%S', day, '+0 days')"
    day = "-".join([f"[12]{digit * 3}", digit * 2, digit * 2]) + f"T{digit * 2}:{digit * 2}:{digit * 2}"
    zone = "CASE substr(said, -1) WHEN 'Z' THEN 'Z' ELSE substr(said, -6) END"
    return (
        f"(SELECT strftime('%Y-%m-%d %H:%M:%S', day || zone) || '.' || substr(fraction || '000000', 2, 6)"
        f" FROM (SELECT day, zone, substr(said, 20, length(said) - 19 - length(zone)) || '' AS part,"
        f" coalesce(nullif(substr(said, 20, length(said) - 19 - length(zone)), ''), '.') AS fraction"
        f" FROM (SELECT said, substr(said, 1, 19) AS day, {zone} AS zone FROM (SELECT {text} AS said)))"
        f" WHERE day GLOB '{day}' AND {seconds} = day"
        f" AND (zone = 'Z' OR zone GLOB '[+-]{digit * 2}:[0-5]{digit}')"
        f" AND (part = '' OR (part GLOB '.{digit}*' AND length(part) <= 7"
        f" AND substr(part, 2) NOT GLOB '*[^0-9]*')))"
    )


class json_time(AtPath[Any]):
    """The time at a path, in the format of RFC 3339; NULL if there is anything else.

    It takes what both databases can read: years 1000 to 2999, up to six digits of a second, zones to 14
    hours.
    """

    type = UTCDateTime()
    postgresql = _time_on_postgresql
    sqlite = _time_on_sqlite
