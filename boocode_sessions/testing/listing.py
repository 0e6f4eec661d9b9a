"""Contracts of list_sessions."""

import time

from boocode_sessions.testing.suite import Capability, Trial, entries, entry, expect

LISTING = Capability(
    "listing", "list_sessions returns each main transcript of a project, with the time of its last append."
)

_SECONDS_WOULD_BE = 10**12
_DAY_MS = 86_400_000


@LISTING.contract("list_sessions")
async def a_project_lists_its_own_sessions(trial: Trial) -> None:
    """Sessions of another project must not be resumed here, and each session is listed once, not once per
    batch."""
    for session in ("a", "b", "a"):
        await trial.store.append(trial.key(session), [entry(1)])
    await trial.store.append(trial.key("c", project=trial.other_project), [entry(1)])
    listed = await trial.listed()
    expect(sorted(listed) == ["a", "b"], f"sessions a and b are listed as {sorted(listed)}")


@LISTING.contract("list_sessions")
async def an_unknown_project_has_none(trial: Trial) -> None:
    """An error, or None, would break the session picker of a new project."""
    found = await trial.store.list_sessions(trial.project)
    expect(found == [], f"list_sessions of a project never written gives {type(found).__name__}, not []")


@LISTING.contract("list_sessions")
async def mtime_is_epoch_milliseconds_of_now(trial: Trial) -> None:
    """Seconds, floats and texts sort wrong, and so does an entry's own timestamp."""
    await trial.store.append(trial.key(), [entry(1, timestamp="2001-01-01T00:00:00.000Z")])
    mtime = (await trial.listed())["s"]
    expect(type(mtime) is int, f"mtime is of type {type(mtime).__name__}, not int")
    expect(mtime > _SECONDS_WOULD_BE, f"mtime {mtime} is not in milliseconds")
    expect(abs(mtime - time.time() * 1000) < _DAY_MS, f"mtime {mtime} is not the time of storage")


@LISTING.contract("list_sessions")
async def an_append_moves_the_mtime(trial: Trial) -> None:
    """continue_conversation picks the newest session."""
    for session in ("first", "second", "first"):
        await trial.store.append(trial.key(session), [entry(1)])
        await trial.tick()
    listed = await trial.listed()
    expect(listed["first"] > listed["second"], "a second append does not make a session the newest")


@LISTING.contract("list_sessions")
async def a_subagents_append_moves_no_mtime(trial: Trial) -> None:
    """Subagents do not change the summary, so a newer mtime would make it look stale from then on."""
    await trial.store.append(trial.key(), [entry(1)])
    before = await trial.listed()
    await trial.tick()
    await trial.store.append(trial.key(subpath="subagents/agent-1"), [entry(1)])
    expect(await trial.listed() == before, "an append to a subagent's transcript moves the session's mtime")


@LISTING.contract("list_sessions")
async def subagents_alone_make_no_session(trial: Trial) -> None:
    """A session without a main transcript can't be resumed and must not be offered."""
    await trial.store.append(trial.key(subpath="subagents/agent-1"), [entry(1)])
    expect(await trial.listed() == {}, "a session without a main transcript is listed")


@LISTING.contract("list_sessions", "delete")
async def a_deleted_session_is_gone(trial: Trial) -> None:
    """A listing that is stored separately, and that the deletion forgets, offers sessions that no longer
    exist."""
    await trial.store.append(trial.key("a"), entries(1))
    await trial.store.append(trial.key("b"), entries(1))
    await trial.store.delete(trial.key("a"))
    expect(sorted(await trial.listed()) == ["b"], "a deleted session is listed")


@LISTING.contract("list_sessions")
async def a_listing_agrees_with_load(trial: Trial) -> None:
    """A listed session can be loaded right after the append: no stale cache, no lagging replica."""
    for number in range(20):
        await trial.store.append(trial.key(f"s{number}"), entries(number))
        expect(f"s{number}" in await trial.listed(), "a session is not listed right after its append")
    for number, session in enumerate(sorted(await trial.listed(), key=lambda name: int(name[1:]))):
        await trial.expect(trial.key(session), entries(number), "20 sessions")
