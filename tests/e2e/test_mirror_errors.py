"""A store that can't write does not disturb the agent, and what the user is told quotes no transcript."""

import logging
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine, make_url, text

from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.e2e.agent import Agent
from tests.e2e.messages_api import MessagesAPI, call, say
from tests.fixtures.databases import Database

pytestmark = pytest.mark.anyio

CANARY = "yellow-bird-7731"

BATCHER = "claude_agent_sdk._internal.transcript_mirror_batcher"


@pytest.fixture(autouse=True)
def impatient_sdk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Three attempts, as ever, but without the second of waiting between them."""
    monkeypatch.setattr(f"{BATCHER}.MIRROR_APPEND_BACKOFF_S", (0.0, 0.0), raising=False)


@pytest.fixture
def engine_without_database(database: Database, tmp_path: Path) -> Iterator[Engine]:
    """An engine whose database is not there: no server at the port, no folder for the file."""
    url = make_url(database.url)
    if database.dialect == "sqlite":
        url = url.set(database=str(tmp_path / "no-folder" / "sessions.db"))
    else:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            url = url.set(host="127.0.0.1", port=closed.getsockname()[1], query={})
    engine = create_engine(url)
    yield engine
    engine.dispose()


@pytest.fixture
def engine_that_refuses(database: Database) -> Iterator[Engine]:
    """An engine whose database refuses the turn and says why, quoting it, as drivers and servers do."""
    engine = create_engine(database.url)
    with engine.begin() as connection:
        connection.execute(
            text("CREATE UNIQUE INDEX no_prompt_twice ON claude_session_entries ((entry ->> 'lastPrompt'))")
        )
    yield engine
    engine.dispose()


@pytest.fixture
def engine_without_tables(empty_database: Database) -> Iterator[Engine]:
    engine = create_engine(empty_database.url)
    yield engine
    engine.dispose()


async def assert_a_turn_ends_well_and_tells_no_tale(
    agent: Agent, api: MessagesAPI, engine: Engine, caplog: pytest.LogCaptureFixture, advice: str
) -> None:
    caplog.set_level(logging.DEBUG, logger=BATCHER)
    api.script = lambda request: (
        [say(f"I saw {CANARY}.")] if request.answers_a_tool else [call("Bash", command=f"echo {CANARY}")]
    )
    turn = await agent.turn(f"Say {CANARY}.", SQLAlchemySessionStore(engine))
    assert turn.answer == f"I saw {CANARY}."
    assert turn.mirror_errors
    for error in turn.mirror_errors:
        assert error.key == agent.key(turn)
        assert advice in error.error
        assert CANARY not in repr(error)
        assert error.error in caplog.text  # so the SDK did log it
    assert CANARY not in caplog.text


async def test_a_turn_ends_well_while_the_database_is_gone(
    agent: Agent, api: MessagesAPI, engine_without_database: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    await assert_a_turn_ends_well_and_tells_no_tale(agent, api, engine_without_database, caplog, "check")


async def test_a_turn_ends_well_while_the_database_refuses_it(
    agent: Agent, api: MessagesAPI, engine_that_refuses: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    await assert_a_turn_ends_well_and_tells_no_tale(agent, api, engine_that_refuses, caplog, "refused it")


async def test_a_turn_ends_well_while_the_tables_are_missing(
    agent: Agent, api: MessagesAPI, engine_without_tables: Engine, caplog: pytest.LogCaptureFixture
) -> None:
    await assert_a_turn_ends_well_and_tells_no_tale(
        agent, api, engine_without_tables, caplog, "boocode-sessions upgrade"
    )
