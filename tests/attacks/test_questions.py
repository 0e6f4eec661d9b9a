"""Questions to an encrypted store: each answers with the key or says what is off. None leaves plain text."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine

from boocode_sessions import (
    ClaudeSessionRepository,
    EncryptionError,
    MissingKeyError,
    SessionKey,
    following,
    queries,
    status,
)
from boocode_sessions._core.keys import Session
from boocode_sessions.adoption import backfill
from boocode_sessions.agents.integrity import check_session
from boocode_sessions.jsonl import export_tree
from boocode_sessions.privacy import Encryption, generate_key
from boocode_sessions.site import write_site
from tests.attacks.test_rotation import everything_stored

SECRET = "marzipan" + "4711"
KEY: SessionKey = {"project_key": "p", "session_id": "0467bc32-8144-44c4-a02c-be06b16e901e"}
ENCRYPTION = Encryption([generate_key()])


def line(number: int, kind: str, content: Any, **message: Any) -> dict[str, Any]:
    return {
        "type": kind,
        "uuid": f"u{number}",
        "parentUuid": f"u{number - 1}" if number else None,
        "timestamp": f"2026-01-01T00:00:0{number}.000Z",
        "message": {"role": kind, "content": content, **message},
    }


CALL = {"type": "tool_use", "id": "t1", "name": "Bash", "input": {"command": SECRET}}
USAGE = {"input_tokens": 3, "output_tokens": 4}
LINES = [
    line(0, "user", f"where is {SECRET}?"),
    line(1, "assistant", [CALL], id="m1", model="claude-opus-5-5", usage=USAGE),
    line(2, "user", [{"type": "tool_result", "tool_use_id": "t1", "content": f"{SECRET} is here"}]),
    line(
        3,
        "assistant",
        [{"type": "text", "text": f"{SECRET} is there"}],
        id="m2",
        model="claude-opus-5-5",
        usage=USAGE,
    ),
]


@pytest.fixture
def encrypted(engine: Engine) -> Engine:
    ClaudeSessionRepository(engine, encryption=ENCRYPTION).append(KEY, LINES)
    return engine


def with_a_key(
    engine: Engine, folder: Path, encryption: Encryption | None
) -> dict[str, Callable[[], object]]:
    """Questions whose answers hold what was said."""
    session = Session(KEY["project_key"], KEY["session_id"])

    def site() -> str:
        write_site(engine, folder, encryption=encryption)
        return "".join(page.read_text() for page in folder.rglob("*.html"))

    return {
        "sessions": lambda: queries.sessions(engine, encryption=encryption),
        "conversation": lambda: queries.conversation(engine, KEY["session_id"], encryption=encryption),
        "tool_calls": lambda: queries.tool_calls(engine, encryption=encryption),
        "as_html": lambda: queries.as_html(engine, KEY["session_id"], encryption=encryption),
        "write_site": site,
        "entries_after": lambda: following.entries_after(engine, session, encryption=encryption),
    }


NAMES = ("sessions", "conversation", "tool_calls", "as_html", "write_site", "entries_after")


@pytest.mark.parametrize("name", NAMES)
def test_with_the_key_it_answers_and_without_it_says_so(encrypted: Engine, tmp_path: Path, name: str) -> None:
    assert SECRET in repr(with_a_key(encrypted, tmp_path / "with", ENCRYPTION)[name]())
    with pytest.raises(MissingKeyError, match="encryption="):
        with_a_key(encrypted, tmp_path / "without", None)[name]()
    assert SECRET not in everything_stored(encrypted)


def test_what_needs_no_key_answers_without(encrypted: Engine) -> None:
    (row,) = queries.usage(encrypted)
    assert (row.calls, row.output_tokens) == (2, 8)
    (tool,) = queries.tools(encrypted)
    assert (tool.tool, tool.calls, tool.failures) == ("Bash", 1, 0)
    assert status.holdings(encrypted).entries == len(LINES)
    assert SECRET not in everything_stored(encrypted)


def test_a_line_with_several_tool_uses_counts_as_none(encrypted: Engine) -> None:
    second = {**CALL, "id": "t2"}
    answers = [{"type": "tool_result", "tool_use_id": use, "content": SECRET} for use in ("t1", "t2")]
    lines = [line(4, "assistant", [CALL, second], id="m3", usage=USAGE), line(5, "user", answers)]
    ClaudeSessionRepository(encrypted, encryption=ENCRYPTION).append(KEY, lines)
    assert sum(row.calls for row in queries.usage(encrypted)) == 3
    assert [(tool.tool, tool.calls) for tool in queries.tools(encrypted)] == [("Bash", 1)]
    with encrypted.connect() as connection:  # whose transaction writes no derived tables
        assert [(tool.tool, tool.calls) for tool in queries.tools(connection)] == [("Bash", 1)]


@pytest.mark.parametrize("over_a_connection", [False, True])
def test_search_is_off_where_only_the_newest_entry_is_plain(
    encrypted: Engine, *, over_a_connection: bool
) -> None:
    ClaudeSessionRepository(encrypted).append({**KEY, "session_id": "plain"}, [line(0, "user", "hello")])
    with encrypted.connect() as connection, pytest.raises(EncryptionError, match="search is off") as refused:
        queries.search(connection if over_a_connection else encrypted, "hello")
    assert not isinstance(refused.value, MissingKeyError)
    queries.prepare(encrypted)
    backfill(encrypted, encryption=Encryption([generate_key()], reads_plain=True))
    assert SECRET not in everything_stored(encrypted)


def test_search_is_off_and_indexes_nothing(encrypted: Engine) -> None:
    with pytest.raises(EncryptionError, match="search is off"):
        queries.search(encrypted, SECRET)
    assert SECRET not in everything_stored(encrypted)


def test_what_is_prepared_ahead_holds_no_words(encrypted: Engine) -> None:
    queries.prepare(encrypted)
    backfill(encrypted, encryption=ENCRYPTION)
    assert queries.usage(encrypted)[0].calls == 2
    assert SECRET not in everything_stored(encrypted)


def test_check_reads_with_the_key_and_repairs_encrypted(encrypted: Engine, tmp_path: Path) -> None:
    ids = KEY["project_key"], KEY["session_id"]
    assert check_session(encrypted, *ids, encryption=ENCRYPTION).is_whole
    with pytest.raises(MissingKeyError):
        check_session(encrypted, *ids)
    export_tree(encrypted, tmp_path, encryption=ENCRYPTION)
    (file,) = tmp_path.rglob("*.jsonl")
    more = f'{{"type": "user", "uuid": "u9", "parentUuid": "u3", "message": {{"content": "{SECRET}"}}}}\n'
    file.write_text(file.read_text() + more)
    report = check_session(encrypted, *ids, files=tmp_path, repair=True, encryption=ENCRYPTION)
    assert (report.in_files, report.repaired, report.entries) == (1, True, len(LINES) + 1)
    assert SECRET not in everything_stored(encrypted)
