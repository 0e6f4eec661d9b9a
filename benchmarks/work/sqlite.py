"""SQLite files: this package and openai-agents' SQLiteSession."""

import shutil
from collections.abc import Awaitable
from pathlib import Path
from typing import Any

from benchmarks.bench import Bench, batches
from benchmarks.entries import Entry, transcript
from benchmarks.measure import Line, Step, interleave
from benchmarks.peers import PROJECT
from benchmarks.peers.openai_agents import OpenAIAgentsSQLite
from benchmarks.server import CACHE
from boocode_sessions import migrations
from boocode_sessions.engine import create_async_engine, create_engine
from boocode_sessions.sdk import SQLAlchemySessionStore


class _Ours:
    """The SDK's store over a file."""

    def __init__(self, file: Path, *, asynchronous: bool) -> None:
        url = f"sqlite:///{file}"
        migrations.upgrade(url)
        self._engine: Any = (
            create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"))
            if asynchronous
            else create_engine(url)
        )
        self._asynchronous = asynchronous
        self._store = SQLAlchemySessionStore(self._engine)

    async def append(self, session: str, entries: list[Entry]) -> None:
        await self._store.append({"project_key": PROJECT, "session_id": session}, entries)

    async def load(self, session: str) -> None:
        assert await self._store.load({"project_key": PROJECT, "session_id": session})

    async def close(self) -> None:
        if self._asynchronous:
            await self._engine.dispose()
        else:
            self._engine.dispose()


_OURS, _OURS_ASYNC = "boocode_sessions (Engine, SQLite)", "boocode_sessions (AsyncEngine, aiosqlite)"
_PEER = OpenAIAgentsSQLite.label


async def sqlite(bench: Bench) -> list[Line]:
    """Append 1, 100 and 500 entries per call, and load."""
    folder = CACHE / "sqlite"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    stores: dict[str, Any] = {
        _OURS: _Ours(folder / "ours.db", asynchronous=False),
        _OURS_ASYNC: _Ours(folder / "ours-async.db", asynchronous=True),
        _PEER: OpenAIAgentsSQLite(folder / "openai.db"),
    }
    lines: list[Line] = []
    for size, rounds, repeat in (
        (1, bench.pick(30, 10), 15),
        (100, bench.pick(30, 8), 1),
        (500, bench.pick(15, 5), 1),
    ):
        steps = {label: _appending(store, size) for label, store in stores.items()}
        figures = await interleave(steps, rounds, repeat=repeat, warm_up=5)
        title = f"SQLite: append {size} {'entry' if size == 1 else 'entries'}"
        notes = [_NOTE] if size == 1 else ()
        lines.append(Line(title, "ms", figures, _PEER, {_OURS: 1.0}, notes=notes, shortfall=_WHY_APPEND))
    entries = transcript(5, bench.pick(6000, 3000))
    for store in stores.values():
        for start in range(0, len(entries), 500):
            await store.append("long", entries[start : start + 500])
    figures = await interleave({n: _loading(s) for n, s in stores.items()}, bench.pick(12, 5), warm_up=2)
    title = f"SQLite: load of {len(entries):,} entries"
    lines.append(Line(title, "ms", figures, _PEER, {_OURS: 1.0}, shortfall=_WHY_LOAD))
    for store in stores.values():
        await store.close()
    shutil.rmtree(folder)
    return lines


_WHY_APPEND = (
    "an append takes the write lock, compares and advances the session, stores each entry once and folds the "
    "summary, through SQLAlchemy; the peer only stores text. Python takes most of the time of a batch."
)
_WHY_LOAD = "each row is checked and decoded separately, because SQLite doesn't guarantee valid JSON."
_NOTE = "All in WAL mode, with an fsync per commit. SQLiteSession runs in threads, like ours over an Engine."


def _appending(store: Any, size: int) -> Step:  # noqa: ANN401 - either
    source = batches(7, size)

    def step() -> Awaitable[float | None]:
        appending: Awaitable[None] = store.append(f"one-{size}", next(source))
        return appending

    return step


def _loading(store: Any) -> Step:  # noqa: ANN401 - either
    return lambda: store.load("long")
