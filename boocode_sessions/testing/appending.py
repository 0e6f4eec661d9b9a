"""Contracts of append and load."""

from copy import deepcopy

from boocode_sessions.testing.suite import Capability, Trial, entries, entry, expect, refused

APPENDING = Capability(
    "appending", "load returns everything that was appended to a key, in order, and nothing else."
)


@APPENDING.contract()
async def a_key_never_written_loads_none(trial: Trial) -> None:
    """Resume relies on None to tell a missing session from an empty one."""
    await trial.expect(trial.key(), None, "nothing")
    await trial.store.append(trial.key(), entries(1))
    await trial.expect(trial.key(subpath="subagents/agent-1"), None, "an append to the main transcript only")


@APPENDING.contract()
async def a_batch_keeps_its_order(trial: Trial) -> None:
    """A store that sorts by uuid, or by a time that a whole batch shares, shuffles the conversation."""
    batch = entries(5, 3, 9, 1, 7)
    await trial.store.append(trial.key(), batch)
    await trial.expect(trial.key(), batch, "one batch")


@APPENDING.contract()
async def batches_keep_the_order_of_the_calls(trial: Trial) -> None:
    """Replay order is the order of the appends, not that of uuids, timestamps or types."""
    batches = [entries(9), entries(2, 8), [entry(1, timestamp="1999-01-01T00:00:00Z")], entries(3)]
    for batch in batches:
        await trial.store.append(trial.key(), batch)
    await trial.expect(trial.key(), [item for batch in batches for item in batch], "four appends")


@APPENDING.contract()
async def an_empty_batch_writes_nothing(trial: Trial) -> None:
    """The SDK flushes empty batches. Stored as sessions without entries, they would be listed and resumed."""
    await trial.store.append(trial.key(), [])
    await trial.expect(trial.key(), None, "an append of no entries")
    await trial.store.append(trial.key(), entries(1))
    await trial.store.append(trial.key(), [])
    await trial.expect(trial.key(), entries(1), "an append of one entry and one of none")


@APPENDING.contract("list_sessions")
async def an_empty_batch_lists_nothing_and_moves_no_mtime(trial: Trial) -> None:
    """A listing with an empty session makes the SDK load it, and shows it first."""
    await trial.store.append(trial.key(), [])
    expect(await trial.listed() == {}, "an append of no entries makes list_sessions report the session")
    await trial.store.append(trial.key(), entries(1))
    before = await trial.listed()
    await trial.tick()
    await trial.store.append(trial.key(), [])
    expect(await trial.listed() == before, "an append of no entries moves the mtime")


@APPENDING.contract()
async def a_subagents_transcript_is_its_own(trial: Trial) -> None:
    """A store that leaves the subpath out of its key mixes subagents into the conversation."""
    paths = [None, "subagents/agent-1", "subagents/agent-10", "subagents/workflows/run-1/agent-1"]
    for number, path in enumerate(paths):
        await trial.store.append(trial.key(subpath=path), entries(number))
    for number, path in enumerate(paths):
        await trial.expect(trial.key(subpath=path), entries(number), "appends to four transcripts")


@APPENDING.contract()
async def a_subpath_of_none_is_the_main_transcript(trial: Trial) -> None:
    """Callers build keys with `subpath=None`. A store that takes None for a path loses the transcript."""
    absent, none = trial.key(), {**trial.key(), "subpath": None}
    await trial.store.append(none, entries(1))
    await trial.store.append(absent, entries(2))
    await trial.expect(absent, entries(1, 2), "an append with subpath None and one without")


@APPENDING.contract()
async def sessions_and_projects_are_apart(trial: Trial) -> None:
    """The same session id occurs in several projects, and one id may be a prefix of another."""
    keys = [trial.key("s"), trial.key("s2"), trial.key("s", project=trial.other_project)]
    for number, key in enumerate(keys):
        await trial.store.append(key, entries(number))
    for number, key in enumerate(keys):
        await trial.expect(key, entries(number), "appends to three sessions")


@APPENDING.contract()
async def equal_entries_without_a_uuid_are_all_kept(trial: Trial) -> None:
    """Many entries have no uuid. A store that dedupes by content loses entries that the agent wrote twice."""
    await trial.store.append(trial.key(), [entry(1), entry(1)])
    await trial.store.append(trial.key(), [entry(1)])
    await trial.expect(trial.key(), [entry(1)] * 3, "three equal entries without a uuid")


@APPENDING.contract()
async def a_large_batch_arrives_whole(trial: Trial) -> None:
    """The SDK flushes at 500 entries or 1 MiB, but a batch can be larger: a fork is one call with
    thousands."""
    batch = entries(*range(3000))
    await trial.store.append(trial.key(), batch)
    await trial.expect(trial.key(), batch, "one batch of 3,000 entries")


@APPENDING.contract()
async def an_entry_of_megabytes_arrives_whole(trial: Trial) -> None:
    """A tool's output can have any size. A limit on a row, a message or a page cuts it off."""
    batch = [entry(1, uuid="u", text="tool output \u00e9\U0001f600 " * 200_000), *entries(2)]
    await trial.store.append(trial.key(), batch)
    await trial.expect(trial.key(), batch, "an entry of 4 MB")


@APPENDING.contract()
async def what_is_stored_is_a_copy(trial: Trial) -> None:
    """Callers keep using their list and its dicts. A store that keeps references changes with them."""
    batch = [entry(1, uuid="u", message={"content": ["text"]})]
    due = deepcopy(batch)
    await trial.store.append(trial.key(), batch)
    batch[0]["message"]["content"].append("later")
    await trial.expect(trial.key(), due, "an append whose entry the caller changed afterwards")
    loaded = await trial.store.load(trial.key())
    loaded[0]["message"]["content"].clear()
    loaded.clear()
    await trial.expect(trial.key(), due, "a load whose result the caller changed")


@APPENDING.contract()
async def a_batch_with_what_is_not_json_is_refused_whole(trial: Trial) -> None:
    """Half a batch, or a NaN that became null, is noticed only at resume, when nobody can repair it."""
    bad = [
        entry(2, value=float("nan")),
        entry(2, value=float("-inf")),
        entry(2, value={1}),
        entry(2, value=b"x"),
    ]
    await trial.store.append(trial.key(), entries(1))
    for item in bad:
        value = item["value"]
        what = f"a batch with a value of {value if isinstance(value, float) else type(value).__name__}"
        await refused(trial.store.append(trial.key(), [*entries(3), item]), what)
        await trial.expect(trial.key(), entries(1), f"{what} was refused")
