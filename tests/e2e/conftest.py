"""A real agent for each test, with a model on loopback. It must leave no process behind."""

import os
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from sqlalchemy import Engine

from tests.e2e.agent import Agent
from tests.e2e.messages_api import MessagesAPI
from tests.e2e.stores import WatchedStore


@pytest.fixture
def api() -> Iterator[MessagesAPI]:
    """The agent's model. Set `api.script`; by default it echoes the prompt."""
    with MessagesAPI() as api:
        yield api


@pytest.fixture
def agent(api: MessagesAPI, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Agent]:
    """An agent without the settings of the developer who runs the tests."""
    for name in list(os.environ):
        if name.startswith(("ANTHROPIC_", "CLAUDE", "AWS_", "GOOGLE_")) or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    agent = Agent(api, tmp_path)
    yield agent
    _, alive = psutil.wait_procs(list(agent.survivors()), timeout=5)
    assert not alive, f"The turn left processes behind: {alive}"


@pytest.fixture
def store(engine: Engine) -> WatchedStore:
    """A store on each database."""
    return WatchedStore(engine)
