"""What a chat has cost is counted once: over turns, subagents, resumes, imports and agents that die."""

import threading
from typing import Any

import psutil
import pytest
from sqlalchemy import Engine

from boocode_sessions.agents import ToolStarted, TurnEnded
from boocode_sessions.jsonl import import_tree
from tests.agents.conftest import MakeBackend, Options, told
from tests.agents.test_turns import row
from tests.e2e.agent import Agent
from tests.e2e.messages_api import Block, MessagesAPI, MessagesRequest, call, say
from tests.fixtures.databases import on_postgresql

pytestmark = pytest.mark.anyio

REPLY = (10, 12)
"""Tokens in and out of each answer of the Messages API on loopback."""


def assert_counted(engine: Engine, api: MessagesAPI, price: float) -> None:
    """The row holds what the API has handed out."""
    stored, replies = row(engine), len(api.requests)
    assert (stored.input_tokens, stored.output_tokens) == (REPLY[0] * replies, REPLY[1] * replies)
    assert stored.cost_usd == pytest.approx(price * replies)


def script(request: MessagesRequest) -> list[Block]:
    if request.kind == "main" and request.prompt == "Delegate.":
        task: dict[str, Any] = {"description": "look", "prompt": "Look.", "subagent_type": "general-purpose"}
        return [call("Agent", **task, run_in_background=False)]
    if request.kind == "subagent" and not request.answers_a_tool:
        return [call("Bash", command="echo a finding")]
    return [say("Done.")]


@on_postgresql
async def test_turns_subagents_and_resumes_are_counted_once(
    make_backend: MakeBackend, engine: Engine, api: MessagesAPI
) -> None:
    api.script = script
    told_of: list[TurnEnded] = []
    async with make_backend() as one, make_backend() as other:
        for backend, prompt in ((one, "Hello."), (one, "Delegate."), (other, "Delegate."), (one, "Hello.")):
            events = await told(backend, "chat", prompt)
            assert isinstance(events[-1], TurnEnded)
            told_of.append(events[-1])
    price = told_of[0].cost_usd
    assert price > 0
    assert_counted(engine, api, price)
    assert row(engine).turns == 4
    assert sum(turn.cost_usd for turn in told_of) == pytest.approx(row(engine).cost_usd)
    assert sum(turn.usage.output_tokens for turn in told_of) == row(engine).output_tokens


@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_totals_that_an_import_restores_are_not_counted_again(
    make_backend: MakeBackend, engine: Engine, api: MessagesAPI, options: Options
) -> None:
    """The agent's own file ends with its totals, which the mirror leaves out, and an import takes in."""
    fixed = options().env
    async with make_backend(options={"env": fixed}) as backend:
        events = await told(backend, "chat", "Hello.")
        await told(backend, "chat", "Again.")
    assert isinstance(events[-1], TurnEnded)
    assert import_tree(engine, fixed["CLAUDE_CONFIG_DIR"]).added
    async with make_backend() as backend:
        ended = (await told(backend, "chat", "Delegate."))[-1]
    assert ended == TurnEnded("completed", events[-1].usage, pytest.approx(events[-1].cost_usd))  # type: ignore[arg-type]
    assert_counted(engine, api, events[-1].cost_usd)


@pytest.mark.parametrize("dialect", ["sqlite"])
async def test_tokens_of_an_agent_that_was_killed_are_counted(
    make_backend: MakeBackend, engine: Engine, api: MessagesAPI, agent: Agent
) -> None:
    stop = threading.Event()

    def answer(request: MessagesRequest) -> list[Block]:
        if request.answers_a_tool and "Die" in str(request.conversation[-3:]):
            for process in agent.survivors():
                process.kill()
            stop.set()
        return [call("Bash", command="echo Die")] if request.prompt == "Die." else [say("Done.")]

    api.script = answer
    async with make_backend() as backend:
        price = (await told(backend, "chat", "Hello."))[-1].cost_usd  # type: ignore[union-attr]
        events = await told(backend, "chat", "Die.")
        assert any(isinstance(event, ToolStarted) for event in events)
        await told(backend, "chat", "Hello again.")
    assert stop.is_set()
    stored = row(engine)
    heard = len(api.requests) - 1  # the last reply to the killed one reached nobody
    assert (stored.input_tokens, stored.output_tokens) == (REPLY[0] * heard, REPLY[1] * heard)
    # What the killed agent had spent in that turn it never said.
    assert stored.cost_usd == pytest.approx(price * (heard - 1))
    assert psutil.pid_exists(stored.pid or 0)
