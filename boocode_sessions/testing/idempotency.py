"""Contracts for exactly-once storage."""

from boocode_sessions.testing.suite import Capability, Trial, entries, entry, expect

IDEMPOTENCY = Capability("idempotency", "An entry with a uuid is stored once, however often it is sent.")


@IDEMPOTENCY.contract()
async def a_batch_sent_again_is_stored_once(trial: Trial) -> None:
    """The SDK sends a batch again if its answer was lost. A store without idempotency doubles the
    transcript."""
    for _ in range(3):
        await trial.store.append(trial.key(), entries(1, 2, 3))
    await trial.expect(trial.key(), entries(1, 2, 3), "the same three entries sent three times")


@IDEMPOTENCY.contract()
async def a_uuid_twice_in_one_batch_is_stored_once(trial: Trial) -> None:
    """A file can hold a line twice. Its import then fails on the unique index, or stores the line twice."""
    await trial.store.append(trial.key(), entries(1, 2, 1))
    await trial.expect(trial.key(), entries(1, 2), "a batch that holds a uuid twice")


@IDEMPOTENCY.contract()
async def only_new_entries_of_an_overlapping_batch_are_added(trial: Trial) -> None:
    """A store that checks only a batch's first entry, or the batch as a whole, loses or doubles the rest."""
    await trial.store.append(trial.key(), entries(1, 2, 3))
    await trial.store.append(trial.key(), entries(2, 4, 1, 5))
    await trial.expect(trial.key(), entries(1, 2, 3, 4, 5), "two batches that overlap")


@IDEMPOTENCY.contract()
async def a_uuid_counts_in_its_own_transcript_only(trial: Trial) -> None:
    """Forks and copies of subagents keep uuids. With a key over the uuid alone, the other transcript loses
    entries."""
    keys = [
        trial.key(),
        trial.key(subpath="subagents/agent-1"),
        trial.key("fork"),
        trial.key(project=trial.other_project),
    ]
    for key in keys:
        await trial.store.append(key, entries(1, 2))
    for key in keys:
        await trial.expect(key, entries(1, 2), "the same uuids in four transcripts")


@IDEMPOTENCY.contract()
async def a_new_body_is_the_last_of_its_uuid(trial: Trial) -> None:
    """The SDK's reader takes the last line of a uuid. If that is the first body, a correction is not
    shown."""
    await trial.store.append(trial.key(), entries(1, 2, 3))
    newer = {**entries(2)[0], "text": "newer"}
    for _ in range(2):
        await trial.store.append(trial.key(), [newer])
        await trial.expect_newest(trial.key(), newer, entries(1, 3), "a known uuid with another body")


@IDEMPOTENCY.contract()
async def entries_without_a_uuid_are_added_again(trial: Trial) -> None:
    """Only a uuid makes two entries the same. A mode switch that happens twice has to be stored twice."""
    batch = [entry(1), *entries(2), entry(3)]
    await trial.store.append(trial.key(), batch)
    await trial.store.append(trial.key(), list(batch))
    await trial.expect(trial.key(), [*batch, entry(1), entry(3)], "a mixed batch in two lists")


@IDEMPOTENCY.contract()
async def only_text_is_a_uuid(trial: Trial) -> None:
    """A store that accepts an empty, missing or numeric uuid takes all entries with it for one entry."""
    batch = [entry(n, uuid=uuid) for n, uuid in enumerate(["", "", None, None, 7, 7])]
    await trial.store.append(trial.key(), batch)
    await trial.expect(trial.key(), batch, "entries whose uuid is empty, null or a number")


@IDEMPOTENCY.contract()
async def uuids_are_compared_to_the_letter(trial: Trial) -> None:
    """A collation that ignores case, width, accents or trailing spaces loses an entry."""
    uuids = [
        "u",
        "U",
        "u ",
        " u",
        "\u00fc",
        "u\u0308",
        "\uff55",
        "u\0",
        "u\0\0",
        "\ud800",
        "\udfff",
        "u" * 5000,
    ]
    batch = [entry(n, uuid=uuid) for n, uuid in enumerate(uuids)]
    await trial.store.append(trial.key(), batch)
    await trial.store.append(trial.key(), batch)
    await trial.expect(trial.key(), batch, "uuids that differ in little")


@IDEMPOTENCY.contract("delete")
async def a_deleted_uuid_can_be_sent_again(trial: Trial) -> None:
    """A store that remembers uuids beyond their transcript's deletion imports nothing the second time."""
    await trial.store.append(trial.key(), entries(1, 2))
    await trial.store.delete(trial.key())
    await trial.store.append(trial.key(), entries(2, 1))
    await trial.expect(trial.key(), entries(2, 1), "append, delete, append")


@IDEMPOTENCY.contract("list_sessions")
async def a_batch_sent_again_moves_no_mtime(trial: Trial) -> None:
    """A repeated import would make every old session the newest, and continue_conversation picks the
    newest."""
    await trial.store.append(trial.key(), entries(1, 2))
    before = await trial.listed()
    await trial.tick()
    await trial.store.append(trial.key(), entries(1, 2))
    expect(await trial.listed() == before, "the same batch sent again moves the mtime")


@IDEMPOTENCY.contract("list_session_summaries")
async def a_batch_sent_again_is_not_folded_again(trial: Trial) -> None:
    """An old batch that is folded twice resets the title to an earlier one."""
    first = [entry(1, uuid="1", customTitle="first")]
    await trial.store.append(trial.key(), first)
    await trial.store.append(trial.key(), [entry(2, uuid="2", customTitle="second")])
    before = await trial.summaries()
    await trial.store.append(trial.key(), first)
    expect(await trial.summaries() == before, "an old batch sent again changes the summary")


@IDEMPOTENCY.contract("list_session_summaries")
async def a_new_body_is_folded(trial: Trial) -> None:
    """The summary describes what load returns. Without the fold, a corrected title stays wrong."""
    await trial.store.append(trial.key(), [entry(1, uuid="1", customTitle="first"), *entries(2)])
    await trial.store.append(trial.key(), [entry(1, uuid="1", customTitle="newer")])
    loaded = await trial.store.load(trial.key())
    await trial.store.append(trial.key(project=trial.other_project), loaded)
    data = (await trial.summaries())["s"]["data"]
    expect("newer" in data.values(), "the summary has the title of the older body")
    await trial.expect_same_summaries("the summary is not that of what load gives")
