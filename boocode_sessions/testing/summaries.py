"""Contracts of list_session_summaries."""

from typing import Any

from boocode_sessions._core.fold import fold
from boocode_sessions._core.keys import Transcript
from boocode_sessions.testing.suite import Capability, Entry, Skipped, Trial, canonical, entry, expect

SUMMARIES = Capability(
    "summaries", "A summary is the SDK's fold of the main transcript, as fresh as the listing."
)


def _prompt(number: int, text: Any, **members: Any) -> Entry:  # noqa: ANN401 - any JSON value
    at = f"2026-01-01T00:00:{number:02}.000Z"
    message = {"role": "user", "content": text}
    return {
        "type": "user",
        "uuid": f"u{number}",
        "timestamp": at,
        "cwd": "/src",
        "message": message,
        **members,
    }


def _conversation() -> list[Entry]:
    return [
        entry(0, isSidechain=False),
        _prompt(1, "the first prompt"),
        _prompt(2, "another", gitBranch="main"),
        entry(3, customTitle="a title"),
        {"type": "tag", "tag": "a tag"},
        entry(5, customTitle="a better title", lastPrompt="another"),
    ]


@SUMMARIES.contract("list_session_summaries")
async def a_summary_is_the_sdks_fold(trial: Trial) -> None:
    """`data` is opaque. Whatever a store interprets, renames or drops is missing in every listing."""
    expected = fold(None, Transcript(trial.project, "s", ""), _conversation())
    if expected is None:
        raise Skipped("claude_agent_sdk, which has the fold, is not installed")
    await trial.store.append(trial.key(), _conversation())
    data = (await trial.summaries())["s"]["data"]
    expect(canonical(data) == canonical(expected), "data is not what fold_session_summary gives")


@SUMMARIES.contract("list_session_summaries")
async def a_fold_goes_on_from_the_last(trial: Trial) -> None:
    """A fold that starts over with each batch loses the first prompt."""
    for item in _conversation():
        await trial.store.append(trial.key(), [item])
    await trial.store.append(trial.key(project=trial.other_project), _conversation())
    await trial.expect_same_summaries("six appends of one entry and one of six give different summaries")


@SUMMARIES.contract("list_session_summaries", "list_sessions")
async def a_summary_is_as_fresh_as_the_listing(trial: Trial) -> None:
    """A summary with an older mtime counts as stale, and every listing then loads whole transcripts."""
    for item in _conversation():
        await trial.store.append(trial.key(), [item])
        await trial.store.append(trial.key(subpath="subagents/agent-1"), [item])
        summary, listed = (await trial.summaries())["s"], await trial.listed()
        expect(type(summary["mtime"]) is int, "a summary's mtime is not an int")
        expect(summary["mtime"] >= listed["s"], "a summary is older than its session in the listing")


@SUMMARIES.contract("list_session_summaries")
async def a_project_lists_its_own_summaries(trial: Trial) -> None:
    """Titles of another project must not be shown here."""
    await trial.store.append(trial.key("a"), _conversation())
    await trial.store.append(trial.key("b", project=trial.other_project), _conversation())
    found = await trial.summaries()
    expect(sorted(found) == ["a"], f"the summaries of session a's project are {sorted(found)}")
    none = await trial.store.list_session_summaries(f"{trial.project}-never")
    expect(none == [], "list_session_summaries of a project never written is not []")


@SUMMARIES.contract("list_session_summaries")
async def a_subagent_changes_no_summary(trial: Trial) -> None:
    """A subagent's prompt would become the session's title."""
    await trial.store.append(trial.key(subpath="subagents/agent-1"), [_prompt(9, "to a subagent")])
    expect(await trial.summaries() == {}, "a subagent's append makes a summary")
    await trial.store.append(trial.key(), _conversation())
    before = await trial.summaries()
    await trial.store.append(trial.key(subpath="subagents/agent-1"), [entry(1, customTitle="a subagent's")])
    expect(await trial.summaries() == before, "a subagent's append changes the session's summary")


@SUMMARIES.contract("list_session_summaries")
async def a_summary_keeps_any_text(trial: Trial) -> None:
    """A title can hold a NUL. If the store keeps it as JSONB or text, the append fails for good."""
    for number, text in enumerate(["\0", "\ud800", "\U0001f600 \u00e9", "\\u0000", "'\"%s{}"]):
        item = _prompt(number, f"prompt {text}", customTitle=f"title {text}")
        await trial.store.append(trial.key(f"s{number}"), [item])
        await trial.store.append(trial.key(f"s{number}"), [entry(1)])
        data = (await trial.summaries())[f"s{number}"]["data"]
        expect(f"title {text}" in data.values(), f"the summary has lost the title {text!a}")


@SUMMARIES.contract("list_session_summaries", "delete")
async def a_deleted_sessions_summary_is_gone(trial: Trial) -> None:
    """A fold that continues from a deleted summary brings deleted text back."""
    await trial.store.append(trial.key(), _conversation())
    await trial.store.delete(trial.key())
    expect(await trial.summaries() == {}, "a deleted session has a summary")
    anew = [_prompt(7, "after the deletion")]
    await trial.store.append(trial.key(), anew)
    await trial.store.append(trial.key(project=trial.other_project), anew)
    await trial.expect_same_summaries("a session begun anew has the deleted one's summary")


@SUMMARIES.contract("list_session_summaries")
async def a_listed_summary_is_a_copy(trial: Trial) -> None:
    """The SDK's fold and its callers may change the summary that they get."""
    await trial.store.append(trial.key(), _conversation())
    before = canonical(await trial.summaries())
    (await trial.summaries())["s"]["data"].clear()
    expect(canonical(await trial.summaries()) == before, "a caller that changes a summary changes the store")
