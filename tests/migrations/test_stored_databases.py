"""A database of every released schema version, with data in it, is upgraded, and loses nothing."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import Engine

from boocode_sessions import ClaudeSessionRepository, migrations
from boocode_sessions.adoption import backfill
from boocode_sessions.migrations import chain
from tests.migrations.hosting import differences
from tests.migrations.scripts import run_script
from tests.migrations.stored import make

VERSIONS = [version.revision for version in chain.versions()]
FOLDER = Path(make.__file__).parent


@pytest.mark.parametrize("later", [None, "next_version"], ids=["now", "the next release"])
@pytest.mark.parametrize("version", VERSIONS)
def test_a_database_of_that_version_is_upgraded_with_all_that_is_in_it(
    plain_engine: Engine, version: str, later: str | None, longer_chain: Callable[[str], None]
) -> None:
    stored = FOLDER / f"{version}.{plain_engine.dialect.name}.sql"
    run_script(plain_engine, stored.read_text())
    if later:
        longer_chain(later)
    migrations.upgrade(plain_engine)
    assert migrations.pending(plain_engine) == []
    if later:
        migrations.downgrade(plain_engine, VERSIONS[-1])
    assert differences(plain_engine) == []

    repository = ClaudeSessionRepository(plain_engine)
    for key, entries in make.STORED:
        assert _text(repository.load(key)) == _text(entries)
    assert repository.load(make.OTHER) == make.UNPLACED
    assert {s["session_id"] for s in repository.list_sessions("p")} == {"s", "of another writer"}
    [summary] = repository.list_session_summaries("p")
    assert summary["data"]["first_prompt"] == "the first prompt"

    for key, entries in make.STORED:
        repository.append(key, [entry for entry in entries if "uuid" in entry])  # known since then
        assert _text(repository.load(key)) == _text(entries)
    repository.append(make.MAIN, [{"type": "user", "uuid": "new"}])
    assert (repository.load(make.MAIN) or [])[-1] == {"type": "user", "uuid": "new"}
    assert backfill(plain_engine).placed == 2
    assert len(repository.list_session_summaries("p")) == 2


def test_every_version_has_its_stored_databases() -> None:
    assert {path.name for path in FOLDER.glob("*.sql")} == {
        f"{version}.{dialect}.sql" for version in VERSIONS for dialect in ("postgresql", "sqlite")
    }


def _text(entries: object) -> str:
    """Types and all, as `==` holds 1, 1.0 and True for equal."""
    return json.dumps(entries, sort_keys=True)
