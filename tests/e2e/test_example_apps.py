"""The examples for hosts run: their migrations, their routes, a real agent, two users."""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import httpx
import pytest
from alembic import command
from alembic.config import Config
from flask import Flask
from flask_migrate import init, upgrade
from sqlalchemy import create_engine, inspect
from sqlalchemy.orm import sessionmaker

from boocode_sessions import migrations
from examples import fastapi_app
from examples.fastapi_app.app import app as fastapi
from examples.flask_app.app import create_app, db, store_of
from examples.host_app import chats, models
from examples.host_app.database import store_over
from tests.e2e.agent import ROOT, Agent
from tests.fixtures.databases import Database

ADA, BOB = ({"Authorization": f"Bearer {user}-token"} for user in ("ada", "bob"))
SAID = "My secret is a violin."


@pytest.fixture
def environment(
    agent: Agent, empty_database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a deployment sets. The agents' model is on loopback."""
    for name, value in agent.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DATABASE_URL", empty_database.async_url)
    monkeypatch.setenv("WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("AGENT_FILES", str(tmp_path / "agent_files"))


@pytest.fixture
async def client(environment: None) -> AsyncIterator[httpx.AsyncClient]:  # noqa: ARG001 - it is set up first
    transport = httpx.ASGITransport(app=fastapi)
    async with (
        fastapi.router.lifespan_context(fastapi),
        httpx.AsyncClient(transport=transport, base_url="http://app", timeout=60) as made,
    ):
        yield made


@pytest.fixture
def migrated(environment: None) -> None:  # noqa: ARG001 - it is set up first
    command.upgrade(Config(Path(fastapi_app.__file__).parent / "alembic.ini"), "head")


@pytest.mark.anyio
@pytest.mark.usefixtures("migrated")
async def test_fastapi_keeps_two_users_apart(
    client: httpx.AsyncClient, empty_database: Database, tmp_path: Path
) -> None:
    assert (await client.get("/chats")).status_code in {401, 403}
    made = (await client.post("/chats", json={"title": "Secrets"}, headers=ADA)).json()
    prompts = f"/chats/{made['id']}/prompts"
    streamed = await client.post(prompts, json={"prompt": SAID}, headers=ADA)
    lines = streamed.text.splitlines()
    assert "event: TextDelta" in lines
    ended = json.loads(lines[lines.index("event: TurnEnded") + 1].removeprefix("data: "))
    assert (ended["reason"], ended["stored"]) == ("completed", True)

    said = (await client.get(f"/chats/{made['id']}", headers=ADA)).json()
    assert said[0] == {"role": "user", "text": SAID}
    (listed,) = (await client.get("/sessions", headers=ADA)).json()
    assert listed["first_prompt"] == SAID

    for path in ("/chats", "/sessions"):
        assert (await client.get(path, headers=BOB)).json() == []
    assert (await client.get(f"/chats/{made['id']}", headers=BOB)).status_code == 404
    assert (await client.post(prompts, json={"prompt": "?"}, headers=BOB)).status_code == 404
    assert (await client.delete("/me", headers=BOB)).json() == {"sessions": 0}

    assert _transcripts(tmp_path) == {"ada": 1}
    assert (await client.delete("/me", headers=ADA)).json() == {"sessions": 1}
    assert _transcripts(tmp_path) == {}
    assert _rows(empty_database) == {"chats": 0, "claude_sessions": 0, "claude_session_entries": 0}


@pytest.mark.usefixtures("migrated")
def test_the_chain_of_fastapi_is_all_there_is(empty_database: Database) -> None:
    assert migrations.pending(empty_database.async_url) == []
    config = Config(Path(fastapi_app.__file__).parent / "alembic.ini")
    command.check(config)
    command.downgrade(config, "base")
    engine = create_engine(empty_database.url)
    assert set(inspect(engine).get_table_names()) <= {"alembic_version"}
    engine.dispose()


@pytest.fixture
def flask(environment: None, empty_database: Database, agent: Agent, tmp_path: Path) -> Iterator[Flask]:  # noqa: ARG001 - it is set up first
    made = create_app(
        SQLALCHEMY_DATABASE_URI=empty_database.url,
        WORKSPACE=str(agent.project),
        AGENT_FILES=str(tmp_path / "agent_files"),
    )
    with made.app_context():
        upgrade()
    yield made
    with made.app_context():
        db.engine.dispose()
    store_of.cache_clear()


def test_flask_keeps_two_users_of_one_folder_apart(
    flask: Flask, empty_database: Database, tmp_path: Path
) -> None:
    client = flask.test_client()
    assert client.get("/chats").status_code == 401
    chat = client.post("/chats", json={"title": "Secrets"}, headers=ADA).get_json()
    prompts = f"/chats/{chat['id']}/prompts"
    assert client.get(f"/chats/{chat['id']}", headers=ADA).get_json() == []
    assert client.post(prompts, json={"prompt": SAID}, headers=ADA).get_json()["text"]
    assert client.post(prompts, json={"prompt": "Go on."}, headers=ADA).get_json()["text"]
    said = client.get(f"/chats/{chat['id']}", headers=ADA).get_json()
    assert [one["text"] for one in said if one["role"] == "user"] == [SAID, "Go on."]
    (listed,) = client.get("/sessions", headers=ADA).get_json()
    assert (listed["project_key"], listed["session_id"]) == ("user-ada", chat["id"])

    for path in ("/chats", "/sessions"):
        assert client.get(path, headers=BOB).get_json() == []
    assert client.get(f"/chats/{chat['id']}", headers=BOB).status_code == 404
    assert client.post(prompts, json={"prompt": "?"}, headers=BOB).status_code == 404

    assert _transcripts(tmp_path) == {"ada": 1}
    assert client.delete("/me", headers=ADA).get_json() == {"sessions": 1}
    assert _transcripts(tmp_path) == {}
    assert _rows(empty_database) == {"chats": 0, "claude_sessions": 0, "claude_session_entries": 0}


def test_a_revision_is_written_into_a_chain_of_flask_migrate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, empty_database: Database
) -> None:
    """Of `flask db init`, whose ini does not say where its scripts are."""
    monkeypatch.chdir(tmp_path)
    with create_app(SQLALCHEMY_DATABASE_URI=empty_database.url).app_context():
        init(directory="migrations")
    written = migrations.host.write_revision()
    assert written.parent == tmp_path / "migrations" / "versions"
    # A program of its own: the env.py of Flask-Migrate silences the loggers of its process.
    flask = [sys.executable, "-m", "flask", "--app", "examples.flask_app.app"]
    subprocess.run(
        [*flask, "db", "upgrade", "--directory", "migrations"],
        env={**os.environ, "DATABASE_URL": empty_database.url, "PYTHONPATH": str(ROOT)},
        check=True,
        capture_output=True,
        timeout=60,
    )
    assert migrations.pending(empty_database.url) == []


@pytest.mark.anyio
async def test_the_host_app_finds_what_a_real_agent_writes(agent: Agent, empty_database: Database) -> None:
    engine = create_engine(empty_database.url)
    migrations.upgrade(engine)
    models.Base.metadata.create_all(engine)
    turn = await agent.turn("Why is the sky blue?", store_over(engine), session_store_flush="eager")
    with sessionmaker(engine).begin() as unit_of_work:
        chat = models.Chat(title="sky", session_id=turn.session_id)
        unit_of_work.add(chat)
        unit_of_work.flush()
        assert {"user", "assistant"} <= {line.type for line in chat.transcript}
        assert chats.busiest_chats(unit_of_work)[0][0] == "sky"
        chats.drop_chat(unit_of_work, chat)
    engine.dispose()


def _transcripts(folder: Path) -> dict[str, int]:
    """How many files of sessions the agents have left, by user. Only a session's first turn leaves one."""
    files = folder / "agent_files"
    return dict(Counter(path.relative_to(files).parts[0] for path in files.glob("*/projects/**/*.jsonl")))


def _rows(database: Database) -> dict[str, int]:
    engine = create_engine(database.url)
    with engine.connect() as connection:
        counts = {
            table: connection.exec_driver_sql(f"SELECT count(*) FROM {table}").scalar_one()
            for table in ("chats", "claude_sessions", "claude_session_entries")
        }
    engine.dispose()
    return counts
