"""Prints rows as a table: with tabs in a pipe, and fitted to its width in a terminal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, NamedTuple

from boocode_sessions.cli.clock import local
from boocode_sessions.cli.screen import clean

if TYPE_CHECKING:
    from boocode_sessions.cli.screen import Screen

GAP = 2
"""Blanks between two columns."""
LEAST_WIDTHS = (24, 12)
"""Least width of the first text column that may be cut, and of the others."""


class Column(NamedTuple):
    """One column, as the terminal shows it."""

    key: str
    heading: str
    is_text: bool
    """True if it may be cut."""
    is_number: bool
    cells: Sequence[str]
    short: Sequence[str]
    """The cells with large numbers in few digits."""

    @property
    def width(self) -> int:
        """The width of the uncut column."""
        from rich.cells import cell_len

        return max(map(cell_len, [self.heading, *self.cells]))


def print_table(
    screen: Screen, rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str], drop_first: Sequence[str]
) -> None:
    """Print rows below the columns' headings.

    `columns` maps keys to headings. A heading that begins with ">" is for numbers; one with "~" is for text
    that a narrow terminal may cut. `drop_first` are the columns that a narrow terminal leaves out, in order.
    A number is never cut, because the rest would look like another number: it becomes 525M.
    """
    in_pipe = screen.width is None
    made = [
        _column(key, heading, [row[key] for row in rows], in_pipe=in_pipe) for key, heading in columns.items()
    ]
    if screen.width is None:
        screen.write(("\t".join(column.heading for column in made), ""))
        for cells in zip(*(column.cells for column in made), strict=True):
            screen.write(("\t".join(cells), ""))
        return
    chosen, widths = _layout(made, drop_first, screen.width)
    screen.write((_line([column.heading for column in chosen], chosen, widths), "bold"))
    for cells in zip(*(column.cells for column in chosen), strict=True):
        line = _line(cells, chosen, widths)
        first = len(_fitted(cells[0], chosen[0], widths[0]))
        screen.write((line[:first], "cyan"), (line[first:], ""))


def _column(key: str, heading: str, values: Sequence[Any], *, in_pipe: bool) -> Column:
    if heading.startswith("~") and not in_pipe:
        values = [value[:_MAX_CELL_CHARS] if isinstance(value, str) else value for value in values]
    cells = [shown(value) for value in values]
    short = [compact(value) for value in values]
    if key == "session_id" and not in_pipe:
        cells = short = _short_ids(cells)
    return Column(key, heading.lstrip(">~"), heading.startswith("~"), heading.startswith(">"), cells, short)


_MAX_CELL_CHARS = 2_000
"""Maximum characters of a text in a terminal: measuring a title of 78 MB takes 20 s."""


def _layout(
    columns: Sequence[Column], drop_first: Sequence[str], room: int
) -> tuple[list[Column], list[int]]:
    """Return the columns that fit and their widths. Short numbers are used if that keeps a column."""
    for number in range(len(drop_first) + 1):
        kept = [column for column in columns if column.key not in drop_first[:number]]
        for made in (kept, [column._replace(cells=column.short) for column in kept]):
            least = [min(column.width, at_least) for column, at_least in _least(made)]
            if sum(least) + GAP * (len(made) - 1) <= room:
                return made, _widths(made, room)
            if not drop_first[number:] and made is not kept:
                squeezed = _squeezed(made, room)
                return squeezed, _widths(squeezed, room)
    raise AssertionError  # the last one is always taken


def _squeezed(columns: list[Column], room: int) -> list[Column]:
    """Drop the last columns until text has room. The first column and text columns stay.

    Ids that differ only in their last characters take 36 characters each.
    """
    needed = sum(min(column.width, _NEVER_LESS) if column.is_text else column.width for column in columns)
    others = [column for column in columns[1:] if not column.is_text]
    if not others or needed + GAP * (len(columns) - 1) <= room:
        return columns
    return _squeezed([column for column in columns if column is not others[-1]], room)


def _least(columns: Sequence[Column]) -> list[tuple[Column, int]]:
    """Return each column with its least width."""
    texts = [column.key for column in columns if column.is_text]
    first, other = LEAST_WIDTHS
    return [
        (column, column.width if not column.is_text else first if column.key == texts[0] else other)
        for column in columns
    ]


def _widths(columns: Sequence[Column], room: int) -> list[int]:
    """Return each column's width. Text columns share the rest, and the first of them gets two parts."""
    texts = [column for column in columns if column.is_text]
    left = room - GAP * (len(columns) - 1) - sum(column.width for column in columns if not column.is_text)
    widths = {column.key: column.width for column in columns}
    part = left // (len(texts) + 1)
    for column in texts:
        share = 2 * part if column is texts[0] else part
        widths[column.key] = min(column.width, max(_NEVER_LESS, share))
        left -= widths[column.key]
    for column in texts:
        more = max(0, min(left, column.width - widths[column.key]))
        widths[column.key] += more
        left -= more
    return [widths[column.key] for column in columns]


_NEVER_LESS = 8


def _line(cells: Sequence[str], columns: Sequence[Column], widths: Sequence[int]) -> str:
    fitted = map(_fitted, cells, columns, widths)
    return (" " * GAP).join(fitted).rstrip()


def _fitted(cell: str, column: Column, width: int) -> str:
    """Cut or fill a cell to its width, as measured on the screen."""
    from rich.cells import cell_len
    from rich.text import Text

    if column.is_text and cell_len(cell) > width:
        text = Text(_from_match(cell, width) if column.key == "snippet" else cell)
        text.truncate(width, overflow="ellipsis")
        cell = text.plain
    blanks = " " * (width - cell_len(cell))
    return blanks + cell if column.is_number else cell + blanks


def _from_match(snippet: str, width: int) -> str:
    """Begin a snippet a few words before its match if cutting its end would lose the match."""
    from rich.cells import cell_len

    match = snippet.find("«")
    if match < 0 or cell_len(snippet[: snippet.find("»", match) + 1]) < width:
        return snippet
    blank = snippet.find(" ", max(0, match - width // 4), match)
    return "… " + snippet[match if blank < 0 else blank + 1 :]


def _short_ids(ids: Sequence[str]) -> list[str]:
    """Return the shortest beginnings of ids, from 8 characters, that differ from each other."""
    length = 8
    while len({one[:length] for one in ids}) < len(set(ids)):
        length += 4
    return [one[:length] for one in ids]


def shown(value: object) -> str:
    """Return a value as a cell."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else ""
    if isinstance(value, datetime):
        return local(value)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.2f}"
    return clean(" ".join(str(value).split()))


def compact(value: object) -> str:
    """Return a value as a cell, with three digits for a large number: 525M for 525,333,312."""
    if not isinstance(value, int | float) or isinstance(value, bool) or abs(value) < _LEAST_COMPACT:
        return shown(value)
    for unit in ("", "k", "M", "B", "T"):
        if abs(value) < _NEXT_UNIT or unit == "T":
            digits = 0 if abs(value) >= 100 or not unit else 1  # noqa: PLR2004 - three digits in all
            return f"{value:,.{digits}f}{unit}"
        value /= 1000
    raise AssertionError


_LEAST_COMPACT = 10_000
_NEXT_UNIT = 999.5


def size(number: int | None) -> str:
    """Return a number of bytes in a readable unit."""
    from rich.filesize import pick_unit_and_suffix

    if number is None:
        return ""
    divisor, unit = pick_unit_and_suffix(number, ["B", "KB", "MB", "GB", "TB"], 1024)
    return f"{number} B" if unit == "B" else f"{number / divisor:.1f} {unit}"
