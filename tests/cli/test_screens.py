"""What people see: whole, in any terminal, and in a pipe without a layout."""

import io
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from boocode_sessions.cli.screen import (
    MAX_LAID_OUT_CHARS,
    Pipe,
    Screen,
    Terminal,
    clean,
    console,
    markdown_parts,
    one_line,
)
from boocode_sessions.cli.tables import compact, print_table
from boocode_sessions.cli.transcript import print_readable
from tests.cli.conftest import NOW

SWALLOWED = [
    "Vec<String> and HashMap<K, V>",
    "0<foo and foo>1",
    "<div>\nblock\n</div>",
    "__init__ and *args, **kwargs, a_b_c, ~~x~~",
    "[a link](https://example.org/x?y=1&z=2) ![a picture](x.png)",
    "&lt;tag&gt; &amp; &nbsp; <!-- a comment -->",
    "# heading\n## second\n---\n===",
    "```python\nx = '`'\n```\n~~~\nopen",
    "| a | b |\n| --- | --- |\n| 1 | 2 |",
    "1. one\n7. seven\n- [ ] to do\n> quoted\n\\* escaped \\_",
    "[bold]markup[/bold] [/] [red]",
    ":smile: :warning:",
    "tab\there\r\nand\rthere",
    "漢字" * 40 + " 👩‍👩‍👧‍👦 🇩🇪 e\u0301",
    "x" * 300,
]


def entry(text: str, kind: str = "assistant") -> dict[str, Any]:
    return {"type": kind, "uuid": "u", "message": {"role": kind, "content": [{"type": "text", "text": text}]}}


def terminal(width: int, file: io.StringIO) -> Terminal:
    console = Console(
        file=file, force_terminal=True, width=width, color_system=None, highlight=False, markup=False
    )
    return Terminal(console)


def drawn(draw: Callable[[Screen], object], width: int | None) -> str:
    file = io.StringIO()
    draw(Pipe(file) if width is None else terminal(width, file))
    return file.getvalue()


def visible(text: str) -> str:
    """The characters that leave a mark."""
    return "".join(text.split())


texts = st.one_of(
    st.text(max_size=300),
    st.text(alphabet="<>&;*_`~#[]()!|-=\\/ \n\taB1:{}\"'", max_size=200),
    st.lists(st.sampled_from(SWALLOWED), max_size=4).map(" ".join),
)


@settings(deadline=None, max_examples=150)
@given(
    text=texts, width=st.sampled_from([None, 20, 60, 80, 200]), kind=st.sampled_from(["user", "assistant"])
)
@example(text="Vec<String>", width=80, kind="assistant")
@example(text="漢" * 100, width=21, kind="assistant")
@example(text="a" * MAX_LAID_OUT_CHARS + " <b>", width=60, kind="assistant")
def test_every_visible_character_of_a_message_is_shown(text: str, width: int | None, kind: str) -> None:
    out = drawn(lambda screen: print_readable(screen, [entry(text, kind)]), width)
    assert visible(clean(text)) in visible(out)
    assert all(line == line.rstrip(" \t") for line in out.splitlines())


@pytest.mark.parametrize("text", SWALLOWED)
@pytest.mark.parametrize("width", [None, 60, 80, 200])
def test_what_looks_like_markup_is_shown(text: str, width: int | None) -> None:
    out = drawn(lambda screen: print_readable(screen, [entry(text)]), width)
    assert visible(text) in visible(out)


@given(text=texts)
def test_marking_markdown_changes_no_character(text: str) -> None:
    assert "".join(part for part, _ in markdown_parts(text)) == text


OVERRIDES = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}


@given(text=st.text())
def test_what_is_cleaned_holds_nothing_that_steers_a_terminal(text: str) -> None:
    for character in clean(text):
        assert character in "\n\t" or unicodedata.category(character) not in {"Cc", "Cs"}
        assert unicodedata.bidirectional(character) not in {
            "LRE",
            "RLE",
            "LRO",
            "RLO",
            "PDF",
            "LRI",
            "RLI",
            "FSI",
        }
    assert len(one_line(text).splitlines()) <= 1


def test_text_that_is_very_long_is_not_laid_out() -> None:
    out = drawn(lambda screen: print_readable(screen, [entry("x" * 78_000_000)]), 80)
    assert max(map(len, out.splitlines())) == 78_000_000


ROWS: list[dict[str, Any]] = [
    {
        "session_id": "0123456789abcdef",
        "updated": NOW,
        "name": "word " * 4000,
        "entries": 1_234_567,
        "size": "1.2 GB",
        "tokens": 525_333_312,
        "project_key": "-home-you-" + "long-" * 20,
    },
    {
        "session_id": "01234567ffffffff",
        "updated": NOW,
        "name": "漢字 👩‍👩‍👧‍👦 " * 30,
        "entries": 1,
        "size": "3 B",
        "tokens": 0,
        "project_key": "p",
    },
    {
        "session_id": "11234567ffffffff",
        "updated": NOW,
        "name": None,
        "entries": 0,
        "size": "",
        "tokens": None,
        "project_key": "\x1b[31m\u202e\n",
    },
]
COLUMNS = {
    "session_id": "session",
    "updated": "updated",
    "name": "~title",
    "entries": ">entries",
    "size": ">size",
    "tokens": ">tokens",
    "project_key": "~project",
}
FIRST_TO_GO = ["project_key", "size", "entries", "tokens"]


@pytest.mark.parametrize("width", range(50, 201))
def test_a_table_fits_the_terminal_and_cuts_only_text(width: int) -> None:
    out = drawn(lambda screen: print_table(screen, ROWS, COLUMNS, FIRST_TO_GO), width)
    lines = out.splitlines()
    assert len(lines) == 1 + len(ROWS)
    assert max(map(cell_len, lines)) <= width
    assert all(line == line.rstrip() for line in lines)
    assert [line[:13].rstrip() for line in lines[1:]] == ["0123456789ab", "01234567ffff", "11234567ffff"]
    assert all("2026-11-22 " in line for line in lines[1:])
    assert "word word word" in lines[1]
    assert "…" in lines[1]
    if "tokens" in lines[0]:
        assert "525,333,312" in lines[1] or " 525M" in lines[1]
    if "entries" in lines[0]:
        assert "1,234,567" in lines[1] or " 1.2M" in lines[1]
    assert "\x1b" not in out
    assert "\u202e" not in out


@pytest.mark.parametrize("width", [30, 40, 60, 80])
def test_a_narrow_terminal_shows_what_was_searched_for(width: int) -> None:
    snippet = "An answer that goes on for quite a while says: take an «umbrella» with you, and a coat."
    rows = [{"session_id": "f5702f91", "snippet": snippet}]
    columns = {"session_id": "session", "snippet": "~text"}
    (line,) = drawn(lambda screen: print_table(screen, rows, columns, []), width).splitlines()[1:]
    assert "«umbrella»" in line
    assert cell_len(line) <= width


def test_a_title_of_20_million_characters_is_cut_before_it_is_measured() -> None:
    row = {**ROWS[0], "name": "wörd " * 4_000_000}
    out = drawn(lambda screen: print_table(screen, [row], COLUMNS, FIRST_TO_GO), 100)
    assert max(map(cell_len, out.splitlines())) <= 100


def test_a_wide_terminal_shows_every_column_and_a_narrow_one_the_title() -> None:
    def headings(width: int) -> list[str]:
        out = drawn(lambda screen: print_table(screen, ROWS, COLUMNS, FIRST_TO_GO), width)
        return out.splitlines()[0].split()

    every = [heading.lstrip(">~") for heading in COLUMNS.values()]
    assert headings(120) == every
    assert headings(80) == ["session", "updated", "title", "entries", "tokens"]
    assert headings(60) == ["session", "updated", "title"]


@pytest.mark.parametrize("width", range(46, 70))
def test_ids_that_differ_at_their_ends_are_whole_in_a_narrow_terminal(width: int) -> None:
    rows = [{**row, "session_id": f"00000000-0000-4000-8000-{n:012}"} for n, row in enumerate(ROWS)]
    out = drawn(lambda screen: print_table(screen, rows, COLUMNS, FIRST_TO_GO), width).splitlines()
    assert max(map(cell_len, out)) <= width
    assert [line[:36] for line in out[1:]] == [row["session_id"] for row in rows]
    assert "title" in out[0]
    assert ("updated" in out[0]) == (width >= 64)


def test_a_table_in_a_pipe_has_tabs_and_whole_cells() -> None:
    lines = drawn(lambda screen: print_table(screen, ROWS, COLUMNS, FIRST_TO_GO), None).splitlines()
    assert [line.split("\t") for line in lines[:2]] == [
        [heading.lstrip(">~") for heading in COLUMNS.values()],
        [
            "0123456789abcdef",
            "2026-11-22 18:00",
            ("word " * 4000).strip(),
            "1,234,567",
            "1.2 GB",
            "525,333,312",
            ROWS[0]["project_key"],
        ],
    ]
    assert sum(map(len, lines)) < 22_000


@given(number=st.integers(0, 10**15))
def test_a_compact_number_is_the_number_to_three_digits(number: int) -> None:
    text = compact(number)
    assert len(text) <= 9
    scale = {"k": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}.get(text[-1], 1)
    value = float(text.rstrip("kMBT").replace(",", "")) * scale
    assert abs(value - number) <= 0.05 * number


@pytest.mark.parametrize(
    ("number", "text"),
    [
        (0, "0"),
        (9_999, "9,999"),
        (10_000, "10.0k"),
        (99_949, "99.9k"),
        (999_499, "999k"),
        (999_500, "1.0M"),
        (525_333_312, "525M"),
        (1_234_567_890, "1.2B"),
        (5 * 10**15, "5,000T"),
        (12.345, "12.35"),
        (None, ""),
        ("1.5 MB", "1.5 MB"),
    ],
)
def test_compact_numbers(number: object, text: str) -> None:
    assert compact(number) == text


def test_a_dumb_terminal_has_its_own_width(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    monkeypatch.setenv("COLUMNS", "60")
    assert console(io.StringIO(), at_terminal=True).width == 60
