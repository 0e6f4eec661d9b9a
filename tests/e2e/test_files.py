"""The agent resumes from an exported tree, and from a store that its local files were imported into."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from anyio import to_thread
from sqlalchemy import Engine

from boocode_sessions.jsonl import export_tree, import_tree
from tests.e2e.agent import Agent
from tests.e2e.messages_api import Block, MessagesAPI, MessagesRequest, call, say
from tests.e2e.stores import WatchedStore
from tests.files.test_sdk_readers import (
    CWD,
    S,
    branched_with_every_line_twice,
    broken_chains,
    compacted,
    forked,
    hostile,
    lines_of_another_session,
    main_of,
    old_layout,
    parallel_tools,
    renamed,
    replayed,
    replayed_with_other_bodies,
    tagged,
)
from tests.fixtures.databases import on_postgresql, on_sqlite

pytestmark = pytest.mark.anyio


def delegate(request: MessagesRequest) -> list[Block]:
    if request.kind == "main" and not request.answers_a_tool:
        task = {"description": "look", "prompt": "Look.", "subagent_type": "general-purpose"}
        return [call("Agent", **task, run_in_background=False)]
    return [say("Half a \x00 answer.")]


@on_sqlite
async def test_the_agent_resumes_from_an_exported_tree(
    agent: Agent, api: MessagesAPI, store: WatchedStore, engine: Engine, tmp_path: Path
) -> None:
    api.script = delegate
    turn = await agent.turn("Delegate.", store)
    config = tmp_path / "exported"
    result = await to_thread.run_sync(export_tree, engine, config / "projects")
    assert (result.sessions, result.files, result.refused) == (1, 3, [])

    resumed = await agent.turn("And then?", None, config, resume=turn.session_id)
    heard = api.last.conversation
    assert [text for role, text in heard if role == "user" and text in {"Delegate.", "And then?"}] == [
        "Delegate.",
        "And then?",
    ]
    assert any("Half a \x00 answer." in text for role, text in heard if role == "assistant")
    assert resumed.session_id == turn.session_id

    imported = await to_thread.run_sync(import_tree, engine, config)
    main = await store.load(agent.key(turn))
    assert imported.added > 0
    assert imported.broken == 0
    assert [entry["uuid"] for entry in main or [] if "uuid" in entry] == list(
        dict.fromkeys(entry["uuid"] for entry in main or [] if "uuid" in entry)
    )
    assert await to_thread.run_sync(import_tree, engine, config) == replace(
        imported, added=0, skipped=imported.added + imported.skipped
    )


@on_postgresql
async def test_the_agent_resumes_what_was_imported_from_its_files(
    agent: Agent, api: MessagesAPI, store: WatchedStore, engine: Engine
) -> None:
    api.script = delegate
    turn = await agent.turn("Delegate.", None)
    result = await to_thread.run_sync(import_tree, engine, turn.config)
    assert (result.files, result.broken) == (2, 0)
    await agent.turn("And then?", store, resume=turn.session_id)
    assert [text for role, text in api.last.conversation if role == "user"].count("Delegate.") == 1


TREES: Sequence[Callable[[Path], object]] = [
    replayed,
    replayed_with_other_bodies,
    tagged,
    renamed,
    forked,
    compacted,
    parallel_tools,
    old_layout,
    hostile,
    branched_with_every_line_twice,
    broken_chains,
    lines_of_another_session,
]


@on_postgresql
@pytest.mark.parametrize("tree", TREES, ids=lambda tree: tree.__name__)
async def test_a_resume_hears_the_same_after_an_import_and_an_export(
    agent: Agent,
    api: MessagesAPI,
    engine: Engine,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tree: Callable[[Path], object],
) -> None:
    projects = tmp_path / "before" / "projects"
    with monkeypatch.context() as patched:
        patched.setenv("CLAUDE_CONFIG_DIR", str(projects.parent))
        tree(projects)
    path = main_of(projects)
    path.write_text(path.read_text().replace(CWD, str(agent.project)))
    path.parent.rename(projects / agent.project_key)
    await to_thread.run_sync(import_tree, engine, projects)
    await to_thread.run_sync(export_tree, engine, tmp_path / "after" / "projects")
    heard: list[list[tuple[str, str]]] = []
    for config in ("before", "after"):
        await agent.turn("And then?", None, tmp_path / config, resume=S)
        heard.append(list(api.last.conversation))
    assert heard[0] == heard[1]
    assert len(heard[0]) > 1
