"""Keys come and go, beside writers, and nothing is lost, doubled, or left readable."""

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, inspect, text

from boocode_sessions import (
    ClaudeSessionRepository,
    EncryptionError,
    MissingKeyError,
    PlainEntryError,
    SessionKey,
    queries,
)
from boocode_sessions.adoption import adopt, backfill
from boocode_sessions.jsonl import export_tree, import_tree
from boocode_sessions.privacy import Encryption, EncryptionKey, generate_key, reencrypt
from tests.attacks import encrypted_writer
from tests.files.sample import AGENT, MAIN, main_entries, message, write
from tests.fixtures.canaries import told_by
from tests.fixtures.databases import Database
from tests.migrations.other_stores import PythonReference, insert_unplaced
from tests.reliability.writers import a_fleet

OTHER: SessionKey = {**MAIN, "session_id": "other"}
OLD, NEW = generate_key("old"), generate_key("new")


class Stopped(Exception):  # noqa: N818 - as a person would who presses Ctrl-C
    """Ends a run in its middle."""


def stop(_: int) -> None:
    raise Stopped


def count_under(engine: Engine, key_id: str) -> int:
    with engine.connect() as connection:
        found = "SELECT count(*) FROM claude_session_entries WHERE verbatim LIKE :it"
        return int(connection.execute(text(found), {"it": f"sealed:{key_id}:%"}).scalar_one())


def test_a_rotation_can_be_stopped_and_has_writers_beside_it(engine: Engine) -> None:
    before = ClaudeSessionRepository(engine, encryption=Encryption([OLD, NEW]))
    before.append(MAIN, main_entries())
    before.append(AGENT, [message(20)])
    before.append(OTHER, [message(20)])
    both = Encryption([NEW, OLD])
    with pytest.raises(Stopped):
        reencrypt(engine, both, batch_rows=3, progress=stop)
    assert count_under(engine, "new") == 3
    before.append(MAIN, [message(21)])  # a process that does not know of it yet
    after = ClaudeSessionRepository(engine, encryption=both)
    after.append(MAIN, [message(22), message(21)])
    expected = [*main_entries(), message(21), message(22)]
    assert after.load(MAIN) == before.load(MAIN) == expected
    done = reencrypt(engine, both)
    assert (done.entries, done.summaries, done.unplaced) == (len(expected) - 2, 1, 0)
    assert reencrypt(engine, both)[:2] == (0, 0)
    alone = ClaudeSessionRepository(engine, encryption=Encryption([NEW]))
    assert alone.load(MAIN) == expected
    assert alone.load(AGENT) == [message(20)]
    assert len(alone.list_session_summaries(MAIN["project_key"])) == 2
    with pytest.raises(MissingKeyError, match="'new'"):
        ClaudeSessionRepository(engine, encryption=Encryption([OLD])).load(MAIN)


def test_an_import_that_is_run_again_adds_nothing_whatever_the_key(engine: Engine, tmp_path: Path) -> None:
    entries = [*main_entries(), message(1, "another text under a known uuid")]
    write(tmp_path / "projects" / MAIN["project_key"] / f"{MAIN['session_id']}.jsonl", entries)
    assert import_tree(engine, tmp_path, encryption=Encryption([OLD])).added == len(entries)
    assert import_tree(engine, tmp_path, encryption=Encryption([NEW, OLD])).added == 0
    reencrypt(engine, Encryption([NEW, OLD]))
    assert import_tree(engine, tmp_path, encryption=Encryption([NEW])).added == 0
    repository = ClaudeSessionRepository(engine, encryption=Encryption([NEW]))
    repository.append(MAIN, [entries[-1]])  # the same uuid with the same other text, once more
    assert repository.load(MAIN) == entries
    export_tree(engine, tmp_path / "out", encryption=Encryption([NEW]))
    (file,) = (tmp_path / "out").rglob("*.jsonl")
    assert import_tree(engine, tmp_path / "out", encryption=Encryption([NEW])).added == 0
    assert file.stat().st_size


def test_a_plain_store_becomes_an_encrypted_one(engine: Engine, tmp_path: Path) -> None:
    entries = [*main_entries(), message(1, "another text under a known uuid")]
    write(tmp_path / "projects" / MAIN["project_key"] / f"{MAIN['session_id']}.jsonl", entries)
    import_tree(engine, tmp_path)
    strict, both = Encryption([NEW]), Encryption([NEW], reads_plain=True)
    with pytest.raises(PlainEntryError):
        ClaudeSessionRepository(engine, encryption=strict).load(MAIN)
    with pytest.raises(PlainEntryError):
        reencrypt(engine, strict)
    assert import_tree(engine, tmp_path, encryption=both).added == 0
    assert queries.search(engine, "bug")
    repository = ClaudeSessionRepository(engine, encryption=both)
    repository.append(MAIN, [message(30)])
    assert repository.load(MAIN) == [*entries, message(30)]
    (listed,) = queries.sessions(engine, encryption=both)
    assert listed.first_prompt == "find the bug"
    assert reencrypt(engine, both).entries == len(entries)
    with engine.connect() as connection:
        assert connection.execute(text("SELECT count(*) FROM claude_session_texts")).scalar_one() == 0
    with pytest.raises(EncryptionError, match="search is off"):
        queries.search(engine, "bug")
    assert ClaudeSessionRepository(engine, encryption=strict).load(MAIN) == [*entries, message(30)]
    assert import_tree(engine, tmp_path, encryption=strict).added == 0
    (listed,) = queries.sessions(engine, encryption=strict)
    assert listed.first_prompt == "find the bug"
    assert listed.entries == len(entries) + 1


def test_a_row_of_another_program_is_left_and_told(engine: Engine) -> None:
    both = Encryption([NEW], reads_plain=True)
    with engine.begin() as connection:
        connection.execute(
            text(
                "INSERT INTO claude_session_entries (project_key, session_id, subpath, entry) "
                "VALUES ('p', 's', '', '{\"type\": \"user\"}')"
            )
        )
    assert reencrypt(engine, both) == (0, 0, 1)


def test_a_tenant_whose_key_is_forgotten_is_forgotten(engine: Engine) -> None:
    keys: dict[str, Any] = {"a": [generate_key()], "b": [generate_key()]}
    asked: list[str] = []

    def keys_of(project_key: str) -> list[Any]:
        asked.append(project_key)
        return list(keys[project_key])

    encryption = Encryption(keys_of)
    repository = ClaudeSessionRepository(engine, encryption=encryption)
    a: SessionKey = {"project_key": "a", "session_id": "s"}
    b: SessionKey = {**a, "project_key": "b"}
    for _ in range(3):
        repository.append(a, [{"type": "user"}])
        repository.append(b, [{"type": "user"}])
    assert sorted(asked) == ["a", "b"], "its answers are kept"
    del keys["a"]
    encryption.forget()
    with pytest.raises(MissingKeyError, match="raised KeyError for project 'a'"):
        repository.load(a)
    with pytest.raises(MissingKeyError):
        repository.append(a, [{"type": "user"}])
    assert len(repository.load(b) or []) == 3
    keys["a"] = [generate_key()]
    encryption.forget()
    with pytest.raises(MissingKeyError):
        repository.load(a)


def test_what_a_key_provider_says_when_it_fails_is_not_repeated(engine: Engine) -> None:
    def keys_of(_: str) -> list[EncryptionKey]:
        raise RuntimeError("token t0ps3cret")

    repository = ClaudeSessionRepository(engine, encryption=Encryption(keys_of))
    with pytest.raises(MissingKeyError, match="raised RuntimeError") as failed:
        repository.append({"project_key": "p", "session_id": "s"}, [{"type": "user"}])
    assert "t0ps3cret" not in told_by(failed.value)


@pytest.mark.parametrize("mode", ["plain", "encrypted"])
def test_a_rotation_beside_writers_in_other_processes(engine: Engine, database: Database, mode: str) -> None:
    """One writer knows the old key first, the other the new one; or the store was plain before."""
    before = None if mode == "plain" else Encryption([OLD])
    filled = ClaudeSessionRepository(engine, encryption=before)
    old_lines = [encrypted_writer.line("before", number) for number in range(200)]
    for key in map(encrypted_writer.key_of, ("one", "two", "shared")):
        filled.append(key, old_lines)
    orders = {"one": f"{NEW}" if mode == "plain" else f"{OLD},{NEW}", "two": f"{NEW},{OLD}"}
    both = Encryption([NEW, OLD], reads_plain=mode == "plain")
    with a_fleet() as fleet:
        begun = [fleet.event() for _ in orders]
        writers = [
            fleet.fork(encrypted_writer.write, database.url, name, keys, mode, event)
            for (name, keys), event in zip(orders.items(), begun, strict=True)
        ]
        assert all(event.wait(60) for event in begun)
        with pytest.raises(Stopped):
            reencrypt(engine, both, batch_rows=20, progress=stop)
        beside = reencrypt(engine, both, batch_rows=20)
        assert beside.entries >= len(old_lines) * 3 - 20
        for writer in writers:
            writer.join(60)
        assert [writer.exitcode for writer in writers] == [0, 0]
    reencrypt(engine, both)
    alone = ClaudeSessionRepository(engine, encryption=Encryption([NEW]))
    written = {
        name: [encrypted_writer.line(name, n) for n in range(encrypted_writer.BATCHES)] for name in orders
    }
    for name, lines in written.items():
        assert alone.load(encrypted_writer.key_of(name)) == [*old_lines, *lines]
        shared = alone.load(encrypted_writer.key_of("shared")) or []
        assert shared[: len(old_lines)] == old_lines
        assert [one for one in shared if one in lines] == lines
    both_written = [line for lines in written.values() for line in lines]
    shared = alone.load(encrypted_writer.key_of("shared")) or []
    assert len(shared) == len(old_lines) + len(both_written)
    assert len(alone.list_session_summaries("p")) == 3
    assert count_under(engine, "new") == len(old_lines) * 3 + len(both_written) * 2


def everything_stored(engine: Engine) -> str:
    """All rows of all our tables."""
    with engine.connect() as connection:
        tables = [name for name in inspect(engine).get_table_names() if name.startswith("claude_")]
        assert len(tables) > 5
        return repr([connection.execute(text(f"SELECT * FROM {name}")).all() for name in tables])


@pytest.mark.parametrize("dialect", ["postgresql"])
def test_what_is_adopted_is_encrypted(engine: Engine) -> None:
    old = PythonReference(engine)
    old.create()
    lines = [encrypted_writer.line("old", number) for number in range(3)]
    old.append("p", "s", lines)
    encryption = Encryption([NEW])
    assert adopt(engine, encryption=encryption).copied == 3
    assert adopt(engine, encryption=encryption).copied == 0
    with engine.begin() as connection:
        connection.execute(text("DROP TABLE claude_session_store"))
    assert "secret words" not in everything_stored(engine)
    assert ClaudeSessionRepository(engine, encryption=encryption).load(encrypted_writer.key_of("s")) == lines


def test_rows_of_other_programs_are_placed_and_then_encrypted(engine: Engine) -> None:
    strict, both = Encryption([NEW]), Encryption([NEW], reads_plain=True)
    lines = [encrypted_writer.line("other", number) for number in range(3)]
    insert_unplaced(engine, encrypted_writer.key_of("s"), lines)
    with pytest.raises(PlainEntryError):
        backfill(engine, encryption=strict)
    assert backfill(engine, encryption=both).placed == 3
    assert reencrypt(engine, both) == (3, 0, 0)
    assert "secret words" not in everything_stored(engine)
    alone = ClaudeSessionRepository(engine, encryption=strict)
    assert alone.load(encrypted_writer.key_of("s")) == lines
    assert len(alone.list_session_summaries("p")) == 1
