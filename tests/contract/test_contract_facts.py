"""The store contract, fact by fact, over every form of the store and both databases."""

import time
from typing import Any

import pytest
from claude_agent_sdk import fold_session_summary
from sqlalchemy import create_engine, text

from boocode_sessions import InvalidEntryError, InvalidKeyError
from tests.fixtures.databases import Database
from tests.fixtures.json_values import HARD_NUMBERS, HARD_TEXTS, exactly, told_apart
from tests.fixtures.stores import Store, backend_of, every_store

pytestmark = pytest.mark.anyio

MAIN: Any = {"project_key": "p", "session_id": "s"}
SUB: Any = {**MAIN, "subpath": "subagents/agent-1"}
NESTED: Any = {**MAIN, "subpath": "subagents/workflows/run-1/agent-x"}
A_DAY_MS = 86_400_000


@pytest.fixture
def anyio_backend(store_kind: str) -> str:
    return backend_of(store_kind)


def entry(number: int, **members: Any) -> dict[str, Any]:
    return {"type": "x", "n": number, **members}


def rows_of(database: Database, statement: str) -> list[Any]:
    engine = create_engine(database.url)
    with engine.connect() as connection:
        rows = list(connection.execute(text(statement)))
    engine.dispose()
    return rows


async def listed(store: Store) -> dict[str, int]:
    return {session["session_id"]: session["mtime"] for session in await store.list_sessions("p")}


@every_store
class TestAppend:
    async def test_a_batch_is_written_in_order(self, store: Store) -> None:
        batches = [[entry(3, uuid="c"), entry(1, uuid="a")], [entry(2)], [entry(0, uuid="b")] * 1]
        for batch in batches:
            await store.append(MAIN, batch)
        assert await store.load(MAIN) == [item for batch in batches for item in batch]

    async def test_a_batch_is_written_whole_or_not_at_all(self, store: Store, database: Database) -> None:
        for bad in (float("nan"), {1}, {2: "not text"}, b"bytes", 10**5000):
            with pytest.raises(
                InvalidEntryError, match=r"session 's' of project 'p': entries\[1\] > member 2"
            ):
                await store.append(MAIN, [entry(1), entry(2, bad=bad), entry(3)])
        assert await store.load(MAIN) is None
        assert rows_of(database, "SELECT 1 FROM claude_sessions") == []

    async def test_an_empty_batch_writes_nothing_at_all(self, store: Store, database: Database) -> None:
        await store.append(MAIN, [])
        assert await store.load(MAIN) is None
        assert await listed(store) == {}
        for table in ("claude_session_entries", "claude_sessions"):
            assert rows_of(database, f"SELECT 1 FROM {table}") == []

    async def test_entries_with_a_uuid_are_idempotent(self, store: Store) -> None:
        batch = [entry(1, uuid="u1"), entry(2, uuid="u2"), entry(1, uuid="u1")]
        await store.append(MAIN, batch)
        await store.append(MAIN, batch)
        await store.append(MAIN, [entry(3, uuid="u3"), *batch])
        assert await store.load(MAIN) == [entry(1, uuid="u1"), entry(2, uuid="u2"), entry(3, uuid="u3")]

    async def test_entries_without_a_uuid_are_always_appended(self, store: Store) -> None:
        batch = [entry(1), entry(1), entry(2, uuid=None), entry(3, uuid=7), entry(4, uuid="")]
        await store.append(MAIN, batch)
        await store.append(MAIN, batch)
        await store.append(MAIN, list(batch))
        assert await store.load(MAIN) == batch * 3

    async def test_another_body_of_a_known_uuid_is_kept_behind(self, store: Store) -> None:
        first, second = entry(1, uuid="u1"), entry(2, uuid="u2")
        await store.append(MAIN, [first, second])
        newer = [entry(3), entry(9, uuid="u1"), entry(10, uuid="u1")]
        await store.append(MAIN, newer)
        assert await store.load(MAIN) == [first, second, *newer]

    async def test_a_body_that_a_uuid_has_already_is_dropped(self, store: Store) -> None:
        first, second = entry(1, uuid="u1"), entry(2, uuid="u1")
        await store.append(MAIN, [first, second, first, second])
        await store.append(MAIN, [second])
        await store.append(MAIN, [first, entry(3), second])
        assert await store.load(MAIN) == [first, second, entry(3)]

    async def test_a_batch_may_be_larger_than_any_statement(self, store: Store, database: Database) -> None:
        batch = [entry(n, uuid=f"u{n}", text="x" * 3_000) for n in range(4_000)]
        await store.append(MAIN, batch)
        await store.append(MAIN, [*batch[-10:], entry(4_000)])
        assert await store.load(MAIN) == [*batch, entry(4_000)]
        assert rows_of(database, "SELECT count(DISTINCT dedup_key) FROM claude_session_entries") == [(4_001,)]


@every_store
class TestLoad:
    async def test_a_key_never_written_loads_none(self, store: Store) -> None:
        assert await store.load(MAIN) is None
        await store.append(MAIN, [entry(1)])
        for key in (SUB, {**MAIN, "session_id": "other"}, {**MAIN, "project_key": "other"}):
            assert await store.load(key) is None

    async def test_values_come_back_exactly(self, store: Store) -> None:
        batch = [entry(1, values=[*HARD_TEXTS, *HARD_NUMBERS])]
        for _ in range(3):  # the first append, later ones
            await store.append(MAIN, batch)
        assert told_apart(await store.load(MAIN)) == [exactly(batch[0])] * 3

    async def test_a_subpath_of_none_is_the_main_transcript(self, store: Store) -> None:
        await store.append({**MAIN, "subpath": None}, [entry(1)])
        assert await store.load(MAIN) == [entry(1)]
        assert await store.load({**MAIN, "subpath": None}) == [entry(1)]

    async def test_main_is_stored_as_the_empty_subpath(self, store: Store, database: Database) -> None:
        await store.append(MAIN, [entry(1)])
        await store.append(SUB, [entry(2)])
        assert rows_of(database, "SELECT subpath FROM claude_session_entries ORDER BY id") == [
            ("",),
            ("subagents/agent-1",),
        ]


@every_store
class TestListSessions:
    async def test_main_transcripts_of_the_project_only(self, store: Store) -> None:
        assert await store.list_sessions("p") == []
        await store.append(MAIN, [entry(1)])
        await store.append({**SUB, "session_id": "subagent only"}, [entry(1)])
        await store.append({**MAIN, "project_key": "other"}, [entry(1)])
        assert [set(session) for session in await store.list_sessions("p")] == [{"session_id", "mtime"}]
        assert set(await listed(store)) == {"s"}

    async def test_mtime_is_the_storage_clocks_epoch_milliseconds_rounded_down(
        self, store: Store, database: Database
    ) -> None:
        await store.append(MAIN, [entry(1, timestamp="1999-01-01T00:00:00Z")])
        mtime = (await listed(store))["s"]
        assert type(mtime) is int
        assert abs(mtime - time.time() * 1000) < A_DAY_MS
        seconds = (
            "extract(epoch FROM updated_at)"
            if database.dialect == "postgresql"
            else "strftime('%s', updated_at) || substr(updated_at, 20)"
        )
        ((stored,),) = rows_of(database, f"SELECT {seconds} FROM claude_sessions")
        whole, _, part = str(stored).partition(".")
        assert mtime == int(whole) * 1000 + int(part[:3].ljust(3, "0"))

    async def test_the_last_append_makes_the_mtime(self, store: Store) -> None:
        await store.append(MAIN, [entry(1)])
        first = await listed(store)
        time.sleep(0.01)  # noqa: ASYNC251 - the database's clock has to move, whatever the loop's does
        await store.append(MAIN, [entry(2)])
        assert (await listed(store))["s"] > first["s"]

    async def test_subagents_move_no_mtime_and_make_no_session(self, store: Store) -> None:
        await store.append(SUB, [entry(1)])
        assert await listed(store) == {}
        await store.append(MAIN, [entry(1)])
        before = await listed(store)
        time.sleep(0.01)  # noqa: ASYNC251 - as above
        await store.append(SUB, [entry(2)])
        await store.delete(SUB)
        assert await listed(store) == before

    async def test_a_delivery_that_is_known_moves_no_mtime(self, store: Store) -> None:
        await store.append(MAIN, [entry(1, uuid="u")])
        before = await listed(store)
        time.sleep(0.01)  # noqa: ASYNC251 - as above
        await store.append(MAIN, [entry(1, uuid="u")])
        await store.append(MAIN, [{"uuid": "u", "n": 1, "type": "x"}])
        assert await listed(store) == before


@every_store
class TestListSessionSummaries:
    batches = (
        [{"type": "user", "uuid": "1", "message": {"content": "the first prompt"}, "cwd": "/src"}],
        [entry(2, customTitle="a \0 title \ud800"), {"type": "tag", "tag": "t"}],
        [entry(3, gitBranch="main", timestamp="2026-01-01T00:00:00Z")],
    )

    def folded(self, entries: Any) -> Any:
        return fold_session_summary(None, MAIN, entries)["data"]

    async def test_data_is_the_sdks_fold_verbatim(self, store: Store) -> None:
        assert await store.list_session_summaries("p") == []
        entries: list[Any] = []
        for batch in self.batches:
            await store.append(MAIN, batch)
            entries += batch
            (summary,) = await store.list_session_summaries("p")
            assert set(summary) == {"session_id", "mtime", "data"}
            assert summary["session_id"] == "s"
            assert summary["data"] == self.folded(entries)

    async def test_mtime_is_never_older_than_the_listings(self, store: Store) -> None:
        for batch in self.batches:
            await store.append(MAIN, batch)
            await store.append(SUB, batch)
            (summary,) = await store.list_session_summaries("p")
            assert summary["mtime"] == (await listed(store))["s"]

    async def test_subagents_and_known_entries_are_not_folded(self, store: Store) -> None:
        for batch in self.batches:
            await store.append(MAIN, batch)
        await store.append(MAIN, [entry(4, uuid="4", customTitle="newest")])
        before = await store.list_session_summaries("p")
        await store.append(SUB, [entry(5, customTitle="a subagent's")])
        await store.append(MAIN, self.batches[0])
        assert await store.list_session_summaries("p") == before

    async def test_a_summary_that_would_miss_an_entry_is_left_out(
        self, store: Store, database: Database
    ) -> None:
        await store.append(MAIN, self.batches[0])
        engine = create_engine(database.url)
        with engine.begin() as connection:
            connection.execute(
                text(
                    "INSERT INTO claude_session_entries (project_key, session_id, subpath, entry) "
                    """VALUES ('p', 's', '', '{"type": "x", "customTitle": "theirs"}')"""
                )
            )
        engine.dispose()
        assert await store.list_session_summaries("p") == []
        await store.append(MAIN, self.batches[2])
        (summary,) = await store.list_session_summaries("p")
        theirs = {"type": "x", "customTitle": "theirs"}
        assert summary["data"] == self.folded([*self.batches[0], theirs, *self.batches[2]])


@every_store
class TestDelete:
    async def test_the_main_key_takes_the_whole_session(self, store: Store, database: Database) -> None:
        for key in (MAIN, SUB, NESTED):
            await store.append(key, [entry(1)])
        await store.delete(MAIN)
        for key in (MAIN, SUB, NESTED):
            assert await store.load(key) is None
        assert await store.list_subkeys(MAIN) == []
        assert await listed(store) == {}
        assert await store.list_session_summaries("p") == []
        for table in ("claude_session_entries", "claude_sessions"):
            assert rows_of(database, f"SELECT 1 FROM {table}") == []

    async def test_a_subpath_takes_its_transcript_only(self, store: Store) -> None:
        for key in (MAIN, SUB, NESTED):
            await store.append(key, [entry(1)])
        before = await store.list_session_summaries("p")
        await store.delete(SUB)
        assert await store.load(SUB) is None
        assert await store.load(MAIN) == await store.load(NESTED) == [entry(1)]
        assert await store.list_session_summaries("p") == before

    async def test_other_sessions_stay(self, store: Store) -> None:
        others = [{**MAIN, "session_id": "s2"}, {**MAIN, "project_key": "p2"}]
        for key in (MAIN, *others):
            await store.append(key, [entry(1)])
        await store.delete(MAIN)
        assert [await store.load(key) for key in others] == [[entry(1)], [entry(1)]]

    async def test_a_key_never_written_is_no_error(self, store: Store) -> None:
        for key in (MAIN, SUB):
            await store.delete(key)
            await store.delete(key)

    async def test_a_session_begins_anew(self, store: Store) -> None:
        await store.append(MAIN, [entry(1, uuid="u", customTitle="old")])
        await store.append(MAIN, [entry(2)])
        await store.delete(MAIN)
        for batch in ([entry(1, uuid="u")], [entry(3)]):
            await store.append(MAIN, batch)
        assert await store.load(MAIN) == [entry(1, uuid="u"), entry(3)]
        (summary,) = await store.list_session_summaries("p")
        assert "custom_title" not in summary["data"]


@every_store
class TestListSubkeys:
    async def test_distinct_subpaths_and_nested_ones(self, store: Store) -> None:
        for key in (SUB, NESTED, SUB, MAIN):
            await store.append(key, [entry(1)])
        assert sorted(await store.list_subkeys(MAIN)) == [SUB["subpath"], NESTED["subpath"]]

    async def test_none_is_an_empty_list(self, store: Store) -> None:
        assert await store.list_subkeys(MAIN) == []
        await store.append(MAIN, [entry(1)])
        await store.append({**SUB, "session_id": "s2"}, [entry(1)])
        assert await store.list_subkeys(MAIN) == []

    async def test_subkeys_of_transcripts_of_any_length(self, store: Store) -> None:
        """Runs of short ones and of long ones, since their index is read in pages of many or few entries."""
        lengths = [1] * 120 + [150, 3, 260, 2] + [7] * 20 + [40] * 5 + [1, 110, 1]
        subpaths = [f"subagents/agent-{number:04}" for number in range(len(lengths))]
        for subpath, length in zip(subpaths, lengths, strict=True):
            await store.append({**MAIN, "subpath": subpath}, [entry(number) for number in range(length)])
        await store.append({**MAIN, "session_id": "t", "subpath": "another"}, [entry(1)])
        assert sorted(await store.list_subkeys(MAIN)) == subpaths


BAD_KEYS: list[tuple[Any, str]] = [
    ({**MAIN, "subpath": ""}, "subpath is empty: leave it out to name the main transcript"),
    ({**MAIN, "session_id": ""}, "session_id is empty"),
    ({**MAIN, "project_key": ""}, "project_key is empty"),
    ({"project_key": "p"}, "session_id is missing"),
    ({"session_id": "s"}, "project_key is missing"),
    ({**MAIN, "session_id": 7}, "session_id is text, not int"),
    ({**MAIN, "project_key": b"p"}, "project_key is text, not bytes"),
    ({**MAIN, "subpath": ["a"]}, "subpath is text, not list"),
    ({**MAIN, "session_id": "a\0b"}, "session_id holds a NUL character"),
    ({**MAIN, "subpath": "\ud800"}, "subpath holds a lone surrogate"),
    ({**MAIN, "subpath": "x" * 2001}, "the key's parts have 2003 bytes together, 2000 is the most"),
    ({**MAIN, "session_id": "é" * 1000}, "the key's parts have 2001 bytes together, 2000 is the most"),
    (("p", "s"), "a key is a dict, not tuple"),
    (None, "a key is a dict, not NoneType"),
]


class TestKeys:
    async def test_keys_are_text_of_any_kind(self, store: Store) -> None:
        keys: list[Any] = [
            {"project_key": "-home-user-src", "session_id": "b"},
            {"project_key": "é %_'\"\\;--", "session_id": "\U0001f600", "subpath": "a/../b"},
            {"project_key": "p" * 1000, "session_id": "s" * 500, "subpath": "x" * 500},
        ]
        for number, key in enumerate(keys):
            await store.append(key, [entry(number, uuid="u" * 64)])
        for number, key in enumerate(keys):
            assert await store.load(key) == [entry(number, uuid="u" * 64)]
            assert len(await store.list_sessions(key["project_key"])) == (0 if "subpath" in key else 1)

    async def test_a_session_without_entries_keeps_no_row(self, store: Store, database: Database) -> None:
        await store.append(SUB, [entry(1)])
        await store.append(NESTED, [entry(2)])
        await store.delete(SUB)
        assert rows_of(database, "SELECT entries FROM claude_sessions") == [(1,)]
        await store.delete(NESTED)
        await store.delete({**SUB, "session_id": "never written"})
        assert rows_of(database, "SELECT session_id FROM claude_sessions") == []
        await store.append(SUB, [entry(3)])
        assert await store.load(SUB) == [entry(3)]

    async def test_a_bad_key_is_refused_by_every_method(self, store: Store) -> None:
        for key, words in BAD_KEYS:
            secret = [entry(1, text="canary")]
            for call in (store.append(key, secret), store.load(key), store.delete(key)):
                with pytest.raises(InvalidKeyError) as refused:
                    await call
                assert words in str(refused.value)
                assert "canary" not in str(refused.value)
            if "subpath" not in words and "2003" not in words:
                with pytest.raises(InvalidKeyError):
                    await store.list_subkeys(key)

    async def test_a_bad_project_is_refused(self, store: Store) -> None:
        projects: list[Any] = ["", None, 7, "a\0b", "\ud800", "x" * 2001]
        for project in projects:
            for call in (store.list_sessions(project), store.list_session_summaries(project)):
                with pytest.raises(InvalidKeyError, match=r"project_key|the key's parts"):
                    await call

    async def test_an_empty_subpath_deletes_nothing(self, store: Store) -> None:
        await store.append(MAIN, [entry(1)])
        with pytest.raises(InvalidKeyError):
            await store.delete({**MAIN, "subpath": ""})
        assert await store.load(MAIN) == [entry(1)]
