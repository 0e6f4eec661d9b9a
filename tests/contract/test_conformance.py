"""Our own conformance suite: over every form of ours, over the SDK's store, and over stores that break it."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from claude_agent_sdk import InMemorySessionStore, SessionStore

from boocode_sessions import AsyncClaudeSessionRepository, ClaudeSessionRepository
from boocode_sessions.sdk import SQLAlchemySessionStore
from boocode_sessions.testing import (
    CAPABILITIES,
    CONTRACTS,
    Broken,
    Contract,
    NonConformingError,
    Skipped,
    run_contract,
    run_store_conformance,
)
from tests.fixtures.databases import Database
from tests.fixtures.stores import Awaited, Store, backend_of, every_store

PAGE = Path(__file__).parents[2] / "docs" / "conformance.md"

IN_MEMORY_FAILS = {
    "appending.a_batch_with_what_is_not_json_is_refused_whole",
    "appending.an_empty_batch_lists_nothing_and_moves_no_mtime",
    "appending.an_empty_batch_writes_nothing",
    "appending.what_is_stored_is_a_copy",
    "concurrency.one_batch_from_many_is_stored_once",
    "idempotency.a_batch_sent_again_is_not_folded_again",
    "idempotency.a_batch_sent_again_is_stored_once",
    "idempotency.a_batch_sent_again_moves_no_mtime",
    "idempotency.a_uuid_twice_in_one_batch_is_stored_once",
    "idempotency.entries_without_a_uuid_are_added_again",
    "idempotency.only_new_entries_of_an_overlapping_batch_are_added",
    "idempotency.uuids_are_compared_to_the_letter",
    "keys.a_deletion_with_an_empty_subpath_deletes_nothing",
    "keys.an_empty_subpath_is_refused",
    "keys.any_session_id_is_listed",
    "keys.empty_and_missing_parts_are_refused",
    "keys.keys_are_compared_to_the_letter",
    "summaries.a_listed_summary_is_a_copy",
}
"""What the SDK's own InMemorySessionStore, version 0.2.187, does not keep."""


class TestOurs:
    @pytest.fixture
    def anyio_backend(self, store_kind: str) -> str:
        return backend_of(store_kind)

    @pytest.mark.anyio
    @every_store
    async def test_our_stores_keep_every_contract(self, store: Store) -> None:
        report = await run_store_conformance(lambda: store)
        assert len(report.passed) == len(CONTRACTS)


@pytest.mark.anyio
async def test_two_of_our_stores_keep_the_order_of_the_calls(database: Database) -> None:
    engine, async_engine = database.engine(), database.async_engine()
    makers: tuple[Callable[[], object], ...] = (
        lambda: Awaited(ClaudeSessionRepository(engine)),
        lambda: SQLAlchemySessionStore(engine),
        lambda: AsyncClaudeSessionRepository(async_engine),
        lambda: SQLAlchemySessionStore(async_engine),
    )
    name = "concurrency.appends_of_two_stores_keep_the_order_of_the_calls"
    (contract,) = (c for c in CONTRACTS if c.name == name)
    for first, second in pairwise([*makers, makers[0]]):
        made = iter([first(), second()])
        await run_contract(contract, lambda made=made: next(made))  # type: ignore[misc]
    engine.dispose()
    await async_engine.dispose()


@pytest.mark.anyio
@pytest.mark.parametrize("anyio_backend", ["asyncio", "trio"])
async def test_the_sdks_own_store_fails_just_these(anyio_backend: str) -> None:  # noqa: ARG001 - anyio's
    with pytest.raises(NonConformingError) as verdict:
        await run_store_conformance(InMemorySessionStore)
    failed = {failure.contract.name for failure in verdict.value.report.failed}
    assert failed == IN_MEMORY_FAILS
    assert all(name in str(verdict.value) for name in failed), "the message does not list them all"


@pytest.mark.anyio
async def test_a_store_of_the_two_required_methods_is_checked_on_those() -> None:
    class Minimal(SessionStore):
        def __init__(self) -> None:
            self._inner = InMemorySessionStore()

        async def append(self, key: Any, entries: Any) -> None:
            await self._inner.append(key, entries)

        async def load(self, key: Any) -> Any:
            return await self._inner.load(key)

    with pytest.raises(NonConformingError) as verdict:
        await run_store_conformance(Minimal)
    report = verdict.value.report
    assert {skip.contract.name for skip in report.skipped} == {c.name for c in CONTRACTS if c.needs}
    assert "the store has no list_session_summaries and no list_sessions" in str(report)
    assert len(report.passed) + len(report.failed) + len(report.skipped) == len(CONTRACTS)


@pytest.mark.anyio
async def test_what_the_caller_skips_is_told() -> None:
    everything = frozenset(capability.name for capability in CAPABILITIES[1:])
    one = "appending.what_is_stored_is_a_copy"
    in_memory = {name for name in IN_MEMORY_FAILS if name.startswith("appending.")}
    report = await run_store_conformance(InMemorySessionStore, skip=everything | in_memory)
    assert not report.failed
    assert {skip.why for skip in report.skipped} == {"skipped by the caller"}
    assert one in str(report)
    with pytest.raises(ValueError, match="no such capability or contract to skip: apending"):
        await run_store_conformance(InMemorySessionStore, skip=frozenset({"apending"}))


@pytest.mark.anyio
async def test_a_store_that_hangs_or_raises_fails_and_the_rest_is_checked() -> None:
    class Odd(InMemorySessionStore):
        async def load(self, key: Any) -> Any:
            if key.get("subpath"):
                raise RuntimeError("no subpaths here")
            return await super().load(key)

        async def list_subkeys(self, key: Any) -> Any:  # noqa: ARG002 - the contract's
            import anyio  # noqa: PLC0415

            await anyio.sleep_forever()

    with pytest.raises(NonConformingError) as verdict:
        await run_store_conformance(Odd, seconds=0.5, skip=frozenset({"concurrency"}))
    told = str(verdict.value)
    assert "appending.a_subagents_transcript_is_its_own: raises RuntimeError: no subpaths here" in told
    assert "subkeys.an_unknown_session_has_none: takes more than 0.5 s" in told
    assert any(contract.capability == "listing" for contract in verdict.value.report.passed)


@pytest.mark.anyio
async def test_a_store_may_be_made_by_a_coroutine() -> None:
    async def make() -> InMemorySessionStore:
        return InMemorySessionStore()

    (contract,) = (c for c in CONTRACTS if c.name == "appending.a_batch_keeps_its_order")
    await run_contract(contract, make)


class Reversed(InMemorySessionStore):
    async def load(self, key: Any) -> Any:
        loaded = await super().load(key)
        return loaded and loaded[::-1]


class Seconds(InMemorySessionStore):
    async def list_sessions(self, project_key: str) -> Any:
        return [{**s, "mtime": s["mtime"] // 1000} for s in await super().list_sessions(project_key)]


class AllListed(InMemorySessionStore):
    async def list_subkeys(self, key: Any) -> Any:
        return ["", *await super().list_subkeys(key)]


class DeletesTheMainOnly(InMemorySessionStore):
    async def delete(self, key: Any) -> None:
        self._store.pop("/".join(key.values()), None)


class RoundsFloats(InMemorySessionStore):
    async def append(self, key: Any, entries: Any) -> None:
        rounded: list[Any] = [{k: self._rounded(v) for k, v in entry.items()} for entry in entries]
        await super().append(key, rounded)

    def _rounded(self, value: Any) -> Any:
        return float(f"{value:.6g}") if isinstance(value, float) else value


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("store", "name", "told"),
    [
        (Reversed, "appending.a_batch_keeps_its_order", "the entries in another order, first at 0"),
        (Seconds, "listing.mtime_is_epoch_milliseconds_of_now", "is not in milliseconds"),
        (AllListed, "subkeys.the_main_transcript_is_none", "has the subkeys ['']"),
        (DeletesTheMainOnly, "deletion.a_session_goes_with_all_its_subagents", "1 entries, not None"),
        (RoundsFloats, "exactness.floats", "another value at position 6"),
    ],
)
async def test_the_message_says_what_a_broken_store_did(
    store: type[InMemorySessionStore], name: str, told: str
) -> None:
    (contract,) = (c for c in CONTRACTS if c.name == name)
    with pytest.raises(Broken) as verdict:
        await run_contract(contract, store)
    assert told in str(verdict.value)


@pytest.mark.parametrize("contract", CONTRACTS, ids=str)
def test_every_contract_has_a_reason_and_stands_in_the_docs(contract: Contract) -> None:
    assert contract.reason.endswith(".")
    name = contract.name.partition(".")[2]
    mark = " ✗" if contract.name in IN_MEMORY_FAILS else ""
    assert f"| `{name}`{mark} | {contract.reason} |" in PAGE.read_text()


def test_the_docs_have_no_contract_that_is_gone() -> None:
    rows = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    assert len(rows) == len(CONTRACTS)
    assert sum("✗" in row for row in rows) == len(IN_MEMORY_FAILS)


def test_names_are_unique_and_what_they_need_exists() -> None:
    assert len({contract.name for contract in CONTRACTS}) == len(CONTRACTS)
    needed = {method for contract in CONTRACTS for method in contract.needs}
    assert needed == {"list_sessions", "list_session_summaries", "delete", "list_subkeys"}


def test_skipped_is_no_failure() -> None:
    assert not issubclass(Skipped, AssertionError)
