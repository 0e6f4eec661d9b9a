"""Contracts of delete."""

from boocode_sessions.testing.suite import Capability, Trial, entries, expect

DELETION = Capability("deletion", "A deletion removes everything that its key names, and nothing else.")

_PATHS = ("subagents/agent-1", "subagents/agent-10", "subagents/agent-1/inner", "subagents/agent")


@DELETION.contract("delete")
async def a_key_never_written_is_no_error(trial: Trial) -> None:
    """Cleanup code runs twice, and on sessions that never wrote anything."""
    await trial.store.delete(trial.key())
    await trial.store.delete(trial.key(subpath="subagents/agent-1"))
    await trial.store.append(trial.key(), entries(1))
    await trial.store.delete(trial.key())
    await trial.store.delete(trial.key())
    await trial.expect(trial.key(), None, "two deletions")


@DELETION.contract("delete")
async def a_session_goes_with_all_its_subagents(trial: Trial) -> None:
    """A subagent's transcript that stays behind keeps what it read, and no listing shows it."""
    keys = [trial.key(), *(trial.key(subpath=path) for path in _PATHS)]
    for key in keys:
        await trial.store.append(key, entries(1))
    await trial.store.delete(trial.key())
    for key in keys:
        await trial.expect(key, None, "the deletion of the whole session")


@DELETION.contract("delete")
async def subagents_without_a_main_transcript_go_too(trial: Trial) -> None:
    """A deletion that first looks for the main transcript leaves these subagents behind for good."""
    await trial.store.append(trial.key(subpath=_PATHS[0]), entries(1))
    await trial.store.delete(trial.key())
    await trial.expect(trial.key(subpath=_PATHS[0]), None, "the deletion of its session")


@DELETION.contract("delete")
async def other_sessions_stay(trial: Trial) -> None:
    """A deletion by prefix, or with a wildcard in the id, deletes other sessions too."""
    for key in (trial.key("s"), trial.key("s", _PATHS[0]), trial.key("_"), trial.key("%")):
        await trial.store.append(key, entries(1))
    others = [
        trial.key("s2"),
        trial.key("s2", _PATHS[0]),
        trial.key("S"),
        trial.key("s", project=trial.other_project),
        trial.key("s", _PATHS[0], trial.other_project),
    ]
    for key in others:
        await trial.store.append(key, entries(2))
    for session in ("s", "_", "%"):
        await trial.store.delete(trial.key(session))
        for key in others:
            await trial.expect(key, entries(2), f"the deletion of session {session!r}")


@DELETION.contract("delete")
async def one_subagent_goes_alone(trial: Trial) -> None:
    """A deletion that takes the path for a prefix, or for the main transcript, deletes more than was
    asked."""
    others = [trial.key(), *(trial.key(subpath=path) for path in _PATHS[1:])]
    for key in [*others, trial.key(subpath=_PATHS[0])]:
        await trial.store.append(key, entries(1))
    await trial.store.delete(trial.key(subpath=_PATHS[0]))
    await trial.expect(trial.key(subpath=_PATHS[0]), None, "its deletion")
    for key in others:
        await trial.expect(key, entries(1), "the deletion of another subagent's transcript")


@DELETION.contract("delete", "list_sessions")
async def a_subagents_deletion_moves_no_mtime(trial: Trial) -> None:
    """Cleaning up subagents would reorder the sessions."""
    await trial.store.append(trial.key(), entries(1))
    await trial.store.append(trial.key(subpath=_PATHS[0]), entries(1))
    before = await trial.listed()
    await trial.tick()
    await trial.store.delete(trial.key(subpath=_PATHS[0]))
    expect(
        await trial.listed() == before, "the deletion of a subagent's transcript moves the session's mtime"
    )


@DELETION.contract("delete")
async def a_deleted_session_can_begin_anew(trial: Trial) -> None:
    """A tombstone or a cached position loses or misplaces the next entries."""
    await trial.store.append(trial.key(), entries(1, 2))
    await trial.store.delete(trial.key())
    await trial.store.append(trial.key(), entries(3))
    await trial.store.append(trial.key(), entries(4))
    await trial.expect(trial.key(), entries(3, 4), "append, delete, append, append")
