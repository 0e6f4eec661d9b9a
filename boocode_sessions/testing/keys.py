"""Contracts for keys: which ones differ, and which ones are refused."""

from typing import Any

from boocode_sessions.testing.suite import Capability, Trial, entries, error_of, expect, refused

KEYS = Capability(
    "keys", "Keys are compared exactly, and an invalid key is refused before anything is written."
)


@KEYS.contract()
async def keys_are_compared_to_the_letter(trial: Trial) -> None:
    """A store that joins the parts with a separator, folds case or trims makes one transcript of two."""
    texts = [
        "s",
        "S",
        "s ",
        " s",
        "s/t",
        "s/t/u",
        "s:t",
        "s|t",
        "s\\t",
        "s.t",
        "..",
        "%",
        "_",
        "'",
        '"',
        "\u00e9",
        "e\u0301",
    ]
    keys: list[Any] = [trial.key(text) for text in texts]
    keys += [trial.key("s", text) for text in texts]
    keys += [trial.key("s", project=f"{trial.project}/s"), trial.key("s/s/t"), trial.key("s/s", "t")]
    for number, key in enumerate(keys):
        await trial.store.append(key, entries(number))
    for number, key in enumerate(keys):
        await trial.expect(
            key, entries(number), f"appends to {len(keys)} transcripts whose keys differ in little"
        )


@KEYS.contract("list_sessions")
async def any_session_id_is_listed(trial: Trial) -> None:
    """If an id with a separator is taken for a subagent's key, its session is never offered."""
    ids = ["s", "s/t", "s:t", "%", "\u00e9", "s t", "'"]
    for session in ids:
        await trial.store.append(trial.key(session), entries(1))
    found = sorted(await trial.listed())
    expect(found == sorted(ids), f"the sessions {sorted(ids)} are listed as {found}")


async def _refuse(trial: Trial, key: Any, what: str) -> None:  # noqa: ANN401 - bad keys
    await refused(trial.store.append(key, entries(9)), f"append with {what}")
    await refused(trial.store.load(key), f"load with {what}")


@KEYS.contract()
async def an_empty_subpath_is_refused(trial: Trial) -> None:
    """An empty subpath names neither the main transcript nor a subagent's. A caller that computed it has a
    bug."""
    await trial.store.append(trial.key(), entries(1))
    await _refuse(trial, trial.key(subpath=""), "an empty subpath")
    await trial.expect(trial.key(), entries(1), "an append with an empty subpath")


@KEYS.contract("delete")
async def a_deletion_with_an_empty_subpath_deletes_nothing(trial: Trial) -> None:
    """If an empty subpath meant the main transcript, deleting one subagent would delete the session."""
    for path in (None, "subagents/agent-1"):
        await trial.store.append(trial.key(subpath=path), entries(1))
    await refused(trial.store.delete(trial.key(subpath="")), "delete with an empty subpath")
    for path in (None, "subagents/agent-1"):
        await trial.expect(trial.key(subpath=path), entries(1), "a deletion with an empty subpath")


@KEYS.contract()
async def empty_and_missing_parts_are_refused(trial: Trial) -> None:
    """Everything written without an id would become one transcript that everybody shares."""
    bad: list[Any] = [
        trial.key(""),
        {"project_key": "", "session_id": "s"},
        {"session_id": "s"},
        {"project_key": trial.project},
        {},
    ]
    for key in bad:
        await _refuse(trial, key, f"the key parts {[part for part, text in key.items() if text]} only")


@KEYS.contract()
async def parts_that_are_not_text_are_refused(trial: Trial) -> None:
    """7 and "7" would be one session in one store and two in another."""
    for value in (7, b"s", ["s"], True, object()):
        for part in ("project_key", "session_id", "subpath"):
            await _refuse(trial, {**trial.key(), part: value}, f"a {part} of type {type(value).__name__}")


@KEYS.contract()
async def a_nul_in_a_key_cuts_nothing_off(trial: Trial) -> None:
    """An id that is cut at the NUL names another session. A store may refuse the id, or keep it as a session
    of its own."""
    await trial.store.append(trial.key("s"), entries(1))
    if await error_of(trial.store.append(trial.key("s\0t"), entries(2))) is None:
        await trial.expect(trial.key("s\0t"), entries(2), "an append to a session with NUL in its id")
    await trial.expect(trial.key("s"), entries(1), "an append to a session with NUL in its id")
