"""langgraph-checkpoint-postgres: AsyncPostgresSaver."""

from collections.abc import Sequence
from typing import Any, ClassVar

from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from benchmarks.entries import Entry
from benchmarks.peers import NotSupported, Peer
from benchmarks.server import Address


class LangGraph(Peer):
    label: ClassVar[str] = "langgraph AsyncPostgresSaver"
    equivalent: ClassVar[str] = (
        "one checkpoint (`aput`) per append, with its entries in a channel; "
        "`aget_tuple` of one checkpoint that holds them all"
    )

    _pool: Any

    async def setup(self, address: Address) -> None:
        await self.open(address)
        await self._saver.setup()

    async def open(self, address: Address) -> None:
        # Its documentation asks for these connection settings.
        settings = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
        self._pool = AsyncConnectionPool(address.dsn, kwargs=settings, min_size=1, max_size=10, open=False)
        await self._pool.open()
        self._saver = AsyncPostgresSaver(self._pool)
        self._tips: dict[str, Any] = {}
        self._version = 0

    async def close(self) -> None:
        await self._pool.close()

    async def append(self, session: str, entries: Sequence[Entry], subpath: str | None = None) -> None:
        if subpath is not None:
            raise NotSupported
        self._version += 1
        config: Any = self._tips.get(session) or _config(session)
        checkpoint = empty_checkpoint()
        checkpoint["channel_values"] = {"entries": list(entries)}
        checkpoint["channel_versions"] = {"entries": self._version}
        metadata: Any = {"source": "loop", "step": self._version, "parents": {}}
        self._tips[session] = await self._saver.aput(config, checkpoint, metadata, {"entries": self._version})

    async def write_long(self, session: str, entries: Sequence[Entry]) -> None:
        await self.append(session, entries)

    async def load(self, session: str) -> None:
        found = await self._saver.aget_tuple(_config(session))
        assert found is not None
        assert found.checkpoint["channel_values"]["entries"]


def _config(session: str) -> Any:  # noqa: ANN401 - a RunnableConfig
    return {"configurable": {"thread_id": session, "checkpoint_ns": ""}}
