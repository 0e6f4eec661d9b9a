"""The application's tests, over its own migrations."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import select
from sqlalchemy.orm import selectinload

from boocode_sessions import ClaudeSessionRepository, migrations
from tests.fixtures.databases import Database

from . import database
from .chats import busiest_chats, drop_chat, key_of, start_chat
from .models import Chat

ENTRIES: list[dict[str, Any]] = [
    {"type": "user", "uuid": "1", "message": {"content": "Why is the sky blue?"}},
    {"type": "assistant", "uuid": "2", "message": {"content": "Rayleigh."}},
]
unit_of_work = contextmanager(database.session)


@pytest.fixture(autouse=True)
def alembic(empty_database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[Config]:
    monkeypatch.setenv("DATABASE_URL", empty_database.url)
    config = Config(Path(__file__).parent / "alembic.ini")
    command.upgrade(config, "head")
    yield config
    database.engine(database.url()).dispose()


def test_alembic_upgrade_head_is_all_there_is(alembic: Config) -> None:
    command.check(alembic)
    assert migrations.pending(database.engine(database.url())) == []


def test_a_chat_and_its_session_are_committed_together() -> None:
    with unit_of_work() as db:
        start_chat(db, "sky", "s", ENTRIES)
    with unit_of_work() as db:
        chat = db.scalars(select(Chat)).one()
        assert ClaudeSessionRepository(db).load(key_of(chat)) == ENTRIES


def test_a_failure_takes_both_back() -> None:
    def fail() -> None:
        with unit_of_work() as db:
            start_chat(db, "sky", "s", ENTRIES)
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with unit_of_work() as db:
        assert db.scalars(select(Chat)).all() == []
        assert ClaudeSessionRepository(db).list_sessions("host-app") == []


def test_a_chat_finds_its_transcript() -> None:
    with unit_of_work() as db:
        start_chat(db, "sky", "s", ENTRIES)
        start_chat(db, "sea", "t", ENTRIES[:1])
    with unit_of_work() as db:
        chats = db.scalars(select(Chat).options(selectinload(Chat.transcript)).order_by(Chat.id)).all()
        assert [[line.entry["uuid"] for line in chat.transcript] for chat in chats] == [["1", "2"], ["1"]]
        assert busiest_chats(db) == [("sky", 2), ("sea", 1)]


def test_a_chat_that_goes_takes_its_session_along() -> None:
    with unit_of_work() as db:
        start_chat(db, "sky", "s", ENTRIES)
    with unit_of_work() as db:
        drop_chat(db, db.scalars(select(Chat)).one())
    with unit_of_work() as db:
        assert ClaudeSessionRepository(db).load({"project_key": "host-app", "session_id": "s"}) is None
