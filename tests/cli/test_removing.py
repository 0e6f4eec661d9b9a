"""prune, hold, release and delete."""

import pytest

from tests.cli.conftest import Terminal
from tests.cli.test_documented import json_keys


def left(terminal: Terminal) -> int:
    return len(terminal.run("list", "--json").json)


def test_delete_without_a_terminal_to_ask_at_deletes_nothing(demo: Terminal, ids: list[str]) -> None:
    done = demo.run("delete", ids[0])
    assert done.status == 2
    assert done.err == "error: nothing was deleted: there is no terminal to ask at, so say --yes\n"
    assert left(demo) == 3


def test_delete_asks_and_takes_a_no(demo: Terminal, ids: list[str], at_terminal: None) -> None:  # noqa: ARG001
    done = demo.run("delete", ids[0], input="n\n")
    assert done.status == 1
    assert f"Delete session {ids[0]}" in done.err
    assert "Nothing was deleted." in done.err
    assert left(demo) == 3


def test_delete_asks_and_takes_a_yes(demo: Terminal, ids: list[str], at_terminal: None) -> None:  # noqa: ARG001
    assert demo.run("delete", ids[0], input="y\n").status == 0
    assert left(demo) == 2


def test_delete_with_yes_removes_the_session_and_its_subagents(demo_anywhere: Terminal) -> None:
    newest = demo_anywhere.run("list", "--json").json[0]["session_id"]
    assert demo_anywhere.run("delete", newest[:6], "--yes").status == 0
    holds = demo_anywhere.run("status", "--json").json["holds"]
    assert (holds["sessions"], holds["transcripts"]) == (2, 2)
    assert demo_anywhere.run("delete", newest, "--yes").status == 2


def test_prune_says_first_what_would_go(demo: Terminal) -> None:
    done = demo.run("prune", "--inactive-for", "0s", "--dry-run")
    assert done.status == 0
    assert "3 sessions" in done.err
    assert "would be deleted" in done.err
    assert left(demo) == 3


def test_prune_asks_and_then_deletes_all_but_what_is_kept_and_held(demo_anywhere: Terminal) -> None:
    ids = [row["session_id"] for row in demo_anywhere.run("list", "--json").json]
    assert demo_anywhere.run("hold", ids[2][:6]).status == 0
    assert demo_anywhere.run("prune", "--inactive-for", "0s").status == 2
    done = demo_anywhere.run("prune", "--inactive-for", "0s", "--keep", "1", "--yes", "--json")
    assert done.status == 0
    assert set(done.json) == json_keys("prune")
    assert [session["session_id"] for session in done.json["sessions"]] == [ids[1]]
    assert left(demo_anywhere) == 2


def test_a_released_session_goes_again(demo: Terminal, ids: list[str]) -> None:
    demo.run("hold", ids[2])
    assert demo.run("list", "--json").json[2]["held"] is True
    demo.run("release", ids[2])
    assert len(demo.run("prune", "--inactive-for", "0s", "--yes", "--json").json["sessions"]) == 3


def test_a_prune_that_finds_nothing_asks_nothing(demo: Terminal) -> None:
    done = demo.run("prune", "--inactive-for", "30d")
    assert (done.status, done.err) == (0, "0 sessions, 0 entries, 0 B deleted.\n")


@pytest.fixture
def at_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if a person sat there: what CliRunner gives as input is no terminal."""
    monkeypatch.setattr("boocode_sessions.cli.output.is_at_terminal", lambda: True)
