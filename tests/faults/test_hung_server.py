"""A server whose kernel answers and whose processes do not: every call ends at a deadline of its own.

No time-out of the server's, nor TCP's, ends such a wait. The SDK's limit does not either, since the store
does not let a call be cancelled whose outcome is unknown.
"""

import asyncio
import signal
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil
import pytest
from claude_agent_sdk._internal.transcript_mirror_batcher import SEND_TIMEOUT_SECONDS
from sqlalchemy import Engine, NullPool, event

from boocode_sessions import SessionKey, SessionStoreError, engine, migrations
from tests.fixtures.servers import EmbeddedPostgres
from tests.reliability.subjects import DRIVER_KINDS, KINDS, MAKER_KINDS, Subject, opened
from tests.reliability.verdicts import examine, marked

pytestmark = pytest.mark.timeout(90)

OUTAGE_SECONDS = 30
"""After which the server goes on by itself: a call without a deadline fails the test, and not the run."""
deadline_of_the_package: float | None = getattr(engine, "CALL_SECONDS", None)
"""As it is when nobody changes it."""
BOUND_SECONDS = 15
"""Generous: it is about hanging, not about speed."""
DEADLINE_SECONDS = 0.3
"""Of the calls to a server that hangs. All others keep their 35 s: on a busy machine one takes a second."""


@pytest.fixture(autouse=True)
def _connects_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "CONNECT_SECONDS", 2)


@pytest.fixture(scope="module")
def server() -> Iterator[EmbeddedPostgres]:
    with tempfile.TemporaryDirectory(prefix="boocode-hung-", ignore_cleanup_errors=True) as folder:
        made = EmbeddedPostgres(Path(folder) / "data", "-c fsync=off")
        made.start()
        migrations.upgrade(made.url)
        yield made
        made.stop("immediate")


class Hung:
    """A server that was stopped with all its children."""

    def __init__(self, server: EmbeddedPostgres) -> None:
        postmaster = psutil.Process(int((server.data / "postmaster.pid").read_text().split()[0]))
        self._stopped = [postmaster, *postmaster.children(recursive=True)]
        for process in self._stopped:  # the postmaster first: it makes no others then
            with suppress(psutil.NoSuchProcess):  # the backend of a connection that was closed just now
                process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        for process in reversed(self._stopped):
            if process.is_running():
                process.send_signal(signal.SIGCONT)
        self._stopped.clear()


@contextmanager
def hung(server: EmbeddedPostgres) -> Iterator[Hung]:
    made = Hung(server)
    try:
        yield made
    finally:
        made.go_on()


@asynccontextmanager
async def hung_for_a_while(server: EmbeddedPostgres) -> AsyncIterator[Hung]:
    """Goes on after OUTAGE_SECONDS at the latest. Meanwhile the calls' deadline is a short one."""
    with hung(server) as made, pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "CALL_SECONDS", DEADLINE_SECONDS)
        loop = asyncio.get_running_loop()
        timer = loop.call_later(OUTAGE_SECONDS, made.go_on)
        try:
            yield made
        finally:
            timer.cancel()


ALL_KINDS = (*KINDS, *MAKER_KINDS, *DRIVER_KINDS)


def new_session() -> SessionKey:
    return {"project_key": "hung", "session_id": str(uuid4())}


CALLS: dict[str, Callable[[Subject, SessionKey], Any]] = {
    "append one": lambda subject, key: subject.append(key, marked("writer", 1, 1)),
    "append many": lambda subject, key: subject.append(key, marked("writer", 1, 40)),
    "load": lambda subject, key: subject.load(key),
    "list_sessions": lambda subject, key: subject.list_sessions(key["project_key"]),
    "list_session_summaries": lambda subject, key: subject.list_session_summaries(key["project_key"]),
    "list_subkeys": lambda subject, key: subject.list_subkeys(key),
    "delete": lambda subject, key: subject.delete(key),
}


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [*KINDS, *MAKER_KINDS, *DRIVER_KINDS])
async def test_every_call_raises_at_its_deadline(server: EmbeddedPostgres, kind: str) -> None:
    """All calls at once, each over a connection that it has used before."""
    keys = {name: new_session() for name in CALLS}
    async with opened(kind, _url(server), pool_size=len(CALLS)) as subject:
        for key in keys.values():
            await subject.append(key, marked("writer", 0, 1))
        await asyncio.gather(*(subject.load(key) for key in keys.values()))
        async with hung_for_a_while(server):
            started = time.monotonic()
            outcomes = await asyncio.gather(
                *(CALLS[name](subject, key) for name, key in keys.items()), return_exceptions=True
            )
            took = time.monotonic() - started
        raised = dict(zip(CALLS, outcomes, strict=True))
        assert {n: e for n, e in raised.items() if not isinstance(e, SessionStoreError)} == {}
        assert took < BOUND_SECONDS
        await subject.load(keys["load"])


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [*KINDS, *MAKER_KINDS, *DRIVER_KINDS])
@pytest.mark.parametrize("size", [1, 40])
async def test_a_retry_with_the_same_list_lands_once(server: EmbeddedPostgres, kind: str, size: int) -> None:
    """The first try may land when the server goes on: the retry finds out."""
    key = new_session()
    batch = marked("writer", 1, size)
    async with opened(kind, _url(server)) as subject:
        await subject.append(key, marked("writer", 0, size))
        async with hung_for_a_while(server):
            started = time.monotonic()
            with pytest.raises(SessionStoreError):
                await subject.append(key, batch)
            assert time.monotonic() - started < BOUND_SECONDS
        await subject.append(key, batch)
        await subject.append(key, marked("writer", 2, size))
        stored = await subject.load(key) or []
    assert examine(stored, [("writer", number, size) for number in range(3)]).wrong == 0


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [*KINDS, *MAKER_KINDS, *DRIVER_KINDS])
@pytest.mark.parametrize("call", ["append", "delete"])
async def test_a_server_that_hangs_at_the_commit(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, kind: str, call: str
) -> None:
    key = new_session()
    batch = marked("writer", 1, 600)
    stopped: list[Hung] = []

    def stop(_: object) -> None:
        if not stopped:
            stopped.append(Hung(server))
            timer = threading.Timer(OUTAGE_SECONDS, stopped[0].go_on)
            timer.daemon = True
            timer.start()

    async with opened(kind, _url(server)) as subject:
        await subject.append(key, marked("writer", 0))
        monkeypatch.setattr(engine, "CALL_SECONDS", 2)
        event.listen(Engine, "commit", stop)
        try:
            started = time.monotonic()
            with pytest.raises(SessionStoreError):
                await (subject.append(key, batch) if call == "append" else subject.delete(key))
            assert time.monotonic() - started < BOUND_SECONDS
        finally:
            event.remove(Engine, "commit", stop)
            for one in stopped:
                one.go_on()
        assert stopped, "there was no COMMIT"
        monkeypatch.setattr(engine, "CALL_SECONDS", deadline_of_the_package)
        if call == "delete":
            await subject.delete(key)
            assert await subject.load(key) is None
        else:
            await subject.append(key, batch)
            stored = await subject.load(key) or []
            assert examine(stored, [("writer", 0, 3), ("writer", 1, 600)]).wrong == 0


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["store over Engine", "store over AsyncEngine"])
@pytest.mark.parametrize("size", [1, 40])
async def test_a_caller_with_a_limit_of_its_own_gets_back(
    server: EmbeddedPostgres, kind: str, size: int
) -> None:
    """The call's deadline is what bounds `wait_for`, where the call can't be cancelled at once."""
    key = new_session()
    async with opened(kind, _url(server)) as subject:
        await subject.append(key, marked("writer", 0, size))
        batch = marked("writer", 1, size)
        async with hung_for_a_while(server):
            started = time.monotonic()
            with pytest.raises((TimeoutError, SessionStoreError)):
                await asyncio.wait_for(subject.append(key, batch), 3)
            assert time.monotonic() - started < BOUND_SECONDS
        await subject.append(key, batch)
        stored = await subject.load(key) or []
    assert examine(stored, [("writer", number, size) for number in range(2)]).wrong == 0


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["store over Engine", "store over AsyncEngine"])
async def test_the_sessions_that_share_a_store_all_get_back(server: EmbeddedPostgres, kind: str) -> None:
    keys = [new_session() for _ in range(30)]
    batches = {key["session_id"]: marked("writer", 1) for key in keys}
    async with opened(kind, _url(server)) as subject:
        await asyncio.gather(*(subject.append(key, marked("writer", 0)) for key in keys))
        async with hung_for_a_while(server):
            started = time.monotonic()
            outcomes = await asyncio.gather(
                *(subject.append(key, batches[key["session_id"]]) for key in keys), return_exceptions=True
            )
            assert time.monotonic() - started < 2 * BOUND_SECONDS
        assert [o for o in outcomes if not isinstance(o, SessionStoreError)] == []
        await asyncio.gather(*(subject.append(key, batches[key["session_id"]]) for key in keys))
        for key in keys:
            stored = await subject.load(key) or []
            assert examine(stored, [("writer", number, 3) for number in range(2)]).wrong == 0


@pytest.mark.anyio
@pytest.mark.parametrize("kind", ["store over Engine", "store over AsyncEngine"])
@pytest.mark.parametrize("known", [True, False], ids=["known sessions", "first appends"])
async def test_the_appends_in_a_long_queue_all_get_back(
    server: EmbeddedPostgres, kind: str, known: bool
) -> None:
    """None waits until all those before it have waited for the server, a few at a time."""
    keys = [new_session() for _ in range(400 if known else 100)]
    batches = {key["session_id"]: marked("writer", 1) for key in keys}
    before = [("writer", 0, 3)] if known else []
    async with opened(kind, _url(server)) as subject:
        await subject.append(new_session(), marked("writer", 0))
        if known:
            await asyncio.gather(*(subject.append(key, marked("writer", 0)) for key in keys))
        async with hung_for_a_while(server):
            started = time.monotonic()
            outcomes = await asyncio.gather(
                *(subject.append(key, batches[key["session_id"]]) for key in keys), return_exceptions=True
            )
            assert time.monotonic() - started < BOUND_SECONDS
        assert [o for o in outcomes if not isinstance(o, SessionStoreError)] == []
        await asyncio.gather(*(subject.append(key, batches[key["session_id"]]) for key in keys))
        for key in keys[::9]:
            stored = await subject.load(key) or []
            assert examine(stored, [*before, ("writer", 1, 3)]).wrong == 0


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [*KINDS, *DRIVER_KINDS])
async def test_a_server_that_hangs_before_it_lets_anybody_in(server: EmbeddedPostgres, kind: str) -> None:
    """Each driver has a limit of its own for that, under a name of its own."""
    async with opened(kind, _url(server)) as subject, hung_for_a_while(server):
        started = time.monotonic()
        with pytest.raises(SessionStoreError):
            await subject.append(new_session(), marked("writer", 0))
        assert time.monotonic() - started < BOUND_SECONDS


@pytest.mark.anyio
@pytest.mark.parametrize("kind", [kind for kind in ALL_KINDS if "async" in kind.lower()])
@pytest.mark.parametrize("options", [{"pool_pre_ping": True}, {"poolclass": NullPool}])
async def test_a_hosts_async_engine_without_a_limit_for_connecting(
    server: EmbeddedPostgres, monkeypatch: pytest.MonkeyPatch, kind: str, options: dict[str, Any]
) -> None:
    """The pool tests a connection, or makes one, before a call has any that could be cut."""
    monkeypatch.setattr(engine, "_connect_arguments", lambda _url: {})  # pyright: ignore[reportUnknownLambdaType]
    keys = {name: new_session() for name in ("append one", "load", "delete")}
    batch = marked("writer", 1, 1)
    async with opened(kind, _url(server), **options) as subject:
        for key in keys.values():
            await subject.append(key, marked("writer", 0))
        async with hung_for_a_while(server):
            started = time.monotonic()
            outcomes = await asyncio.gather(
                subject.append(keys["append one"], batch),
                *(CALLS[name](subject, keys[name]) for name in ("load", "delete")),
                return_exceptions=True,
            )
            assert time.monotonic() - started < BOUND_SECONDS
        assert [o for o in outcomes if not isinstance(o, SessionStoreError)] == []
        await subject.append(keys["append one"], batch)
        stored = await subject.load(keys["append one"]) or []
    assert examine(stored, [("writer", 0, 3), ("writer", 1, 1)]).wrong == 0


def test_the_deadline_is_well_under_the_sdks() -> None:
    assert deadline_of_the_package is not None, "boocode_sessions.engine has no CALL_SECONDS"
    assert deadline_of_the_package <= SEND_TIMEOUT_SECONDS - 10


def _url(server: EmbeddedPostgres) -> str:
    return server.url.render_as_string(hide_password=False)
