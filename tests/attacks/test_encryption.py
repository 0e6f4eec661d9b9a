"""Who can read or change the database, but has no key, learns nothing and changes nothing unseen."""

import base64
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest
from sqlalchemy import Engine, make_url, select, text

from boocode_sessions import (
    ClaudeSessionEntry,
    ClaudeSessionRepository,
    DamagedEntryError,
    EncryptionError,
    MissingKeyError,
    PlainEntryError,
    SessionKey,
    SessionStoreError,
    following,
    queries,
    streaming,
)
from boocode_sessions._core.keys import Session
from boocode_sessions.jsonl import import_tree
from boocode_sessions.privacy import Encryption, EncryptionKey, generate_key, read_keys
from boocode_sessions.status import holdings
from tests.fixtures.canaries import listening, told_by
from tests.fixtures.databases import Database

CANARY = f"canary{os.urandom(6).hex()}"
MAIN: SessionKey = {"project_key": "p", "session_id": "s"}
AGENT: SessionKey = {**MAIN, "subpath": "subagents/agent-1"}
OTHER: SessionKey = {**MAIN, "session_id": "other"}
SESSION = Session("p", "s")
ENCRYPTION = Encryption([generate_key("first"), generate_key("second")])


def said(number: int, **members: Any) -> dict[str, Any]:
    return {
        "type": "user",
        "uuid": f"00000000-0000-4000-8000-{number:012}",
        "timestamp": "2026-01-01T00:00:00.000Z",
        "cwd": f"/home/{CANARY}",
        "message": {"role": "user", "content": f"{CANARY} {number}"},
        **members,
    }


SECRETS: Sequence[dict[str, Any]] = (
    said(1),
    {"type": "queue-operation", "content": f"{CANARY} without a uuid"},
    {"type": "custom-title", "customTitle": CANARY, CANARY: f"{CANARY}\0"},
    said(2, big=CANARY * 3000),
    {
        "type": "assistant",
        "uuid": "a",
        "message": {"content": [{"type": "tool_use", "id": "t1", "name": "Read", "input": {"path": CANARY}}]},
    },
)


@pytest.fixture
def repository(engine: Engine) -> ClaudeSessionRepository:
    """An encrypted one with three transcripts."""
    made = ClaudeSessionRepository(engine, encryption=ENCRYPTION)
    for key in (MAIN, AGENT, OTHER):
        made.append(key, SECRETS)
        made.append(key, [said(9)])
    return made


def run(engine: Engine, sql: str, **parameters: Any) -> None:
    with engine.begin() as connection:
        changed = connection.execute(text(sql), parameters)
        assert changed.rowcount, "the attack changed nothing"


def readings(engine: Engine, encryption: Encryption | None) -> dict[str, Callable[[], object]]:
    """Every way to read the main transcript."""
    repository = ClaudeSessionRepository(engine, encryption=encryption)
    return {
        "load": lambda: repository.load(MAIN),
        "iterate": lambda: list(streaming.iterate(engine, MAIN, encryption=encryption)),
        "follow": lambda: following.entries_after(
            engine, Session("p", "s"), subpath="", encryption=encryption
        ),
        "conversation": lambda: queries.conversation(engine, "s", encryption=encryption),
    }


def test_nothing_that_is_said_is_in_the_tables(repository: ClaudeSessionRepository, engine: Engine) -> None:
    assert repository.load(MAIN) == [*SECRETS, said(9)]
    with engine.connect() as connection:
        for table in ("claude_session_entries", "claude_sessions"):
            rows = connection.execute(text(f"SELECT * FROM {table}")).all()
            assert rows
            assert CANARY not in repr(rows)


def test_nothing_is_in_the_databases_files(
    repository: ClaudeSessionRepository, engine: Engine, database: Database
) -> None:
    assert repository.load(MAIN) is not None
    if database.dialect == "sqlite":
        file = Path(str(make_url(database.url).database))
        held = b"".join(path.read_bytes() for path in file.parent.glob(f"{file.name}*"))
        assert b"sealed:first:" in held
        assert CANARY.encode() not in held
        return
    # The log has everything that was written, whether or not the tables' files have it by now.
    log = """SELECT sum((position(:it in pg_read_binary_file('pg_wal/' || name, 0, 1 << 29, true)) > 0)::int)
        FROM (SELECT name FROM pg_ls_waldir() ORDER BY modification DESC LIMIT 8) AS files"""
    with engine.connect() as connection:
        assert connection.execute(text(log), {"it": b"sealed:first:"}).scalar_one() > 0
        assert connection.execute(text(log), {"it": CANARY.encode()}).scalar_one() == 0


def test_what_stays_readable_is_what_the_page_says(
    repository: ClaudeSessionRepository,  # noqa: ARG001 - it has written
    engine: Engine,
) -> None:
    with engine.connect() as connection:
        rows = connection.execute(select(ClaudeSessionEntry.__table__).order_by("id")).mappings().all()
    first, tool = rows[0], rows[4]
    assert (first["type"], first["entry"]) == ("user", {"encrypted": "first"})
    assert (tool["type"], tool["tool_name"], tool["tool_use_id"]) == ("assistant", "Read", "t1")


A_SUMMARY = "(SELECT data FROM claude_sessions WHERE session_id = 's')"
A_LINE = "(SELECT max(verbatim) FROM claude_session_entries WHERE session_id = 's')"
OF_ANOTHER = """verbatim = (
    SELECT max(verbatim) FROM claude_session_entries AS other
    WHERE other.session_id = '{}' AND other.type = '{}'
)"""


@pytest.mark.parametrize(
    "attack",
    [
        "session_id = 'stolen' WHERE session_id = 's'",
        "project_key = 'stolen' WHERE session_id = 's'",
        "subpath = 'stolen' WHERE session_id = 's' AND subpath <> ''",
        "position = position - 1000 WHERE session_id = 's'",
        "dedup_key = KEY WHERE session_id = 's'",
        f"{OF_ANOTHER.format('other', 'assistant')} WHERE session_id = 's' AND type = 'assistant'",
        f"{OF_ANOTHER.format('s', 'user')} WHERE session_id = 's' AND type = 'assistant'",
        "verbatim = substr(verbatim, 1, 60) || 'AAAA' || substr(verbatim, 65) WHERE session_id = 's'",
        "verbatim = substr(verbatim, 1, length(verbatim) - 8) WHERE session_id = 's'",
        "verbatim = 'sealed:second:' || substr(verbatim, 14) WHERE session_id = 's'",
        "verbatim = 'sealed:' || substr(verbatim, 14) WHERE session_id = 's'",
        f"verbatim = {A_SUMMARY} WHERE session_id = 's' AND type = 'assistant'",
        "verbatim = 'sealed:first:' WHERE session_id = 's'",
        "verbatim = 'sealed:first:***' WHERE session_id = 's'",
    ],
)
@pytest.mark.usefixtures("repository")
def test_an_entry_that_was_moved_or_changed_is_refused(engine: Engine, attack: str) -> None:
    key = "int8send(id)" if engine.dialect.name == "postgresql" else "id"
    run(engine, f"UPDATE claude_session_entries SET {attack.replace('KEY', key)}")
    fresh = ClaudeSessionRepository(engine, encryption=ENCRYPTION)
    keys: list[SessionKey] = [MAIN, AGENT, {**MAIN, "session_id": "stolen"}]
    keys += [{**MAIN, "project_key": "stolen"}, {**MAIN, "subpath": "stolen"}]
    refused: list[str] = []
    for transcript in keys:
        try:
            loaded = fresh.load(transcript)
            assert loaded is None or loaded == [*SECRETS, said(9)]
        except DamagedEntryError as error:
            refused.append(told_by(error))
    assert refused
    assert CANARY not in "".join(refused)


def test_an_entry_that_was_repeated_is_refused(repository: ClaudeSessionRepository, engine: Engine) -> None:
    """The same row again, under another idempotency key, since the unique index has its own."""
    names = "project_key, session_id, subpath, position, created_at, type, entry, verbatim"
    key = "int8send(id)" if engine.dialect.name == "postgresql" else "id"
    run(
        engine,
        f"INSERT INTO claude_session_entries ({names}, dedup_key) "
        f"SELECT {names}, {key} FROM claude_session_entries WHERE session_id = 's' AND type = 'assistant'",
    )
    with pytest.raises(DamagedEntryError):
        repository.load(MAIN)


@pytest.mark.parametrize(
    "forged",
    [
        "(SELECT data FROM claude_sessions AS other WHERE other.session_id = 'other')",
        A_LINE,
        "substr(data, 1, length(data) - 8)",
        "'sealed:second:' || substr(data, 14)",
        "'sealed:first:'",
    ],
)
@pytest.mark.usefixtures("repository")
def test_a_summary_that_is_not_the_sessions_own_is_not_shown(engine: Engine, forged: str) -> None:
    repository = ClaudeSessionRepository(engine, encryption=ENCRYPTION)
    run(engine, f"UPDATE claude_sessions SET data = {forged} WHERE session_id = 's'")
    assert [row["session_id"] for row in repository.list_session_summaries("p")] == ["other"]
    repository.append(MAIN, [said(10)])  # folds it anew
    assert {row["session_id"] for row in repository.list_session_summaries("p")} == {"s", "other"}


def test_a_plain_entry_in_an_encrypted_store_is_refused(
    repository: ClaudeSessionRepository, engine: Engine
) -> None:
    """As somebody would who puts words into the agent's mouth."""
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO claude_session_entries (project_key, session_id, subpath, entry) "
                "VALUES ('p', 's', '', '{\"type\": \"user\"}')"
            )
        )
    for read in readings(engine, ENCRYPTION).values():
        with pytest.raises(PlainEntryError, match="not encrypted"):
            read()
    with pytest.raises(PlainEntryError):
        repository.append(MAIN, [said(11)])
    with pytest.raises(PlainEntryError):
        ClaudeSessionRepository(engine, encryption=ENCRYPTION).append(MAIN, [said(12)])


@pytest.mark.usefixtures("repository")
def test_an_entry_that_was_replaced_by_its_readable_part_is_refused(engine: Engine) -> None:
    run(engine, "UPDATE claude_session_entries SET verbatim = NULL WHERE type = 'assistant'")
    for read in readings(engine, ENCRYPTION).values():
        with pytest.raises(PlainEntryError):
            read()


def test_changed_columns_change_nothing_that_is_resumed(
    repository: ClaudeSessionRepository, engine: Engine
) -> None:
    """They are for sums and listings, and nothing seals them: docs/security.md says so."""
    run(engine, "UPDATE claude_session_entries SET type = 'x', model = 'x', tool_name = 'x'")
    assert repository.load(MAIN) == [*SECRETS, said(9)]
    assert ClaudeSessionRepository(engine, encryption=ENCRYPTION).load(AGENT) == [*SECRETS, said(9)]


def test_a_plain_summary_in_an_encrypted_store_is_refused(
    repository: ClaudeSessionRepository, engine: Engine
) -> None:
    run(engine, "UPDATE claude_sessions SET data = '{}' WHERE session_id = 's'")
    with pytest.raises(PlainEntryError):
        repository.list_session_summaries("p")
    with pytest.raises(PlainEntryError):
        queries.sessions(engine, encryption=ENCRYPTION)


@pytest.mark.usefixtures("repository")
@pytest.mark.parametrize("encryption", [None, Encryption([generate_key("another")])])
def test_without_the_key_nothing_is_read_or_written(engine: Engine, encryption: Encryption | None) -> None:
    for read in readings(engine, encryption).values():
        with pytest.raises(MissingKeyError, match="key"):
            read()
    repository = ClaudeSessionRepository(engine, encryption=encryption)
    for key in (MAIN, AGENT):
        with pytest.raises(MissingKeyError):
            repository.append(key, [said(13)])
    with pytest.raises(MissingKeyError):
        repository.list_session_summaries("p")
    assert len(ClaudeSessionRepository(engine, encryption=ENCRYPTION).load(MAIN) or []) == len(SECRETS) + 1


@pytest.mark.parametrize(
    "key_id",
    ["third", "../first", "x" * 10_000, f"\33]0;{CANARY}"],
    ids=["unknown", "a path", "long", "for the terminal"],
)
@pytest.mark.usefixtures("repository")
def test_a_forged_key_id_is_told_only_if_it_can_be_one(engine: Engine, key_id: str) -> None:
    """It is whatever somebody has written there."""
    run(engine, "UPDATE claude_session_entries SET verbatim = :it", it=f"sealed:{key_id}:AAAA")
    for read in readings(engine, ENCRYPTION).values():
        with pytest.raises(MissingKeyError if key_id == "third" else DamagedEntryError) as refused:
            read()
        told = told_by(refused.value)
        assert CANARY not in told
        assert "xxx" not in told


def test_equal_lines_are_stored_as_different_texts_under_nonces_of_their_own(engine: Engine) -> None:
    """A nonce that came twice under one key would tell the difference of two texts, and let forge others."""
    repository = ClaudeSessionRepository(engine, encryption=ENCRYPTION)
    for key in (MAIN, AGENT):
        repository.append(key, [{"type": "queue-operation", "content": "yes"}] * 500)
    with engine.connect() as connection:
        texts = connection.execute(select(ClaudeSessionEntry.verbatim)).scalars().all()
    nonces = {base64.b64decode(str(text).rpartition(":")[2])[:12] for text in texts}
    assert len(nonces) == len(set(texts)) == len(texts) == 1000


@pytest.mark.usefixtures("repository")
def test_another_key_under_the_same_id_opens_nothing(engine: Engine) -> None:
    impostor = ClaudeSessionRepository(engine, encryption=Encryption([generate_key("first")]))
    with pytest.raises(DamagedEntryError, match="another key of the same id"):
        impostor.load(MAIN)
    for key in (MAIN, AGENT, {**AGENT, "subpath": "subagents/agent-new"}):
        with pytest.raises(DamagedEntryError, match="another key of the same id"):
            impostor.append(cast("SessionKey", key), [said(9)])
    assert ClaudeSessionRepository(engine, encryption=ENCRYPTION).load(AGENT) == [*SECRETS, said(9)]


@pytest.mark.parametrize("encryption", [None, Encryption([generate_key("another")])])
@pytest.mark.parametrize("key", [MAIN, AGENT])
def test_without_the_key_nothing_is_appended_to_a_session_without_a_summary(
    engine: Engine, encryption: Encryption | None, key: SessionKey
) -> None:
    """As a process leaves it that has no SDK to fold with."""
    ClaudeSessionRepository(engine, encryption=ENCRYPTION).append(key, [said(1)])
    run(engine, "UPDATE claude_sessions SET data = NULL")
    with pytest.raises(MissingKeyError):
        ClaudeSessionRepository(engine, encryption=encryption).append(key, [said(2)])


def test_an_idempotency_key_confirms_no_guess(engine: Engine, tmp_path: Path) -> None:
    """The import keys lines without a uuid by their content: a plain hash would tell who guesses it."""
    line: dict[str, Any] = {"type": "queue-operation", "content": "yes", "sessionId": "s"}
    twice = [said(1), said(1, message={"content": "edited"})]
    file = tmp_path / "projects" / "p" / "0467bc32-8144-44c4-a02c-be06b16e901e.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text("".join(json.dumps(one) + "\n" for one in [line, *twice]))
    assert import_tree(engine, tmp_path, encryption=ENCRYPTION).added == 3
    guesses = [
        hashlib.sha256(json.dumps(guess, sort_keys=True).encode()).digest()[:16] for guess in (line, *twice)
    ]
    with engine.connect() as connection:
        keys = connection.execute(select(ClaudeSessionEntry.dedup_key)).scalars().all()
    assert len(keys) == 3
    assert not any(guess in bytes(key or b"") for guess in guesses for key in keys)
    assert import_tree(engine, tmp_path, encryption=ENCRYPTION).added == 0


@pytest.mark.usefixtures("repository")
def test_search_says_that_it_is_off(engine: Engine) -> None:
    with pytest.raises(EncryptionError, match="search is off"):
        queries.search(engine, CANARY)


@pytest.mark.usefixtures("repository")
def test_no_session_stays_behind_for_its_search(engine: Engine) -> None:
    assert holdings(engine).behind == holdings(engine).sessions > 0
    queries.usage(engine)
    assert holdings(engine).behind == 0


def test_no_error_and_no_log_tells_a_key_or_content(engine: Engine) -> None:
    secret = generate_key()
    encryption = Encryption([secret])
    with listening() as told:
        repository = ClaudeSessionRepository(engine, encryption=encryption)
        repository.append(MAIN, SECRETS)
        run(engine, "UPDATE claude_session_entries SET subpath = 'moved'")
        with pytest.raises(SessionStoreError) as failed:
            repository.load({**MAIN, "subpath": "moved"})
        for wrong in (secret + "x", f"bad id:{secret}", secret[:-8], "", "#"):
            with pytest.raises(EncryptionError) as refused:
                Encryption([wrong])
            assert wrong[:20] not in told_by(refused.value) or not wrong
            assert secret[:20] not in told_by(refused.value)
    shown = [told_by(failed.value), repr(encryption), repr(EncryptionKey(b"k" * 32)), repr(repository), *told]
    assert not [one for one in shown if CANARY in one or secret[:20] in one or "kkkk" in one]


def test_keys_come_from_text() -> None:
    keys = read_keys(f"# the newest first\nnew:{generate_key()}\n\n{generate_key()}  # since 2025\n")
    assert keys[0].id == "new"
    assert len(keys) == 2
    with pytest.raises(EncryptionError, match="no encryption key"):
        read_keys("# nothing\n")
