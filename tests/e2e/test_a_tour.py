"""What a new user does, by the command line alone, with transcripts that a real agent left behind."""

import json
from pathlib import Path
from typing import Any

import pytest
from anyio import to_thread

from tests.cli.conftest import Done, Terminal
from tests.e2e.agent import Agent
from tests.e2e.messages_api import MessagesAPI, say
from tests.fixtures.databases import Database

pytestmark = pytest.mark.anyio


class Tour:
    """Runs commands over one database, each to a good end."""

    def __init__(self, database: Database) -> None:
        self._terminal = Terminal(database)

    async def run(self, *words: str) -> Done:
        done = await to_thread.run_sync(self._terminal.run, *words)
        assert done.status == 0, done.err
        return done

    async def json(self, *words: str) -> Any:
        return (await self.run(*words, "--json")).json


async def test_import_a_tree_find_a_session_see_its_cost_resume_its_export_and_prune_the_rest(
    agent: Agent, api: MessagesAPI, empty_database: Database, tmp_path: Path
) -> None:
    api.script = lambda _: [say("The ferry leaves at noon.")]
    meant = await agent.turn("When does the ferry leave?", None)
    api.script = lambda _: [say("It will rain.")]
    other = await agent.turn("How is the weather?", None)
    tour = Tour(empty_database)
    await tour.run("upgrade")

    for turn in (meant, other):
        taken = await tour.json("import", str(turn.config))
        assert (taken["files"], taken["broken"]) == (1, 0)
        assert taken["added"] > 0

    [match, *_] = await tour.json("search", "ferry")
    assert match["session_id"] == meant.session_id
    prices = tmp_path / "prices.json"
    model = (await tour.json("usage", "--by", "model", "--session", meant.session_id))[0]["model"]
    prices.write_text(json.dumps({model: {"input": 5, "output": 25, "cache_read": 0.5, "cache_write": 6}}))
    [spent] = await tour.json(
        "usage", "--by", "session", "--session", match["session_id"][:8], "--prices", str(prices)
    )
    assert spent["calls"] >= 1
    assert spent["cost"] > 0

    config = tmp_path / "exported"
    await tour.run("export", str(config / "projects"), "--session", match["session_id"])
    api.script = lambda _: [say("As I said: at noon.")]
    await agent.turn("When again?", None, config, resume=match["session_id"])
    asked = [text for role, text in api.last.conversation if role == "user"]
    assert asked.count("When does the ferry leave?") == 1
    assert "How is the weather?" not in asked

    await tour.run("hold", match["session_id"])
    await tour.run("prune", "--inactive-for", "0s", "--yes")
    left = [row["session_id"] for row in await tour.json("list")]
    assert left == [meant.session_id]
