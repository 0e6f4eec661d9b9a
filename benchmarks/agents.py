"""What a warm agent saves, and what the backend costs: `python -m benchmarks.agents [URL]`.

The agents are real; their model is the tests' Messages API on loopback. The default is a SQLite file.
"""

import os
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import anyio
import psutil
from claude_agent_sdk import ClaudeAgentOptions, ClaudeSDKClient
from sqlalchemy import Engine, event

from boocode_sessions import migrations
from boocode_sessions.agents import ClaudeSdkBackend, Limits, TextDelta
from boocode_sessions.engine import create_engine
from boocode_sessions.sdk import SQLAlchemySessionStore
from tests.e2e.agent import Agent
from tests.e2e.messages_api import MessagesAPI

STARTS = 8
TURNS = 40
CHATS = 20


class Statements:
    """Counts the statements sent to the database, except BEGIN."""

    def __init__(self, engine: Engine) -> None:
        self.count = 0

        @event.listens_for(engine, "before_cursor_execute")
        def _count(_connection: object, _cursor: object, statement: str, *_: object) -> None:
            self.count += not statement.startswith("BEGIN")


async def seconds_to_first_token(events: AsyncIterator[Any]) -> float:
    begun = time.perf_counter()
    first = 0.0
    async for told in events:
        if not first and isinstance(told, TextDelta):
            first = time.perf_counter() - begun
    return first


async def first_tokens(make: Callable[[], ClaudeSdkBackend]) -> dict[str, float]:
    """Return median seconds to the first token: in a first turn, a warm one, and a resumed one."""
    cold, warm, resumed = [], [], []
    for number in range(STARTS):
        chat = f"first tokens {number}"
        async with make() as backend:
            cold.append(await seconds_to_first_token(backend.send(chat, "Hello.")))
            warm.append(await seconds_to_first_token(backend.send(chat, "Hello.")))
            await backend.close(chat)
            resumed.append(await seconds_to_first_token(backend.send(chat, "Hello.")))
    medians = {"cold": cold, "warm": warm, "resumed": resumed}
    return {name: statistics.median(times) for name, times in medians.items()}


async def timed(turn: Callable[[], Awaitable[None]]) -> float:
    begun = time.perf_counter()
    await turn()
    return time.perf_counter() - begun


async def added(make: Callable[[], ClaudeSdkBackend], agent: Agent, engine: Engine) -> dict[str, float]:
    """Measure a turn with the backend, and with the SDK's own client over the same store."""
    options = ClaudeAgentOptions(
        session_store=SQLAlchemySessionStore(engine),
        session_store_flush="eager",
        include_partial_messages=True,
        **agent._options(agent._empty_config(), {}),  # noqa: SLF001 - the tests' own
    )
    statements = Statements(engine)
    counts = {"backend": 0, "client": 0}
    times: dict[str, list[float]] = {"backend": [], "client": []}
    worked: dict[str, list[float]] = {"backend": [], "client": []}
    async with make() as backend, ClaudeSDKClient(options) as client:

        async def with_backend() -> None:
            async for _ in backend.send("added", "Hello."):
                pass

        async def with_client() -> None:
            await client.query("Hello.")
            async for _ in client.receive_response():
                pass

        turns = [("backend", with_backend), ("client", with_client)]
        for number in range(TURNS + 2):
            turns.reverse()  # so that late writes of one agent do not always slow the other's turn
            for name, turn in turns:
                before, used = statements.count, time.process_time()
                took = await timed(turn)
                await anyio.sleep(0.15)  # lines that come after the result belong to the turn too
                if number >= 2:
                    times[name].append(took)
                    worked[name].append(time.process_time() - used)
                    counts[name] += statements.count - before
    return {
        "backend ms": statistics.median(times["backend"]) * 1000,
        "client ms": statistics.median(times["client"]) * 1000,
        "backend's processor ms": statistics.median(worked["backend"]) * 1000,
        "client's processor ms": statistics.median(worked["client"]) * 1000,
        "backend statements": counts["backend"] / TURNS,
        "client statements": counts["client"] / TURNS,
    }


async def at_once(make: Callable[[], ClaudeSdkBackend]) -> dict[str, float]:
    """Run CHATS chats at once. Return their processes, their memory, and the turns per second."""
    async with make() as backend:

        async def talk(chat: str, turns: int) -> None:
            for _ in range(turns):
                async for _event in backend.send(chat, "Hello."):
                    pass

        async def all_talk(turns: int) -> float:
            begun = time.perf_counter()
            async with anyio.create_task_group() as group:
                for number in range(CHATS):
                    group.start_soon(talk, f"at once {number}", turns)
            return time.perf_counter() - begun

        started = await all_talk(1)
        took = await all_talk(5)
        processes = psutil.Process().children(recursive=True)
        agents = [process for process in processes if "claude" in process.name()]
        memory = [process.memory_full_info().uss for process in agents]
    return {
        "seconds to the first answers": started,
        "turns per second": CHATS * 5 / took,
        "processes": len(agents),
        "MB each, not shared": statistics.median(memory) / 1e6,
    }


async def main(url: str | None) -> None:
    with MessagesAPI() as api, tempfile.TemporaryDirectory() as folder:
        agent = Agent(api, Path(folder))
        database = url or f"sqlite:///{folder}/sessions.db"
        migrations.upgrade(database)
        engine = create_engine(database, pool_size=CHATS)

        def make() -> ClaudeSdkBackend:
            return ClaudeSdkBackend(
                engine,
                lambda _chat, _agent: ClaudeAgentOptions(
                    cwd=agent.project, env=agent.environment(), permission_mode="bypassPermissions"
                ),
                limits=Limits(max_warm=CHATS, max_queued=CHATS),
            )

        for measured in (await first_tokens(make), await added(make, agent, engine), await at_once(make)):
            for name, value in measured.items():
                print(f"{name:32} {value:10.3f}")
        engine.dispose()


if __name__ == "__main__":
    for variable in list(os.environ):
        if variable.startswith(("ANTHROPIC_", "CLAUDE")):
            del os.environ[variable]
    anyio.run(main, sys.argv[1] if len(sys.argv) > 1 else None)
