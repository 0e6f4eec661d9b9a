"""list, search, usage and tools: what they print, for people and for programs."""

import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest
import typer

from boocode_sessions.cli.clock import LocalZone
from boocode_sessions.cli.output import count
from boocode_sessions.cli.tables import size
from boocode_sessions.cli.values import age, moment
from tests.cli.conftest import Terminal
from tests.cli.test_documented import json_keys


def test_list_names_sessions_newest_first(demo_anywhere: Terminal) -> None:
    rows = demo_anywhere.run("list", "--json").json
    assert len(rows) == 3
    assert [row["updated"] for row in rows] == sorted((row["updated"] for row in rows), reverse=True)
    assert set(rows[0]) == json_keys("list")
    lines = demo_anywhere.run("list").out.splitlines()
    assert len(lines) == 4
    assert "Forecast test without wind" in lines[2]


def test_list_takes_a_limit_and_a_project(demo: Terminal) -> None:
    assert len(demo.run("list", "--json", "--limit", "1").json) == 1
    assert len(demo.run("list", "--json", "--limit", "0").json) == 3
    nothing = demo.run("list", "--project", "nosuch")
    assert (nothing.status, nothing.out, nothing.err) == (0, "", "No sessions.\n")
    assert demo.run("list", "--project", "nosuch", "--json").json == []


@pytest.mark.parametrize(
    "command",
    [
        ("list", "--limit"),
        ("search", "umbrella", "--limit"),
        ("tools", "--failed", "--limit"),
        ("tail", "--lines"),
        ("prune", "--inactive-for", "1d", "--dry-run", "--keep"),
    ],
)
def test_a_number_that_no_database_takes_is_refused(demo: Terminal, command: tuple[str, ...]) -> None:
    done = demo.run(*command, "99999999999999999999")
    assert done.status == 2
    assert "99999999999999999999 is too many: 2147483647 is the most" in done.err


def test_list_finds_sessions_by_their_title(demo: Terminal) -> None:
    titles = [row["title"] for row in demo.run("list", "--json").json]
    found = demo.run("list", "--search", "TEST  without", "--json").json
    assert [row["title"] for row in found] == [title for title in titles if "test without" in title]
    assert len(found) == 1
    assert len(demo.run("list", "--search", "weather", "--json", "--limit", "2").json) == 2
    nothing = demo.run("list", "--search", "nosuch")
    assert (nothing.status, nothing.out) == (0, "")
    assert nothing.err == "No session has that in its title, first prompt, project or id.\n"
    assert demo.run("list", "--search", "nosuch", "--json").json == []


@pytest.mark.parametrize(
    ("command", "status"),
    [
        *((question, 0) for question in ("list", "search umbrella", "usage", "tools", "tools --failed")),
        ("prune --inactive-for 0s", 0),
        *((work, 2) for work in ("show", "tail", "check", "export out", "export out --format html")),
    ],
)
def test_a_project_that_is_not_there_names_those_that_may_be_meant(
    demo: Terminal, command: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    words = command.split()
    told = demo.run(*words, "--project", "weather")
    assert (told.status, "Did you mean -home-you-weather?" in told.err) == (status, True)
    nobodys = demo.run(*words, "--project", "nosuch")
    assert (nobodys.status, nobodys.err != "", "Did you mean" in nobodys.err) == (status, True, False)
    assert not (tmp_path / "out").exists()


def test_search_finds_what_was_said(demo_anywhere: Terminal) -> None:
    rows = demo_anywhere.run("search", "umbrella", "--json").json
    assert len(rows) >= 2
    assert set(rows[0]) == json_keys("search")
    assert "umbrella" in demo_anywhere.run("search", "umbrella").out
    nothing = demo_anywhere.run("search", "nosuchword")
    assert (nothing.status, nothing.out) == (0, "")
    assert nothing.err.endswith("Nothing was found.\n")


@pytest.mark.parametrize("words", [("--", "-umbrella"), ("🎉",), ("or",), ("",)])
def test_a_search_for_no_word_says_so(demo: Terminal, words: tuple[str, ...]) -> None:
    refused = demo.run("search", *words)
    assert (refused.status, refused.out) == (2, "")
    assert "has no word to look for" in refused.err


def test_search_finds_what_tools_were_given_on_request(demo_anywhere: Terminal) -> None:
    everywhere = demo_anywhere.run("search", "file", "--in", "tools", "--in", "messages", "--json").json
    tools = demo_anywhere.run("search", "file", "--in", "tools", "--json").json
    assert {row["place"] for row in tools} == {"tools"}
    assert [row for row in everywhere if row["place"] == "tools"] == tools
    assert demo_anywhere.run("search", "file", "--in", "nowhere").status == 2


def test_search_within_a_session_takes_the_beginning_of_its_id(demo: Terminal, ids: list[str]) -> None:
    found = demo.run("search", "umbrella", "--session", ids[2][:6], "--json").json
    assert {row["session_id"] for row in found} == {ids[2]}


def test_usage_sums_tokens_over_what_was_asked(demo_anywhere: Terminal) -> None:
    rows = demo_anywhere.run("usage", "--by", "model", "--json").json
    assert [row["model"] for row in rows] == ["claude-opus-5-5"]
    assert set(rows[0]) == json_keys("usage")
    sessions = demo_anywhere.run("usage", "--by", "session", "--by", "model", "--json").json
    assert sum(row["output_tokens"] for row in sessions) == rows[0]["output_tokens"]
    assert "cost" not in demo_anywhere.run("usage").out


def test_usage_with_prices_says_the_cost(demo: Terminal, tmp_path: Path) -> None:
    prices = tmp_path / "prices.json"
    prices.write_text(
        json.dumps({"claude-opus": {"input": 5, "output": 25, "cache_read": 0.5, "cache_write": 6}})
    )
    assert demo.run("usage", "--by", "model", "--prices", str(prices), "--json").json[0]["cost"] > 0
    assert "cost" in demo.run("usage", "--prices", str(prices)).out


@pytest.mark.parametrize(
    "content", ["{", "[]", '{"m": 5}', '{"m": {"inptu": 5}}', '{"m": {"input": "five"}}', None]
)
def test_a_price_table_that_is_none_is_one_line(demo: Terminal, tmp_path: Path, content: str | None) -> None:
    prices = tmp_path / "prices.json"
    if content is not None:
        prices.write_text(content)
    done = demo.run("usage", "--prices", str(prices))
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert str(prices) in done.err


def test_the_list_prices_say_their_source_and_their_age(demo: Terminal) -> None:
    done = demo.run("usage", "--cost")
    assert "cost" in done.out
    assert re.search(r"Prices: https://\S+, of 20\d\d-\d\d-\d\d \([\d,]+ days? old\)", done.err)


def test_prices_of_your_own_by_the_environment(
    demo: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    prices = tmp_path / "prices.json"
    monkeypatch.setenv("BOOCODE_SESSIONS_PRICES", str(prices))
    prices.write_text('{"gpt": {"input": 1, "output": 1, "cache_read": 1, "cache_write": 1}}')
    done = demo.run("usage")
    assert str(prices) in done.err
    assert "No price is known of claude-" in done.err
    prices.write_text('{"claude": {"input": 1, "output": 1, "cache_read": 1}}')
    assert "'claude' lacks cache_write" in demo.run("usage").err


def test_tools_lists_the_calls_that_failed(demo_anywhere: Terminal) -> None:
    (row,) = demo_anywhere.run("tools", "--failed", "--json").json
    assert (row["tool"], row["failed"]) == ("Bash", True)
    assert row["input"]["command"]
    assert row["result"]
    assert row["session_id"][:8] in demo_anywhere.run("tools", "--failed").out
    assert len(demo_anywhere.run("tools", "--tool", "Bash", "--json").json) == 2
    assert demo_anywhere.run("tools", "--tool", "Nope").err.endswith("No such call.\n")


def test_tools_counts_calls_and_failures(demo_anywhere: Terminal) -> None:
    rows = {row["tool"]: row for row in demo_anywhere.run("tools", "--json").json}
    assert (rows["Bash"]["calls"], rows["Bash"]["failures"]) == (2, 1)
    assert set(rows["Bash"]) == json_keys("tools")
    assert "Bash" in demo_anywhere.run("tools").out


def test_since_and_until_bound_the_time(demo: Terminal) -> None:
    within = demo.run(
        "tools", "--since", "2026-11-20T00:00+00:00", "--until", "2026-11-21T00:00+00:00", "--json"
    ).json
    assert {row["tool"] for row in within} == {"Bash", "Read", "Edit"}


def test_a_moment_is_a_date_a_time_or_an_age() -> None:
    assert moment("2026-11-22T18:00+01:00") == datetime(2026, 11, 22, 17, tzinfo=UTC)
    assert moment("2026-11-22") == datetime(2026, 11, 22).astimezone()
    assert abs(moment("7d") - (datetime.now(UTC) - timedelta(days=7))) < timedelta(seconds=5)


@pytest.fixture
def in_vienna(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Takes the machine to another time zone."""

    def move() -> None:
        monkeypatch.setenv("TZ", "Europe/Vienna")
        time.tzset()

    yield move
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize("place", ["before", "after", "machine"])
def test_one_answer_has_one_clock(
    demo: Terminal, tmp_path: Path, place: str, in_vienna: Callable[[], None]
) -> None:
    """Shortly before and after midnight in Vienna, which is the same day in UTC."""
    session = "11111111-2222-4333-8444-555555555555"
    projects = tmp_path / "projects" / "-home-zones"
    projects.mkdir(parents=True)
    lines: list[dict[str, Any]] = [{"type": "user", "message": {"content": "say it"}, "uuid": "u"}]
    lines += [
        {
            "type": "assistant",
            "uuid": f"u{number}",
            "timestamp": at,
            "sessionId": session,
            "requestId": f"r{number}",
            "message": {"id": f"m{number}", "model": "m", "usage": {"input_tokens": 1}, "content": "said"},
        }
        for number, at in enumerate(["2026-07-01T21:30:00.000Z", "2026-07-01T22:30:00.000Z"])
    ]
    (projects / f"{session}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    demo.run("import", str(tmp_path / "projects"))
    before = ["--timezone", "Europe/Vienna"] if place == "before" else []
    after = ["--timezone", "Europe/Vienna"] if place == "after" else []
    if place == "machine":
        demo.env["TZ"] = "Europe/Vienna"
        in_vienna()

    def run(*arguments: str) -> Any:
        return demo.run(*before, *arguments, *after, "--project", "-home-zones")

    usage = run("usage", "--by", "day", "--json").json
    assert [(row["day"], row["calls"]) for row in usage] == [("2026-07-01", 1), ("2026-07-02", 1)]
    assert [row["calls"] for row in run("usage", "--since", "2026-07-02", "--json").json] == [1]
    assert [row["timestamp"] for row in run("search", "said", "--until", "2026-07-02", "--json").json] == [
        "2026-07-01T21:30:00+00:00"
    ]
    assert "2026-07-02 00:30" in run("list").out
    assert "2026-07-02 00:30" in run("show", session, "--all").out
    assert run("list", "--since", "2026-07-03", "--json").json == []


def test_a_time_zone_that_nobody_knows_is_one_line(demo: Terminal) -> None:
    failed = demo.run("--timezone", "Europe/Atlantis", "list")
    assert failed.status == 2
    assert "Europe/Atlantis" in failed.err
    assert failed.err.count("\n") == 1


def test_the_machines_zone_knows_the_hour_that_comes_twice(in_vienna: Callable[[], None]) -> None:
    in_vienna()
    for minute in range(0, 60 * 24 * 365, 30):
        at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=minute)
        shown = at.astimezone(LocalZone())
        assert shown.utcoffset() == at.astimezone(ZoneInfo("Europe/Vienna")).utcoffset()
        assert shown.astimezone(UTC) == at


@pytest.mark.parametrize("text", ["", "soon", "7", "7y", "-7d", "99999999999999d"])
def test_what_is_no_time_is_refused(text: str) -> None:
    for read in (moment, age):
        with pytest.raises(typer.BadParameter):
            read(text)


def test_numbers_read_well() -> None:
    assert [size(number) for number in (0, 1023, 1536, 5 << 30, 3 << 40)] == [
        "0 B",
        "1023 B",
        "1.5 KB",
        "5.0 GB",
        "3.0 TB",
    ]
    assert [count(1, "entry"), count(2000, "entry"), count(0, "session")] == [
        "1 entry",
        "2,000 entries",
        "0 sessions",
    ]
