"""The lists that queries return stay lists, and display themselves."""

import pickle
from datetime import UTC, date, datetime
from typing import Any

import matplotlib as mpl
import pytest
from IPython.core.formatters import DisplayFormatter
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository, queries
from boocode_sessions.errors import MissingExtraError
from boocode_sessions.queries import Rows, UsageRow
from tests.queries.lines import answer, at, entries, key, prompt, tool_use

DAY = 86400


@pytest.fixture
def stored(engine: Engine) -> Engine:
    repository = ClaudeSessionRepository(engine)
    for number in range(4):
        repository.append(
            key(f"s{number}"),
            entries(
                prompt(f"u{number}", f"question {number}", seconds=number * DAY),
                answer(
                    f"a{number}",
                    "yes",
                    tool_use(f"t{number}"),
                    parent=f"u{number}",
                    seconds=number * DAY,
                    model=f"model-{number % 2}",
                ),
            ),
        )
    return engine


def every_question(engine: Engine) -> list[Rows[Any]]:
    return [
        queries.sessions(engine),
        queries.usage(engine),
        queries.tools(engine),
        queries.tool_calls(engine),
        queries.search(engine, "question"),
        queries.conversation(engine, "s1"),
    ]


def test_they_are_lists_still(stored: Engine) -> None:
    for rows in every_question(stored):
        assert isinstance(rows, list)
        assert rows == list(rows)
        assert type(rows[:1]) is type(rows)
        assert rows[:1] == [rows[0]]
        assert pickle.loads(pickle.dumps(rows)) == rows  # noqa: S301 - our own


def test_ipython_shows_a_table_and_repr_stays_short(stored: Engine) -> None:
    for rows in every_question(stored):
        shown = DisplayFormatter().format(rows)[0]  # type: ignore[no-untyped-call]
        assert "<table>" in shown["text/html"] or "<iframe" in shown["text/html"]
        lines = shown["text/plain"].splitlines()
        assert len(lines) == len(rows) + 1
    many = Rows(UsageRow, [*queries.usage(stored)] * 100)
    assert len(repr(many)) < 2000
    assert repr(many).endswith("... 397 more]")
    assert "300 more rows" in many._repr_html_()


def test_data_frames_have_the_rows_types(stored: Engine) -> None:
    for rows in every_question(stored):
        frame, polars = rows.to_pandas(), rows.to_polars()
        assert list(frame.columns) == polars.columns
        assert len(frame) == len(polars) == len(rows)
        empty = rows[:0]
        assert list(empty.to_pandas().columns) == list(frame.columns)
        assert empty.to_polars().schema == polars.schema
    usage = queries.usage(stored).to_polars()
    assert usage["day"].to_list() == [date(2026, 11, day) for day in (20, 21, 22, 23)]
    assert usage["input_tokens"].sum() == 40
    first = queries.sessions(stored).to_polars()["last_said"].min()
    assert first == datetime(2026, 11, 20, tzinfo=UTC)
    assert queries.sessions(stored).to_pandas()["last_said"].dt.tz is not None


def test_a_plot_has_a_bar_for_each_day_and_model(stored: Engine) -> None:
    mpl.use("Agg")
    import matplotlib.pyplot as plt  # noqa: PLC0415 - after the backend is chosen

    ax = queries.usage(stored).plot()
    assert [bars.get_label() for bars in ax.containers] == ["model-0", "model-1"]
    assert [[bar.get_height() for bar in bars] for bars in ax.containers] == [[15, 0, 15, 0], [0, 15, 0, 15]]
    assert queries.usage(stored, by="day").plot("calls", ax=ax) is ax
    assert queries.usage(stored)[:0].plot() is not None
    plt.close("all")
    with pytest.raises(ValueError, match="a bar for each day"):
        queries.usage(stored, by="model").plot()


@pytest.mark.parametrize(
    ("library", "call"), [("pandas", "to_pandas"), ("polars", "to_polars"), ("matplotlib.pyplot", "plot")]
)
def test_without_a_library_the_error_names_it(
    stored: Engine, monkeypatch: pytest.MonkeyPatch, library: str, call: str
) -> None:
    rows = queries.usage(stored)
    monkeypatch.setitem(__import__("sys").modules, library, None)
    with pytest.raises(MissingExtraError, match=f"pip install '{library.partition('.')[0]}'"):
        getattr(rows, call)()


def test_a_gap_between_days_is_a_gap_in_the_plot(engine: Engine) -> None:
    mpl.use("Agg")
    for number, days in enumerate((0, 9)):
        line = answer(f"a{number}", "x", timestamp=at(days * DAY))
        ClaudeSessionRepository(engine).append(key(f"s{number}"), entries(line))
    ax = queries.usage(engine).plot("output_tokens")
    assert [bar.get_height() for bar in ax.containers[0]] == [5, *[0] * 8, 5]
