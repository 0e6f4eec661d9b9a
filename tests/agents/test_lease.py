"""One process at a time has a chat's agent, and what another still writes is refused."""

from collections.abc import Callable
from threading import Barrier, Thread
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine

from boocode_sessions.agents import (
    AgentSessions,
    ChatHeldError,
    FencedError,
    Holder,
    Lease,
    Settlement,
    Usage,
)
from boocode_sessions.agents.database import Database as AgentDatabase

_T = TypeVar("_T")

ONE = Holder("one", "host-1", 1)
OTHER = Holder("other", "host-2", 2)
SESSION = "6f0c2f0e-5a39-4a4e-9a8c-0a4f5f1a0001"


@pytest.fixture
def run(engine: Engine) -> Callable[[Callable[[Connection], Any]], Any]:
    def in_transaction(work: Callable[[Connection], _T]) -> _T:
        with engine.begin() as connection:
            return work(connection)

    return in_transaction


Run = Callable[[Callable[[Connection], Any]], Any]
table = AgentSessions()


def acquire(run: Run, holder: Holder, seconds: float = 30, session_id: str = SESSION) -> Lease:
    lease: Lease = run(
        lambda connection: table.acquire(
            connection,
            "chat",
            "claude",
            holder=holder,
            project_key="p",
            session_id=session_id,
            seconds=seconds,
        )
    )
    return lease


def row(run: Run) -> Any:
    return run(lambda connection: connection.execute(text("SELECT * FROM claude_agent_sessions")).one())


def settle(run: Run, lease: Lease, settlement: Settlement) -> None:
    number = lease.next_settlement()
    run(lambda connection: table.settle(connection, lease, number, settlement))


def test_a_held_chat_is_refused_to_others_with_the_name_of_its_holder(run: Run) -> None:
    acquire(run, ONE)
    with pytest.raises(ChatHeldError, match="process 1 on host-1"):
        acquire(run, OTHER)


def test_a_holder_takes_its_own_chat_again_with_the_same_token(run: Run) -> None:
    assert acquire(run, ONE).token == acquire(run, ONE, session_id="another").token == 1
    assert row(run).session_id == SESSION


def test_a_chat_that_was_set_free_is_anybodys(run: Run) -> None:
    lease = acquire(run, ONE)
    settle(run, lease, Settlement())
    taken = acquire(run, OTHER, session_id="another")
    assert (taken.token, taken.session_id, taken.is_new) == (2, SESSION, False)


def test_a_lease_that_has_run_out_is_taken_over(run: Run) -> None:
    acquire(run, ONE, seconds=-1)
    assert acquire(run, OTHER).token == 2


def test_a_renewed_lease_is_not(run: Run) -> None:
    lease = acquire(run, ONE, seconds=-1)
    assert run(lambda connection: table.renew(connection, lease, 30))
    with pytest.raises(ChatHeldError):
        acquire(run, OTHER)


def test_a_late_writer_is_refused(run: Run) -> None:
    late = acquire(run, ONE, seconds=-1)
    acquire(run, OTHER)
    with pytest.raises(FencedError, match="taken over"):
        run(lambda connection: table.repair(connection, late, late.next_repair()))
    with pytest.raises(FencedError):
        settle(run, late, Settlement(cost_usd=1))
    with pytest.raises(FencedError):
        run(lambda connection: table.move(connection, late, "elsewhere"))
    assert not run(lambda connection: table.renew(connection, late, 30))
    assert row(run).cost_usd == 0


def test_a_late_writer_is_refused_though_the_chat_came_back_to_it(run: Run) -> None:
    late = acquire(run, ONE, seconds=-1)
    settle(run, acquire(run, OTHER), Settlement())
    assert acquire(run, ONE).token == 3
    with pytest.raises(FencedError):
        run(lambda connection: table.repair(connection, late, late.next_repair()))


def test_a_write_that_is_sent_again_is_known(run: Run) -> None:
    lease = acquire(run, ONE)
    spent = Settlement(Usage(1, 2, 3, 4), 0.5, turns=1, has_ended=True, error="overloaded", incomplete=True)
    number = lease.next_settlement()
    for _ in range(2):
        run(lambda connection: table.settle(connection, lease, number, spent))
    stored = row(run)
    assert (stored.input_tokens, stored.output_tokens, stored.cache_read_tokens) == (1, 2, 3)
    assert (stored.cache_write_tokens, stored.cost_usd, stored.turns) == (4, 0.5, 1)
    assert (stored.state, stored.last_error, bool(stored.incomplete)) == ("idle", "overloaded", True)


def test_of_many_that_want_a_chat_at_once_one_gets_it(engine: Engine) -> None:
    got: list[str] = []
    barrier = Barrier(6)

    def want(number: int) -> None:
        barrier.wait()
        with engine.begin() as connection:
            try:
                table.acquire(
                    connection,
                    "chat",
                    "claude",
                    holder=Holder(str(number), "host", number),
                    project_key="p",
                    session_id=SESSION,
                    seconds=30,
                )
            except ChatHeldError:
                return
            got.append(str(number))

    threads = [Thread(target=want, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(got) == 1


@pytest.mark.anyio
async def test_the_same_over_an_async_engine(async_engine: AsyncEngine) -> None:
    database = AgentDatabase(async_engine, None, 30)

    async def acquired(holder: Holder) -> Lease:
        return await database.run(
            "acquire the chat",
            lambda connection: table.acquire(
                connection, "chat", "claude", holder=holder, project_key="p", session_id=SESSION, seconds=30
            ),
        )

    lease = await acquired(ONE)
    with pytest.raises(ChatHeldError):
        await acquired(OTHER)
    await database.run("renew", lambda connection: table.renew(connection, lease, 30))
