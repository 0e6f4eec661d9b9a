"""Contracts of list_subkeys."""

from boocode_sessions.testing.suite import Capability, Trial, entries, expect

SUBKEYS = Capability("subkeys", "list_subkeys returns each subagent's path once, and no other path.")


@SUBKEYS.contract("list_subkeys")
async def each_subpath_is_listed_once(trial: Trial) -> None:
    """Resume loads each listed path. With one path per batch it loads and writes a transcript many times."""
    paths = [
        "subagents/agent-2",
        "subagents/agent-1",
        "subagents/workflows/run-1/agent-x",
        "a",
        "Z",
        "\u00e9",
    ]
    for path in [*paths, *paths]:
        await trial.store.append(trial.key(subpath=path), entries(1))
    found = await trial.store.list_subkeys(trial.key())
    expect(sorted(found) == sorted(paths), f"the subkeys {sorted(paths)} are listed as {sorted(found)}")


@SUBKEYS.contract("list_subkeys")
async def the_main_transcript_is_none(trial: Trial) -> None:
    """An empty path in the list makes resume overwrite the main transcript with itself."""
    await trial.store.append(trial.key(), entries(1))
    found = await trial.store.list_subkeys(trial.key())
    expect(found == [], f"a session with a main transcript only has the subkeys {found}")


@SUBKEYS.contract("list_subkeys")
async def an_unknown_session_has_none(trial: Trial) -> None:
    """Resume asks for subkeys before it knows whether there are any."""
    found = await trial.store.list_subkeys(trial.key())
    expect(found == [], f"list_subkeys of a session never written gives {type(found).__name__}, not []")


@SUBKEYS.contract("list_subkeys")
async def other_sessions_are_not_searched(trial: Trial) -> None:
    """A listing by prefix, or with a wildcard in the id, finds the subagents of other sessions."""
    await trial.store.append(trial.key("s2", "subagents/agent-2"), entries(1))
    await trial.store.append(trial.key("s", "subagents/agent-3", trial.other_project), entries(1))
    await trial.store.append(trial.key("s", "subagents/agent-1"), entries(1))
    for session, due in (("s", ["subagents/agent-1"]), ("_", []), ("%", [])):
        found = await trial.store.list_subkeys(trial.key(session))
        expect(found == due, f"the subkeys of session {session!r} are {found}, not {due}")


@SUBKEYS.contract("list_subkeys", "delete")
async def a_deleted_subagent_is_gone(trial: Trial) -> None:
    """Resume would load None for a listed path."""
    for path in ("a", "b"):
        await trial.store.append(trial.key(subpath=path), entries(1))
    await trial.store.delete(trial.key(subpath="a"))
    expect(await trial.store.list_subkeys(trial.key()) == ["b"], "a deleted subagent's path is listed")
    await trial.store.delete(trial.key())
    expect(await trial.store.list_subkeys(trial.key()) == [], "a deleted session's subagents are listed")
